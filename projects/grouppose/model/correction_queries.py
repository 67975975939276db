"""Correction queries: in training, some queries start from poses with errors
and a few keypoints that somebody has put right, and learn what follows from
these for the others."""
from dataclasses import replace
from typing import Callable, Dict, NamedTuple, Optional, Tuple, cast

import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmpose.registry import MODELS
from torch import Tensor

from ..data.metainfo import load_metainfo
from ..oks import object_keypoint_similarity
from .denoising import match_copies
from .queries import MAIN, Queries, QueryGroup
from .targets import PoseTargets
from .tokens import Tokens

# Kinds of errors as evaluation/error_kinds.py tells them apart, and the shares
# of keypoints that have them.
RATES = dict(jitter=0.2, inversion=0.05, swap=0.05, miss=0.15)
# Similarities (the terms of OKS) of keypoints: good ones are as good as
# annotators, a miss is out of reach of its place.
SIMILARITY = dict(good=(0.85, 1.0), jitter=(0.5, 0.85), miss=(1e-3, 0.5))

LEAST_OKS = 0.3  # of a pose that the model has found of a person


class Corrections(NamedTuple):
    """Poses with errors, of T people per image in G groups.

    Attributes:
        poses (Tensor): Normalized, (B, G, T, K, 2).
        fixed (Tensor): True for keypoints that are at their true place, and
            are to stay there, bool, (B, G, T, K).
    """
    poses: Tensor
    fixed: Tensor


