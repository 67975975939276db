"""Evaluation: the metrics, several data sets at once, and a check of data set
and annotation file before anything is run."""
from .check_hook import EvaluationCheckHook
from .matched_poses import MatchedPoses, match_poses
from .metric import (ClassAgnosticCocoMetric, PoseCocoMetric,
                     PoseCocoWholeBodyMetric)
from .multi_dataset import PoseMultiDatasetEvaluator

__all__ = [
    'ClassAgnosticCocoMetric', 'EvaluationCheckHook', 'MatchedPoses',
    'PoseCocoMetric', 'PoseCocoWholeBodyMetric', 'PoseMultiDatasetEvaluator',
    'match_poses'
]
