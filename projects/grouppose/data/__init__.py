"""The data: which images, and what is done to them before the network."""
from .affine import PoseRandomAffine
from .batch_resize import BatchRandomResize
from .color_jitter import PoseColorJitter
from .converting import KeypointConverter
from .dataset import PoseImageDataset
from .fixed_size import PoseFixedResize
from .loading import LoadPoseImage
from .mosaic import PoseMosaic
from .schedule import ScheduledTransforms
from .transforms import (PoseInstanceFilter, PoseRandomCrop, PoseRandomFlip,
                         PoseResize)
from .zoom_out import PoseZoomOut

__all__ = [
    'BatchRandomResize', 'KeypointConverter', 'LoadPoseImage',
    'PoseColorJitter', 'PoseFixedResize', 'PoseImageDataset',
    'PoseInstanceFilter', 'PoseMosaic', 'PoseRandomAffine', 'PoseRandomCrop',
    'PoseRandomFlip', 'PoseResize', 'PoseZoomOut', 'ScheduledTransforms'
]
