"""The data: which images, and what is done to them before the network."""
from .dataset import PoseImageDataset
from .transforms import (LoadPoseImage, PoseInstanceFilter, PoseRandomCrop,
                         PoseRandomFlip, PoseResize)

__all__ = [
    'LoadPoseImage', 'PoseImageDataset', 'PoseInstanceFilter',
    'PoseRandomCrop', 'PoseRandomFlip', 'PoseResize'
]
