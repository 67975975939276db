"""A layer of the decoder: self-attention in groups, deformable attention to
the image, feed-forward network."""
from typing import Optional

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpose.registry import MODELS
from torch import Tensor, nn

from .deformable_attention import DeformableAttention
from .gradient_checkpointing import recomputable
from .tokens import Tokens

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
    """Decoder layer of Group Pose: self-attention within each instance,
    self-attention across instances, deformable attention to the image, and a
    feed-forward network.

    For comparison, ``self_attention`` selects other schemes: only one of the
    two, both in the other order, one attention over all N * (K + 1) queries
    (``'full'``), or none.

    Args:
        embed_dims (int): Width C. Defaults to 256.
        num_heads (int): Attention heads. Defaults to 8.
        num_levels (int): Feature levels L. Defaults to 4.
        num_points (int): Sampling points per head and level. Defaults
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
    def forward(self,
                query: Tensor,
                query_pos: Tensor,
                reference_points: Tensor,
                memory: Tokens,
                attention_mask: Optional[Tensor] = None) -> Tensor:
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
            memory (Tokens): The encoder's output.
            attention_mask (Tensor, optional): True where an instance must
                not attend to another, bool, (N, N).

        Returns:
            Tensor: (B, N, K + 1, C).
        """
        query = self.attend_to_queries(query + query_pos, attention_mask)
        query = self.attend_to_image(query + query_pos, reference_points,
                                     memory)
        return self.feed_forward(query)

    def feed_forward(self, query: Tensor) -> Tensor:
        """Transform each query by itself, (B, N, K + 1, C)."""
        update = self.linear2(self.linear1(query).relu())
        return self.ffn_norm(query + update)

    def attend_to_queries(self,
                          query: Tensor,
                          attention_mask: Optional[Tensor] = None) -> Tensor:
        """Self-attention by the scheme, (B, N, K + 1, C)."""
        for groups in self.scheme:
            query = self._attend_in_groups(groups, query, attention_mask)
        return query

    def attend_to_image(self, query: Tensor, reference_points: Tensor,
                        memory: Tokens) -> Tensor:
        """Deformable attention to the image, (B, N, K + 1, C)."""
        seen = self.sample(query, reference_points, memory)
        return self.cross_norm(query + seen)

    def sample(self, query: Tensor, reference_points: Tensor,
               memory: Tokens) -> Tensor:
        """What the queries see around their reference points,
        (B, N, K + 1, C)."""
        seen = self.cross_attn.attend(
            query.flatten(1,
                          2), memory.features, reference_points.flatten(1, 2),
            memory.spatial_shapes, memory.level_start_index, memory.mask)
        return seen.view_as(query)

    def _attend_in_groups(self, groups: str, query: Tensor,
                          mask: Optional[Tensor]) -> Tensor:
        """Self-attention of the queries of an instance (within), of a slot,
        that is of one type of keypoint (across), or of all."""
        tokens = query
        if groups == 'across':
            tokens = tokens.transpose(1, 2)
        elif groups == 'full':
            tokens = tokens.flatten(1, 2)[:, None]
            if mask is not None:
                slots = query.shape[2]
                mask = mask.repeat_interleave(slots,
                                              0).repeat_interleave(slots, 1)
        if groups == 'within':
            mask = None
        attention = getattr(self, f'{groups}_attn')
        tokens = getattr(self, f'{groups}_norm')(
            tokens + self._attend(attention, tokens, mask))
        if groups == 'across':
            tokens = tokens.transpose(1, 2)
        return tokens.view_as(query) if groups == 'full' else tokens

    @staticmethod
    def _attend(attention: nn.MultiheadAttention, query: Tensor,
                mask: Optional[Tensor]) -> Tensor:
        """Self-attention over the last but one dimension of a 4-d tensor.

        Not by calling the module: in evaluation that takes a path of its
        own, which is slower, and fails in mixed precision on CPUs.
        """
        tokens = query.flatten(0, 1)
        projected = F.linear(tokens, attention.in_proj_weight,
                             attention.in_proj_bias)
        heads = projected.unflatten(-1, (3, attention.num_heads, -1))
        queries, keys, values = heads.permute(2, 0, 3, 1, 4).unbind()
        attended = F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=None if mask is None else ~mask)
        attended = attended.transpose(1, 2).flatten(2)
        return attention.out_proj(attended).view(query.shape)
