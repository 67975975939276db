"""HGNetv2, the convolutional backbone of D-FINE and DETRPose.

It comes from PaddlePaddle. Names of the weights are those of the PyTorch
version that came with `D-FINE <https://arxiv.org/abs/2410.13842>`_.
"""
from collections import OrderedDict
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, OptMultiConfig
from torch import Tensor, nn

from ..checkpoints.fit import load_pretrained
from .convolution import conv_norm
from .gradient_checkpointing import recomputable

# Channels of the stem, inside and out; channels of every stage, inside and
# out, and its blocks; layers of a block; whether activations are followed by
# a learnable affine map.
ARCHITECTURES: Dict[str, dict] = {
    'b0':
    dict(
        stem=(16, 16),
        stages=((16, 64, 1), (32, 256, 1), (64, 512, 2), (128, 1024, 1)),
        num_layers=3,
        use_lab=True),
    'b2':
    dict(
        stem=(24, 32),
        stages=((32, 96, 1), (64, 384, 1), (128, 768, 3), (256, 1536, 1)),
        num_layers=4,
        use_lab=True),
    'b4':
    dict(
        stem=(32, 48),
        stages=((48, 128, 1), (96, 512, 1), (192, 1024, 3), (384, 2048, 1)),
        num_layers=6,
        use_lab=False),
    'b5':
    dict(
        stem=(32, 64),
        stages=((64, 128, 1), (128, 512, 2), (256, 1024, 5), (512, 2048, 2)),
        num_layers=6,
        use_lab=False),
}


@MODELS.register_module()
class HGNetV2(BaseModule):
    """HGNetv2 for images of any size.

    Its weights from ImageNet are at
    ``https://github.com/Peterande/storage/releases/download/dfinev1.0/``,
    ``PPHGNetV2_B0_stage1.pth`` and likewise for B2, B4 and B5.

    Args:
        arch (str | dict): One of :data:`ARCHITECTURES`, or the like of their
            values. Defaults to 'b0'.
        out_indices (Sequence[int]): Stages whose maps are returned, of
            strides 4, 8, 16 and 32, counted from 0. Defaults to (1, 2, 3).
        norm_cfg (dict): Config of the norms. Defaults to frozen ones, whose
            statistics and affine maps are not trained.
        with_cp (bool): Save memory at the cost of time, see
            :func:`recomputable`. Defaults to False.
        init_cfg (dict or list[dict], optional): Weights after those of
            PyTorch: ``dict(type='Pretrained', checkpoint=ADDRESS_OR_FILE)``,
            with ``prefix='backbone.'`` for the checkpoint of a whole model.

    Raises:
        ValueError: If there is no such architecture or stage.
    """

    def __init__(self,
                 arch: Union[str, dict] = 'b0',
                 out_indices: Sequence[int] = (1, 2, 3),
                 norm_cfg: ConfigType = dict(type='FrozenBatchNorm2d'),
                 with_cp: bool = False,
                 init_cfg: OptMultiConfig = None):
        super().__init__(init_cfg)
        if isinstance(arch, str):
            if arch not in ARCHITECTURES:
                raise ValueError(f'HGNetV2: there is no arch={arch!r}. Take '
                                 f'one of {", ".join(ARCHITECTURES)}.')
            arch = ARCHITECTURES[arch]
        stages, num_layers = arch['stages'], arch['num_layers']
        if not set(out_indices) <= set(range(len(stages))):
            raise ValueError(
                f'HGNetV2: out_indices={tuple(out_indices)}, but the stages '
                f'are 0 to {len(stages) - 1}.')
        self.out_indices = tuple(out_indices)

        conv = partial(ConvRelu, norm_cfg=norm_cfg, use_lab=arch['use_lab'])
        mid_channels, channels = arch['stem']
        self.stem = Stem(conv, mid_channels, channels)
        self.stages = nn.ModuleList()
        for i, (mid_channels, out_channels, num_blocks) in enumerate(stages):
            downsample: nn.Module = nn.Identity()
            blocks: List[nn.Module] = []
            if i > 0:
                downsample = conv(
                    channels, channels, 3, 2, groups=channels, act=False)
            for _ in range(num_blocks):
                blocks.append(
                    Block(
                        conv, (channels, mid_channels, out_channels),
                        num_layers,
                        light=i >= 2,
                        residual=len(blocks) > 0,
                        with_cp=with_cp))
                channels = out_channels
            stage = OrderedDict(
                downsample=downsample, blocks=nn.Sequential(*blocks))
            self.stages.append(nn.Sequential(stage))

    def forward(self, images: Tensor) -> Tuple[Tensor, ...]:
        """Compute the maps of the stages ``out_indices``.

        Args:
            images (Tensor): (B, 3, H, W).

        Returns:
            tuple[Tensor]: Maps, (B, C_i, H_i, W_i), finest first. Sides are
            those of the image by the stride, rounded up.
        """
        maps, outs = self.stem(images), []
        for i, stage in enumerate(self.stages):
            maps = stage(maps)
            if i in self.out_indices:
                outs.append(maps)
        return tuple(outs)

    def init_weights(self) -> None:
        """Do what ``init_cfg`` says; a checkpoint must fit exactly, see
        :func:`load_pretrained`."""
        source = self.init_cfg
        if isinstance(source, dict) and source['type'] == 'Pretrained':
            load_pretrained(self, source['checkpoint'], source.get('prefix'))
            self._is_init = True
        else:
            super().init_weights()


