"""The measurements of a benchmark, each for several methods in turns.

Every function returns a row for each method: a dict that goes into the
report. A method that cannot run gives a row with the reason under ``failed``.
"""
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import torch
from torch import nn
from tqdm import tqdm

from .cost import CostCounter
from .machine import copy_bandwidth, gemm_rate
from .memory import added_memory, in_fresh_process
from .methods import Method, make_images, make_optimizer, make_training_batch
from .networks import PRECISIONS, Inference, why_not
from .parts import ORDER, Stopwatch, watched
from .timing import clock, take_turns

STAGES = ('forward', 'backward', 'optimizer')


class Settings(NamedTuple):
    """How to measure.

    Attributes:
        device (str): Where, e.g. 'cpu' or 'cuda'.
        repeats (int): Timings of each.
        warmup (int): Runs of each before them.
        people (int): People on a training image.
    """
    device: str
    repeats: int
    warmup: int
    people: int = 10

    @property
    def runs(self) -> int:
        """Runs of a case in :func:`take_turns`."""
        return self.warmup + self.repeats


class InferenceCase:
    """A method that predicts the same batch over and over."""

    def __init__(self, method: Method, precision: str, mode: str,
                 batch_size: int, settings: Settings):
        model = method.build(settings.device)
        self.infer = Inference(model, precision, mode)
        self.data = make_images(method, batch_size)
        self.model = model

    def __call__(self) -> list:
        return self.infer(self.data)

    def time_parts(self) -> Dict[str, float]:
        """Seconds of each part, of one run."""
        watch = Stopwatch(clock)
        with watched(self.model, watch):
            self()
        return watch.amounts

    def count_parts(self) -> dict:
        """FLOPs and bytes of each part, (2, )."""
        with CostCounter(self.model) as counter:
            watch = Stopwatch(counter.total)
            with watched(self.model, watch):
                self()
        return watch.amounts


class TrainingCase:
    """A method that takes optimizer steps with the same batch."""

    def __init__(self, method: Method, precision: str, batch_size: int,
                 settings: Settings):
        # First what fails for a method that cannot be trained.
        self.batch = make_training_batch(method, batch_size, settings.people)
        self.model: nn.Module = method.build(settings.device).train()
        self.optimizer = make_optimizer(method, self.model, precision)

    def __call__(self) -> Dict[str, float]:
        """Take a step; return the seconds of its :data:`STAGES`."""
        watch = Stopwatch(clock)
        with watch.part('forward'), self.optimizer.optim_context(self.model):
            data = self.model.data_preprocessor(self.batch, True)
            losses = self.model(**data, mode='loss')
            loss, _ = self.model.parse_losses(losses)
        with watch.part('backward'):
            self.optimizer.backward(loss)
        with watch.part('optimizer'):
            self.optimizer.step()
            self.optimizer.zero_grad()
        return watch.amounts


def measure_latency(methods: Sequence[Method],
                    precision: str,
                    mode: str,
                    batch_size: int,
                    settings: Settings,
                    progress: Optional[tqdm] = None) -> List[dict]:
    """Seconds from images to poses, and peak memory.

    Returns:
        list[dict]: config, precision, mode, batch_size, and seconds (a list),
        memory_mib (weights included), or failed.
    """
    reason = why_not(precision, mode, settings.device)
    cases = {
        method:
        partial(InferenceCase, method, precision, mode, batch_size, settings)
        for method in methods
    }
    facts = dict(precision=precision, mode=mode, batch_size=batch_size)
    results = _run_cases(cases, settings, progress, reason)
    return [
        dict(config=method.name, **facts, **_named(result, 'seconds'))
        for method, result in results.items()
    ]


def measure_training(methods: Sequence[Method],
                     precision: str,
                     batch_size: int,
                     settings: Settings,
                     progress: Optional[tqdm] = None) -> List[dict]:
    """Seconds and peak memory of training steps.

    Returns:
        list[dict]: config, precision, batch_size, and stages (a list of
        seconds by stage), memory_mib (weights included), or failed.
    """
    reason = why_not(precision, 'eager', settings.device)
    cases = {
        method: partial(TrainingCase, method, precision, batch_size, settings)
        for method in methods
    }
    results = _run_cases(cases, settings, progress, reason, _call)
    return [
        dict(
            config=method.name,
            precision=precision,
            batch_size=batch_size,
            **_named(result, 'stages')) for method, result in results.items()
    ]


