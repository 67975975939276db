"""Deformable attention as mmcv computes it on a CPU, to compare with."""
from contextlib import contextmanager
from typing import Iterator
from unittest import mock

from mmcv.ops.multi_scale_deform_attn import \
    multi_scale_deformable_attn_pytorch
from torch import Tensor

from projects.grouppose.model import deformable_attention


@contextmanager
def mmcv_sampling() -> Iterator[None]:
    """Let the project's deformable attention sample as mmcv's does."""
    with mock.patch.object(deformable_attention, 'sample_maps', _sample):
        yield


def _sample(value: Tensor, spatial_shapes: Tensor, level_start_index: Tensor,
            locations: Tensor, weights: Tensor, im2col_step: int) -> Tensor:
    return multi_scale_deformable_attn_pytorch(value, spatial_shapes,
                                               locations, weights)
