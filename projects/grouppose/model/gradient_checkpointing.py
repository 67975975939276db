"""Gradient checkpointing: layers that repeat their forward pass during the
backward pass instead of storing its intermediate results."""
from functools import wraps
from typing import Callable

import torch
from torch.utils.checkpoint import checkpoint


def recomputable(forward: Callable) -> Callable:
    """Decorator for ``forward`` that adds gradient checkpointing.

    If the layer's ``with_cp`` is True (the name is that of MMPose's
    backbones), it stores only its inputs and runs again during the backward
    pass, which saves memory and costs time. Gradients stay the same.

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
