"""Losses of class scores that know the pose: the target of a matched query is
a function of the OKS of its pose, so that scores rank poses as AP does."""
import torch
import torch.nn.functional as F
from mmpose.registry import MODELS
from torch import Tensor

from .losses import SetLoss, one_hot_targets, sum_queries


class OKSScoreLoss(SetLoss):
    """Base class: weighted binary cross-entropy of the class logits, whose
    target is :meth:`target` for the class of a matched person, else 0.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.
        gamma (float): Exponent. Defaults to 2.
        min_oks (float): OKS below it counts as it. Defaults to 1e-6.
    """

    def __init__(self,
                 loss_weight: float = 1.0,
                 gamma: float = 2.0,
                 min_oks: float = 1e-6):
        super().__init__(loss_weight)
        self.gamma = gamma
        self.min_oks = min_oks

    def target(self, oks: Tensor) -> Tensor:
        """Target of matched queries from the OKS of their poses, positive,
        (O, P)."""
        raise NotImplementedError

    def weights(self, scores: Tensor, target: Tensor) -> Tensor:
        """Weights of all terms.

        Args:
            scores (Tensor): Class scores p, with gradients, (O, B, N, Q).
            target (Tensor): Targets, positive for the class of a matched
                person, else 0, of the same shape.

        Returns:
            Tensor: Of the same shape.
        """
        raise NotImplementedError

    def forward(self, outputs, targets, matches):
        logits = outputs['logits']
        oks = matches.poses(outputs, targets).oks.detach()
        target = one_hot_targets(logits, targets, matches,
                                 self.target(oks.clamp(min=self.min_oks)))
        weight = self.weights(logits.sigmoid(), target)
        loss = weight * F.binary_cross_entropy_with_logits(
            logits, target, reduction='none')
        return self.loss_weight * sum_queries(loss, matches)


@MODELS.register_module()
class OKSVarifocalLoss(OKSScoreLoss):
    """Varifocal loss of the class logits, with the OKS of the matched pose as
    the target of the person's class (DETRPose).

    A matched query weighs as much as its target, any other
    ``alpha * p^gamma``, p being its score.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.
        alpha (float): Share of queries that are not matched. Defaults to
            0.25.
        gamma (float): Focusing exponent. Defaults to 2.
        min_oks (float): OKS below it counts as it. Defaults to 1e-6.
    """

    def __init__(self,
                 loss_weight: float = 1.0,
                 alpha: float = 0.25,
                 gamma: float = 2.0,
                 min_oks: float = 1e-6):
        super().__init__(loss_weight, gamma, min_oks)
        self.alpha = alpha

    def target(self, oks):
        return oks

    def weights(self, scores, target):
        others = self.alpha * scores.detach()**self.gamma
        return torch.where(target > 0, target, others)


@MODELS.register_module()
class MatchabilityAwareLoss(OKSScoreLoss):
    """Matchability-aware loss (DEIM,
    `arXiv 2412.04234 <https://arxiv.org/abs/2412.04234>`_), with the OKS q as
    the quality of a match.

    The loss is ``BCE(p, q^gamma)`` for the class of a matched person, p being
    its score, and ``p^gamma * BCE(p, 0)`` otherwise. Unlike in the varifocal
    loss, a match with a poor pose weighs as much as any other, and so pulls
    its score down.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.
        gamma (float): Exponent. Defaults to 1.5, as in the paper.
        min_oks (float): OKS below it counts as it. Defaults to 1e-6.
    """

    def __init__(self,
                 loss_weight: float = 1.0,
                 gamma: float = 1.5,
                 min_oks: float = 1e-6):
        super().__init__(loss_weight, gamma, min_oks)

    def target(self, oks):
        return oks**self.gamma

    def weights(self, scores, target):
        return torch.where(target > 0, 1, scores.detach()**self.gamma)


@MODELS.register_module()
class PositionSupervisedLoss(OKSScoreLoss):
    """Position-supervised loss (Stable-DINO,
    `arXiv 2304.04742 <https://arxiv.org/abs/2304.04742>`_), with the OKS q
    as the positional metric.

    The focal loss, whose target is ``t = q^power`` instead of 1 for the class
    of a matched person: ``alpha * |t - p|^gamma * BCE(p, t)``, and
    ``(1 - alpha) * p^gamma * BCE(p, 0)`` otherwise, p being the score. Where
    all poses are perfect, it is :class:`QueryFocalLoss`.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.
        alpha (float): Share of the positive term. Defaults to 0.25.
        gamma (float): Focusing exponent. Defaults to 2.
        power (float): Exponent of the OKS. Defaults to 2, as in the paper.
        min_oks (float): OKS below it counts as it. Defaults to 1e-6.
    """

    def __init__(self,
                 loss_weight: float = 1.0,
                 alpha: float = 0.25,
                 gamma: float = 2.0,
                 power: float = 2.0,
                 min_oks: float = 1e-6):
        super().__init__(loss_weight, gamma, min_oks)
        self.alpha = alpha
        self.power = power

    def target(self, oks):
        return oks**self.power

    def weights(self, scores, target):
        share = torch.where(target > 0, self.alpha, 1 - self.alpha)
        return share * (target - scores).abs()**self.gamma


@MODELS.register_module()
class PredictedOKSLoss(SetLoss):
    """Binary cross-entropy of the OKS that the decoder predicts for matched
    poses, with the OKS that they have as target, see ``predicted_oks`` of
    :class:`GroupPoseDecoder`.

    Scores of the class thus learn who is there from the first step on, while
    nobody's pose is right yet; what ranks poses is learned beside them.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.
    """

    keys = ('oks', 'keypoints')

    def forward(self, outputs, targets, matches):
        oks = matches.poses(outputs, targets).oks.detach()
        sets = torch.arange(len(oks), device=oks.device)[:, None]
        logits = outputs['oks'][sets, matches.images, matches.queries, 0]
        loss = F.binary_cross_entropy_with_logits(
            logits, oks, reduction='none')
        return self.loss_weight * loss.sum(1)
