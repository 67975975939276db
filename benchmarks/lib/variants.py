"""Variants of the same computation in turns: time, and memory if wanted."""
from typing import Callable, Dict, Hashable, List

from .memory import peak_memory
from .results import mebibytes, milliseconds, times_as_fast
from .turns import Settings, take_turns

COLUMNS = {
    'what': 'what',
    'computed by': 'case',
    'time (ms)': milliseconds(),
    'times as fast as the first': times_as_fast,
}
MEMORY = {'peak memory (MiB)': mebibytes}


def time_variants(what: str, cases: Dict[Hashable, Callable],
                  settings: Settings) -> List[dict]:
    """Run variants in turns; what one raises is raised.

    Returns:
        list[dict]: A row for each: what they compute, case (its name),
        seconds (a list) and first (those of the first in the same turns).
    """
    results = take_turns(what, cases, settings)
    for result in results.values():
        if isinstance(result, Exception):
            raise result
    first, *_ = results.values()
    return [
        dict(what=what, case=name, seconds=seconds, first=first)
        for name, seconds in results.items()
    ]


def measure_variants(what: str, cases: Dict[Hashable, Callable],
                     settings: Settings) -> List[dict]:
    """:func:`time_variants` of what each case prepares, with the memory_mib
    that :func:`peak_memory` measures of it."""
    peaks = [peak_memory(make, settings.device) for make in cases.values()]
    runs = {name: make() for name, make in cases.items()}
    rows = time_variants(what, runs, settings)
    return [dict(row, memory_mib=peak) for row, peak in zip(rows, peaks)]
