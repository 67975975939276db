"""The decoder: layers of attention, with the keypoints refined after each.

Queries have the shape (B, N, K + 1, C): slot 0 of an instance is its instance
query, slots 1 to K are its keypoint queries.
"""
import math
from typing import Optional, Tuple

import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModule, ModuleList
from mmpose.models.heads.transformer_heads.transformers.utils import FFN
from mmpose.models.utils import inverse_sigmoid
from mmpose.registry import MODELS
from torch import Tensor, nn

from .distribution import PoseQuality
from .initialization import init_attention, init_class_embed, init_pose_embed
from .matcher import build_named
from .pose_frame import pose_embedding, pose_size
from .queries import (OutputSet, OutputSets, Queries, QueryGroup, move,
                      with_center)
from .tokens import Tokens


@MODELS.register_module()
class GroupPoseDecoder(BaseModule):
    """Stack of layers that refine N poses of K keypoints.

    Args:
        num_layers (int): Number of layers D.
        num_keypoints (int): Number of keypoints K.
        num_classes (int): Number of class logits Q.
        layer_cfg (dict): Arguments of the layers; ``type`` defaults to
            :class:`GroupAttentionDecoderLayer`. Layers of other types also
            have the attributes ``embed_dims`` and ``num_levels``.
        official_aux (bool): Predict the keypoints of all layers but the last
            in training as the official program does, see
            :meth:`auxiliary_state`. Results of the last layer do not depend
            on it. Defaults to True.
        relative_positions (bool): Tell the queries where their keypoints are
            by :func:`pose_embedding`: in their pose, and by waves that are
            short enough to tell neighbors apart. The longest wave of the
            official embedding is 1 image, and all others are longer.
            Defaults to False.
        relative_offsets (bool): Sample and refine in units of the pose's
            size instead of cells of the maps and logits, so that what is
            learned of large people holds for small ones. Defaults to False.
        instance_content (bool): Start instance queries from the features of
            their token, too, see :meth:`initial_queries`. Defaults to False.
        quality (dict, optional): Arguments of :class:`PoseQuality`, whose
            term of what is in the image at the keypoints is added to the
            class logits of each layer. Defaults to no such term.
        predicted_oks (bool): Predict the OKS of each pose from all of its
            queries; scores are those of the class times it. Needs
            :class:`PredictedOKSLoss` in training. Defaults to False.
        joint_scores (dict, optional): Config of what is predicted of each
            joint beside its place, from the queries of the last layer, see
            :class:`JointScores`; ``embed_dims`` is filled in. Defaults to
            nothing.
        fixed_embedding (bool): Tell the queries of fixed keypoints that they
            are, by a learned embedding, which :class:`CorrectionQueries`
            train. Defaults to False.

    Raises:
        ValueError: If the width is not a multiple of 4, as the sine embedding
            of points needs.
    """

    # Weights that depend on K: the axis, and entries per keypoint.
    per_keypoint = {r'keypoint_embedding\.weight': (0, 1)}
    # Weights with a row per class.
    per_class = {r'class_embeds\.\d+\.(?:weight|bias)': 0}
    # Coordinates and the scores that people are ranked by.
    full_precision: Tuple[str,
                          ...] = ('class_embeds', 'pose_embeds',
                                  'ref_point_head', 'quality', 'oks_embeds')

    def __init__(self,
                 num_layers: int,
                 num_keypoints: int,
                 num_classes: int,
                 layer_cfg: ConfigDict,
                 official_aux: bool = True,
                 relative_positions: bool = False,
                 relative_offsets: bool = False,
                 instance_content: bool = False,
                 quality: Optional[dict] = None,
                 predicted_oks: bool = False,
                 joint_scores: Optional[dict] = None,
                 fixed_embedding: bool = False):
        super().__init__()
        layer_cfg = dict(dict(type='GroupAttentionDecoderLayer'), **layer_cfg)
        self.layers = ModuleList(
            [MODELS.build(layer_cfg) for _ in range(num_layers)])
        embed_dims = self.layers[0].embed_dims
        if embed_dims % 4:
            raise ValueError(f'{type(self).__name__}: layer_cfg.embed_dims is '
                             f'{embed_dims}, but must be a multiple of 4.')
        self.embed_dims = embed_dims
        self.num_levels = self.layers[0].num_levels
        self.num_keypoints = num_keypoints
        self.official_aux = official_aux
        self.relative_positions = relative_positions
        self.relative_offsets = relative_offsets
        self.instance_content = instance_content

        self.instance_embedding = nn.Embedding(1, embed_dims)
        self.keypoint_embedding = nn.Embedding(num_keypoints, embed_dims)
        waves = embed_dims * (2 if relative_positions else 1)
        self.ref_point_head = FFN(waves, embed_dims, embed_dims, 2)
        self.class_embeds = ModuleList(
            [nn.Linear(embed_dims, num_classes) for _ in range(num_layers)])
        self.pose_embeds = ModuleList(
            [FFN(embed_dims, embed_dims, 2, 3) for _ in range(num_layers)])
        self.add_quality(quality)
        self.oks_embeds = None
        if predicted_oks:
            self.oks_embeds = ModuleList([
                FFN(2 * embed_dims, embed_dims, 1, 2)
                for _ in range(num_layers)
            ])
        self.joint_scores = None
        if joint_scores is not None:
            self.joint_scores = build_named(
                MODELS, dict(joint_scores, embed_dims=embed_dims),
                'model.head.decoder.joint_scores')
        self.fixed_embedding = nn.Embedding(
            1, embed_dims) if fixed_embedding else None

    def add_quality(self, quality: Optional[dict]) -> None:
        """Add the quality heads, by their arguments, if there are to be
        any."""
        self.quality = None if quality is None else ModuleList([
            PoseQuality(self.num_keypoints, **quality)
            for _ in range(len(self.layers))
        ])

    def init_weights(self) -> None:
        """Initialize weights: scores start at 0.01, offsets at zero, and the
        prediction heads of all layers are equal."""
        init_attention(self)
        init_class_embed(self.class_embeds[0])
        init_pose_embed(self.pose_embeds[0])
        for first, *others in (self.class_embeds, self.pose_embeds):
            for other in others:
                other.load_state_dict(first.state_dict())
        self.init_added()

    def init_added(self) -> None:
        """Initialize what decoders have besides, after the rest."""
        for head in self.oks_embeds or ():
            init_pose_embed(head)
        if self.joint_scores is not None:
            self.joint_scores.init_weights()
        if self.fixed_embedding is not None:
            nn.init.zeros_(self.fixed_embedding.weight)
        if self.quality is not None:
            first, *others = self.quality
            first.init_weights()
            for other in others:
                other.load_state_dict(first.state_dict())

    def switch_to_deploy(self) -> None:
        """Drop what only training needs: classes and quality of all layers
        but the last."""
        for index in range(len(self.layers) - 1):
            self.class_embeds[index] = nn.Identity()
            if self.quality is not None:
                self.quality[index] = nn.Identity()
            if self.oks_embeds is not None:
                self.oks_embeds[index] = nn.Identity()

    def initial_queries(self,
                        content: Tensor,
                        poses: Tensor,
                        fixed: Optional[Tensor] = None) -> QueryGroup:
        """Build the queries of instances from their features and poses.

        QUIRK: an instance query starts from its embedding alone, without
        content of the image (and gets no positional term in any layer), but
        for ``instance_content``.

        Args:
            content (Tensor): Features of each instance, (B, N, C).
            poses (Tensor): Poses, normalized, (B, N, K, 2).
            fixed (Tensor, optional): True for keypoints that are to stay
                where they are, bool, (B, N, K). Defaults to none.

        Returns:
            QueryGroup: N instances.
        """
        instance = self.instance_embedding.weight.expand(
            *content.shape[:2], 1, -1)
        if self.instance_content:
            instance = instance + content[:, :, None]
        keypoints = content[:, :, None] + self.keypoint_embedding.weight
        if fixed is not None and self.fixed_embedding is not None:
            keypoints = keypoints + \
                fixed[..., None] * self.fixed_embedding.weight
        return QueryGroup(
            content=torch.cat([instance, keypoints], 2),
            references=with_center(poses),
            fixed=fixed)

    def forward(self, queries: Queries, memory: Tokens) -> OutputSets:
        """Refine the poses of all instances, layer by layer.

        Args:
            queries (Queries): T instances per image.
            memory (Tokens): The encoder's output.

        Returns:
            OutputSets: Predictions of each layer for all T instances, see
            :meth:`predict`: ``'d0'``, ``'d1'``, ... and ``'last'``; in
            evaluation ``'last'`` alone.
        """
        mask, fixed = queries.attention_mask(), queries.fixed
        query, references = queries.content, queries.references
        query_pos = self.positional_term(references[:, :, 1:], memory)
        poses = references[:, :, 1:]
        outputs: OutputSets = {}
        for index, layer in enumerate(self.layers):
            query = layer(
                query,
                query_pos,
                reference_points=self.sampling_frames(references, memory),
                memory=memory,
                attention_mask=mask)
            if index == len(self.layers) - 1:
                outputs['last'] = self.predict(index, query, poses, memory,
                                               fixed)
                break
            offsets = self.pose_embeds[index](query[:, :, 1:])
            refined = self.refine(references[:, :, 1:], offsets, fixed)
            references = with_center(refined.detach())
            query_pos = self.positional_term(references[:, :, 1:], memory)
            if self.training:
                outputs[f'd{index}'] = self.predict(
                    index, self.auxiliary_state(query, query_pos), poses,
                    memory, fixed)
            # With its gradient: the next layer corrects this one, too.
            poses = refined
        return outputs

    def predict(self,
                layer: int,
                query: Tensor,
                poses: Tensor,
                memory: Tokens,
                fixed: Optional[Tensor] = None) -> OutputSet:
        """Predict classes and keypoints after a layer.

        Args:
            layer (int): Index of the layer.
            query (Tensor): Output of the layer, (B, T, K + 1, C).
            poses (Tensor): Poses before the layer, which it refines,
                (B, T, K, 2).
            memory (Tokens): The encoder's output.
            fixed (Tensor, optional): Which keypoints stay, (B, T, K).

        Returns:
            dict[str, Tensor]: logits (B, T, Q), normalized keypoints
            (B, T, K, 2), and what :meth:`predict_more` adds.
        """
        offsets = self.pose_embeds[layer](query[:, :, 1:])
        keypoints = self.refine(poses, offsets, fixed)
        return dict(
            logits=self.score(layer, query, keypoints, memory),
            keypoints=keypoints,
            **self.predict_more(layer, query))

    def score(self, layer: int, query: Tensor, poses: Tensor,
              memory: Tokens) -> Tensor:
        """Predict the class logits after a layer, with the quality of the
        poses (B, T, K, 2) that it has predicted, (B, T, Q). The predicted OKS
        is a factor of their scores, but not in training."""
        logits = self.class_embeds[layer](query[:, :, 0])
        if self.oks_embeds is not None and not self.training:
            oks = self.predict_oks(layer, query).sigmoid()
            scores = logits.sigmoid() * oks
            logits = scores.log() - (1 - scores).log()
        if self.quality is None:
            return logits
        if memory.mask is not None:  # to the frame of the padded map
            poses = poses * memory.valid_ratios[:, None, None, 0]
        return logits + self.quality[layer](poses, memory.map_of(0))

    def predict_oks(self, layer: int, query: Tensor) -> Tensor:
        """Logits of the OKS that poses are predicted to have, from the
        instance query and the mean of those of its keypoints, (B, T, 1)."""
        seen = torch.cat([query[:, :, 0], query[:, :, 1:].mean(2)], -1)
        return self.oks_embeds[layer](seen)  # type: ignore[index]

    def predict_more(self, layer: int, query: Tensor) -> OutputSet:
        """Predict something else after a layer; here the logits of the OKS
        ``oks`` (B, T, 1) in training, for ``predicted_oks``, and after the
        last layer ``joints`` (B, T, K, 5), for ``joint_scores``.

        For decoders that derive from this one or from another of the family:
        all call it for each of their layers.

        Args:
            layer (int): Index of the layer.
            query (Tensor): Output of the layer, (B, T, K + 1, C). Slot 0 is
                the instance query.

        Returns:
            dict[str, Tensor]: Entries of the output set, (B, T, ...).
        """
        more = {}
        if self.oks_embeds is not None and self.training:
            more['oks'] = self.predict_oks(layer, query)
        if self.joint_scores is not None and layer == len(self.layers) - 1:
            more['joints'] = self.joint_scores(query[:, :, 1:])
        return more

    def sampling_frames(self, references: Tensor, memory: Tokens) -> Tensor:
        """Where each query samples the maps.

        Args:
            references (Tensor): Normalized, (B, T, K + 1, 2).
            memory (Tokens): The encoder's output.

        Returns:
            Tensor: In the padded frame of each level: points
            (B, T, K + 1, L, 2), or, for ``relative_offsets``, with width and
            height of the pose for the instance query and of half of it for
            those of its keypoints, (B, T, K + 1, L, 4).
        """
        ratios = memory.valid_ratios[:, None, None]
        points = references[..., None, :] * ratios
        if not self.relative_offsets:
            return points
        size = pose_size(references[:, :, 1:])
        parts = (size / 2).expand_as(references[:, :, 1:])
        sizes = torch.cat([size, parts], 2)[..., None, :] * ratios
        return torch.cat([points, sizes], -1)

    def refine(self,
               poses: Tensor,
               offsets: Tensor,
               fixed: Optional[Tensor] = None) -> Tensor:
        """Move normalized points (..., K, 2) by offsets of the same shape, but
        for those that are fixed, (..., K).

        Offsets are in logit space, or for ``relative_offsets`` in units of
        half the size of the pose. The inverse sigmoid is clamped at 1e-3: a
        point on the border of the image or beyond starts from a logit of 6.9.
        """
        if self.relative_offsets:
            moved = poses + offsets * pose_size(poses) / 2
        else:
            moved = (inverse_sigmoid(poses) + offsets).sigmoid()
        return move(poses, moved, fixed)

    def auxiliary_state(self, query: Tensor, next_query_pos: Tensor) -> Tensor:
        """The queries from which the keypoints of all layers but the last are
        predicted in training, (B, T, K + 1, C).

        QUIRK: in the official program, the next layer adds its positional
        term in place, to the very tensor from which the keypoints of this
        layer are predicted later. The keypoints of all layers but the last
        thus depend on the term of the next layer, and so do their
        gradients. ``official_aux=False`` takes the queries as they are.
        """
        return query + next_query_pos if self.official_aux else query

    def positional_term(self, poses: Tensor, memory: Tokens) -> Tensor:
        """Compute the positional term of the queries, (B, T, K + 1, C), from
        poses (B, T, K, 2). It is zero for the instance query, slot 0.

        QUIRK: the keypoints are taken in the padded frame of the first level,
        so the padding of a batch changes the term. Not so for
        ``relative_positions``.
        """
        if self.relative_positions:
            waves = pose_embedding(poses, self.embed_dims)
        else:
            points = poses * memory.valid_ratios[:, None, None, 0]
            waves = sine_embedding(points, self.embed_dims)
        term = self.ref_point_head(waves)
        return torch.cat([torch.zeros_like(term[:, :, :1]), term], 2)


def sine_embedding(points: Tensor,
                   embed_dims: int,
                   temperature: float = 10000) -> Tensor:
    """Sine and cosine embedding of points (DAB-DETR).

    Args:
        points (Tensor): Normalized (x, y), (..., 2).
        embed_dims (int): Width C, a multiple of 4.
        temperature (float): Ratio of the longest to the shortest wave.

    Returns:
        Tensor: (..., C), the y half first; sine on even, cosine on odd
        channels.
    """
    half = embed_dims // 2
    channel = torch.arange(half, dtype=points.dtype, device=points.device)
    wavelength = temperature**(2 * (channel // 2) / half)
    angle = 2 * math.pi * points.flip(-1)[..., None] / wavelength
    waves = torch.stack([angle[..., 0::2].sin(), angle[..., 1::2].cos()], -1)
    return waves.flatten(-3)
