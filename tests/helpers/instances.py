"""Predicted instances."""
import numpy as np
from mmengine.structures import InstanceData


def make_instances(keypoints, scores) -> InstanceData:
    keypoints = np.array(keypoints, dtype=np.float32)
    scores = np.array(scores, dtype=np.float32)
    return InstanceData(
        keypoints=keypoints,
        keypoint_scores=np.repeat(scores[:, None], keypoints.shape[1], 1),
        bbox_scores=scores,
        labels=np.zeros(len(scores), dtype=int))
