"""Matching of queries and people: the one-to-one assignment of least total
cost (the "Hungarian" matching of DETR)."""
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Dict, List, Optional, Sequence, Union

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.registry import Registry
from mmpose.registry import TASK_UTILS
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..oks import object_keypoint_similarity
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


@dataclass(eq=False)
class Matches:
    """P matched pairs of a query and a person in each of O output sets.

    Every set matches the same number of people of an image, so the pairs of
    all sets stack.

    Attributes:
        images (Tensor): Image of each pair, int64, (P, ).
        queries (Tensor): Index of the query within its image, int64, (O, P),
            or (1, P) if it is the same in all sets.
        people (Tensor): Index of the person within its image, of the same
            shape.
        count (int | Tensor): Normalizer of the losses: the number of people
            or of pairs. The criterion replaces it by its mean over the
            processes of a job.
        pose_pairs (Matches, optional): Other pairs for the losses that
            compare poses. Defaults to the same pairs.
        ignored (Tensor, optional): True for queries that no loss looks at,
            bool, (B, N). Defaults to none.
    """
    images: Tensor
    queries: Tensor
    people: Tensor
    count: Union[int, Tensor]
    pose_pairs: Optional['Matches'] = None
    ignored: Optional[Tensor] = None
    _poses: Optional[MatchedPoses] = field(
        default=None, init=False, repr=False)

    @property
    def for_poses(self) -> 'Matches':
        """Matches: The pairs for the losses that compare poses."""
        return self.pose_pairs or self

    def of_sets(self, index: Sequence[int]) -> 'Matches':
        """The matches of some of the output sets, by their index."""
        pose_pairs = self.pose_pairs and self.pose_pairs.of_sets(index)
        if len(self.queries) == 1:
            return replace(self, pose_pairs=pose_pairs)
        index = list(index)
        return replace(
            self,
            queries=self.queries[index],
            people=self.people[index],
            pose_pairs=pose_pairs)

    def poses(self, outputs: Dict[str, Tensor],
              targets: PoseTargets) -> MatchedPoses:
        """Gather the poses of the matched pairs, once for all losses.

        Args:
            outputs (dict[str, Tensor]): The output sets that were matched,
                with keypoints (O, B, N, K, 2).
            targets (PoseTargets): The people of the batch.
        """
        if self._poses is None:
            keypoints = outputs['keypoints']
            sets = torch.arange(
                len(keypoints), device=keypoints.device)[:, None]
            gt = self.images, self.people.expand(len(keypoints), -1)
            self._poses = MatchedPoses(
                pred=keypoints[sets, self.images, self.queries],
                gt=targets.keypoints[gt],
                visible=targets.visible[gt],
                areas=targets.areas[gt],
                sigmas=targets.sigmas)
        return self._poses


@TASK_UTILS.register_module()
class KeypointQueryMatcher:
    """Matches people and queries one to one at the least total cost.

    All output sets of a training step (each decoder layer and the encoder)
    are matched independently, but their costs are copied to the host at
    once.

    Args:
        costs (Sequence[dict]): Configs of the cost terms, which are added
            up. A term is a class in ``TASK_UTILS`` that is called as
            ``cost(logits, keypoints, targets)``, see :class:`FocalCost` for
            the shapes, and returns its weighted cost, (O, B, N, T).

    Raises:
        ValueError: If ``costs`` is empty.
    """

    def __init__(self, costs: Sequence[ConfigDict]):
        if not costs:
            raise ValueError(
                'KeypointQueryMatcher: `costs` is empty. Name at least one '
                "cost, e.g. dict(type='KeypointOKSCost', weight=4.0).")
        self.costs = [
            build_named(TASK_UTILS, cost, 'model.head.criterion.matcher.costs')
            for cost in costs
        ]

    @torch.no_grad()
    def __call__(self,
                 outputs: Dict[str, Tensor],
                 targets: PoseTargets,
                 repeats: int = 1) -> Matches:
        """Match a stack of output sets.

        Args:
            outputs (dict[str, Tensor]): Class logits (O, B, N, Q) and
                normalized keypoints (O, B, N, K, 2), float32.
            targets (PoseTargets): The people of the batch.
            repeats (int): How often each person is matched, one to many.
                Defaults to once.

        Returns:
            Matches: On the device of the logits. Where an image has more
            people than queries, as many are matched as there are queries.
            The count is that of all people times ``repeats``.
        """
        logits, keypoints = outputs['logits'], outputs['keypoints']
        # In memory, keypoints come before queries: sums over the few then
        # run along rows of the many.
        keypoints = keypoints.transpose(2, 4).contiguous().transpose(2, 4)
        # A set at a time: what terms keep for each pair and keypoint is
        # large, and must be small enough for a cache.
        cost = torch.cat([
            sum(term(*pair, targets) for term in self.costs)
            for pair in zip(logits.split(1), keypoints.split(1))
        ])
        # Non-finite predictions must not stop the assignment here: they stay
        # in the loss, where the runner or the gradient scaler handles them.
        cost = torch.nan_to_num(cost, nan=1e8, posinf=1e8, neginf=-1e8)
        pairs = _assign(cost.cpu().numpy(), targets.counts, repeats)
        return self.make_matches(pairs,
                                 sum(targets.counts) * repeats, logits.device)

    def make_matches(self, pairs: np.ndarray, count: int,
                     device: torch.device) -> Matches:
        """Bring pairs to the device.

        Args:
            pairs (np.ndarray): Image, query and person of each pair, int64,
                (3, O, P).
            count (int): Number of people of the batch, as often as each is
                matched.
            device (torch.device): Where the matches are needed.
        """
        images, queries, people = torch.from_numpy(pairs).to(device).unbind()
        return Matches(images[0], queries, people, count)


