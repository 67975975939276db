"""The hybrid encoder of D-FINE and DETRPose: attention on the coarsest map,
convolutions to fuse it with the finer ones."""
from collections import OrderedDict
from functools import partial
from typing import Any, Callable, Optional, Sequence, Tuple, cast

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpose.models.heads.transformer_heads.transformers import \
    PositionEmbeddingSineHW
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, OptMultiConfig
from torch import Tensor, nn

from .convolution import conv_norm


@MODELS.register_module()
class DFineHybridEncoder(BaseModule):
    """Hybrid encoder of `D-FINE <https://arxiv.org/abs/2410.13842>`_, a neck.

    MMPose's ``HybridEncoder`` is that of RT-DETR, which fuses by other
    blocks.

    Args:
        in_channels (Sequence[int]): Channels of the L maps, finest first.
        embed_dims (int): Channels C of the outputs, a multiple of 4.
            Defaults to 256.
        num_heads (int): Heads of the self-attention. Defaults to 8.
        feedforward_channels (int): Width of its feed-forward network.
            Defaults to 1024.
        block_channels (int): Width of the fusion blocks; in the settings of
            D-FINE, its ``expansion`` times half of C. Defaults to 128.
        num_blocks (int): RepVGG blocks in each half of a fusion block; in
            the settings of D-FINE, 3 times its ``depth_mult``. Defaults
            to 3.
        norm_cfg (dict): Config of the norms. Defaults to dict(type='BN').
        init_cfg (dict or list[dict], optional): Weights after those of
            PyTorch, see MMEngine's ``initialize``.

    Raises:
        ValueError: If the heads do not divide the width, or 4 does not.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 embed_dims: int = 256,
                 num_heads: int = 8,
                 feedforward_channels: int = 1024,
                 block_channels: int = 128,
                 num_blocks: int = 3,
                 norm_cfg: ConfigType = dict(type='BN'),
                 init_cfg: OptMultiConfig = None):
        super().__init__(init_cfg)
        if num_heads < 1 or embed_dims % num_heads or embed_dims % 4:
            raise ValueError(
                f'DFineHybridEncoder: embed_dims={embed_dims} must be a '
                f'multiple of num_heads={num_heads} and of 4.')
        self.embed_dims = embed_dims
        self.num_levels = len(in_channels)
        conv = partial(conv_silu, norm_cfg=norm_cfg)

        projections = [
            conv(width, embed_dims, 1, act=False) for width in in_channels
        ]
        for projection in projections:
            nn.init.xavier_uniform_(cast(nn.Conv2d, projection.conv).weight)
        self.input_proj = nn.ModuleList(projections)
        self.positional_encoding = PositionEmbeddingSineHW(
            embed_dims // 2, temperatureH=20, temperatureW=20, normalize=True)
        self.encoder = EncoderLayer(
            embed_dims,
            num_heads,
            feedforward_channels,
            dropout=0.0,
            activation='gelu',
            batch_first=True)

        self.lateral_convs = nn.ModuleList()
        self.fpn_blocks = nn.ModuleList()
        self.downsample_convs = nn.ModuleList()
        self.pan_blocks = nn.ModuleList()
        for _ in in_channels[1:]:
            self.lateral_convs.append(conv(embed_dims, embed_dims, 1))
            self.fpn_blocks.append(
                RepNCSPELAN4(conv, embed_dims, block_channels, num_blocks))
            pointwise = conv(embed_dims, embed_dims, 1, act=False)
            depthwise = conv(
                embed_dims, embed_dims, 3, 2, groups=embed_dims, act=False)
            self.downsample_convs.append(
                nn.Sequential(OrderedDict(cv1=pointwise, cv2=depthwise)))
            self.pan_blocks.append(
                RepNCSPELAN4(conv, embed_dims, block_channels, num_blocks))

    def forward(self, feats: Sequence[Tensor]) -> Tuple[Tensor, ...]:
        """Fuse the maps of all levels.

        Args:
            feats (Sequence[Tensor]): L maps, (B, C_l, H_l, W_l), finest
                first, each of exactly twice the size of the next.

        Returns:
            tuple[Tensor]: L maps, (B, C, H_l, W_l).

        Raises:
            ValueError: If there are not L maps, or of other sizes.
        """
        self._check_sizes(feats)
        maps = [
            project(level) for project, level in zip(self.input_proj, feats)
        ]
        # From the coarsest to the finest, and back.
        inner = [self._attend(maps[-1])]
        for lateral, fuse, finer in zip(self.lateral_convs, self.fpn_blocks,
                                        maps[-2::-1]):
            inner[-1] = lateral(inner[-1])
            inner.append(fuse(inner[-1], finer))
        outs = [inner.pop()]
        for downsample, fuse, coarser in zip(self.downsample_convs,
                                             self.pan_blocks, inner[::-1]):
            outs.append(fuse(downsample(outs[-1]), coarser))
        return tuple(outs)

    @torch.no_grad()
    def switch_to_deploy(self, test_cfg: Optional[dict] = None) -> None:
        """Merge projections that make no map narrower with the layers that
        follow them, see also :class:`SplitConv`.

        Args:
            test_cfg (dict, optional): Not used; MMPose gives it.
        """
        for index, block in enumerate(self.fpn_blocks):
            block = cast(RepNCSPELAN4, block)
            block.switch_to_deploy()
            # All maps but the coarsest enter one block each, coarse to fine.
            level = len(self.fpn_blocks) - 1 - index
            projection: Any = self.input_proj[level]
            if not isinstance(projection, nn.Identity) and \
                    projection.conv.in_channels <= self.embed_dims:
                cast(SplitConv, block.cv1).merge(projection)
                self.input_proj[level] = nn.Identity()

    def _attend(self, maps: Tensor) -> Tensor:
        """Let the cells of a map attend to each other, (B, C, H, W)."""
        height, width = maps.shape[-2:]
        nothing_padded = torch.zeros(
            1, height, width, dtype=torch.bool, device=maps.device)
        position = self.positional_encoding(nothing_padded)
        tokens = self.encoder(
            maps.flatten(2).transpose(1, 2),
            position.flatten(2).transpose(1, 2))
        return tokens.transpose(1, 2).unflatten(2, (height, width))

    def _check_sizes(self, feats: Sequence[Tensor]) -> None:
        """Refuse maps that cannot be fused."""
        if len(feats) != self.num_levels:
            raise ValueError(
                f'DFineHybridEncoder got {len(feats)} maps, but in_channels '
                f'is for {self.num_levels}. Make it as long as out_indices '
                'of the backbone.')
        if torch.jit.is_tracing():  # sizes are symbols there
            return
        sizes = [tuple(level.shape[-2:]) for level in feats]
        for (height, width), coarser in zip(sizes, sizes[1:]):
            if (height, width) != (2 * coarser[0], 2 * coarser[1]):
                raise ValueError(
                    'DFineHybridEncoder: every map must be exactly twice as '
                    f'high and wide as the next, but they are {sizes} (height '
                    'and width). Take images whose sides are multiples of '
                    'the largest stride, as pad_size_divisor=32 of the data '
                    'preprocessor makes them.')


class EncoderLayer(nn.TransformerEncoderLayer):
    """PyTorch's encoder layer, with positions added to queries and keys."""

    def forward(  # type: ignore[override]
            self, tokens: Tensor, position: Tensor) -> Tensor:
        """Let the tokens attend to each other.

        Args:
            tokens (Tensor): (B, T, C).
            position (Tensor): (1, T, C).

        Returns:
            Tensor: (B, T, C).
        """
        query = tokens + position
        attended, _ = self.self_attn(query, query, tokens, need_weights=False)
        tokens = self.norm1(tokens + attended)
        update = self.linear2(self.activation(self.linear1(tokens)))
        return self.norm2(tokens + update)


