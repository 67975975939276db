"""The model: the head and its registered parts."""
from mmpose.models.heads.transformer_heads.transformers import \
    PositionEmbeddingSineHW
from mmpose.models.utils import FrozenBatchNorm2d
from mmpose.registry import MODELS

from .correction_queries import CorrectionQueries
from .costs import (FocalCost, KeypointL1Cost, KeypointOKSCost,
                    PoseModulatedFocalCost)
from .criterion import SetCriterion
from .decoder import GroupPoseDecoder
from .decoder_layer import GroupAttentionDecoderLayer
from .denoising import OKSDenoisingQueries, ReleasedDenoisingQueries
from .detrpose_decoder import DETRPoseDecoder
from .detrpose_layer import DETRPoseDecoderLayer
from .distillation import DistributionDistillationLoss
from .efficientnet_lite import EfficientNetLite
from .encoder import DeformableEncoder
from .head import GroupPoseHead
from .hgnetv2 import HGNetV2
from .hybrid_encoder import DFineHybridEncoder
from .joint_losses import JointErrorLoss, LabeledJointLoss, VisibleJointLoss
from .joint_scores import JointScores
from .losses import KeypointL1Loss, KeypointOKSLoss, QueryFocalLoss
from .matcher import KeypointQueryMatcher, UnionMatcher
from .partial_training import PartlyTrainedEstimator
from .quality_losses import (MatchabilityAwareLoss, OKSVarifocalLoss,
                             PositionSupervisedLoss, PredictedOKSLoss)
from .query_groups import EncoderSupervision, GroupQueries
from .query_selection import LearnedContentSelection, PoseQuerySelection

# MMPose has these classes but no names for them, which configs need.
for module in (FrozenBatchNorm2d, PositionEmbeddingSineHW):
    if module.__name__ not in MODELS:
        MODELS.register_module(module=module)

__all__ = [
    'CorrectionQueries', 'DETRPoseDecoder', 'DETRPoseDecoderLayer',
    'DFineHybridEncoder', 'DeformableEncoder', 'DistributionDistillationLoss',
    'EfficientNetLite', 'EncoderSupervision', 'FocalCost',
    'GroupAttentionDecoderLayer', 'GroupPoseDecoder', 'GroupPoseHead',
    'GroupQueries', 'HGNetV2', 'JointErrorLoss', 'JointScores',
    'KeypointL1Cost', 'KeypointL1Loss', 'KeypointOKSCost', 'KeypointOKSLoss',
    'KeypointQueryMatcher', 'LabeledJointLoss', 'LearnedContentSelection',
    'MatchabilityAwareLoss', 'OKSDenoisingQueries', 'OKSVarifocalLoss',
    'PartlyTrainedEstimator', 'PoseModulatedFocalCost', 'PoseQuerySelection',
    'PredictedOKSLoss', 'PositionSupervisedLoss', 'QueryFocalLoss',
    'ReleasedDenoisingQueries', 'SetCriterion', 'UnionMatcher',
    'VisibleJointLoss'
]
