"""Deformable attention to the maps of all levels, whose sampling locations are
in full precision also where the rest of the model is in mixed precision."""
from contextlib import nullcontext
from functools import partial
from typing import Optional, Tuple

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmengine.runner import autocast
from torch import Tensor

from .sampling.cpu import sum_bags
from .sampling.gpu import gpu_sampling, takes_half
from .sampling.onnx import exportable_sampling


class DeformableAttention(MultiScaleDeformableAttention):
    """mmcv's deformable attention with a fast implementation for CPUs. It
    computes in the precision of its weights, also in mixed precision.

    Arguments and names of the weights are mmcv's. Rounded to half precision,
    a sampling location on a map of 167 columns moves by up to 0.04 (float16)
    or 0.33 columns (bfloat16), and mmcv's operator for GPUs does not take
    bfloat16 at all. With deformops on a GPU (see :mod:`.sampling.gpu`), what
    is sampled may be in half precision in mixed precision, not the locations.
    """

    # Layers whose results are places and their weights.
    full_precision = ('sampling_offsets', 'attention_weights')

    def forward(self,
                query: Tensor,
                value: Optional[Tensor] = None,
                query_pos: Optional[Tensor] = None,
                **kwargs) -> Tensor:
        """Attend to the maps of all levels.

        Args:
            query (Tensor): Queries of any floating dtype, (B, T, C). They
                are added to the result.
            value (Tensor, optional): Tokens of all levels, (B, S, C).
                Defaults to the queries.
            query_pos (Tensor, optional): Positional term that is added to
                the queries, but not to the result, (B, T, C).
            kwargs: See :meth:`attend`; others, which mmcv's class ignores,
                are ignored.

        Returns:
            Tensor: Of the dtype of the weights, (B, T, C).
        """
        query = query.to(self.sampling_offsets.weight.dtype)
        value = query if value is None else value
        placed = query if query_pos is None else query + query_pos.to(
            query.dtype)
        return query + self.dropout(self.attend(placed, value, **kwargs))

    def attend(self,
               query: Tensor,
               value: Tensor,
               reference_points: Tensor,
               spatial_shapes: Tensor,
               level_start_index: Tensor,
               key_padding_mask: Optional[Tensor] = None,
               **_) -> Tensor:
        """Sample the maps around the reference points of each query and sum by
        attention weights, without the residual connection.

        Args:
            query (Tensor): Of any floating dtype, (B, T, C).
            value (Tensor): Likewise, (B, S, C).
            reference_points (Tensor): Normalized by the size of each level:
                points (x, y), (B, T, L, 2), with offsets in units of tokens,
                or boxes (center x and y, width, height), (B, T, L, 4), with
                offsets in units of half the box divided by the number of
                sampling points.
            spatial_shapes (Tensor): Heights and widths, int64, (L, 2).
            level_start_index (Tensor): First token of each level, (L, ).
            key_padding_mask (Tensor, optional): True on padding, bool,
                (B, S).

        Returns:
            Tensor: Of the dtype of the weights, (B, T, C).
        """
        dtype = self.sampling_offsets.weight.dtype
        device = query.device.type
        full_precision = partial(autocast, device_type=device, enabled=False)
        # What is sampled and what becomes of it, unlike where.
        project = nullcontext if takes_half(device) else full_precision
        with project():
            value = self.value_proj(value.to(dtype))
        if key_padding_mask is not None:
            value = value.masked_fill(key_padding_mask[..., None], 0)
        value = value.view(query.shape[0], value.shape[1], self.num_heads, -1)
        with full_precision():
            locations, weights = self._place(
                query.to(dtype), reference_points, spatial_shapes)
            sampled = sample_maps(value, spatial_shapes,
                                  level_start_index, locations,
                                  weights.to(value.dtype), self.im2col_step)
        with project():
            return self.output_proj(sampled).to(dtype)

    def _place(self, query: Tensor, reference_points: Tensor,
               spatial_shapes: Tensor) -> Tuple[Tensor, Tensor]:
        """Sampling locations, normalized by the size of each map,
        (B, T, M, L, P, 2), and attention weights, (B, T, M, L, P)."""
        heads = (*query.shape[:2], self.num_heads)
        samples = (self.num_levels, self.num_points)
        offsets = self.sampling_offsets(query).view(*heads, *samples, 2)
        weights = self.attention_weights(query).view(*heads, -1).softmax(-1)
        weights = weights.view(*heads, *samples)
        reference_points = reference_points.to(query.dtype)
        reference_points = reference_points[:, :, None, :, None]
        if reference_points.shape[-1] == 2:
            offsets = offsets / spatial_shapes.flip(-1)[:, None]
        else:
            offsets = (
                offsets / self.num_points * 0.5 * reference_points[..., 2:])
        return reference_points[..., :2] + offsets, weights


def sample_maps(value: Tensor, spatial_shapes: Tensor,
                level_start_index: Tensor, locations: Tensor, weights: Tensor,
                im2col_step: int) -> Tensor:
    """Sample the maps of all levels and sum by the attention weights.

    The one place that chooses an implementation: :func:`gpu_sampling` on a
    GPU, :func:`sum_bags` on a CPU, plain operators in an exported graph.

    Args:
        value (Tensor): Rows of all maps, (B, S, M, D).
        spatial_shapes (Tensor): Heights and widths, int64, (L, 2).
        level_start_index (Tensor): First token of each level, (L, ).
        locations (Tensor): Sampling locations (x, y), normalized by the size
            of the map, (B, T, M, L, P, 2).
        weights (Tensor): Attention weights, (B, T, M, L, P).
        im2col_step (int): Images that mmcv's kernel takes at a time.

    Returns:
        Tensor: (B, T, M * D).
    """
    if torch.onnx.is_in_onnx_export():
        return exportable_sampling(value, spatial_shapes, locations, weights)
    if value.device.type == 'cpu':
        return sum_bags(value, spatial_shapes, locations, weights)
    return gpu_sampling().sample(value, spatial_shapes, level_start_index,
                                 locations, weights, im2col_step)
