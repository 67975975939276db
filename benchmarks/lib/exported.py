"""The network of any model as an ONNX graph, for images of one shape."""
from typing import Any, Callable, Dict, List

import numpy as np
import torch
from mmpose.models.necks import HybridEncoder
from torch import Tensor, nn
from torch.utils import _pytree as tree


class OnnxRuntime:
    """A graph in ONNX Runtime on the CPU."""

    def __init__(self, content: bytes):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(
            content,
            options,
            providers=['CPUExecutionProvider'],
            # Fails on graphs of one shape, in version 1.23.
            disabled_optimizers=['ReshapeFusion'])

    def __call__(self, images: np.ndarray) -> List[np.ndarray]:
        return self.session.run(None, dict(images=images))


class OpenVino:
    """The same in OpenVINO."""

    def __init__(self, content: bytes):
        import openvino
        core = openvino.Core()
        self.compiled = core.compile_model(
            core.read_model(content), 'CPU',
            dict(
                INFERENCE_PRECISION_HINT='f32',
                INFERENCE_NUM_THREADS=torch.get_num_threads()))

    def __call__(self, images: np.ndarray) -> List[np.ndarray]:
        return list(self.compiled([images]).values())


RUNTIMES: Dict[str, Callable] = dict(
    onnxruntime=OnnxRuntime, openvino=OpenVino)


class ExportedNetwork:
    """A network that is exported at the first call, for the shape of its
    images, and runs in one of :data:`RUNTIMES`.

    What it returns, tensors in containers of any kind, has the same
    structure. Needs ``requirements/deployment.txt``.

    Args:
        model (nn.Module): Prepared for export.
        network (Callable): What of it is exported, from images (B, 3, H, W).
        runtime (str): One of :data:`RUNTIMES`.
    """

    def __init__(self, model: nn.Module, network: Callable[[Tensor], Any],
                 runtime: str):
        self.model = model.requires_grad_(False)  # weights become constants
        self.network = network
        self.runtime = runtime
        self.run: Any = None

    def __call__(self, images: Tensor) -> Any:
        if self.run is None:
            for module in self.model.modules():
                if isinstance(module, HybridEncoder):  # MMPose's, of RTMO
                    module.switch_to_deploy(dict(input_size=images.shape[2:]))
            leaves, self.structure = tree.tree_flatten(self.network(images))
            if not all(isinstance(leaf, Tensor) for leaf in leaves):
                raise TypeError('the network returns more than tensors')
            self.run = RUNTIMES[self.runtime](self._export(images))
        outputs = map(torch.from_numpy, self.run(images.numpy()))
        return tree.tree_unflatten(list(outputs), self.structure)

    def _export(self, images: Tensor) -> bytes:
        from projects.grouppose.deployment.graph import run_exporter
        graph = run_exporter(
            Leaves(self.network), (images, ), input_names=['images'])
        return graph.SerializeToString()


class Leaves(nn.Module):
    """A function whose output becomes a tuple of tensors."""

    def __init__(self, function: Callable):
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> tuple:
        """Images (B, 3, H, W) to the tensors of the output."""
        return tuple(tree.tree_flatten(self.function(images))[0])
