"""From a COCO-format keypoint file to MMPose's description of its keypoints,
a training config and a report of what looks wrong."""
from .description import describe

__all__ = ['describe']
