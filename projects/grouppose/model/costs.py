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
        cost = self.of_scores(logits.sigmoid())
        return self.weight * of_labels(cost, targets)

    def of_scores(self, prob: Tensor) -> Tensor:
        """The cost of scores, without its weight, of any shape."""
        eps = 1e-8  # keeps the logarithms finite, as in the official matcher
        positive = self.alpha * (1 - prob)**self.gamma * -(prob + eps).log()
        negative = ((1 - self.alpha) * prob**self.gamma *
                    -(1 - prob + eps).log())
        return positive - negative


@TASK_UTILS.register_module()
class PoseModulatedFocalCost(FocalCost):
    """Position-modulated classification cost (Stable-DINO,
    `arXiv 2304.04742 <https://arxiv.org/abs/2304.04742>`_), with the OKS as
    the positional metric: :class:`FocalCost` of ``p * OKS^power`` instead of
    the score p, so that a high score does not match a query with a person
    that its pose is far from.

    Args:
        weight (float): Weight of the cost. Defaults to 1.
        alpha (float): Share of the positive term. Defaults to 0.25.
        gamma (float): Focusing exponent. Defaults to 2.
        power (float): Exponent of the OKS. Defaults to 0.5, as in the paper.
    """

    def __init__(self,
                 weight: float = 1.0,
                 alpha: float = 0.25,
                 gamma: float = 2.0,
                 power: float = 0.5):
        super().__init__(weight, alpha, gamma)
        self.power = power

    def __call__(self, logits: Tensor, keypoints: Tensor,
                 targets: PoseTargets) -> Tensor:
        """See :meth:`FocalCost.__call__`."""
        scores = of_labels(logits.sigmoid(), targets)
        oks = pairwise_oks(keypoints, targets)
        return self.weight * self.of_scores(scores * oks**self.power)


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
        oks = pairwise_oks(keypoints, targets)
        return self.weight * (1 - oks.clamp(min=1e-6))


def of_labels(values: Tensor, targets: PoseTargets) -> Tensor:
    """Pick those of the classes of the people, (O, B, N, T), from values of
    all classes, (O, B, N, Q)."""
    labels = targets.labels[None, :, None].expand(*values.shape[:3], -1)
    return values.gather(-1, labels)


def pairwise_oks(keypoints: Tensor, targets: PoseTargets) -> Tensor:
    """OKS of all predicted (O, B, N, K, 2) and annotated poses,
    (O, B, N, T)."""
    return object_keypoint_similarity(keypoints[:, :, :,
                                                None], targets.keypoints[:,
                                                                         None],
                                      targets.visible[:, None],
                                      targets.areas[:, None], targets.sigmas)
