"""Deformable attention to the maps of all levels, in full precision also where
the rest of the model is in mixed precision, and the encoder made of it."""
import torch
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import FFN
from mmcv.ops import MultiScaleDeformableAttention
from mmengine.model import ModuleList
from mmengine.runner import autocast
from mmpose.models.heads.transformer_heads.transformers import (
    DeformableDetrTransformerEncoder, DeformableDetrTransformerEncoderLayer)
from torch import Tensor

from .gradient_checkpointing import recomputable


class DeformableAttention(MultiScaleDeformableAttention):
    """mmcv's deformable attention, in the precision of its weights.

    Arguments and names of the weights are mmcv's. Rounded to half precision,
    a sampling location on a map of 167 columns moves by up to 0.04 (float16)
    or 0.33 columns (bfloat16), and mmcv's operator for GPUs does not take
    bfloat16 at all.
    """

    def forward(self, query: Tensor, **kwargs) -> Tensor:
        """Attend to the maps of all levels.

        Args:
            query (Tensor): Queries of any floating dtype, (B, T, C). They
                are added to the result.
            kwargs: The other arguments of mmcv's class.

        Returns:
            Tensor: Of the dtype of the weights, (B, T, C).
        """
        dtype = self.output_proj.weight.dtype
        for name, value in kwargs.items():
            if torch.is_tensor(value) and value.is_floating_point():
                kwargs[name] = value.to(dtype)
        with autocast(device_type=query.device.type, enabled=False):
            return super().forward(query.to(dtype), **kwargs)


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


class DeformableEncoder(DeformableDetrTransformerEncoder):
    """MMPose's encoder made of :class:`DeformableEncoderLayer`."""

    def _init_layers(self) -> None:
        self.layers = ModuleList([
            DeformableEncoderLayer(**self.layer_cfg)
            for _ in range(self.num_layers)
        ])
        self.embed_dims = self.layers[0].embed_dims
