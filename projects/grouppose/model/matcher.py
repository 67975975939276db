"""Which query answers for which person: matching costs and the one-to-one
assignment of least total cost (the "Hungarian" matching of DETR)."""
from typing import List, NamedTuple, Sequence

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.registry import Registry
from mmpose.registry import TASK_UTILS
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..oks import object_keypoint_similarity
from .targets import PoseTargets


class Matches(NamedTuple):
    """P matched pairs in each of O output sets.

    Every set matches the same number of people of an image (all of them, or
    as many as there are queries), so the pairs of all sets stack.

    Attributes:
        images (Tensor): Image of each pair, int64, (P, ).
        queries (Tensor): Matched query within its image, int64, (O, P).
        people (Tensor): Matched person within its image, int64, (O, P).
    """
    images: Tensor
    queries: Tensor
    people: Tensor


@TASK_UTILS.register_module()
class KeypointQueryMatcher:
    """Matches people and queries one to one at the least total cost.

    All output sets of a step (each decoder layer and the encoder) are
    matched independently, but their costs are computed together and travel
    to the host in one copy.

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
            build_named(TASK_UTILS, cost, 'model.head.matcher.costs')
            for cost in costs
        ]

    @torch.no_grad()
    def __call__(self, logits: Tensor, keypoints: Tensor,
                 targets: PoseTargets) -> Matches:
        """Match all output sets of a step.

        Args:
            logits (Tensor): Class logits, float32, (O, B, N, Q).
            keypoints (Tensor): Normalized coordinates, float32,
                (O, B, N, K, 2).
            targets (PoseTargets): The people of the batch.

        Returns:
            Matches: On the device of ``logits``.
        """
        # In memory, keypoints come before queries: sums over the few then
        # run along rows of the many.
        keypoints = keypoints.transpose(2, 4).contiguous().transpose(2, 4)
        # A set at a time: what terms keep for each pair and keypoint is
        # large, and must be small enough for a cache.
        cost = torch.cat([
            sum(term(*outputs, targets) for term in self.costs)
            for outputs in zip(logits.split(1), keypoints.split(1))
        ])
        # Non-finite predictions must not stop the assignment here: they stay
        # in the loss, where the runner or the gradient scaler handles them.
        cost = torch.nan_to_num(cost, nan=1e8, posinf=1e8, neginf=-1e8)
        pairs = _assign(cost.cpu().numpy(), targets.counts)
        pairs = torch.from_numpy(pairs).to(logits.device)
        images, queries, people = pairs.unbind()
        return Matches(images[0], queries, people)


def _assign(cost: np.ndarray, counts: List[int]) -> np.ndarray:
    """Assign the people of each image at the least total cost.

    Args:
        cost (np.ndarray): Cost of every pair, (O, B, N, T).
        counts (list[int]): Number of people of each image.

    Returns:
        np.ndarray: image, query and person of each pair, int64, (3, O, P).
    """
    pairs = []
    for image, count in enumerate(counts):
        matched = np.array(
            [linear_sum_assignment(c[image, :, :count]) for c in cost])
        images = np.full_like(matched[:, :1], image)
        pairs.append(np.concatenate([images, matched], axis=1))
    return np.concatenate(pairs, axis=-1).swapaxes(0, 1)


def build_named(registry: Registry, cfg: ConfigDict, field: str):
    """Build a config, or say which field of the config names no module.

    Raises:
        KeyError: If the type is not registered.
    """
    if isinstance(cfg['type'], str) and registry.get(cfg['type']) is None:
        raise KeyError(
            f'{field}: the type {cfg["type"]!r} is not registered. Correct '
            'its name, or list the module that registers it in the imports '
            'of custom_imports.')
    return registry.build(cfg)


@TASK_UTILS.register_module()
class FocalCost:
    """Change of the focal loss if a query stood for a person.

    The positive term of the focal loss for the person's class minus its
    negative term (Deformable DETR).

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
            targets (PoseTargets): T people an image, padding included.

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
    """One minus the OKS of a query's pose and a person's.

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
