"""Matching costs: the terms of the cost of matching a query with a person."""
from mmpose.registry import TASK_UTILS
from torch import Tensor

from ..oks import object_keypoint_similarity
from .targets import PoseTargets


@TASK_UTILS.register_module()
class FocalCost:
    """Classification cost: the positive term of the focal loss for the
    person's class minus its negative term (Deformable DETR).

    Args:
        weight (float): Weight of the cost. Defaults to 1.
        alpha (float): Share of the positive term. Defaults to 0.25.
        gamma (float): Focusing exponent. Defaults to 2.
    """

    def __init__(self,
                 weight: float = 1.0,
                 alpha: float = 0.25,
                 gamma: float = 2.0):
        self.weight = weight
        self.alpha = alpha
        self.gamma = gamma

    def __call__(self, logits: Tensor, keypoints: Tensor,
                 targets: PoseTargets) -> Tensor:
        """Compute the cost of every pair.

        Args:
            logits (Tensor): Class logits, (O, B, N, Q).
            keypoints (Tensor): Normalized coordinates, (O, B, N, K, 2).
            targets (PoseTargets): T people per image, padding included.

        Returns:
            Tensor: Weighted cost, (O, B, N, T).
        """
        prob = logits.sigmoid()
        eps = 1e-8  # keeps the logarithms finite, as in the official matcher
        positive = self.alpha * (1 - prob)**self.gamma * -(prob + eps).log()
        negative = ((1 - self.alpha) * prob**self.gamma *
                    -(1 - prob + eps).log())
        cost = positive - negative
        labels = targets.labels[None, :, None].expand(*cost.shape[:3], -1)
        return self.weight * cost.gather(-1, labels)


@TASK_UTILS.register_module()
class KeypointL1Cost:
    """L1 distance summed over the labeled keypoints of a person.

    Args:
        weight (float): Weight of the cost. Defaults to 1.
    """

    def __init__(self, weight: float = 1.0):
        self.weight = weight

    def __call__(self, logits: Tensor, keypoints: Tensor,
                 targets: PoseTargets) -> Tensor:
        """See :meth:`FocalCost.__call__`."""
        x, y = keypoints[:, :, :, None].unbind(-1)
        gt_x, gt_y = targets.keypoints[:, None].unbind(-1)
        distance = (x - gt_x).abs() + (y - gt_y).abs()
        return self.weight * (distance * targets.visible[:, None]).sum(-1)


@TASK_UTILS.register_module()
class KeypointOKSCost:
    """One minus the OKS of a predicted and an annotated pose.

    Args:
        weight (float): Weight of the cost. Defaults to 1.
    """

    def __init__(self, weight: float = 1.0):
        self.weight = weight

    def __call__(self, logits: Tensor, keypoints: Tensor,
                 targets: PoseTargets) -> Tensor:
        """See :meth:`FocalCost.__call__`."""
        oks = object_keypoint_similarity(keypoints[:, :, :, None],
                                         targets.keypoints[:, None],
                                         targets.visible[:, None],
                                         targets.areas[:,
                                                       None], targets.sigmas)
        return self.weight * (1 - oks.clamp(min=1e-6))
