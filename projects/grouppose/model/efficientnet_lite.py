"""A backbone for small machines whose ImageNet weights pip can install."""
from typing import Sequence

from mmdet.models.backbones import EfficientNet
from mmpose.registry import MODELS


@MODELS.register_module()
class EfficientNetLite(EfficientNet):
    """EfficientNet without squeeze-and-excitation and with ReLU6, as its
    authors changed it for devices whose numbers are integers.

    Weights come from ``tools/model_converters/efficientnet_lite_to_mmpose.py``
    for images whose values are between -1 and 1, in RGB. Sizes must be
    multiples of 32 where an exported file is to take others than it was
    exported with, since strided convolutions are padded as TensorFlow does.

    Args:
        out_indices (Sequence[int]): Stages whose maps are returned, of
            strides 2, 2, 4, 8, 16, 32 and 32. Defaults to those of stride
            8, 16 and the first of 32, with 40, 112 and 320 channels.
        act_cfg (dict): Activation. Defaults to ReLU6.
        kwargs: Of MMDetection's ``EfficientNet``, e.g. ``norm_eval``.
    """

    # kernel, channels, share of squeeze-and-excitation, stride, expansion,
    # kind of block, for all blocks of each stage
    layer_settings = {
        'b': [[[kernel, channels, 0, stride, expansion, kind]
               for kernel, channels, _, stride, expansion, kind in stage]
              for stage in EfficientNet.layer_settings['b']]
    }

    def __init__(self,
                 out_indices: Sequence[int] = (3, 4, 5),
                 act_cfg: dict = dict(type='ReLU6'),
                 **kwargs) -> None:
        super().__init__(out_indices=out_indices, act_cfg=act_cfg, **kwargs)
