"""How training runs: hooks, optimizer wrappers and the runner of MMEngine."""
from .atomic_checkpoint_hook import AtomicCheckpointHook
from .bfloat16_optim_wrapper import BFloat16OptimWrapper
from .epoch_seed_hook import EpochSeedHook
from .gradient_guard_hook import GradientGuardHook
from .runner import SafeRunner

__all__ = [
    'AtomicCheckpointHook', 'BFloat16OptimWrapper', 'EpochSeedHook',
    'GradientGuardHook', 'SafeRunner'
]
