"""From the encoder's memory to instances: score every token, keep the best N,
and predict a first pose for each."""
from typing import NamedTuple, Optional, Tuple

import torch
from mmengine.model import BaseModule
from mmengine.runner import autocast
from mmpose.models.heads.transformer_heads.transformers.utils import FFN
from mmpose.registry import MODELS
from torch import Tensor, nn

from .initialization import init_class_embed, init_pose_embed
from .pose_frame import pose_size
from .tokens import Tokens

# Tokens per query among which distinct poses are looked for.
_CANDIDATES = 6


class Selection(NamedTuple):
    """The tokens that become instances.

    Attributes:
        content (Tensor): Their features, detached, (B, N, C).
        poses (Tensor): Their poses, normalized, detached, (B, N, K, 2).
        outputs (dict[str, Tensor]): The same as an output set, with
            gradients: logits (B, N, Q) and keypoints (B, N, K, 2).
    """
    content: Tensor
    poses: Tensor
    outputs: dict


@MODELS.register_module()
class PoseQuerySelection(BaseModule):
    """Two-stage query selection: the tokens with the best class scores become
    instances, each with a first pose.

    Args:
        num_queries (int): Number of instances N. A batch with fewer tokens
            gives one instance per token.
        num_keypoints (int): Number of keypoints K.
        num_classes (int): Number of class logits Q.
        embed_dims (int): Width C.
        distinct (float, optional): Least distance between the poses that are
            selected in evaluation, see :meth:`choose`. Defaults to none:
            several tokens of the same person are selected.

    Raises:
        ValueError: If ``distinct`` is not positive.
    """

    # Weights that depend on K: the axis, and entries per keypoint.
    per_keypoint = {r'pose_embed\.layers\.3\.(?:weight|bias)': (0, 2)}
    # Weights with a row per class.
    per_class = {r'class_embed\.(?:weight|bias)': 0}
    # Half precision has too few numbers to rank thousands of tokens by.
    full_precision = ('', )

    def __init__(self,
                 num_queries: int,
                 num_keypoints: int,
                 num_classes: int,
                 embed_dims: int,
                 distinct: Optional[float] = None):
        super().__init__()
        if distinct is not None and not distinct > 0:
            raise ValueError(f'{type(self).__name__}: distinct must be '
                             f'positive, or None, not {distinct!r}.')
        self.distinct = distinct
        self.num_queries = num_queries
        self.num_keypoints = num_keypoints
        self.output = nn.Linear(embed_dims, embed_dims)
        self.norm = nn.LayerNorm(embed_dims)
        self.class_embed = nn.Linear(embed_dims, num_classes)
        self.pose_embed = FFN(embed_dims, 2 * embed_dims, 2 * num_keypoints, 4)

    def init_weights(self) -> None:
        """Initialize weights: scores start at 0.01, poses at their anchors."""
        nn.init.xavier_uniform_(self.output.weight)
        init_class_embed(self.class_embed)
        init_pose_embed(self.pose_embed)

    def forward(self,
                memory: Tokens,
                num_queries: Optional[int] = None) -> Selection:
        """Select the instances of each image.

        Args:
            memory (Tokens): The encoder's output.
            num_queries (int, optional): Number of instances. Defaults to N.

        Returns:
            Selection: The instances of each image, best first.
        """
        anchors, usable = self.token_anchors(memory)
        tokens, logits = self.score_tokens(memory, usable)

        # QUIRK: tokens that are not usable stay in the competition, and
        # the score is the best of all classes, the background one too.
        count = min(num_queries or self.num_queries, tokens.shape[1])
        among = count
        distinct = None if self.training else self.distinct
        if distinct is not None:
            among = min(_CANDIDATES * count, tokens.shape[1])
        selected = logits.max(-1).values.topk(among, dim=1).indices
        logits, tokens, anchors = (
            gather(values, selected) for values in (logits, tokens, anchors))
        poses = self.predict_poses(tokens, anchors)
        if distinct is not None:
            chosen = self.choose(poses, count, distinct)
            logits, tokens, poses = (
                gather(values, chosen)
                for values in (logits, tokens, poses.flatten(2)))
            # unflatten() would fix the batch of an ONNX file here
            poses = poses.view(*tokens.shape[:2], self.num_keypoints, 2)
        return Selection(tokens.detach(), poses.detach(),
                         dict(logits=logits, keypoints=poses))

    def score_tokens(self, memory: Tokens,
                     usable: Tensor) -> Tuple[Tensor, Tensor]:
        """Features (B, S, C) and class logits (B, S, Q) of all tokens."""
        tokens = memory.features.masked_fill(~usable[..., None], 0)
        tokens = self.norm(self.output(tokens))
        with autocast(device_type=tokens.device.type, enabled=False):
            logits = self.class_embed(tokens.to(self.class_embed.weight.dtype))
        return tokens, logits

    def predict_poses(self, tokens: Tensor, anchors: Tensor) -> Tensor:
        """Predict normalized poses (B, n, K, 2) from features of tokens
        (B, n, C) and their anchors (B, n, 2)."""
        offsets = self.pose_embed(tokens)
        offsets = offsets.unflatten(-1, (self.num_keypoints, 2))
        return (offsets + anchors[:, :, None]).sigmoid()

    @staticmethod
    def choose(poses: Tensor, count: int, distinct: float) -> Tensor:
        """Choose the poses that no better one is close to; if these are too
        few, the best of the others follow (after the distinct queries of DDQ,
        `arXiv 2303.12776 <https://arxiv.org/abs/2303.12776>`_).

        Tokens beside each other predict the same person, whose copies would
        take the queries of people who are harder to see. In training they
        stay: the best copy is matched, so scores learn which one it is.

        Args:
            poses (Tensor): Normalized, the best first, (B, n, K, 2).
            count (int): How many to choose.
            distinct (float): Least mean distance of the keypoints of two
                poses, in sizes of the better one, see :func:`pose_size`.

        Returns:
            Tensor: Indices of poses, int64, (B, count).
        """
        difference = poses[:, :, None] - poses[:, None]
        distance = difference.square().sum(-1).sqrt().mean(-1)
        distance = distance / pose_size(poses).mean(-1).transpose(1, 2)
        order = torch.arange(poses.shape[1], device=poses.device)
        better = order < order[:, None]
        copy = ((distance < distinct) & better).any(-1)
        rank = (order + copy * len(order)).to(poses.dtype)
        return rank.topk(count, dim=1, largest=False).indices

    @torch.no_grad()
    def pose_at(self,
                memory: Tokens,
                points: Tensor,
                joint: Optional[int] = None) -> Tensor:
        """First poses of the people at given points.

        The token is chosen that has the highest class logit minus
        ``(4 d)^2``, where d is the distance of the point to the center of the
        token's own pose, or to the keypoint that is meant, in units of the
        longer side of :func:`pose_size`. Tokens are thus judged by where their
        pose is: the one right under a hand knows less of the person than the
        one that finds them.

        Args:
            memory (Tokens): The encoder's output.
            points (Tensor): Normalized, (B, N, 2).
            joint (int, optional): Index of the keypoint that is there.
                Defaults to the center of the person.

        Returns:
            Tensor: Normalized, (B, N, K, 2).
        """
        anchors, usable = self.token_anchors(memory)
        tokens, logits = self.score_tokens(memory, usable)
        poses = self.predict_poses(tokens, anchors)
        size = pose_size(poses).amax(-1).transpose(1, 2)  # (B, 1, S)
        places = poses.mean(2) if joint is None else poses[:, :, joint]
        distance = torch.cdist(points, places) / size
        scores = logits.max(-1).values[:, None] - (4 * distance).square()
        scores = scores.masked_fill(~usable[:, None], float('-inf'))
        images = torch.arange(len(poses), device=poses.device)[:, None]
        return poses[images, scores.argmax(-1)]

    @torch.no_grad()
    def content_of(self, memory: Tokens, poses: Tensor) -> Tensor:
        """What the queries of given poses start from: the features of the
        token with the best class score within each pose's bounding box, or of
        the nearest to its center where there is none.

        That is the token which would have found the person. One that is
        merely near knows less of it: tokens learn of whom they are the best.

        Args:
            memory (Tokens): The encoder's output.
            poses (Tensor): Normalized, (B, N, K, 2).

        Returns:
            Tensor: (B, N, C).
        """
        _, usable = self.token_anchors(memory)
        tokens, logits = self.score_tokens(memory, usable)
        centers = memory.centers()[:, None]
        low, high = poses.amin(2)[:, :, None], poses.amax(2)[:, :, None]
        inside = ((centers >= low) & (centers <= high)).all(-1)
        scores = logits.max(-1).values[:, None]
        # Below all scores, and the higher, the nearer.
        distance = (centers - poses.mean(2)[:, :, None]).square().sum(-1)
        lowest = scores.amin(-1, keepdim=True) - 1
        scores = torch.where(inside, scores, lowest - distance)
        scores = scores.masked_fill(~usable[:, None], float('-inf'))
        return gather(tokens, scores.argmax(-1))

    @staticmethod
    def token_anchors(memory: Tokens) -> Tuple[Tensor, Tensor]:
        """Compute the center of each token as a logit, and whether the token
        is usable: not padding, and not at the very border.

        Returns:
            tuple[Tensor]: anchors (B, S, 2), infinite for tokens that are
            not usable, whose poses are therefore exactly 1; usable (B, S).
        """
        anchors, usable = center_logits(memory)
        return anchors.masked_fill(~usable[..., None], float('inf')), usable


