"""Peak memory, on a GPU of its allocator, on a CPU of a fresh process."""
import ctypes
import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Callable

import torch


def peak_memory(prepare: Callable[[], Callable], device: str) -> float:
    """MiB that a run takes at its peak, beyond what its preparation left.

    On a CPU it is the resident memory of a new process, as the peak of a
    process never falls again; ``prepare``, which returns what is run, is
    pickled then. Needs Linux with glibc.
    """
    if device == 'cpu':
        return in_fresh_process(added_memory, prepare, device)
    return added_memory(prepare, device)


def added_memory(prepare: Callable[[], Callable], device: str) -> float:
    """:func:`peak_memory`, measured in this process."""
    run = prepare()
    if device == 'cpu':
        # What was freed goes back to the system, and the peak is from here on
        # that of what follows.
        ctypes.CDLL('libc.so.6').malloc_trim(0)
        Path('/proc/self/clear_refs').write_text('5')
        before = _peak_of_this_process()
        run()
        return _peak_of_this_process() - before
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    torch.cuda.synchronize(device)
    return (torch.cuda.max_memory_allocated(device) - before) / 2**20


def in_fresh_process(function: Callable, *args) -> Any:
    """Call a function of a module in a new process, which ends with it."""
    with ProcessPoolExecutor(
            1,
            mp_context=multiprocessing.get_context('spawn'),
            initializer=torch.set_num_threads,
            initargs=(torch.get_num_threads(), )) as executor:
        return executor.submit(function, *args).result()


def _peak_of_this_process() -> float:
    """MiB. Not from ``getrusage``, which includes the parent's peak."""
    status = Path('/proc/self/status').read_text()
    return int(re.search(r'VmHWM:\s+(\d+)', status)[1]) / 1024
