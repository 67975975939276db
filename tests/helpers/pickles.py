"""What checkpoint files hold, harmless and not."""
import collections

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch.optim.lr_scheduler import MultiStepLR

WEIGHTS = dict(bias=torch.arange(2.0), index=torch.tensor([3]))


class Made:
    """Is unpickled in the way that it is given."""

    def __init__(self, *way):
        self.way = way

    def __reduce_ex__(self, protocol):
        return self.way

    def __call__(self):
        """What pickle wants of a function that is itself made by a call."""


def make_run() -> dict:
    """What MMEngine saves of a run, with all kinds of values in it."""
    losses = HistoryBuffer()
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1)
    for loss in (3, 1.5):
        losses.update(loss, 2)
    return dict(
        meta=dict(
            epoch=1,
            seed=None,
            dataset_meta=dict(
                sigmas=np.full(17, 0.05, dtype=np.float32),
                flip_indices=[1, 0],
                upper_body_ids=np.arange(3),
                shown=np.array([True, False]),
                colors=np.array([[255, 128, 0]], dtype=np.uint8),
                no_links=np.empty((0, 3), dtype=np.uint8))),
        message_hub=dict(
            log_scalars=collections.OrderedDict(loss=losses),
            runtime_info=dict(best=np.float64(0.5), step=np.int64(3))),
        optimizer=dict(state={0: dict(exp_avg=torch.ones(2))}),
        param_schedulers=[MultiStepLR(optimizer, [3, 5]).state_dict()],
        state_dict=collections.OrderedDict(WEIGHTS))
