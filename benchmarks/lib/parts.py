"""Which part of a model takes how much of something: seconds, FLOPs, bytes."""
from contextlib import ExitStack, contextmanager
from functools import partial, reduce, wraps
from inspect import ismethod
from typing import Any, Callable, Iterator, List, Tuple

from torch import nn

# Parts by their place in a model, in the order of the report: modules, and
# methods of heads that are not of this project. Children of the model and of
# its heads that are not named here are part of 'head'.
PARTS = {
    'data_preprocessor': 'data preprocessor',
    'backbone': 'backbone',
    'neck': 'neck',
    'head.encoder': 'encoder',
    'head.query_selection': 'query selection',
    'head.pre_decoder': 'query selection',  # from here on of ED-Pose
    'head.memory_trans_fc': 'query selection',
    'head.memory_trans_norm': 'query selection',
    'head.enc_out_class_embed': 'query selection',
    'head.enc_out_bbox_embed': 'query selection',
    'head.decoder': 'decoder',
    'head.decoder.class_embeds': 'output heads',
    'head.decoder.pose_embeds': 'output heads',
    'head.out_head': 'output heads',
    'head': 'head',
    'test_step': 'postprocessing',  # what is nothing else
}
ORDER = ('pipeline', *dict.fromkeys(PARTS.values()))
STAGES = {
    'preprocessing': ORDER[:2],
    'network': ORDER[2:-1],
    'postprocessing': ORDER[-1:]
}


class Stopwatch:
    """Adds up in ``amounts`` what a clock shows, by part, without the parts
    inside. The clock shows a number or an array."""

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


@contextmanager
def watched(model: nn.Module, watch: Stopwatch) -> Iterator[None]:
    """Let a stopwatch see when the parts of a model begin and end."""
    parts = dict(PARTS)
    for name, child in model.named_children():
        parts.setdefault(name, 'head')
        if name.endswith('head'):
            for inner, _ in child.named_children():
                parts.setdefault(f'{name}.{inner}', 'head')
    with ExitStack() as stack:
        for place, part in parts.items():
            for owner, name in _functions_at(model, place):
                change = partial(_counted, watch, part)
                stack.enter_context(replaced(owner, name, change))
        yield


@contextmanager
def replaced(owner: Any, name: str, change: Callable) -> Iterator[None]:
    """Give an object another method, made from the old by ``change``."""
    setattr(owner, name, change(getattr(owner, name)))
    try:
        yield
    finally:
        delattr(owner, name)  # and the method of the class is back


def _functions_at(model: nn.Module, place: str) -> List[Tuple[Any, str]]:
    """Methods to watch. Not by hooks: heads call ``forward`` themselves."""
    *owners, name = place.split('.')
    owner = reduce(lambda x, y: getattr(x, y, None), owners, model)
    target = getattr(owner, name, None)
    if isinstance(target, nn.ModuleList):
        return [(module, 'forward') for module in target]
    if isinstance(target, nn.Module):
        return [(target, name) for name in ('forward', 'forward_test')
                if hasattr(target, name)]
    return [(owner, name)] if ismethod(target) else []


def _counted(watch: Stopwatch, part: str, function: Callable) -> Callable:

    @wraps(function)
    def wrapper(*args, **kwargs):
        with watch.part(part):
            return function(*args, **kwargs)

    return wrapper