@TASK_UTILS.register_module()
class UnionMatcher(KeypointQueryMatcher):
    """Matcher whose pairs of all output sets together tell the losses of
    poses what to learn, in every set (DETRPose).

    Of each query, the person counts with whom it is paired in most sets,
    and of those as often, the pair that comes first. A person may keep
    several queries.

    Args:
        costs (Sequence[dict]): See :class:`KeypointQueryMatcher`.
    """

    def make_matches(self, pairs: np.ndarray, count: int,
                     device: torch.device) -> Matches:
        """Bring pairs, and those united, to the device in one copy."""
        union = _unite(pairs)
        both = torch.from_numpy(
            np.concatenate([pairs.reshape(3, -1), union], 1)).to(device)
        own, united = both.split([pairs[0].size, union.shape[1]], 1)
        images, queries, people = own.view(pairs.shape).unbind()
        return Matches(
            images[0], queries, people, count,
            Matches(united[0], united[1:2], united[2:], union.shape[1]))


def _unite(pairs: np.ndarray) -> np.ndarray:
    """The most frequent person of each query over all output sets.

    Args:
        pairs (np.ndarray): Image, query and person of each pair, int64,
            (3, O, P).

    Returns:
        np.ndarray: Image, query and person, int64, (3, U).
    """
    distinct, counts = np.unique(
        pairs.reshape(3, -1), axis=1, return_counts=True)
    ordered = distinct[:, np.argsort(-counts, kind='stable')]
    _, first = np.unique(ordered[:2], axis=1, return_index=True)
    return ordered[:, np.sort(first)]


def _assign(cost: np.ndarray,
            counts: List[int],
            repeats: int = 1) -> np.ndarray:
    """Assign the people of each image at the least total cost.

    Args:
        cost (np.ndarray): Cost of every pair, (O, B, N, T).
        counts (list[int]): Number of people of each image.
        repeats (int): How often each person is assigned.

    Returns:
        np.ndarray: image, query and person of each pair, int64, (3, O, P).
    """
    pairs = []
    for image, count in enumerate(counts):
        matched = np.array([
            linear_sum_assignment(np.tile(c[image, :, :count], repeats))
            for c in cost
        ])
        matched[:, 1] %= max(count, 1)
        images = np.full_like(matched[:, :1], image)
        pairs.append(np.concatenate([images, matched], axis=1))
    return np.concatenate(pairs, axis=-1).swapaxes(0, 1)


def build_named(registry: Registry, cfg: ConfigDict, field: str):
    """Build a module from its config.

    Args:
        registry (Registry): Where modules of its kind are registered.
        cfg (dict): The config, with a ``type``.
        field (str): Where the config stands, for the error message.

    Raises:
        KeyError: If the type is not registered.
    """
    if isinstance(cfg['type'], str) and registry.get(cfg['type']) is None:
        raise KeyError(
            f'{field}: the type {cfg["type"]!r} is not registered. Correct '
            'its name, or list the module that registers it in the imports '
            'of custom_imports.')
    return registry.build(cfg)
