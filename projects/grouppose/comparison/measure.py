"""The measurements of a comparison, each a list of rows for the report.

A method that cannot run gives a row with the reason under ``failed``.
"""
from contextlib import redirect_stdout
from functools import partial
from importlib import import_module
from typing import Any, Callable, Dict, List, Optional, Sequence

import torch
from tqdm import tqdm

from ..benchmark import added_memory, in_fresh_process, take_turns
from ..benchmark.measure import Settings as TrainingSettings
from ..benchmark.measure import TrainingCase, shorten
from .cases import PARTS, InferenceCase, Settings
from .contender import Contender


def measure_facts(contender: Contender, settings: Settings) -> List[dict]:
    """What of its config makes a method differ, and how large it is.

    Returns:
        list[dict]: One row: what :meth:`Contender.facts` says, with the size
        of the input that the first image or crop had after preprocessing,
        parameters, and flops (of this one, two for a multiplication and an
        addition, without a flip test), or failed.
    """
    row = dict(
        method=contender.name,
        kind=contender.kind,
        config=contender.config,
        checkpoint=contender.checkpoint)
    try:
        row.update(contender.facts())
        case = InferenceCase(contender, 1, 1, settings)
        flops, size = case.count_flops()
    except Exception as error:  # of any model
        return [dict(row, failed=shorten(error))]
    parameters = sum(x.numel() for x in case.model.parameters())
    return [
        dict(row, input_size=list(size), parameters=parameters, flops=flops)
    ]


def measure_latency(contenders: Sequence[Contender],
                    detector: Optional[Contender],
                    batch_size: int,
                    people: int,
                    settings: Settings,
                    progress: Optional[tqdm] = None) -> List[dict]:
    """Seconds from images in memory to poses, in turns.

    Args:
        contenders (Sequence[Contender]): The methods.
        detector (Contender, optional): Measured in the same turns.
        batch_size (int): Number of images.
        people (int): Boxes in each that top-down methods get.
        settings (Settings): How to measure.
        progress (tqdm, optional): Bar to move on, by ``settings.runs`` for
            each method and the detector.

    Returns:
        list[dict]: method, batch_size, people, and seconds (by part, a list
        with the sum over all images and crops for each turn), or failed.
    """
    if detector is not None:
        contenders = [*contenders, detector]
    results = _take_turns(
        {
            contender.name:
            partial(InferenceCase, contender, batch_size, people, settings)
            for contender in contenders
        }, settings, progress)
    facts = dict(batch_size=batch_size, people=people)
    rows = []
    for name, result in results.items():
        if not isinstance(result, str):
            seconds = {part: [turn[part] for turn in result] for part in PARTS}
            rows.append(dict(method=name, **facts, seconds=seconds))
        else:
            rows.append(dict(method=name, **facts, failed=result))
    return rows


def measure_memory(contender: Contender, batch_size: int, people: int,
                   settings: Settings) -> List[dict]:
    """Peak memory of a method, its weights included.

    Returns:
        list[dict]: One row: method, batch_size, people, and memory_mib, or
        failed.
    """
    row = dict(method=contender.name, batch_size=batch_size, people=people)
    make = partial(InferenceCase, contender, batch_size, people, settings)
    try:
        row['memory_mib'] = _peak_memory(contender, make, settings)
    except Exception as error:  # of any model
        row['failed'] = shorten(error)
    return [row]


def measure_training(contenders: Sequence[Contender],
                     batch_size: int,
                     people: int,
                     settings: Settings,
                     progress: Optional[tqdm] = None) -> List[dict]:
    """Seconds of an optimizer step, in turns, and peak memory.

    Images and people are made up; the targets are the config's own.

    Args:
        contenders (Sequence[Contender]): The methods.
        batch_size (int): Number of images.
        people (int): People in each, every one a crop for top-down methods.
        settings (Settings): How to measure.
        progress (tqdm, optional): Bar to move on, by ``settings.runs`` for
            each method.

    Returns:
        list[dict]: method, batch_size, people, and seconds (a list) and
        memory_mib, or failed.
    """
    makers, memory, failed = {}, {}, {}
    for contender in contenders:
        make = partial(_make_training, contender, batch_size, people, settings)
        try:
            memory[contender.name] = _peak_memory(contender, make, settings)
            makers[contender.name] = make
        except Exception as error:  # of any model
            failed[contender.name] = shorten(error)
            _skip(progress, settings)
    results = _take_turns(makers, settings, progress)
    rows = []
    for contender in contenders:
        name = contender.name
        row = dict(method=name, batch_size=batch_size, people=people)
        result = failed.get(name) or results[name]
        if isinstance(result, str):
            row['failed'] = result
        else:
            row['seconds'] = [sum(stages.values()) for stages in result]
            row['memory_mib'] = memory[name]
        rows.append(row)
    return rows


def _make_training(contender: Contender, batch_size: int, people: int,
                   settings: Settings) -> TrainingCase:
    if contender.kind == 'top-down':
        batch_size, people = batch_size * people, 1
    training = TrainingSettings(settings.device, settings.repeats,
                                settings.warmup, people)
    # MMPose's optimizer of ViTPose prints its settings.
    with contender.scope(), redirect_stdout(None):
        return TrainingCase(contender, 'fp32', batch_size, training)


def _take_turns(makers: Dict[str, Callable], settings: Settings,
                progress: Optional[tqdm]) -> Dict[str, Any]:
    """Make cases and run them in turns.

    Returns:
        dict: By name, what the case returned in each turn (a list), or the
        reason why there is nothing (str).
    """
    cases, failed = {}, {}
    for name, make in makers.items():
        try:
            cases[name] = make()
        except Exception as error:  # of any model
            failed[name] = shorten(error)
            _skip(progress, settings)
    results = take_turns(cases, settings.repeats, settings.warmup, progress,
                         _call)
    cases.clear()
    torch.cuda.empty_cache()
    for name, result in results.items():
        if isinstance(result, Exception):
            failed[name] = shorten(result)
    return {name: failed.get(name) or results[name] for name in makers}


def _peak_memory(contender: Contender, make: Callable,
                 settings: Settings) -> float:
    """MiB that a case takes, on a CPU in a process of its own."""
    if settings.device.startswith('cuda'):
        peak = added_memory(partial(_make_and_run, make), settings.device)
        torch.cuda.empty_cache()
        return peak
    return in_fresh_process(_peak_of, contender, make, settings.device)


def _peak_of(contender: Contender, make: Callable, device: str) -> float:
    _import_modules(contender)
    return added_memory(partial(_make_and_run, make), device)


def _import_modules(contender: Contender) -> None:
    """Import what a config needs, whose code is no memory of the model."""
    if contender.kind == 'detector':
        import_module('mmdet.models')
    elif 'mmpretrain.' in str(contender.read().model):
        import_module('mmpretrain.models')


def _make_and_run(make: Callable) -> None:
    make()()


def _call(run: Callable) -> Any:
    return run()


def _skip(progress: Optional[tqdm], settings: Settings) -> None:
    if progress is not None:
        progress.update(settings.runs)