class Stem(nn.Module):
    """Images to maps of stride 4.

    Args:
        conv (Callable): Makes a layer, see :class:`ConvRelu`.
        mid_channels (int): Channels inside.
        out_channels (int): Channels of the maps.
    """

    def __init__(self, conv: Callable, mid_channels: int, out_channels: int):
        super().__init__()
        half = mid_channels // 2
        self.stem1 = conv(3, mid_channels, 3, 2)
        self.stem2a = conv(mid_channels, half, 2)
        self.stem2b = conv(half, mid_channels, 2)
        self.stem3 = conv(2 * mid_channels, mid_channels, 3, 2)
        self.stem4 = conv(mid_channels, out_channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H / 4, W / 4), rounded up."""
        # Kernels of 2 x 2 reach one row below and one column to the right.
        maps = F.pad(self.stem1(images), (0, 1, 0, 1))
        branch = F.pad(self.stem2a(maps), (0, 1, 0, 1))
        maps = torch.cat([F.max_pool2d(maps, 2, 1), self.stem2b(branch)], 1)
        return self.stem4(self.stem3(maps))


class Block(nn.Module):
    """Layers one after another, all of whose outputs are aggregated.

    Args:
        conv (Callable): Makes a layer, see :class:`ConvRelu`.
        channels (tuple[int]): Channels of the input, of the outputs of the
            layers, and of the output.
        num_layers (int): Number of layers.
        light (bool): Layers are a pointwise and a depthwise convolution of
            size 5 in place of a full one of size 3.
        residual (bool): The input is added to the output.
        with_cp (bool): See :func:`recomputable`.
    """

    def __init__(self, conv: Callable, channels: Tuple[int, int, int],
                 num_layers: int, light: bool, residual: bool, with_cp: bool):
        super().__init__()
        in_channels, mid_channels, out_channels = channels
        self.residual = residual
        self.with_cp = with_cp
        self.layers = nn.ModuleList()
        total = in_channels
        for _ in range(num_layers):
            if light:
                layer = OrderedDict(
                    conv1=conv(in_channels, mid_channels, 1, act=False),
                    conv2=conv(
                        mid_channels, mid_channels, 5, groups=mid_channels))
                self.layers.append(nn.Sequential(layer))
            else:
                self.layers.append(conv(in_channels, mid_channels, 3))
            in_channels = mid_channels
            total += mid_channels
        self.aggregation = nn.Sequential(
            conv(total, out_channels // 2, 1),
            conv(out_channels // 2, out_channels, 1))

    @recomputable
    def forward(self, maps: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H, W)."""
        outs = [maps]
        for layer in self.layers:
            outs.append(layer(outs[-1]))
        out = self.aggregation(torch.cat(outs, 1))
        return out + maps if self.residual else out


class ConvRelu(nn.Sequential):
    """A convolution, its norm, and with ``act`` a ReLU, which with
    ``use_lab`` a :class:`LearnableAffine` follows. Others: see
    :func:`conv_norm`."""

    def __init__(self,
                 *sizes: int,
                 act: bool = True,
                 norm_cfg: ConfigType,
                 use_lab: bool,
                 **kwargs):
        layers = conv_norm(*sizes, norm_cfg=norm_cfg, norm_name='bn', **kwargs)
        super().__init__(OrderedDict(layers.named_children()))
        if act:
            self.relu = nn.ReLU(inplace=True)
            if use_lab:
                self.lab: nn.Module = LearnableAffine()

    @torch.no_grad()
    def switch_to_deploy(self, test_cfg: Optional[dict] = None) -> None:
        """Let the norm scale by what the affine map does, unless that turns
        values around, which the ReLU must come before.

        Args:
            test_cfg (dict, optional): Not used; MMPose gives it.
        """
        lab = getattr(self, 'lab', None)
        if isinstance(lab, LearnableAffine) and lab.scale > 0:
            norm: Any = self.bn
            norm.weight *= lab.scale
            norm.bias *= lab.scale
            self.lab = Shift(lab.bias)


class LearnableAffine(nn.Module):
    """One scale and one shift for all of a map, both trained."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of any shape to maps of that shape."""
        return self.scale * maps + self.bias


class Shift(nn.Module):
    """What is left of a :class:`LearnableAffine` in inference.

    Args:
        bias (Tensor): (1, ).
    """

    bias: Tensor

    def __init__(self, bias: Tensor):
        super().__init__()
        self.register_buffer('bias', bias.detach())

    def forward(self, maps: Tensor) -> Tensor:
        """Add to maps of any shape, in place."""
        return maps.add_(self.bias)