@MODELS.register_module()
class LearnedContentSelection(PoseQuerySelection):
    """Query selection whose instances start from learned content: tokens
    decide where they are, not what they are (DETRPose).

    QUIRK: the content is learned by rank, so the order of the tokens changes
    the result. Tokens that are not usable have an anchor all the same.

    Args:
        num_queries (int): Number of instances N.
        embed_dims (int): Width C.
        kwargs: See :class:`PoseQuerySelection`.
    """

    # Weights that depend on the N of the head: the axis, and entries per
    # query.
    per_query = {r'query_selection\.content\.weight': (0, 1)}

    def __init__(self, num_queries: int, embed_dims: int, **kwargs):
        super().__init__(
            num_queries=num_queries, embed_dims=embed_dims, **kwargs)
        self.content = nn.Embedding(num_queries, embed_dims)

    def init_weights(self) -> None:
        """The content is drawn from Xavier's uniform distribution."""
        super().init_weights()
        self.output.reset_parameters()
        nn.init.xavier_uniform_(self.content.weight)

    def forward(self,
                memory: Tokens,
                num_queries: Optional[int] = None) -> Selection:
        """See the base class; only the first N instances get content."""
        selected = super().forward(memory, num_queries)
        batch, count = selected.poses.shape[:2]
        content = self.content.weight[:count].expand(batch, -1, -1)
        return selected._replace(content=content)

    def content_of(self, memory: Tokens, poses: Tensor) -> Tensor:
        """See the base class; all poses get the content of the best rank:
        somebody is sure to be there."""
        return self.content.weight[:1].detach().expand(*poses.shape[:2], -1)

    @staticmethod
    def token_anchors(memory: Tokens) -> Tuple[Tensor, Tensor]:
        """See the base class; all anchors are finite."""
        return center_logits(memory)


def gather(values: Tensor, selected: Tensor) -> Tensor:
    """The rows of values (B, S, C) that are selected (B, n), (B, n, C)."""
    return values.gather(1, selected[..., None].expand(-1, -1,
                                                       values.shape[-1]))


def center_logits(memory: Tokens) -> Tuple[Tensor, Tensor]:
    """Centers of all tokens as logits (B, S, 2), and whether a token is
    usable: not padding, and not at the very border, (B, S)."""
    centers = memory.centers()
    usable = ((centers > 0.01) & (centers < 0.99)).all(-1)
    if memory.mask is not None:
        usable = usable & ~memory.mask
    return torch.log(centers / (1 - centers)), usable
