"""Training in bfloat16, on GPUs that know it and on CPUs."""
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import autocast
from mmpose.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Forward passes in bfloat16, weights and updates in float32.

    MMEngine's ``AmpOptimWrapper`` scales the loss so that float16 does not
    lose small gradients, and runs on GPUs only. bfloat16 has the range of
    float32 and needs no scaling.

    Args:
        kwargs: Arguments of ``OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module):
        """The context in which MMEngine calls the model."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
