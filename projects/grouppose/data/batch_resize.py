"""Training on images of many sizes, one for a batch."""
from typing import List, Optional, Sequence, Tuple, Union

import numpy as np
import torch.nn.functional as F
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from torch import Tensor, nn

from .schedule import get_switch


@MODELS.register_module()
class BatchRandomResize(nn.Module):
    """Batch augmentation: resize a batch to a size drawn from a list.

    For ``batch_augments`` of MMPose's ``PoseDataPreprocessor``. Every process
    draws for its own batches. Targets are normalized and stay as they are.
    (MMPose's ``BatchSyncRandomResize`` draws from a range, every few
    iterations, and does not average pixels when it shrinks.)

    Args:
        sizes (Sequence[int | Sequence[int]]): Widths and heights in pixels; a
            single number is both. What is named several times is drawn as
            often.
        schedule (str, optional): Name under which
            :class:`AugmentationScheduleHook` has the epochs for it. Defaults
            to all epochs.
    """

    def __init__(self,
                 sizes: Sequence[Union[int, Sequence[int]]],
                 schedule: Optional[str] = None):
        super().__init__()
        self.sizes = [(size, size) if isinstance(size, int) else tuple(size)
                      for size in sizes]
        self.switch = schedule and get_switch(schedule)

    def forward(
        self, inputs: Tensor, data_samples: List[PoseDataSample]
    ) -> Tuple[Tensor, List[PoseDataSample]]:
        """Resize a batch.

        Args:
            inputs (Tensor): Images, normalized, (B, 3, H, W).
            data_samples (list[:obj:`PoseDataSample`]): Their ``img_shape``,
                ``pad_shape`` and ``batch_input_shape`` follow.
        """
        if self.switch and not self.switch.is_on:
            return inputs, data_samples
        width, height = self.sizes[np.random.randint(len(self.sizes))]
        before = inputs.shape[-2:]
        if before == (height, width):
            return inputs, data_samples
        inputs = F.interpolate(
            inputs, (height, width),
            mode='bilinear',
            align_corners=False,
            antialias=True)
        for sample in data_samples:
            shapes = {
                name:
                tuple(
                    round(side * new / old) for side, new, old in zip(
                        sample.metainfo[name], inputs.shape[-2:], before))
                for name in ('img_shape', 'pad_shape', 'batch_input_shape')
            }
            sample.set_metainfo(shapes)
        return inputs, data_samples
