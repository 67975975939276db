"""How training runs: hooks and optimizer wrappers for MMEngine's runner."""
from .atomic_checkpoint_hook import AtomicCheckpointHook
from .augmentation_schedule_hook import AugmentationScheduleHook
from .bfloat16_optim_wrapper import BFloat16OptimWrapper
from .epoch_seed_hook import EpochSeedHook
from .gradient_guard_hook import GradientGuardHook
from .update_ema_hook import UpdateEMAHook

__all__ = [
    'AtomicCheckpointHook', 'AugmentationScheduleHook', 'BFloat16OptimWrapper',
    'EpochSeedHook', 'GradientGuardHook', 'UpdateEMAHook'
]
