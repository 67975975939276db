"""The data: which images, and what is done to them before the network."""
from .dataset import PoseImageDataset
from .loading import LoadPoseImage
from .transforms import (PoseInstanceFilter, PoseRandomCrop, PoseRandomFlip,
                         PoseResize)

__all__ = [
    'LoadPoseImage', 'PoseImageDataset', 'PoseInstanceFilter',
    'PoseRandomCrop', 'PoseRandomFlip', 'PoseResize'
]
