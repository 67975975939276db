"""Denoising queries: in training, some queries start near the poses of known
people and learn to go there, without any matching."""
import math
from typing import Callable, List, Optional, Tuple, cast

import numpy as np
import torch
from mmengine.model import BaseModule
from mmpose.registry import MODELS
from torch import Tensor, nn

from .matcher import Matches
from .queries import MAIN, Queries, QueryGroup, with_center
from .targets import PoseTargets
from .tokens import Tokens


@MODELS.register_module()
class OKSDenoisingQueries(BaseModule):
    """Denoising queries whose noise is measured by OKS (DETRPose).

    The people of an image come in G groups. In each, everybody has a positive
    query, which starts from a pose of an OKS within ``positive`` and learns
    to correct it, and a negative one, which starts from an OKS within
    ``negative`` and learns a score of 0. Keypoints move in any direction
    alike, and for each the OKS is drawn uniformly from the band. Keypoints
    that are not labeled start in the center of the others.

    A group attends to itself and to the queries that predict, which do not
    attend to it.

    Args:
        num_keypoints (int): Number of keypoints K.
        num_classes (int): Number of class logits Q.
        embed_dims (int): Width C.
        num_queries (int): Positive queries per image that the number of
            groups is chosen for. There is one group at least. Defaults
            to 20.
        positive (tuple[float]): Least and largest OKS of a keypoint.
            Defaults to (0.5, 1).
        negative (tuple[float], optional): Likewise. None leaves negative
            queries out. Defaults to (0.1, 0.5).
        num_labels (int, optional): Number of learned embeddings of labels,
            ``num_classes`` at least, which is the default.
        content (str): What queries start from: 'label', a learned embedding
            of the person's label for the instance query and of the type of
            keypoint for the others (DETRPose), or 'zero', what the decoder
            adds to the features of a token, whose place zeros take: nothing
            tells these queries that they are not those that predict.
            Defaults to 'label'.

    Raises:
        ValueError: If a band is not within 0 and 1, or there is no such
            content.
    """

    # Weights that depend on K: the axis, and entries per keypoint.
    per_keypoint = {r'pose_embedding\.weight': (0, 1)}
    # Weights with a row per class, at least.
    per_class = {r'label_embedding\.weight': 0}

    def __init__(self,
                 num_keypoints: int,
                 num_classes: int,
                 embed_dims: int,
                 num_queries: int = 20,
                 positive: Tuple[float, float] = (0.5, 1.0),
                 negative: Optional[Tuple[float, float]] = (0.1, 0.5),
                 num_labels: Optional[int] = None,
                 content: str = 'label'):
        super().__init__()
        self.bands = [positive] if negative is None else [positive, negative]
        for low, high in self.bands:
            if not 0 < low <= high <= 1:
                raise ValueError(
                    f'{type(self).__name__}: OKS from {low} to {high}: a '
                    'band must lie above 0 and end at 1 at most.')
        if content not in ('label', 'zero'):
            raise ValueError(f'{type(self).__name__}: there is no content='
                             f"{content!r}. Take 'label' or 'zero'.")
        self.num_queries = num_queries
        self.num_labels = max(num_labels or 0, num_classes)
        self.embed_dims = embed_dims
        self.content = content
        if content == 'label':
            self.label_embedding = nn.Embedding(self.num_labels, embed_dims)
            self.pose_embedding = nn.Embedding(num_keypoints, embed_dims)

    def init_weights(self) -> None:
        """Embeddings from Xavier's uniform distribution."""
        for parameter in self.parameters():
            nn.init.xavier_uniform_(parameter)

    def forward(self, queries: Queries, memory: Tokens,
                targets: PoseTargets) -> QueryGroup:
        """Make the queries of a batch.

        Args:
            queries (Queries): Those that predict.
            memory (Tokens): The encoder's output.
            targets (PoseTargets): T people per image, padding included.

        Returns:
            QueryGroup: G * bands * T instances per image, group by group, in
            each the positive before the negative ones. Nobody in the batch
            gives a group of no queries.
        """
        batch, people = targets.labels.shape
        bands = len(self.bands)
        groups = max(1, self.num_queries // people) if people else 0
        shape = (batch, groups, bands, people)
        device = targets.labels.device
        counts = torch.tensor(targets.counts, device=device)
        real = torch.arange(people, device=device) < counts[:, None]
        real = real[:, None, None].expand(shape)

        labels, references = self.add_noise(targets, shape)
        if self.content == 'label':
            content = torch.cat([
                self.label_embedding(labels)[..., None, :],
                self.pose_embedding.weight.expand(*shape, -1, -1)
            ], -2).flatten(1, 3)
        else:
            start = cast(Callable, queries.start)
            poses = references[..., 1:, :].flatten(1, 3)
            content = start(
                poses.new_zeros(*poses.shape[:2], self.embed_dims),
                poses).content
        content = content * real.flatten(1)[..., None, None]
        references = torch.where(real[..., None, None], references, 0.5)
        block = torch.arange(
            groups, device=device).repeat_interleave(bands * people)
        return QueryGroup(
            content=content,
            references=references.flatten(1, 3),
            sees=(MAIN, ),
            mask=block[:, None] != block,
            matches=self.match(targets.counts, shape, ~real.flatten(1)))

    def match(self, counts: List[int], shape: Tuple[int, ...],
              padding: Tensor) -> Matches:
        """Every positive query answers for its person.

        Args:
            counts (list[int]): Number of people of each image.
            shape (tuple[int]): B, groups, bands and T.
            padding (Tensor): True where there is no person, (B, N).
        """
        return match_copies(counts, shape, padding)

    def add_noise(self, targets: PoseTargets,
                  shape: Tuple[int, ...]) -> Tuple[Tensor, Tensor]:
        """Draw what the queries start from.

        Args:
            targets (PoseTargets): T people per image, padding included.
            shape (tuple[int]): B, groups, bands and T.

        Returns:
            tuple[Tensor]: labels, int64, of that shape; references,
            normalized, (B, groups, bands, T, K + 1, 2).
        """
        visible = targets.visible[:, None, None]
        count = visible.sum(-1, keepdim=True).clamp(min=1)
        center = (targets.keypoints[:, None, None] *
                  visible[..., None]).sum(-2) / count
        poses = torch.where(visible[..., None] > 0, targets.keypoints[:, None,
                                                                      None],
                            center[..., None, :]).expand(*shape, -1, 2)

        low, high = poses.new_tensor(self.bands).T[..., None, None]
        random = torch.rand(*poses.shape[:-1], 2, device=poses.device)
        oks = low + (high - low) * random[..., 0]
        angle = 2 * math.pi * random[..., 1]
        # OKS is exp(-d^2 / (2 * area * (2 * sigma)^2)).
        scale = 2 * targets.sigmas * targets.areas[:, None, None, :,
                                                   None].sqrt()
        distance = scale * (-2 * oks.log()).sqrt() * visible
        offset = torch.stack([angle.cos(), angle.sin()], -1)
        references = with_center(poses + distance[..., None] * offset)
        return targets.labels[:, None, None].expand(shape), references


@MODELS.register_module()
class ReleasedDenoisingQueries(OKSDenoisingQueries):
    """Denoising queries exactly as DETRPose was released, with its defects.

    For runs that must be like the official one; :class:`OKSDenoisingQueries`
    is what the paper means. As released,

    - noise goes to the lower right only, and is divided by the sum of the
      inverse directions of all slots instead of by the length of its own, so
      that "positive" poses have a mean OKS of 0.001 and most points lie in
      the corner of the image
    - the center is that of a box whose center and size are taken for its
      corners, and carries no noise; keypoints that are not labeled start in
      the corner (0, 0)
    - a quarter of the labels are replaced by any of ``num_labels`` - 1
    - empty slots count as negative queries

    Args:
        kwargs: See :class:`OKSDenoisingQueries`; ``num_labels`` defaults
            to 81.
    """

    def __init__(self, num_labels: int = 81, **kwargs):
        super().__init__(num_labels=num_labels, **kwargs)

    def match(self, counts, shape, padding):
        return super().match(counts, shape, padding.new_zeros(padding.shape))

    def add_noise(self, targets, shape):
        if targets.boxes is None:
            raise ValueError(
                'ReleasedDenoisingQueries needs the boxes of people, which '
                'the training targets lack: let the pipeline keep `bbox` up '
                'to GenerateTarget.')
        slots = (*shape, targets.keypoints.shape[2] + 1)
        device = targets.labels.device
        draw = torch.rand(slots, device=device)
        limits = torch.tensor([0., math.log(2), math.log(10)], device=device)
        limits = limits[:len(self.bands) + 1, None, None]
        alpha = limits[:-1] + (limits[1:] - limits[:-1]) * draw
        references = released_references(targets,
                                         torch.rand(*slots, 2, device=device),
                                         alpha)
        labels = targets.labels[:, None, None].expand(shape)
        replaced = torch.rand(shape, device=device) < 0.25
        # All but the last, which the official program keeps for padding.
        others = torch.randint(0, self.num_labels - 1, shape, device=device)
        return torch.where(replaced, others, labels), references


def match_copies(counts: List[int], shape: Tuple[int, ...],
                 ignored: Tensor) -> Matches:
    """Match the first query of each person in each group with the person.

    Args:
        counts (list[int]): Number of people of each image.
        shape (tuple[int]): B images, number of groups, of queries that each
            person has in a group, and T people; queries are in this order.
        ignored (Tensor): True for queries whose scores do not count, (B, N).
    """
    _, groups, copies, people = shape
    pairs = [(image, group * copies * people + person, person)
             for image, count in enumerate(counts) for group in range(groups)
             for person in range(count)]
    indices = torch.from_numpy(np.array(pairs, dtype=np.int64).reshape(
        -1, 3)).to(ignored.device)
    images, queries, persons = indices.T
    return Matches(
        images, queries[None], persons[None], len(pairs), ignored=ignored)


def released_references(targets: PoseTargets, direction: Tensor,
                        alpha: Tensor) -> Tensor:
    """References of the released denoising from its random draws.

    Args:
        targets (PoseTargets): With boxes.
        direction (Tensor): In [0, 1), (B, groups, bands, T, K + 1, 2).
        alpha (Tensor): Minus the logarithm of the OKS that is meant,
            (B, groups, bands, T, K + 1).

    Returns:
        Tensor: Normalized, within [0.001, 0.999], of the shape of
        ``direction``.
    """
    visible = targets.visible[:, None, None]
    keypoints = targets.keypoints[:, None, None] * visible[..., None]
    center, size = cast(Tensor, targets.boxes).chunk(2, -1)
    poses = torch.cat(
        [((center + size) / 2)[:, None, None, :, None], keypoints], -2)
    direction = direction * (1 / direction).sum(-2, keepdim=True)
    spread = 2 * (2 * targets.sigmas)**2
    # Of a square image, as the official program's are.
    area = targets.areas[:, None, None, :, None]
    distance = (alpha[..., 1:] * spread * area).sqrt() * visible
    distance = torch.cat([torch.zeros_like(distance[..., :1]), distance], -1)
    return (poses + distance[..., None] * direction).clamp(1e-3, 1 - 1e-3)