def measure_parts(methods: Sequence[Method],
                  precision: str,
                  batch_size: int,
                  settings: Settings,
                  rates: dict,
                  progress: Optional[tqdm] = None) -> List[dict]:
    """Seconds of each part beside the least that the machine needs for it.

    The floor is the larger of FLOPs by the rate of matrix products and bytes
    by the bandwidth, see :mod:`.cost`.

    Args:
        rates (dict): From :func:`measure_rates`.

    Returns:
        list[dict]: A row for each part of each method: config, precision,
        batch_size, part, seconds (a list), flops, bytes, floor_seconds; or
        one for a method with failed.
    """
    reason = why_not(precision, 'eager', settings.device)
    facts = dict(precision=precision, batch_size=batch_size)
    failed, cases = {}, {}
    for method in methods:
        try:
            if reason:
                raise RuntimeError(reason)
            cases[method] = InferenceCase(method, precision, 'eager',
                                          batch_size, settings)
        except Exception as error:  # of any model
            failed[method] = shorten(error)
            _skip(progress, settings)
    timed = take_turns(
        {
            method: case.time_parts
            for method, case in cases.items()
        }, settings.repeats, settings.warmup, progress, _call)
    rows = []
    for method in methods:
        times = timed.get(method)
        if isinstance(times, Exception):
            failed[method] = shorten(times)
        if method in failed:
            rows.append(
                dict(config=method.name, **facts, failed=failed[method]))
            continue
        costs = cases[method].count_parts()
        for part in sorted(times[0], key=ORDER.index):
            flops, size = map(float, costs[part])
            rows.append(
                dict(
                    config=method.name,
                    **facts,
                    part=part,
                    seconds=[time[part] for time in times],
                    flops=flops,
                    bytes=size,
                    floor_seconds=max(flops / rates[precision],
                                      size / rates['bandwidth'])))
    return rows


def measure_rates(precisions: Sequence[str], device: str) -> Dict[str, float]:
    """What the machine can do: FLOPs a second by precision, ``bandwidth`` in
    bytes a second. Precisions that cannot run here are left out."""
    rates = dict(bandwidth=copy_bandwidth(device))
    for precision in precisions:
        if not why_not(precision, 'eager', device):
            dtype = PRECISIONS[precision] or torch.float32
            rates[precision] = gemm_rate(dtype, device)
    return rates


def shorten(error: Exception) -> str:
    """A short phrase for what went wrong."""
    text = str(error).replace('|', '/')  # for a table
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


def _run_cases(cases: Dict[Method, Callable],
               settings: Settings,
               progress: Optional[tqdm],
               reason: Optional[str],
               measure: Optional[Callable] = None) -> dict:
    """Make the cases, measure their memory, then run them in turns.

    On a GPU the case that is measured is the one that runs then; on a CPU it
    is another of the same in a process of its own.

    Args:
        cases (dict): Makes the case of each method.
        settings (Settings): How to measure.
        progress (tqdm, optional): Bar to move on.
        reason (str, optional): Why none of them can run.
        measure (Callable, optional): See :func:`take_turns`.

    Returns:
        dict: For each method, its measurements and MiB, or the reason why
        there are none.
    """
    made, memory, failed = {}, {}, {}
    for method, make in cases.items():
        try:
            if reason:
                raise RuntimeError(reason)
            if settings.device.startswith('cuda'):
                memory[method] = added_memory(
                    partial(_make_and_run, make, made, method),
                    settings.device)
            else:
                memory[method] = in_fresh_process(_peak_of, make,
                                                  settings.device)
                made[method] = make()
        except Exception as error:  # of any model
            made.pop(method, None)
            failed[method] = shorten(error)
            _skip(progress, settings)
    options = dict(measure=measure) if measure else {}
    results = take_turns(made, settings.repeats, settings.warmup, progress,
                         **options)
    made.clear()
    torch.cuda.empty_cache()
    return {
        method: failed.get(method)
        or _checked(results.get(method), memory, method)
        for method in cases
    }


def _checked(result: Any, memory: dict, method: Method) -> Any:
    if isinstance(result, Exception):
        return shorten(result)
    return result, memory[method]


def _named(result: Any, name: str) -> dict:
    """What :func:`_run_cases` returns for a method, as a part of a row."""
    if isinstance(result, str):
        return dict(failed=result)
    return {name: result[0], 'memory_mib': result[1]}


def _make_and_run(make: Callable, made: dict, method: Method) -> None:
    made[method] = make()
    made[method]()


def _peak_of(make: Callable, device: str) -> float:
    return added_memory(lambda: make()(), device)


def _call(run: Callable) -> Any:
    return run()


def _skip(progress: Optional[tqdm], settings: Settings) -> None:
    if progress is not None:
        progress.update(settings.runs)
