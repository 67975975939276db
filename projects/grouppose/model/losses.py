"""Losses of output sets: registered modules that are called with outputs,
targets and matches."""
from typing import Dict, Tuple, Union

import torch
from mmpose.registry import MODELS
from torch import Tensor, nn

from .matcher import Matches
from .targets import PoseTargets


class SetLoss(nn.Module):
    """Base class of the losses of :class:`SetCriterion`.

    Attributes:
        keys (tuple[str]): Entries of an output set that the loss needs; it
            is computed for the sets that have them all.
        of_poses (bool): Whether the loss compares poses, so that it gets the
            pairs of :attr:`Matches.for_poses`.
        of_main (bool): Whether the loss is computed for the queries that
            predict alone, not for groups that exist in training only.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.
    """

    keys: Tuple[str, ...] = ('logits', 'keypoints')
    of_poses = False
    of_main = False

    def __init__(self, loss_weight: float = 1.0):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, outputs: Dict[str, Tensor], targets: PoseTargets,
                matches: Matches) -> Tensor:
        """Compute the loss of a stack of O output sets.

        Args:
            outputs (dict[str, Tensor]): Entries :attr:`keys` of the sets,
                stacked, float32: logits (O, B, N, Q), keypoints
                (O, B, N, K, 2) and whatever else the model predicts.
            targets (PoseTargets): The people of the batch.
            matches (Matches): Which query is matched with which person, and
                their poses.

        Returns:
            Tensor: Weighted loss of each set, summed over the batch, (O, ).
            The criterion divides it by the count of the matches.
        """
        raise NotImplementedError


@MODELS.register_module()
class QueryFocalLoss(SetLoss):
    """Focal loss of the class logits of all queries. The target is 1 for the
    class of the person that a query is matched with, else 0.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.
        alpha (float): Share of the positive term. Defaults to 0.25.
        gamma (float): Focusing exponent. Defaults to 2.
    """

    keys = ('logits', )

    def __init__(self,
                 loss_weight: float = 1.0,
                 alpha: float = 0.25,
                 gamma: float = 2.0):
        super().__init__(loss_weight)
        self.focal_loss = MODELS.build(
            dict(
                type='mmdet.FocalLoss',
                alpha=alpha,
                gamma=gamma,
                reduction='none',
                loss_weight=loss_weight))

    def forward(self, outputs, targets, matches):
        logits = outputs['logits']
        positive = one_hot_targets(logits, targets, matches)
        loss = self.focal_loss(logits.flatten(0, 2), positive.flatten(0, 2))
        return sum_queries(loss.view_as(logits), matches)


@MODELS.register_module()
class KeypointL1Loss(SetLoss):
    """L1 distance summed over the labeled keypoints of matched poses."""

    keys = ('keypoints', )
    of_poses = True

    def forward(self, outputs, targets, matches):
        poses = matches.poses(outputs, targets)
        distance = (poses.pred - poses.gt).abs().sum(-1)
        loss = (distance * poses.visible).sum((1, 2))
        # The sum over an empty batch is an attached zero: every parameter
        # gets a gradient, which DistributedDataParallel waits for. The
        # vanishing term makes the loss non-finite where a prediction is that
        # no pair holds.
        unseen = 0 * outputs['keypoints'].flatten(1).sum(1)
        return self.loss_weight * loss + unseen


@MODELS.register_module()
class KeypointOKSLoss(SetLoss):
    """One minus the OKS of matched poses.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.
        min_oks (float): Lower limit of the OKS: smaller values are raised to
            it and pass no gradient. Defaults to 1e-6.
    """

    keys = ('keypoints', )
    of_poses = True

    def __init__(self, loss_weight: float = 1.0, min_oks: float = 1e-6):
        super().__init__(loss_weight)
        self.min_oks = min_oks

    def forward(self, outputs, targets, matches):
        oks = matches.poses(outputs, targets).oks.clamp(min=self.min_oks)
        return self.loss_weight * (1 - oks).sum(1)


def one_hot_targets(logits: Tensor,
                    targets: PoseTargets,
                    matches: Matches,
                    value: Union[float, Tensor] = 1) -> Tensor:
    """Make the targets of the class logits of all queries.

    Args:
        logits (Tensor): Class logits, (O, B, N, Q).
        targets (PoseTargets): The people of the batch.
        matches (Matches): Which query is matched with which person.
        value (float | Tensor): Target of the class of each matched person,
            e.g. a quality (O, P). Defaults to 1.

    Returns:
        Tensor: Targets of the shape of ``logits``, zero where nobody is
        matched.
    """
    result = torch.zeros_like(logits)
    sets = torch.arange(len(logits), device=logits.device)[:, None]
    labels = targets.labels[matches.images, matches.people]
    result[sets, matches.images, matches.queries, labels] = value
    return result


def sum_queries(loss: Tensor, matches: Matches) -> Tensor:
    """Sum the losses (O, B, N, Q) of all queries that count, (O, )."""
    if matches.ignored is not None:
        loss = loss.masked_fill(matches.ignored[..., None], 0)
    return loss.flatten(1).sum(1)
