"""What a step is told: focal loss on all queries, L1 and OKS loss on the
matched pairs, for every decoder layer and the encoder at once."""
from dataclasses import dataclass
from functools import cached_property
from typing import Dict

import torch
from mmengine.config import ConfigDict
from mmengine.dist import all_reduce
from mmpose.registry import MODELS, TASK_UTILS
from torch import Tensor, nn

from ..oks import object_keypoint_similarity
from .matcher import Matches, build_named
from .targets import PoseTargets


@dataclass(frozen=True, eq=False)
class MatchedPoses:
    """The poses of P matched pairs in each of O output sets.

    Attributes:
        pred (Tensor): Predicted keypoints, normalized, (O, P, K, 2).
        gt (Tensor): Annotated keypoints, normalized, (O, P, K, 2).
        visible (Tensor): 1 where a keypoint is labeled, (O, P, K).
        areas (Tensor): Normalized areas, (O, P).
        sigmas (Tensor): OKS sigmas, (K, ).
    """
    pred: Tensor
    gt: Tensor
    visible: Tensor
    areas: Tensor
    sigmas: Tensor

    @cached_property
    def oks(self) -> Tensor:
        """Tensor: OKS of every pair, computed once, (O, P)."""
        return object_keypoint_similarity(self.pred, self.gt, self.visible,
                                          self.areas, self.sigmas)


@MODELS.register_module()
class KeypointL1Loss(nn.Module):
    """L1 distance summed over the labeled keypoints of matched poses.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.
    """

    def __init__(self, loss_weight: float = 1.0):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, poses: MatchedPoses) -> Tensor:
        """Weighted loss of every pair, (O, P)."""
        distance = (poses.pred - poses.gt).abs().sum(-1)
        return self.loss_weight * (distance * poses.visible).sum(-1)


@MODELS.register_module()
class KeypointOKSLoss(nn.Module):
    """One minus the OKS of matched poses.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.
        min_oks (float): OKS below it counts as it and passes no gradient.
            Defaults to 1e-6.
    """

    def __init__(self, loss_weight: float = 1.0, min_oks: float = 1e-6):
        super().__init__()
        self.loss_weight = loss_weight
        self.min_oks = min_oks

    def forward(self, poses: MatchedPoses) -> Tensor:
        """Weighted loss of every pair, (O, P)."""
        return self.loss_weight * (1 - poses.oks.clamp(min=self.min_oks))


class SetCriterion(nn.Module):
    """Matches all output sets of a step and computes their losses.

    Args:
        matcher (dict): Config of the matcher, from ``TASK_UTILS``.
        loss_cls (dict): Config of the classification loss, from ``MODELS``.
            It gets logits and one-hot targets, (M, Q), and returns a value
            for each element (``reduction='none'``).
        loss_kpt (dict): Config of the keypoint loss, from ``MODELS``. It
            gets :class:`MatchedPoses` and returns (O, P).
        loss_oks (dict): Config of the OKS loss, used like ``loss_kpt``.
    """

    def __init__(self, matcher: ConfigDict, loss_cls: ConfigDict,
                 loss_kpt: ConfigDict, loss_oks: ConfigDict):
        super().__init__()
        self.matcher = TASK_UTILS.build(matcher)
        self.loss_cls = build_named(MODELS, loss_cls, 'model.head.loss_cls')
        self.loss_kpt = build_named(MODELS, loss_kpt, 'model.head.loss_kpt')
        self.loss_oks = build_named(MODELS, loss_oks, 'model.head.loss_oks')

    def forward(self, logits: Tensor, keypoints: Tensor,
                targets: PoseTargets) -> Dict[str, Tensor]:
        """Compute the losses of a step.

        The O output sets are the decoder's layers, first to last, then the
        encoder's proposals.

        Args:
            logits (Tensor): Class logits, float32, (O, B, N, Q).
            keypoints (Tensor): Normalized coordinates, float32,
                (O, B, N, K, 2).
            targets (PoseTargets): The people of the batch.

        Returns:
            dict[str, Tensor]: Weighted scalar losses ``loss_cls``,
            ``loss_kpt`` and ``loss_oks`` of the last decoder layer, the same
            with prefix ``d{i}.`` for the earlier layers and ``enc.`` for the
            encoder; and ``matched_oks``, the mean OKS of the last layer's
            pairs, where the batch has any.
        """
        matches = self.matcher(logits, keypoints, targets)
        poses = self._gather(keypoints, targets, matches)

        # The sum over an empty batch is an attached zero: every parameter
        # gets a gradient, which DistributedDataParallel waits for.
        # The vanishing term makes the loss non-finite where a prediction is
        # that no pair holds.
        unseen = 0 * keypoints.flatten(1).sum(1)
        num_people = _mean_over_processes(sum(targets.counts), logits)
        loss_cls = self._classify(logits, targets, matches) / num_people
        loss_kpt = self.loss_kpt(poses).sum(1) / num_people + unseen
        loss_oks = self.loss_oks(poses).sum(1) / num_people

        losses = dict()
        for prefix, *terms in zip(
                self._prefixes(len(logits)), loss_cls, loss_kpt, loss_oks):
            for name, term in zip(('loss_cls', 'loss_kpt', 'loss_oks'), terms):
                losses[prefix + name] = term
        if poses.areas.numel():
            losses['matched_oks'] = poses.oks.detach()[-2].mean()
        return losses

    @staticmethod
    def _prefixes(num_sets: int):
        """Names of the output sets in the log."""
        return [f'd{i}.' for i in range(num_sets - 2)] + ['', 'enc.']

    @staticmethod
    def _gather(keypoints: Tensor, targets: PoseTargets,
                matches: Matches) -> MatchedPoses:
        """The poses of the matched pairs."""
        sets = torch.arange(len(keypoints), device=keypoints.device)[:, None]
        gt = matches.images, matches.people
        return MatchedPoses(
            pred=keypoints[sets, matches.images, matches.queries],
            gt=targets.keypoints[gt],
            visible=targets.visible[gt],
            areas=targets.areas[gt],
            sigmas=targets.sigmas)

    def _classify(self, logits: Tensor, targets: PoseTargets,
                  matches: Matches) -> Tensor:
        """Classification loss summed over each output set, (O, )."""
        positive = torch.zeros_like(logits)
        sets = torch.arange(len(logits), device=logits.device)[:, None]
        labels = targets.labels[matches.images, matches.people]
        positive[sets, matches.images, matches.queries, labels] = 1
        loss = self.loss_cls(logits.flatten(0, 2), positive.flatten(0, 2))
        return loss.view(len(logits), -1).sum(1)


def _mean_over_processes(count: int, like: Tensor) -> Tensor:
    """Mean number of people over the processes of a job, at least one."""
    total = like.new_full((), count)  # filled there, not copied
    all_reduce(total, op='mean')
    return total.clamp(min=1)
