"""The weighted sum of deformable attention in standard ONNX operators, for
maps of any size.

The four tokens around a sampling point are gathered as rows. ``GridSample``
would need fewer nodes, but ONNX Runtime takes several times as long for it on
a CPU.
"""
import itertools
from typing import Any

import torch
from torch import Tensor


def exportable_sampling(value: Tensor, spatial_shapes: Tensor,
                        locations: Tensor, weights: Tensor) -> Tensor:
    """Sample all maps at the given points and sum by the attention weights.

    The same as mmcv's ``multi_scale_deformable_attn_pytorch``: bilinear, zero
    outside of a map, whose border is half a token beyond the last center.
    At any time, the samples of one of the four tokens, (B, M, T, L * P, D),
    are in memory.

    Args:
        value (Tensor): Rows of all maps, floating point, (B, S, M, D).
        spatial_shapes (Tensor): Heights and widths, int64, (L, 2).
        locations (Tensor): Normalized (x, y), of the dtype of ``value``,
            (B, T, M, L, P, 2).
        weights (Tensor): Attention weights, of the same dtype,
            (B, T, M, L, P).

    Returns:
        Tensor: (B, T, M * D).
    """
    batch_size, num_tokens, num_heads, channels = value.shape
    # Heads first: the rows of a head fit a processor's cache.
    rows = value.transpose(1, 2).reshape(-1, channels)

    # For each point the size and first row of its map, without a cumulative
    # sum, which TensorRT does not have for integers.
    starts = [torch.zeros_like(spatial_shapes[0, 0])]
    for height, width in spatial_shapes[:-1]:
        starts.append(starts[-1] + height * width)
    maps = torch.stack([*spatial_shapes.unbind(1), torch.stack(starts)])
    maps = maps[..., None].expand(-1, -1, weights.shape[4]).flatten(1)
    heights, widths, first = maps
    head = torch.arange(batch_size * num_heads, device=value.device)
    first = (head * num_tokens).view(batch_size, num_heads, 1, 1) + first

    points = locations.transpose(1, 2).flatten(3, 4)
    weights = weights.transpose(1, 2).flatten(3)
    x = points[..., 0] * widths.to(value.dtype) - 0.5
    y = points[..., 1] * heights.to(value.dtype) - 0.5
    left, top = x.floor(), y.floor()
    x_shares, y_shares = (left + 1 - x, x - left), (top + 1 - y, y - top)
    left, top = left.long(), top.long()
    total: Any = 0
    for i, j in itertools.product((0, 1), (0, 1)):
        row, column = top + i, left + j
        outside = (row < 0) | (row >= heights) | (column < 0) | (
            column >= widths)
        share = (y_shares[i] * x_shares[j] * weights).masked_fill(outside, 0)
        index = (first + row * widths + column).masked_fill(outside, 0)
        total = total + share[..., None, :] @ rows[index]
    return total.squeeze(-2).transpose(1, 2).flatten(2)
