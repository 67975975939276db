"""The model: the head and its registered parts."""
from mmpose.models.heads.transformer_heads.transformers import \
    PositionEmbeddingSineHW
from mmpose.models.utils import FrozenBatchNorm2d
from mmpose.registry import MODELS

from .costs import FocalCost, KeypointL1Cost, KeypointOKSCost
from .criterion import SetCriterion
from .decoder import GroupPoseDecoder
from .decoder_layer import GroupAttentionDecoderLayer
from .denoising import OKSDenoisingQueries, ReleasedDenoisingQueries
from .detrpose_decoder import DETRPoseDecoder
from .detrpose_layer import DETRPoseDecoderLayer
from .encoder import DeformableEncoder
from .head import GroupPoseHead
from .hgnetv2 import HGNetV2
from .hybrid_encoder import DFineHybridEncoder
from .losses import (KeypointL1Loss, KeypointOKSLoss, OKSVarifocalLoss,
                     QueryFocalLoss)
from .matcher import KeypointQueryMatcher, UnionMatcher
from .query_selection import LearnedContentSelection, PoseQuerySelection

# MMPose has these classes but no names for them, which configs need.
for module in (FrozenBatchNorm2d, PositionEmbeddingSineHW):
    if module.__name__ not in MODELS:
        MODELS.register_module(module=module)

__all__ = [
    'DETRPoseDecoder', 'DETRPoseDecoderLayer', 'DFineHybridEncoder',
    'DeformableEncoder', 'FocalCost', 'GroupAttentionDecoderLayer',
    'GroupPoseDecoder', 'GroupPoseHead', 'HGNetV2', 'KeypointL1Cost',
    'KeypointL1Loss', 'KeypointOKSCost', 'KeypointOKSLoss',
    'KeypointQueryMatcher', 'LearnedContentSelection', 'OKSDenoisingQueries',
    'OKSVarifocalLoss', 'PoseQuerySelection', 'QueryFocalLoss',
    'ReleasedDenoisingQueries', 'SetCriterion', 'UnionMatcher'
]
