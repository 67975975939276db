"""The decoder: group self-attention and deformable attention, layer by layer,
with the keypoints refined after each.

Queries have the shape (B, N, K + 1, C): slot 0 of an instance is its instance
query, slots 1 to K are its keypoint queries.
"""
import math
from typing import List, Tuple

import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.model import BaseModule, ModuleList
from mmpose.models.heads.transformer_heads.transformers.utils import FFN
from mmpose.models.utils import inverse_sigmoid
from mmpose.registry import MODELS
from torch import Tensor, nn

from .deformable_attention import DeformableAttention
from .gradient_checkpointing import recomputable

# Self-attentions of a layer, one after another, by the name of the scheme.
SCHEMES = {
    'within_across': ('within', 'across'),
    'across_within': ('across', 'within'),
    'within': ('within', ),
    'across': ('across', ),
    'full': ('full', ),
    'none': (),
}


@MODELS.register_module()
class GroupAttentionDecoderLayer(BaseModule):
    """Attention within each instance, across instances, and to the image.

    Other schemes of self-attention are there to be compared: only one of the
    two, both in the other order, one attention of all N * (K + 1) queries
    (``'full'``), or none.

    Args:
        embed_dims (int): Width C. Defaults to 256.
        num_heads (int): Attention heads. Defaults to 8.
        num_levels (int): Feature levels L. Defaults to 4.
        num_points (int): Sampling points for a head and level. Defaults
            to 4.
        feedforward_channels (int): Width of the feed-forward network.
            Defaults to 2048.
        self_attention (str): One of :data:`SCHEMES`. Defaults to
            'within_across', that of Group Pose.
        with_cp (bool): Save memory at the cost of time, see
            :func:`recomputable`. Defaults to False.

    Raises:
        ValueError: If the heads do not divide the width, or there is no such
            scheme.
    """

    def __init__(self,
                 embed_dims: int = 256,
                 num_heads: int = 8,
                 num_levels: int = 4,
                 num_points: int = 4,
                 feedforward_channels: int = 2048,
                 self_attention: str = 'within_across',
                 with_cp: bool = False):
        super().__init__()
        if num_heads < 1 or embed_dims % num_heads:
            raise ValueError(
                f'GroupAttentionDecoderLayer: embed_dims={embed_dims} is not '
                f'a multiple of num_heads={num_heads}. Change one of them.')
        if self_attention not in SCHEMES:
            raise ValueError(
                'GroupAttentionDecoderLayer: there is no self_attention='
                f'{self_attention!r}. Take one of {", ".join(SCHEMES)}.')
        self.embed_dims = embed_dims
        self.num_levels = num_levels
        self.with_cp = with_cp

        self.scheme = SCHEMES[self_attention]
        for groups in self.scheme:
            attention = nn.MultiheadAttention(
                embed_dims, num_heads, batch_first=True)
            self.add_module(f'{groups}_attn', attention)
            self.add_module(f'{groups}_norm', nn.LayerNorm(embed_dims))
        self.cross_attn = DeformableAttention(
            embed_dims,
            num_heads,
            num_levels,
            num_points,
            dropout=0.0,
            batch_first=True)
        self.cross_norm = nn.LayerNorm(embed_dims)
        self.linear1 = nn.Linear(embed_dims, feedforward_channels)
        self.linear2 = nn.Linear(feedforward_channels, embed_dims)
        self.ffn_norm = nn.LayerNorm(embed_dims)

    @recomputable
    def forward(self, query: Tensor, query_pos: Tensor,
                reference_points: Tensor, memory: Tensor, memory_mask: Tensor,
                spatial_shapes: Tensor, level_start_index: Tensor) -> Tensor:
        """Update the queries.

        QUIRK: the positional term is added to the stream of queries
        itself, so it is in query, key, value and residual of the attention
        within instances, and again in query and residual of the attention to
        the image; the attention across instances gets none of its own.

        Args:
            query (Tensor): (B, N, K + 1, C).
            query_pos (Tensor): Positional term, zero in slot 0, of the same
                shape.
            reference_points (Tensor): In the padded frame of each level,
                (B, N, K + 1, L, 2).
            memory (Tensor): Encoder output, (B, S, C).
            memory_mask (Tensor): True on padding, bool, (B, S).
            spatial_shapes (Tensor): Heights and widths, int64, (L, 2).
            level_start_index (Tensor): First token of each level, (L, ).

        Returns:
            Tensor: (B, N, K + 1, C).
        """
        query = query + query_pos
        for groups in self.scheme:
            query = self._attend_in_groups(groups, query)
        query = query + query_pos
        # The attention adds its query as residual.
        attended = self.cross_attn(
            query.flatten(1, 2),
            value=memory,
            key_padding_mask=memory_mask,
            reference_points=reference_points.flatten(1, 2),
            spatial_shapes=spatial_shapes,
            level_start_index=level_start_index)
        query = self.cross_norm(attended).view_as(query)
        update = self.linear2(self.linear1(query).relu())
        return self.ffn_norm(query + update)

    def _attend_in_groups(self, groups: str, query: Tensor) -> Tensor:
        """Self-attention of the queries of an instance (within), of a slot,
        that is of one type of keypoint (across), or of all."""
        tokens = query
        if groups == 'across':
            tokens = tokens.transpose(1, 2)
        elif groups == 'full':
            tokens = tokens.flatten(1, 2)[:, None]
        attention = getattr(self, f'{groups}_attn')
        tokens = getattr(self, f'{groups}_norm')(
            tokens + self._attend(attention, tokens))
        if groups == 'across':
            tokens = tokens.transpose(1, 2)
        return tokens.view_as(query) if groups == 'full' else tokens

    @staticmethod
    def _attend(attention: nn.MultiheadAttention, query: Tensor) -> Tensor:
        """Self-attention over the last but one dimension of a 4-d tensor.

        Not by calling the module: in evaluation that takes a path of its
        own, which is slower, and fails in mixed precision on CPUs.
        """
        tokens = query.flatten(0, 1)
        projected = F.linear(tokens, attention.in_proj_weight,
                             attention.in_proj_bias)
        heads = projected.unflatten(-1, (3, attention.num_heads, -1))
        attended = F.scaled_dot_product_attention(
            *heads.permute(2, 0, 3, 1, 4).unbind())
        attended = attended.transpose(1, 2).flatten(2)
        return attention.out_proj(attended).view(query.shape)


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
    """

    def __init__(self, num_layers: int, num_keypoints: int, num_classes: int,
                 layer_cfg: ConfigDict):
        super().__init__()
        layer_cfg = dict(dict(type='GroupAttentionDecoderLayer'), **layer_cfg)
        self.layers = ModuleList(
            [MODELS.build(layer_cfg) for _ in range(num_layers)])
        embed_dims = self.layers[0].embed_dims
        self.embed_dims = embed_dims
        self.num_levels = self.layers[0].num_levels
        self.num_keypoints = num_keypoints

        self.instance_embedding = nn.Embedding(1, embed_dims)
        self.keypoint_embedding = nn.Embedding(num_keypoints, embed_dims)
        self.ref_point_head = FFN(embed_dims, embed_dims, embed_dims, 2)
        self.class_embeds = ModuleList(
            [nn.Linear(embed_dims, num_classes) for _ in range(num_layers)])
        self.pose_embeds = ModuleList(
            [FFN(embed_dims, embed_dims, 2, 3) for _ in range(num_layers)])

    def forward(self, content: Tensor, poses: Tensor, memory: Tensor,
                memory_mask: Tensor, valid_ratios: Tensor,
                spatial_shapes: Tensor,
                level_start_index: Tensor) -> Tuple[List[Tensor]]:
        """Refine the selected poses.

        Args:
            content (Tensor): Features of the selected tokens, (B, N, C).
            poses (Tensor): Their poses, normalized, (B, N, K, 2).
            memory (Tensor): Encoder output, (B, S, C).
            memory_mask (Tensor): True on padding, bool, (B, S).
            valid_ratios (Tensor): Unpadded share of each level's width and
                height, (B, L, 2).
            spatial_shapes (Tensor): Heights and widths, int64, (L, 2).
            level_start_index (Tensor): First token of each level, (L, ).

        Returns:
            tuple[list[Tensor]]: One entry a layer:

            - hidden states that its outputs are predicted from,
              (B, N, K + 1, C), see :func:`as_stored`
            - poses that entered it, normalized, (B, N, K, 2)
        """
        query = self._initial_queries(content)
        query_pos = self._positional_term(poses, valid_ratios)
        hidden_states, entered_poses = [], [poses]
        for layer, pose_embed in zip(self.layers, self.pose_embeds):
            references = with_center(poses)
            query = layer(
                query,
                query_pos,
                reference_points=references[..., None, :] *
                valid_ratios[:, None, None],
                memory=memory,
                memory_mask=memory_mask,
                spatial_shapes=spatial_shapes,
                level_start_index=level_start_index)
            hidden_states.append(query)
            if len(hidden_states) == len(self.layers):
                break
            refined = refine(poses, pose_embed(query[:, :, 1:]))
            entered_poses.append(refined)
            poses = refined.detach()
            query_pos = self._positional_term(poses, valid_ratios)
            hidden_states[-1] = as_stored(query, query_pos)
        return hidden_states, entered_poses

    def predict(self, layer: int, hidden_state: Tensor,
                poses: Tensor) -> Tuple[Tensor, Tensor]:
        """Predict classes and keypoints from a layer's hidden state.

        Args:
            layer (int): Index of the layer.
            hidden_state (Tensor): (B, N, K + 1, C).
            poses (Tensor): Poses that entered the layer, (B, N, K, 2).

        Returns:
            tuple[Tensor]: class logits (B, N, Q) and normalized keypoints
            (B, N, K, 2).
        """
        logits = self.class_embeds[layer](hidden_state[:, :, 0])
        offsets = self.pose_embeds[layer](hidden_state[:, :, 1:])
        return logits, refine(poses, offsets)

    def _initial_queries(self, content: Tensor) -> Tensor:
        """Queries that enter the first layer, (B, N, K + 1, C).

        QUIRK: an instance query starts from its embedding alone, without
        content of the image (and gets no positional term in any layer).
        """
        instance = self.instance_embedding.weight.expand(
            *content.shape[:2], 1, -1)
        keypoints = content[:, :, None] + self.keypoint_embedding.weight
        return torch.cat([instance, keypoints], 2)

    def _positional_term(self, poses: Tensor, valid_ratios: Tensor) -> Tensor:
        """Positional term of the queries, zero in slot 0, (B, N, K + 1, C).

        QUIRK: the keypoints are taken in the padded frame of the first level,
        so the padding of a batch changes the term.
        """
        points = poses * valid_ratios[:, None, None, 0]
        term = self.ref_point_head(sine_embedding(points, self.embed_dims))
        return torch.cat([torch.zeros_like(term[:, :, :1]), term], 2)


def refine(poses: Tensor, offsets: Tensor) -> Tensor:
    """Move normalized points by offsets in logit space.

    The inverse sigmoid is clamped at 1e-3: a point on the border of the
    image or beyond starts from a logit of 6.9.
    """
    return (inverse_sigmoid(poses) + offsets).sigmoid()


def with_center(poses: Tensor) -> Tensor:
    """Put the mean of the K keypoints in front, (..., K + 1, 2)."""
    return torch.cat([poses.mean(-2, keepdim=True), poses], -2)


def as_stored(query: Tensor, next_query_pos: Tensor) -> Tensor:
    """Hidden state of a layer as the official program finds it afterwards.

    QUIRK: there, the next layer adds its positional term in place, to the
    very tensor from which the keypoints of this layer are predicted later.
    The keypoints of all layers but the last thus see the term of the layer
    behind them, and so do their gradients. Results of the last layer do not
    depend on it; training does.
    """
    return query + next_query_pos


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
