"""How training runs: hooks, optimizer wrappers and the runner of MMEngine."""
from .atomic_checkpoint_hook import AtomicCheckpointHook
from .augmentation_schedule_hook import AugmentationScheduleHook
from .bfloat16_optim_wrapper import BFloat16OptimWrapper
from .channels_last_hook import ChannelsLastHook
from .epoch_seed_hook import EpochSeedHook
from .fit_check_hook import FitCheckHook, check_evaluators
from .gradient_guard_hook import GradientGuardHook
from .input_visualization_hook import InputVisualizationHook
from .merged_groups import MergedGroupsConstructor
from .muon import MuonAdamW
from .runner import SafeRunner
from .update_ema_hook import UpdateEMAHook
from .validation_pictures_hook import ValidationPicturesHook

__all__ = [
    'AtomicCheckpointHook', 'AugmentationScheduleHook', 'BFloat16OptimWrapper',
    'ChannelsLastHook', 'EpochSeedHook', 'FitCheckHook', 'GradientGuardHook',
    'InputVisualizationHook', 'MergedGroupsConstructor', 'MuonAdamW',
    'SafeRunner', 'UpdateEMAHook', 'ValidationPicturesHook', 'check_evaluators'
]
