"""Cases that take turns, so that noise of the machine hits all alike."""
import random
import time
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Callable, Dict, Hashable, NamedTuple

import torch
from tqdm import trange


class Settings(NamedTuple):
    """How to measure: on 'cpu' or 'cuda', how many turns that count, and how
    many before them that do not."""
    device: str = 'cpu'
    repeats: int = 5
    warmup: int = 1


def clock() -> float:
    """Seconds, once the GPU, if there is one, has done what it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def time_once(run: Callable[[], Any]) -> float:
    """Seconds of one run, on a GPU until it is done."""
    start = clock()
    run()
    return clock() - start


def take_turns(what: str,
               cases: Dict[Hashable, Any],
               settings: Settings,
               measure: Callable[[Any], Any] = time_once) -> dict:
    """Measure cases by their names in turns, behind a bar that says what.

    Every turn has an order of its own, the same in every run, as what ran
    before tells in caches and allocators. A case that raises leaves the turns;
    the others go on.

    Returns:
        dict: By name, the list of what was measured, or the exception that
        the case raised.
    """
    results = {name: [] for name in cases}
    order = list(cases.items())
    generator = random.Random(0)
    for turn in trange(
            settings.warmup + settings.repeats, desc=what, leave=False):
        generator.shuffle(order)
        for name, case in order:
            if isinstance(results[name], Exception):
                continue
            try:
                result = measure(case)
            except Exception as error:  # of any model, on any device
                # Its traceback would keep the tensors alive.
                results[name] = error.with_traceback(None)
            else:
                results[name] += [result] * (turn >= settings.warmup)
    return results


def shorten(error: Exception) -> str:
    """A short phrase for what went wrong, which fits into a table."""
    text = str(error).replace('|', '/')
    if isinstance(error, BrokenProcessPool):
        return 'process killed, probably out of memory'
    if isinstance(error, MemoryError) or 'out of memory' in text or \
            "can't allocate memory" in text:
        return 'out of memory'
    first, *_ = text.strip().splitlines() or ['']
    kind = type(error).__name__
    if kind == 'RuntimeError':
        return first[:100] or kind
    return f'{kind}: {first}'[:100]
