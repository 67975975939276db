"""The model: backbone, neck, query selection, decoder, matching and losses,
and the head."""
from mmpose.models.utils import FrozenBatchNorm2d
from mmpose.registry import MODELS

from .decoder import GroupAttentionDecoderLayer, GroupPoseDecoder
from .head import GroupPoseHead
from .hgnetv2 import HGNetV2
from .hybrid_encoder import DFineHybridEncoder
from .losses import KeypointL1Loss, KeypointOKSLoss
from .matcher import (FocalCost, KeypointL1Cost, KeypointOKSCost,
                      KeypointQueryMatcher)
from .query_selection import PoseQuerySelection

# MMPose has the class but no name for it, which configs need.
if 'FrozenBatchNorm2d' not in MODELS:
    MODELS.register_module(module=FrozenBatchNorm2d)

__all__ = [
    'DFineHybridEncoder', 'FocalCost', 'GroupAttentionDecoderLayer',
    'GroupPoseDecoder', 'GroupPoseHead', 'HGNetV2', 'KeypointL1Cost',
    'KeypointL1Loss', 'KeypointOKSCost', 'KeypointOKSLoss',
    'KeypointQueryMatcher', 'PoseQuerySelection'
]
