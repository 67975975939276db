"""The decoder layer of DETRPose: attention to the image without projections,
joined to the queries by a gate."""
import torch
from mmpose.registry import MODELS
from torch import Tensor, nn

from .decoder_layer import GroupAttentionDecoderLayer
from .deformable_attention import DeformableAttention
from .tokens import Tokens

# What half precision can hold.
LARGEST = torch.finfo(torch.float16).max


class ProjectionFreeAttention(DeformableAttention):
    """Deformable attention that samples the memory as it is, and returns the
    samples as they are. Arguments: see mmcv's class."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.value_proj = nn.Identity()
        self.output_proj = nn.Identity()

    def init_weights(self) -> None:
        """Sample in all directions around the reference point, equally."""
        if not isinstance(getattr(self, 'value_proj', None), nn.Identity):
            return  # mmcv's constructor calls it before there is everything
        nn.init.zeros_(self.sampling_offsets.weight)
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        # QUIRK: the official program spreads the points in groups of four,
        # and leaves them on the reference point where these do not fit (N).
        if self.num_points % 4:
            nn.init.zeros_(self.sampling_offsets.bias)
            return
        angles = torch.arange(self.num_heads) * (2 * torch.pi / self.num_heads)
        directions = torch.stack([angles.cos(), angles.sin()], -1)
        directions = directions / directions.abs().amax(-1, keepdim=True)
        steps = 1 + torch.arange(self.num_points) % 4
        grid = directions[:, None, None] * steps[:, None]
        grid = grid.expand(-1, self.num_levels, -1, -1)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(grid.flatten())


class Gate(nn.Module):
    """Joins what queries were with what they have seen.

    Args:
        embed_dims (int): Width C.
    """

    def __init__(self, embed_dims: int):
        super().__init__()
        self.gate = nn.Linear(2 * embed_dims, 2 * embed_dims)
        self.norm = nn.LayerNorm(embed_dims)

    def init_weights(self) -> None:
        """QUIRK: the official program sets the weights to zero, and then
        draws them anew with all others; half of each is what comes in."""
        nn.init.xavier_uniform_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def forward(self, query: Tensor, seen: Tensor) -> Tensor:
        """Weigh both, channel by channel, (..., C)."""
        gates = self.gate(torch.cat([query, seen], -1)).sigmoid()
        kept, taken = gates.chunk(2, -1)
        return self.norm(kept * query + taken * seen)


@MODELS.register_module()
class DETRPoseDecoderLayer(GroupAttentionDecoderLayer):
    """Layer of `DETRPose <https://arxiv.org/abs/2506.13027>`_.

    A gate takes the place of the residual connection around the attention to
    the image, which has no projections.

    Args:
        embed_dims (int): Width C. Defaults to 256.
        num_heads (int): Attention heads. Defaults to 8.
        num_levels (int): Feature levels L. Defaults to 3.
        num_points (int): Sampling points per head and level. Defaults to 4.
        kwargs: See :class:`GroupAttentionDecoderLayer`.
    """

    def __init__(self,
                 embed_dims: int = 256,
                 num_heads: int = 8,
                 num_levels: int = 3,
                 num_points: int = 4,
                 feedforward_channels: int = 1024,
                 **kwargs):
        super().__init__(embed_dims, num_heads, num_levels, num_points,
                         feedforward_channels, **kwargs)
        del self.cross_norm
        self.cross_attn = ProjectionFreeAttention(
            embed_dims,
            num_heads,
            num_levels,
            num_points,
            dropout=0.0,
            batch_first=True)
        self.gateway = Gate(embed_dims)

    def attend_to_image(self, query: Tensor, reference_points: Tensor,
                        memory: Tokens) -> Tensor:
        """Deformable attention to the image, joined to the queries by the
        gate, (B, N, K + 1, C)."""
        seen = self.sample(query, reference_points, memory)
        return self.gateway(query, seen.to(query.dtype))

    def feed_forward(self, query: Tensor) -> Tensor:
        """As in the base class, within what float16 can hold."""
        update = self.linear2(self.linear1(query).relu())
        return self.ffn_norm((query + update).clamp(-LARGEST, LARGEST))
