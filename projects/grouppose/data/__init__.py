"""The data: which images, and what is done to them before the network."""
from .batch_resize import BatchRandomResize
from .box_areas import PoseBoxAreas
from .color_jitter import PoseColorJitter
from .dataset import PoseImageDataset
from .fixed_size import PoseFixedResize
from .loading import LoadPoseImage
from .mosaic import PoseMosaic
from .schedule import ScheduledTransforms
from .transforms import (PoseInstanceFilter, PoseRandomCrop, PoseRandomFlip,
                         PoseResize)
from .zoom_out import PoseZoomOut

__all__ = [
    'BatchRandomResize', 'LoadPoseImage', 'PoseBoxAreas', 'PoseColorJitter',
    'PoseFixedResize', 'PoseImageDataset', 'PoseInstanceFilter', 'PoseMosaic',
    'PoseRandomCrop', 'PoseRandomFlip', 'PoseResize', 'PoseZoomOut',
    'ScheduledTransforms'
]
