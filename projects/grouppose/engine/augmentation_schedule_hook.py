"""A hook that turns augmentations on and off by epoch."""
from typing import Optional, Sequence

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpose.registry import HOOKS

from ..data.schedule import SWITCHES


@HOOKS.register_module()
class AugmentationScheduleHook(Hook):
    """Say which epochs have which augmentations.

    Those are :class:`ScheduledTransforms` of the training pipeline and batch
    augmentations with a ``schedule``. Worker processes that live on between
    epochs are told, too, and a resumed run has the augmentations of its epoch.

    Args:
        schedules (Sequence[int], optional): By the name of the schedule, the
            first epoch and the one after the last, counted from 0. None takes
            one out that a base config has; it then is on in all epochs.

    Raises:
        ValueError: Before training, if there is no such schedule, or the run
            does not train by epochs.

    Example:
        >>> default_hooks = dict(
        >>>     augmentation=dict(
        >>>         type='AugmentationScheduleHook', mosaic=(5, 53)))
    """

    def __init__(self, **schedules: Optional[Sequence[int]]):
        self.schedules = {
            name: tuple(epochs)
            for name, epochs in schedules.items() if epochs is not None
        }
        for name, epochs in self.schedules.items():
            if len(epochs) != 2 or not 0 <= epochs[0] <= epochs[1]:
                raise ValueError(
                    f'AugmentationScheduleHook: {name}={epochs} must be the '
                    'first epoch and the one after the last.')

    def before_train(self, runner: Runner) -> None:
        """Find out whether the names mean something."""
        if not self.schedules:
            return
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError(
                f'AugmentationScheduleHook: {type(runner.train_loop).__name__}'
                ' does not train by epochs. Set by_epoch=True in train_cfg, '
                'or take the hook out of the config.')
        unknown = set(self.schedules) - set(SWITCHES)
        if unknown:
            raise ValueError(
                'AugmentationScheduleHook: nothing has the schedule '
                f'{", ".join(sorted(unknown))}. Name it in ScheduledTransforms'
                ' of the training pipeline or in batch_augments of the data '
                f'preprocessor, where there is: '
                f'{", ".join(SWITCHES) or "none"}.')

    def before_train_epoch(self, runner: Runner) -> None:
        """Turn everything on or off."""
        for name, (begin, end) in self.schedules.items():
            on = begin <= runner.epoch < end
            if on != SWITCHES[name].is_on:
                runner.logger.info(f'Augmentation: {name} is '
                                   f'{"on" if on else "off"} now.')
            SWITCHES[name].turn(on)

    def after_train(self, runner: Runner) -> None:
        """Leave them on, as they are without this hook."""
        for name in self.schedules:
            SWITCHES[name].turn(True)
