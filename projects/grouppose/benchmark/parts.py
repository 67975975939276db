"""Which part of a model takes how much of something: seconds, FLOPs, bytes."""
from contextlib import ExitStack, contextmanager
from functools import reduce, wraps
from typing import Callable, Dict, Iterator, Optional

from torch import nn

# Callables of a model, found by name; others than these do not have all of
# them. What one of them does outside of the others is its own.
TRANSFORMER_PARTS = {
    'test_step': 'post-processing',
    'data_preprocessor': 'data preprocessor',
    'backbone': 'backbone',
    'neck': 'neck',
    'head.predict': 'post-processing',
    'head.forward_encoder': 'encoder',
    'head.query_selection': 'query selection',
    'head.pre_decoder': 'query selection',  # of ED-Pose
    'head.forward_decoder': 'decoder',
    'head.forward_out_head': 'output heads',
}
OTHER_PARTS = {
    'test_step': 'post-processing',
    'data_preprocessor': 'data preprocessor',
    'backbone': 'backbone',
    'neck': 'neck',
    'head.predict': 'post-processing',
    'head.forward': 'head',
}
ORDER = ('data preprocessor', 'backbone', 'neck', 'encoder', 'query selection',
         'decoder', 'output heads', 'head', 'post-processing')


class Stopwatch:
    """Adds up what a clock shows, by part; parts may contain others.

    Args:
        clock (Callable): Shows how much there has been so far, as a number
            or an array.

    Attributes:
        amounts (dict): By part, without the parts inside.
    """

    def __init__(self, clock: Callable):
        self.clock = clock
        self.amounts = {}
        self._inside = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens in the context to a part."""
        start = self.clock()
        self._inside.append(0)
        try:
            yield
        finally:
            amount = self.clock() - start
            own = amount - self._inside.pop()
            self.amounts[name] = self.amounts.get(name, 0) + own
            if self._inside:
                self._inside[-1] = self._inside[-1] + amount


def find_parts(model: nn.Module) -> Dict[str, str]:
    """Names of the parts of an MMPose model by their place in it."""
    has_encoder = hasattr(model.head, 'forward_encoder')
    parts = TRANSFORMER_PARTS if has_encoder else OTHER_PARTS
    return {
        path: name
        for path, name in parts.items() if _find(model, path) is not None
    }


@contextmanager
def watched(model: nn.Module,
            watch: Stopwatch,
            parts: Optional[Dict[str, str]] = None) -> Iterator[None]:
    """Let a stopwatch see when the parts of a model begin and end.

    Args:
        model (nn.Module): The model.
        watch (Stopwatch): Which is told of them.
        parts (dict[str, str], optional): Their names by their places; places
            that the model does not have are left out. Defaults to those of
            :func:`find_parts`.
    """
    with ExitStack() as stack:
        for path, name in (parts or find_parts(model)).items():
            if _find(model, path) is not None:
                stack.enter_context(
                    replaced(model, path, _with_part(watch, name)))
        yield


@contextmanager
def replaced(model: nn.Module, path: str, change: Callable) -> Iterator[None]:
    """Give a model another method, or one of its modules another forward.

    Args:
        model (nn.Module): The model.
        path (str): Place of the method or module, e.g. 'head.predict'.
        change (Callable): Makes the new function of the old.
    """
    target = _find(model, path)
    if isinstance(target, nn.Module):
        owner, name = target, 'forward'
    else:
        owner, name = _find(model,
                            path.rpartition('.')[0]), path.split('.')[-1]
    setattr(owner, name, change(getattr(owner, name)))
    try:
        yield
    finally:
        delattr(owner, name)  # and the method of the class is back


def _with_part(watch: Stopwatch, name: str) -> Callable:

    def change(function: Callable) -> Callable:

        @wraps(function)
        def wrapper(*args, **kwargs):
            with watch.part(name):
                return function(*args, **kwargs)

        return wrapper

    return change


def _find(model: nn.Module, path: str):
    """The object at a place in the model, None if it is not there."""
    names = path.split('.') if path else []
    return reduce(lambda owner, name: getattr(owner, name, None), names, model)
