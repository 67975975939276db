"""Random targets and predictions to match."""
import torch

from projects.grouppose.model.targets import PoseTargets

COSTS = [
    dict(type='FocalCost', weight=2.0),
    dict(type='KeypointL1Cost', weight=10.0),
    dict(type='KeypointOKSCost', weight=4.0),
]


def make_targets(counts, num_keypoints=4) -> PoseTargets:
    shape = (len(counts), max(counts, default=0))
    visible = (torch.rand(*shape, num_keypoints) > 0.3).float()
    return PoseTargets(
        labels=torch.ones(shape, dtype=torch.long),
        keypoints=torch.rand(*shape, num_keypoints, 2),
        visible=visible,
        areas=0.1 + torch.rand(shape),
        sigmas=torch.full((num_keypoints, ), 0.1),
        counts=list(counts))


def make_predictions(sets, batch, queries, num_keypoints=4):
    return (torch.randn(sets, batch, queries,
                        2), torch.rand(sets, batch, queries, num_keypoints, 2))
