"""The model: the head and its registered parts."""
from mmpose.models.heads.transformer_heads.transformers import \
    PositionEmbeddingSineHW
from mmpose.models.utils import FrozenBatchNorm2d
from mmpose.registry import MODELS

from .costs import FocalCost, KeypointL1Cost, KeypointOKSCost
from .criterion import SetCriterion
from .decoder import GroupPoseDecoder
from .decoder_layer import GroupAttentionDecoderLayer
from .encoder import DeformableEncoder
from .head import GroupPoseHead
from .losses import KeypointL1Loss, KeypointOKSLoss, QueryFocalLoss
from .matcher import KeypointQueryMatcher
from .query_selection import PoseQuerySelection

# MMPose has these classes but no names for them, which configs need.
for module in (FrozenBatchNorm2d, PositionEmbeddingSineHW):
    if module.__name__ not in MODELS:
        MODELS.register_module(module=module)

__all__ = [
    'DeformableEncoder', 'FocalCost', 'GroupAttentionDecoderLayer',
    'GroupPoseDecoder', 'GroupPoseHead', 'KeypointL1Cost', 'KeypointL1Loss',
    'KeypointOKSCost', 'KeypointOKSLoss', 'KeypointQueryMatcher',
    'PoseQuerySelection', 'QueryFocalLoss', 'SetCriterion'
]
