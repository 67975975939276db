"""Timings of several cases in turns, as medians with their spread."""
import random
import statistics
import time
from typing import Any, Callable, Dict, Hashable, List, NamedTuple, Optional

import torch
from tqdm import tqdm


class Timing(NamedTuple):
    """Seconds of a number of runs of the same thing."""
    median: float
    least: float
    most: float

    @classmethod
    def of(cls, seconds: List[float]) -> 'Timing':
        """Summarize a list of timings."""
        return cls(statistics.median(seconds), min(seconds), max(seconds))


def clock() -> float:
    """Seconds, when the GPU, if there is one, has done what it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def time_once(run: Callable[[], Any]) -> float:
    """Seconds of one run, on a GPU until it is done."""
    start = clock()
    run()
    return clock() - start


def take_turns(cases: Dict[Hashable, Callable[[], Any]],
               repeats: int,
               warmup: int = 1,
               progress: Optional[tqdm] = None,
               measure: Callable[[Callable], Any] = time_once) -> dict:
    """Measure cases in turns, so that noise of the machine hits them alike.

    Every turn has an order of its own, the same in every run, as what ran
    before tells in caches and allocators. A case that raises leaves the turns;
    the others go on.

    Args:
        cases (dict): What to run, by name.
        repeats (int): Number of turns that count.
        warmup (int): Number of turns before, which do not.
        progress (tqdm, optional): Bar to move on, by one a run.
        measure (Callable): Measures one run. Defaults to its seconds.

    Returns:
        dict: By name, the list of what was measured, or the exception that
        the case raised.
    """
    results = {name: [] for name in cases}
    order = list(cases.items())
    generator = random.Random(0)
    for turn in range(warmup + repeats):
        generator.shuffle(order)
        for name, run in order:
            if not isinstance(results[name], Exception):
                try:
                    result = measure(run)
                except Exception as error:  # of any model, on any device
                    # Its traceback would keep the tensors alive.
                    results[name] = error.with_traceback(None)
                else:
                    if turn >= warmup:
                        results[name].append(result)
            if progress is not None:
                progress.update()
    return results
