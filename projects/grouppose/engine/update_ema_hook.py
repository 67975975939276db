"""A hook that averages weights once an update, not once a batch."""
from mmengine.hooks import EMAHook
from mmengine.runner import Runner
from mmpose.registry import HOOKS


@HOOKS.register_module()
class UpdateEMAHook(EMAHook):
    """MMEngine's ``EMAHook`` for gradient accumulation.

    The averaged weights follow those of the model whenever an update has
    changed them. MMEngine's hook counts every batch instead, so that the
    average would forget ``accumulative_counts`` times as fast.

    Args:
        kwargs: Arguments of ``EMAHook``.
    """

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Average if this iteration has changed the weights."""
        if runner.optim_wrapper.should_update():
            super().after_train_iter(runner, *args, **kwargs)
