"""The data: which images, and what is done to them before the network."""
from .affine import PoseRandomAffine
from .converting import KeypointConverter
from .dataset import PoseImageDataset
from .loading import LoadPoseImage
from .transforms import (PoseInstanceFilter, PoseRandomCrop, PoseRandomFlip,
                         PoseResize)

__all__ = [
    'KeypointConverter', 'LoadPoseImage', 'PoseImageDataset',
    'PoseInstanceFilter', 'PoseRandomAffine', 'PoseRandomCrop',
    'PoseRandomFlip', 'PoseResize'
]
