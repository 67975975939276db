"""Deformable attention to the maps of all levels, in full precision also where
the rest of the model is in mixed precision."""
from typing import Optional

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from mmengine.runner import autocast
from torch import Tensor

from .sampling.cpu import sum_bags
from .sampling.onnx import exportable_sampling


class DeformableAttention(MultiScaleDeformableAttention):
    """mmcv's deformable attention with a fast implementation for CPUs. It
    computes in the precision of its weights, also in mixed precision.

    Arguments and names of the weights are mmcv's. Rounded to half precision,
    a sampling location on a map of 167 columns moves by up to 0.04 (float16)
    or 0.33 columns (bfloat16), and mmcv's operator for GPUs does not take
    bfloat16 at all.
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
        with autocast(device_type=query.device.type, enabled=False):
            return self._attend(
                query.to(dtype), value.to(dtype), reference_points,
                spatial_shapes, level_start_index, key_padding_mask)

    def _attend(self, query, value, reference_points, spatial_shapes,
                level_start_index, key_padding_mask) -> Tensor:
        batch, num_queries, _ = query.shape
        heads = self.num_heads
        samples = (self.num_levels, self.num_points)
        value = self.value_proj(value)
        if key_padding_mask is not None:
            value = value.masked_fill(key_padding_mask[..., None], 0)
        value = value.view(batch, value.shape[1], heads, -1)
        offsets = self.sampling_offsets(query)
        offsets = offsets.view(batch, num_queries, heads, *samples, 2)
        weights = self.attention_weights(query)
        weights = weights.view(batch, num_queries, heads, -1).softmax(-1)
        weights = weights.view(batch, num_queries, heads, *samples)
        reference_points = reference_points.to(query.dtype)
        reference_points = reference_points[:, :, None, :, None]
        if reference_points.shape[-1] == 2:
            offsets = offsets / spatial_shapes.flip(-1)[:, None]
        else:
            offsets = (
                offsets / self.num_points * 0.5 * reference_points[..., 2:])
        locations = reference_points[..., :2] + offsets
        return self.output_proj(
            sample_maps(value, spatial_shapes, level_start_index, locations,
                        weights, self.im2col_step))


def sample_maps(value: Tensor, spatial_shapes: Tensor,
                level_start_index: Tensor, locations: Tensor, weights: Tensor,
                im2col_step: int) -> Tensor:
    """Sample the maps of all levels and sum by the attention weights.

    The one place that chooses an implementation: mmcv's kernel on a GPU,
    :func:`sum_bags` on a CPU, plain operators in an exported graph.

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
    return MultiScaleDeformableAttnFunction.apply(value, spatial_shapes,
                                                  level_start_index, locations,
                                                  weights, im2col_step)
