"""Predicted instances."""
import numpy as np
from mmengine.structures import InstanceData


def make_instances(keypoints, scores) -> InstanceData:
    scores = np.array(scores, dtype=np.float32)
    return InstanceData(
        keypoints=np.array(keypoints, dtype=np.float32),
        keypoint_scores=np.repeat(scores[:, None], 5, 1),
        bbox_scores=scores)
