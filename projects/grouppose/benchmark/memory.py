"""Peak memory, on a GPU of its allocator, on a CPU of a fresh process."""
import ctypes
import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Callable, Union

import torch


def added_memory(run: Callable[[], Any], device: Union[str,
                                                       torch.device]) -> float:
    """Peak memory while something runs, beyond the memory before.

    On a CPU it is the resident memory of the process. What libraries keep
    for themselves from earlier work is taken again unseen: call it in a fresh
    process, see :func:`in_fresh_process`.

    Args:
        run (Callable): What to run, once.
        device (str | torch.device): Where it computes.

    Returns:
        float: MiB.

    Raises:
        OSError: If the system does not tell the peak of a process (Linux
            with glibc does).
    """
    if torch.device(device).type == 'cuda':
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        torch.cuda.synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    # What was freed goes back to the system, and the peak is from here on
    # that of what follows.
    ctypes.CDLL('libc.so.6').malloc_trim(0)
    Path('/proc/self/clear_refs').write_text('5')
    before = _peak_of_this_process()
    run()
    return _peak_of_this_process() - before


def in_fresh_process(function: Callable, *args) -> Any:
    """Call a function in a new process, which ends with it.

    Args:
        function (Callable): A function of a module, so that it can be found
            there again.
        args: Its arguments.

    Returns:
        What the function returns. What it raises is raised here.

    Raises:
        BrokenProcessPool: If the process was killed.
    """
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