class RepNCSPELAN4(nn.Module):
    """Fusion block: two maps of C channels to one.

    Args:
        conv (Callable): Makes a layer, see :func:`conv_silu`.
        embed_dims (int): Channels C.
        block_channels (int): Channels of the two inner stages.
        num_blocks (int): RepVGG blocks in each of them.
    """

    def __init__(self, conv: Callable, embed_dims: int, block_channels: int,
                 num_blocks: int):
        super().__init__()
        self.cv1: nn.Module = conv(2 * embed_dims, 2 * embed_dims, 1)
        self.cv2 = nn.Sequential(
            RepCSP(conv, embed_dims, block_channels, num_blocks),
            conv(block_channels, block_channels, 3))
        self.cv3 = nn.Sequential(
            RepCSP(conv, block_channels, block_channels, num_blocks),
            conv(block_channels, block_channels, 3))
        self.cv4 = conv(2 * embed_dims + 2 * block_channels, embed_dims, 1)

    @torch.no_grad()
    def switch_to_deploy(self, test_cfg: Optional[dict] = None) -> None:
        """See :class:`SplitConv`.

        Args:
            test_cfg (dict, optional): Not used; MMPose gives it.
        """
        if isinstance(self.cv1, nn.Sequential):
            self.cv1 = SplitConv(self.cv1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Fuse two maps.

        Args:
            first (Tensor): (B, C, H, W), or half as high and wide.
            second (Tensor): (B, C, H, W).

        Returns:
            Tensor: (B, C, H, W).
        """
        if isinstance(self.cv1, SplitConv):
            joined = self.cv1(first, second)
        else:
            joined = self.cv1(torch.cat([enlarge(first, second), second], 1))
        outs = [*joined.chunk(2, 1)]
        outs.append(self.cv2(outs[-1]))
        outs.append(self.cv3(outs[-1]))
        return self.cv4(torch.cat(outs, 1))


class SplitConv(nn.Module):
    """A pointwise layer for two maps side by side, of which the first may be
    enlarged only after it: a fourth of the work for the same result.

    Args:
        layer (nn.Sequential): From :func:`conv_silu`, for 2C channels.
    """

    def __init__(self, layer: nn.Sequential):
        super().__init__()
        weight, bias = fold(cast(nn.Conv2d, layer.conv), layer.norm)
        half = weight.shape[1] // 2
        self.first = nn.Conv2d(half, len(weight), 1, bias=False)
        self.second = nn.Conv2d(half, len(weight), 1)
        self.first.weight = nn.Parameter(weight[:, :half])
        self.second.weight = nn.Parameter(weight[:, half:])
        self.second.bias = nn.Parameter(bias)

    def merge(self, projection: nn.Sequential) -> None:
        """Take over the projection that the second map comes from.

        Args:
            projection (nn.Sequential): From :func:`conv_silu`, not activated.
        """
        inner, shift = fold(cast(nn.Conv2d, projection.conv), projection.norm)
        weight = self.second.weight.flatten(1)
        bias = cast(Tensor, self.second.bias)
        self.second.bias = nn.Parameter(bias + weight @ shift)
        self.second.weight = nn.Parameter(
            (weight @ inner.flatten(1))[..., None, None])

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """As :class:`RepNCSPELAN4`, to (B, 2C, H, W)."""
        second = self.second(second)
        return F.silu(second.add_(enlarge(self.first(first), second)), True)


def enlarge(maps: Tensor, other: Tensor) -> Tensor:
    """Repeat rows and columns of maps that are half as high and wide as
    others."""
    if maps.shape[-1] == other.shape[-1]:
        return maps
    return F.interpolate(maps, scale_factor=2.0)


class RepCSP(nn.Module):
    """Cross stage partial network: RepVGG blocks beside a convolution.

    Args:
        conv (Callable): Makes a layer, see :func:`conv_silu`.
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        num_blocks (int): Number of blocks.
    """

    def __init__(self, conv: Callable, in_channels: int, out_channels: int,
                 num_blocks: int):
        super().__init__()
        self.conv1 = conv(in_channels, out_channels, 1)
        self.conv2 = conv(in_channels, out_channels, 1)
        self.bottlenecks = nn.Sequential(
            *[RepVGGBlock(conv, out_channels) for _ in range(num_blocks)])

    def forward(self, maps: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H, W)."""
        return self.bottlenecks(self.conv1(maps)) + self.conv2(maps)


class RepVGGBlock(nn.Module):
    """Sum of a convolution of size 3 and one of size 1, activated.

    MMPose's class of this name computes the same, but starts from other
    weights, under other names.

    Args:
        conv (Callable): Makes a layer, see :func:`conv_silu`.
        channels (int): Channels of input and output.
    """

    def __init__(self, conv: Callable, channels: int):
        super().__init__()
        self.conv1 = conv(channels, channels, 3, act=False)
        self.conv2 = conv(channels, channels, 1, act=False)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        out = self.conv1(maps)
        if self.conv2 is not None:
            out = out + self.conv2(maps)
        return F.silu(out)

    @torch.no_grad()
    def switch_to_deploy(self, test_cfg: Optional[dict] = None) -> None:
        """Merge both convolutions and their norms into one convolution.

        Args:
            test_cfg (dict, optional): Not used; MMPose gives it.
        """
        if self.conv2 is None:
            return
        weight, bias = fold(*self.conv1)
        pointwise, shift = fold(*self.conv2)
        weight = weight + F.pad(pointwise, (1, 1, 1, 1))
        self.conv1 = self.conv1.conv
        self.conv1.weight = nn.Parameter(weight)
        self.conv1.bias = nn.Parameter(bias + shift)
        self.conv2 = None


def fold(conv: nn.Conv2d, norm: Any) -> Tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that computes both, by the running
    statistics of the norm."""
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return (conv.weight * scale[:, None, None, None],
            norm.bias - norm.running_mean * scale)


def conv_silu(*sizes: int,
              act: bool = True,
              norm_cfg: ConfigType,
              **kwargs) -> nn.Sequential:
    """:func:`conv_norm`, with ``act`` followed by a SiLU."""
    if act:
        kwargs['after'] = dict(act=nn.SiLU(inplace=True))
    return conv_norm(*sizes, **dict(kwargs, norm_cfg=norm_cfg))
