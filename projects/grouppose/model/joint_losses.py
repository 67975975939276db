"""Losses of what is predicted of each joint, see :class:`JointScores`."""
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from mmpose.registry import MODELS
from torch import Tensor

from .joint_scores import tolerances
from .losses import SetLoss
from .matcher import MatchedPoses


class JointLoss(SetLoss):
    """Base class: the mean of :meth:`terms` over the joints of a person that
    count, summed over the people who are matched with queries that predict.

    Other groups of queries start nearer to people or farther from them: what
    is learned of their errors would not hold in prediction.
    """

    keys = ('joints', 'keypoints')
    of_main = True

    def terms(self, joints: Tensor, poses: MatchedPoses,
              seen: Optional[Tensor]) -> Tuple[Tensor, Tensor]:
        """Compute the loss of each joint.

        Args:
            joints (Tensor): Predictions of the matched queries,
                (O, P, K, 5).
            poses (MatchedPoses): Of the pairs.
            seen (Tensor, optional): 1 where a joint is labeled and visible,
                where the targets tell, (O, P, K).

        Returns:
            tuple[Tensor]: The losses, and 1 where they count, (O, P, K).
        """
        raise NotImplementedError

    def forward(self, outputs, targets, matches):
        joints = outputs['joints']
        sets = torch.arange(len(joints), device=joints.device)[:, None]
        people = matches.images, matches.people.expand(len(joints), -1)
        seen = None if targets.seen is None else targets.seen[people]
        terms, counts = self.terms(
            joints[sets, matches.images, matches.queries],
            matches.poses(outputs, targets), seen)
        mean = (terms * counts).sum(-1) / counts.sum(-1).clamp(min=1)
        return self.loss_weight * mean.sum(1)


@MODELS.register_module()
class LabeledJointLoss(JointLoss):
    """Binary cross-entropy of the probability that a joint is labeled.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.
    """

    def terms(self, joints, poses, seen):
        terms = F.binary_cross_entropy_with_logits(
            joints[..., 0], poses.visible, reduction='none')
        return terms, torch.ones_like(terms)


@MODELS.register_module()
class VisibleJointLoss(JointLoss):
    """Binary cross-entropy of the probability that a labeled joint is
    visible.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.

    Raises:
        ValueError: If the targets do not tell.
    """

    def terms(self, joints, poses, seen):
        if seen is None:
            raise ValueError(
                'VisibleJointLoss: the training targets do not tell which '
                'joints are visible (`seen_labels`). Encode them by '
                'OKSKeypointCodec in the training pipeline, or set the loss '
                'to None.')
        terms = F.binary_cross_entropy_with_logits(
            joints[..., 1], seen, reduction='none')
        return terms, poses.visible


@MODELS.register_module()
class JointErrorLoss(JointLoss):
    """Negative log likelihood of the errors of labeled joints under the
    Gaussian distribution that is predicted for them.

    With the errors u and v of x and y in standard deviations s and t, and
    their correlation r, it is, but for a constant,

    ``(u^2 + (v - r u)^2 / (1 - r^2)) / 2 + log s + log t + log(1 - r^2) / 2``

    Errors are in units of the tolerance of each joint, see
    :func:`tolerances`, so that people of all sizes count alike. Poses get no
    gradient.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.
    """

    def terms(self, joints, poses, seen):
        pred = poses.pred.detach()
        error = (poses.gt - pred) / tolerances(pred, poses.sigmas)[..., None]
        deviations, r = joints[..., 2:4], joints[..., 4]
        u, v = (error * (-deviations).exp()).unbind(-1)
        rest = 1 - r.square()
        squares = u.square() + (v - r * u).square() / rest
        terms = (squares + rest.log()) / 2 + deviations.sum(-1)
        # Of a joint without a label, the place may be anything.
        return torch.where(poses.visible > 0, terms, 0), poses.visible
