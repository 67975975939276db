"""The layer that the convolutional parts of real-time models are made of."""
from collections import OrderedDict
from typing import Mapping

from mmcv.cnn import build_norm_layer
from mmpose.utils.typing import ConfigType
from torch import nn


def conv_norm(in_channels: int,
              out_channels: int,
              kernel_size: int,
              stride: int = 1,
              groups: int = 1,
              *,
              norm_cfg: ConfigType,
              norm_name: str = 'norm',
              after: Mapping[str, nn.Module] = {}) -> nn.Sequential:
    """A convolution without bias, named ``conv``, its norm, and what comes
    after them, by name.

    Unlike mmcv's ``ConvModule`` it starts from PyTorch's initial weights, as
    the official programs do. Kernels of even size are not padded.
    """
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding=(kernel_size - 1) // 2,
        groups=groups,
        bias=False)
    norm = build_norm_layer(norm_cfg, out_channels)[1]
    return nn.Sequential(
        OrderedDict([('conv', conv), (norm_name, norm), *after.items()]))
