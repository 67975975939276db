"""Less memory for more time: layers that compute their forward pass again
instead of keeping what the backward pass needs."""
from functools import wraps
from typing import Callable

import torch
from torch.utils.checkpoint import checkpoint


def recomputable(forward: Callable) -> Callable:
    """Let a layer's ``with_cp`` switch gradient checkpointing on.

    With ``with_cp=True``, as MMPose's backbones call it, the layer keeps only
    its inputs and runs again during the backward pass. Gradients stay the
    same.

    Args:
        forward (Callable): The ``forward`` method of a module that has an
            attribute ``with_cp``.

    Returns:
        Callable: The method to use in its place.
    """

    @wraps(forward)
    def wrapper(layer, *args, **kwargs):
        if layer.with_cp and torch.is_grad_enabled():
            return checkpoint(
                forward, layer, *args, use_reentrant=False, **kwargs)
        return forward(layer, *args, **kwargs)

    return wrapper