@MODELS.register_module()
class CorrectionQueries(BaseModule):
    """Queries that learn to refine a pose around fixed keypoints, as
    :meth:`GroupPoseHead.refine` needs it.

    The people of an image come in G groups. In each, everybody has a query
    that starts from their pose with errors, of the kinds that people and
    models make:

    - jitter: the keypoint is near its place
    - inversion: it is at the place of its mirror partner
    - swap: it is at that of the same keypoint of the nearest other person
    - miss: it is far away

    All others are good. How often each kind hits a person is drawn for the
    person, between 0 and twice its rate, so that some poses have many errors
    and others few. Inversions and swaps without such a place stay good.
    Distances are drawn uniformly over the area between two circles, whose
    radii follow from the least and the largest similarity.

    Some labeled keypoints, n (random)^2 of n, rounded down, are put at their
    true place and fixed. Keypoints that are not labeled start in the center
    of the others, and are never fixed.

    Part of the people start from what the query selection has found of them
    instead, the errors that this model makes. Of half of the poses, the fixed
    keypoints are any, of the others those that are farthest off in units of
    their sigma.

    Nobody attends to anybody else, as in :meth:`GroupPoseHead.refine`. Class
    scores are not trained: that there is a person is not the question.

    Args:
        num_keypoints (int): Number of keypoints K.
        num_classes (int): Number of class logits Q.
        embed_dims (int): Width C.
        metainfo (dict): Description of the keypoints, see
            :func:`load_metainfo`, for their mirror partners.
        num_queries (int): Queries per image that the number of groups is
            chosen for. There is one group at least. Defaults to 20.
        rates (dict[str, float]): Share of the keypoints of each kind that
            :data:`RATES`, the default, is to be changed for.
        own (float): Share of the people who start from the model's own pose,
            if it has an OKS of 0.3. Defaults to 0.5.
        loss_weight (float): Weight of the losses. Defaults to 1.

    Raises:
        ValueError: If the metainfo describes other keypoints, there is no
            such kind, the rates are negative or add up to more than 0.5, or
            ``own`` is no share.
    """

    def __init__(self,
                 num_keypoints: int,
                 num_classes: int,
                 embed_dims: int,
                 metainfo: ConfigDict,
                 num_queries: int = 20,
                 rates: Optional[Dict[str, float]] = None,
                 own: float = 0.5,
                 loss_weight: float = 1.0):
        super().__init__()
        partners = load_metainfo(metainfo)['flip_indices']
        name = type(self).__name__
        if len(partners) != num_keypoints:
            raise ValueError(
                f'{name}: `metainfo` describes {len(partners)} keypoints, but '
                f'the head predicts {num_keypoints}. Give the part and '
                'model.head.data_decoder the same metainfo.')
        self.rates = {**RATES, **(rates or {})}
        if self.rates.keys() != RATES.keys() or \
                min(self.rates.values()) < 0 or sum(self.rates.values()) > 0.5:
            raise ValueError(
                f'{name}: rates={rates}. Give shares of {", ".join(RATES)} '
                'that are not negative and add up to 0.5 at most.')
        if not 0 <= own <= 1:
            raise ValueError(f'{name}: own={own} must be a share of the '
                             'people, between 0 and 1.')
        self.register_buffer(
            'flip_indices', torch.tensor(partners), persistent=False)
        self.num_queries = num_queries
        self.own = own
        self.loss_weight = loss_weight

    def forward(self, queries: Queries, memory: Tokens,
                targets: PoseTargets) -> QueryGroup:
        """Make the queries of a batch.

        Args:
            queries (Queries): Those that predict.
            memory (Tokens): The encoder's output.
            targets (PoseTargets): T people per image, padding included.

        Returns:
            QueryGroup: G * T instances per image, group by group. Nobody in
            the batch gives a group of no queries.
        """
        batch, people = targets.labels.shape
        groups = max(1, self.num_queries // people) if people else 0
        start, select = cast(Callable, queries.start), queries.select
        found = queries.groups[MAIN].references[:, :, 1:].detach()
        poses, fixed = self.draw(targets, groups, found)
        poses, fixed = poses.flatten(1, 2), fixed.flatten(1, 2)
        content = select.content_of(memory, poses)  # type: ignore[union-attr]
        count = poses.shape[1]
        all_queries = torch.ones(
            batch, count, dtype=torch.bool, device=poses.device)
        return replace(
            start(content, poses, fixed),
            mask=~torch.eye(count, dtype=torch.bool, device=poses.device),
            matches=match_copies(targets.counts, (batch, groups, 1, people),
                                 all_queries),
            loss_weight=self.loss_weight)

    def draw(self,
             targets: PoseTargets,
             groups: int,
             found: Optional[Tensor] = None) -> Corrections:
        """Draw errors, and keypoints that are fixed.

        Args:
            targets (PoseTargets): T people per image, padding included.
            groups (int): Number of groups G.
            found (Tensor, optional): What the model has found, (B, N, K, 2).
        """
        places, labeled = _start_places(targets)
        poses = self.draw_errors(targets, groups)
        shape = poses.shape[:-1]
        labeled = labeled[:, None].expand(shape)
        if found is not None and self.own and poses.numel():
            nearest, near = _nearest(found, targets)
            takes = near[:, None] & (
                torch.rand(shape[:3], device=places.device) < self.own)
            poses = torch.where(takes[..., None, None], nearest[:, None],
                                poses)

        count = labeled.sum(-1, keepdim=True)
        number = (count * torch.rand_like(count.float()).square()).floor()
        # Of half of the poses any keypoints, of the others the worst.
        order = torch.rand(shape, device=places.device)
        error = (poses - places[:, None]).norm(dim=-1) / targets.sigmas
        worst = torch.rand((*shape[:3], 1), device=places.device) < 0.5
        order = torch.where(worst, -error, order)
        rank = order.masked_fill(~labeled, 2).argsort(-1).argsort(-1)
        fixed = labeled & (rank < number)
        return Corrections(
            torch.where(fixed[..., None], places[:, None], poses), fixed)

    def draw_errors(self, targets: PoseTargets, groups: int) -> Tensor:
        """Draw poses with errors, before any keypoint is fixed,
        (B, G, T, K, 2)."""
        places, labeled = _start_places(targets)
        shape = (len(places), groups, *places.shape[1:-1])
        kinds = self.draw_kinds(shape, places)
        swapped, has_neighbor = _places_of_neighbors(places, labeled)
        inverted = places[:, :, self.flip_indices]
        has_partner = labeled[:, :, self.flip_indices]
        kind = {name: kinds == i for i, name in enumerate(self.rates)}
        errors = places[:, None].expand(*shape, 2)
        for name, others, exist in (('inversion', inverted, has_partner),
                                    ('swap', swapped, has_neighbor)):
            takes = kind[name] & (exist & labeled)[:, None]
            errors = torch.where(takes[..., None], others[:, None], errors)
        noise = self._noise(kind, targets)
        return errors + noise * labeled[:, None, :, :, None]

    def draw_kinds(self, shape: Tuple[int, ...], like: Tensor) -> Tensor:
        """What is wrong with each keypoint: an index into :attr:`rates`, or
        their number if it is good, of the given shape (B, G, T, K)."""
        rates = like.new_tensor(list(self.rates.values()))
        limits = 2 * rates * torch.rand(
            *shape[:3], 1, len(rates), device=like.device)
        draw = torch.rand(*shape, 1, device=like.device)
        return (draw >= limits.cumsum(-1)).sum(-1)

    @staticmethod
    def _noise(kind: Dict[str, Tensor], targets: PoseTargets) -> Tensor:
        """Offsets of keypoints of these kinds, (B, G, T, K, 2)."""
        like = kind['miss']
        low, high = (
            torch.where(
                kind['miss'], SIMILARITY['miss'][end],
                torch.where(kind['jitter'], SIMILARITY['jitter'][end],
                            SIMILARITY['good'][end])) for end in (0, 1))
        random = torch.rand(*like.shape, 2, device=like.device)
        # Similarity is exp(-d^2 / (2 * area * (2 * sigma)^2)): its logarithm
        # is uniform where d^2 is, and so the area within d.
        logarithm = low.log() + (high / low).log() * random[..., 0]
        scale = 2 * targets.sigmas * targets.areas[:, None, :, None].sqrt()
        distance = scale * (-2 * logarithm).sqrt()
        angle = 2 * torch.pi * random[..., 1]
        return distance[..., None] * torch.stack(
            [angle.cos(), angle.sin()], -1)


def _start_places(targets: PoseTargets) -> Tuple[Tensor, Tensor]:
    """Places of keypoints, those that are not labeled in the center of the
    others, (B, T, K, 2), and which are labeled, bool, (B, T, K)."""
    visible = targets.visible[..., None]
    count = visible.sum(-2, keepdim=True).clamp(min=1)
    center = (targets.keypoints * visible).sum(-2, keepdim=True) / count
    labeled = targets.visible > 0
    return torch.where(labeled[..., None], targets.keypoints, center), labeled


def _nearest(found: Tensor, targets: PoseTargets) -> Tuple[Tensor, Tensor]:
    """The pose among those found (B, N, K, 2) that is most like each person,
    (B, T, K, 2), and whether its OKS is at least :data:`LEAST_OKS`, (B, T)."""
    oks = object_keypoint_similarity(found[:, None], targets.keypoints[:, :,
                                                                       None],
                                     targets.visible[:, :, None],
                                     targets.areas[:, :, None], targets.sigmas)
    best, index = oks.max(-1)
    images = torch.arange(len(found), device=found.device)[:, None]
    return found[images, index], best >= LEAST_OKS


def _places_of_neighbors(places: Tensor,
                         labeled: Tensor) -> Tuple[Tensor, Tensor]:
    """Place of each keypoint of the nearest other person, (B, T, K, 2), and
    whether there is one, bool, (B, T, K)."""
    people = places.shape[1]
    if not people:
        return places, labeled
    apart = (places[:, :, None] - places[:, None]).square().sum(-1)
    itself = torch.eye(people, dtype=torch.bool, device=places.device)
    apart = apart.masked_fill(itself[..., None] | ~labeled[:, None],
                              float('inf'))
    nearest, index = apart.min(2)  # (B, T, K)
    return (places.gather(1,
                          index[...,
                                None].expand_as(places)), nearest.isfinite())
