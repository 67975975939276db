"""Initialization of weights, as in the official program."""
import math

from mmpose.models.heads.transformer_heads.transformers.utils import FFN
from torch import nn

from .deformable_attention import DeformableAttention


def init_attention(part: nn.Module) -> None:
    """Initialize layers of attention as the official program does.

    Matrices from Xavier's uniform distribution, biases of the self-attention
    zero, and deformable attention as mmcv does.

    Args:
        part (nn.Module): The module whose layers are initialized.
    """
    for parameter in part.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    for module in part.modules():
        if isinstance(module, nn.MultiheadAttention):
            nn.init.zeros_(module.in_proj_bias)
            nn.init.zeros_(module.out_proj.bias)
        elif isinstance(module, DeformableAttention):
            module.init_weights()


def init_class_embed(layer: nn.Linear) -> None:
    """Initialize a classification layer so that all scores start at 0.01, as
    usual with a focal loss."""
    layer.reset_parameters()
    nn.init.constant_(layer.bias, -math.log((1 - 0.01) / 0.01))


def init_pose_embed(head: FFN) -> None:
    """Initialize a pose head so that all offsets start at zero."""
    for layer in head.layers:
        layer.reset_parameters()
    nn.init.zeros_(head.layers[-1].weight)
    nn.init.zeros_(head.layers[-1].bias)
