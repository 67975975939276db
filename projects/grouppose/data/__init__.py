"""The data: which images, and what is done to them before the network."""
from .affine import PoseRandomAffine
from .batch_resize import BatchRandomResize
from .color_jitter import PoseColorJitter
from .converting import KeypointConverter
from .copy_paste import PoseCopyPaste
from .dataset import PoseImageDataset
from .fixed_size import PoseFixedResize
from .loading import LoadPoseImage
from .mix_up import PoseMixUp
from .mosaic import PoseMosaic
from .schedule import ScheduledTransforms
from .transforms import (PoseInstanceFilter, PoseRandomCrop, PoseRandomFlip,
                         PoseResize)
from .zoom_out import PoseZoomOut

__all__ = [
    'BatchRandomResize', 'KeypointConverter', 'LoadPoseImage',
    'PoseColorJitter', 'PoseCopyPaste', 'PoseFixedResize', 'PoseImageDataset',
    'PoseInstanceFilter', 'PoseMixUp', 'PoseMosaic', 'PoseRandomAffine',
    'PoseRandomCrop', 'PoseRandomFlip', 'PoseResize', 'PoseZoomOut',
    'ScheduledTransforms'
]
