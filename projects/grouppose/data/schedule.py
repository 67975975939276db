"""Augmentations that are switched on and off while training runs."""
from typing import Dict, Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform, Compose
from mmcv.transforms.utils import cache_randomness
from mmengine.config import ConfigDict
from mmpose.registry import TRANSFORMS


class Switch:
    """On or off, and the same in worker processes that run already.

    Switches with the same name are the same one, see :func:`get_switch`.
    """

    def __init__(self):
        self._state = torch.ones(1, dtype=torch.bool).share_memory_()

    @property
    def is_on(self) -> bool:
        """bool: On, as long as nothing turns it off."""
        return self._state.item()

    def turn(self, on: bool) -> None:
        """Turn it on or off, everywhere."""
        self._state.fill_(on)

    def __deepcopy__(self, memo: dict) -> 'Switch':
        return self  # a copy would not hear of anything


# By name. `AugmentationScheduleHook` turns them.
SWITCHES: Dict[str, Switch] = {}


def get_switch(name: str) -> Switch:
    """The switch of a name, made the first time that it is asked for."""
    if name not in SWITCHES:
        SWITCHES[name] = Switch()
    return SWITCHES[name]


@TRANSFORMS.register_module()
class ScheduledTransforms(BaseTransform):
    """Transforms for some epochs of the training, and some of the images.

    Args:
        schedule (str): Name under which :class:`AugmentationScheduleHook`
            has the epochs. Without that hook it is all of them.
        transforms (Sequence[dict]): The transforms.
        prob (float): Probability of these transforms in those epochs.
            Defaults to 1.
        otherwise (Sequence[dict]): Transforms for an image that does not get
            these, in any epoch. Defaults to none.
    """

    def __init__(self,
                 schedule: str,
                 transforms: Sequence[ConfigDict],
                 prob: float = 1.0,
                 otherwise: Sequence[ConfigDict] = ()):
        self.switch = get_switch(schedule)
        self.prob = prob
        self.transforms = Compose(transforms)
        self.otherwise = Compose(otherwise)

    @cache_randomness
    def _choose(self) -> bool:
        return self.switch.is_on and np.random.rand() < self.prob

    def transform(self, results: dict) -> dict:
        """Apply one of the two lists of transforms."""
        chosen = self.transforms if self._choose() else self.otherwise
        return chosen(results)
