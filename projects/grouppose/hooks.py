"""A hook that makes a resumed run draw the same augmentations."""
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner, set_random_seed
from mmpose.registry import HOOKS


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed the random generators at the start of every training epoch.

    MMEngine restores weights, optimizer and the order of images, but not the
    state of the generators. With this hook a run that was resumed from the
    end of an epoch goes on exactly as if it had not stopped, if the pipeline
    runs in the main process (``num_workers=0``): worker processes have
    generators of their own.
    """

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed by the run's seed, the epoch and the rank."""
        set_random_seed(runner.seed + runner.epoch * get_world_size() +
                        get_rank())
