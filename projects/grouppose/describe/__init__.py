"""From keypoint annotations to MMPose's description of the keypoints, a
training config and a report of what looks wrong."""
from .conversion import to_coco
from .description import describe

__all__ = ['describe', 'to_coco']
