"""A trained model as an ONNX file::

    from projects.grouppose.deployment import export
    from projects.grouppose.inference import load_model

    model = load_model('CONFIG.py', 'CHECKPOINT.pth', 'cpu', prepare=False)
    export(model, 'model.onnx')

``tools/deployment/export_onnx.py`` does the same; ``run_onnx.py`` beside it
needs nothing but the file. ``tools/test.py CONFIG model.onnx`` evaluates it.
"""
from .exported_head import exported_model
from .onnx_file import export

__all__ = ['export', 'exported_model']
