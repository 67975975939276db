"""The encoder: tokens of all levels attend to each other by deformable
attention."""
from typing import Optional

from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import ModuleList
from mmpose.models.heads.transformer_heads.transformers import (
    DeformableDetrTransformerEncoder, DeformableDetrTransformerEncoderLayer)
from mmpose.registry import MODELS
from torch import Tensor

from .deformable_attention import DeformableAttention
from .gradient_checkpointing import recomputable
from .initialization import init_attention
from .tokens import Tokens


class DeformableEncoderLayer(DeformableDetrTransformerEncoderLayer):
    """MMPose's encoder layer with :class:`DeformableAttention`.

    Args:
        with_cp (bool): See :func:`recomputable`. Defaults to False.
        kwargs: Arguments of MMPose's class.
    """

    def __init__(self, with_cp: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.with_cp = with_cp

    def _init_layers(self) -> None:
        self.self_attn = DeformableAttention(**self.self_attn_cfg)
        self.embed_dims = self.self_attn.embed_dims
        self.ffn = FFN(**self.ffn_cfg)
        self.norms = ModuleList([
            build_norm_layer(self.norm_cfg, self.embed_dims)[1]
            for _ in range(2)
        ])

    forward = recomputable(DeformableDetrTransformerEncoderLayer.forward)


@MODELS.register_module()
class DeformableEncoder(DeformableDetrTransformerEncoder):
    """MMPose's encoder made of :class:`DeformableEncoderLayer`.

    Any registered module can take its place: it is called with tokens and
    their positional encoding and returns the memory, and has the attributes
    ``embed_dims`` and ``num_levels``.

    Args:
        kwargs: Arguments of MMPose's class: ``num_layers`` and
            ``layer_cfg``.

    Raises:
        ValueError: If attention and feed-forward network differ in width.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.num_levels = self.layers[0].self_attn.num_levels
        width = self.layers[0].ffn.embed_dims
        if width != self.embed_dims:
            raise ValueError(
                f'DeformableEncoder: layer_cfg.ffn_cfg.embed_dims is {width}, '
                'but layer_cfg.self_attn_cfg.embed_dims is '
                f'{self.embed_dims}. Make them the same.')

    def _init_layers(self) -> None:
        self.layers = ModuleList([
            DeformableEncoderLayer(**self.layer_cfg)
            for _ in range(self.num_layers)
        ])
        self.embed_dims = self.layers[0].embed_dims

    def init_weights(self) -> None:
        """Initialize weights: matrices from Xavier's uniform distribution,
        sampling points around each token."""
        init_attention(self)

    def forward(self, tokens: Tokens, positions: Optional[Tensor]) -> Tensor:
        """Encode the tokens, layer by layer.

        Args:
            tokens (Tokens): From the maps of the neck.
            positions (Tensor, optional): Their positional encoding,
                (B, S, C).

        Returns:
            Tensor: The memory, (B, S, C).
        """
        references = (
            tokens.centers()[:, :, None] * tokens.valid_ratios[:, None])
        memory = tokens.features
        for layer in self.layers:
            memory = layer(
                query=memory,
                query_pos=positions,
                key_padding_mask=tokens.mask,
                reference_points=references,
                spatial_shapes=tokens.spatial_shapes,
                level_start_index=tokens.level_start_index)
        return memory
