"""Measurements of methods side by side, each a list of rows for the report.

A method that cannot run gives a row with the reason under ``failed``.
"""
from functools import partial
from typing import Callable, Dict, List, Sequence

import torch

from .case import Load
from .machine import copy_bandwidth, gemm_rate
from .memory import peak_memory
from .method import Method
from .modes import PRECISIONS, why_not
from .turns import Settings, shorten, take_turns, time_once


def measure_rates(precisions: Sequence[str],
                  device: str) -> List[Dict[str, float]]:
    """A row of what the machine can do: FLOPs per second by precision, if it
    can run here, and ``bandwidth`` in bytes per second."""
    rates = dict(bandwidth=copy_bandwidth(device))
    for precision in precisions:
        if not why_not(precision, 'eager', device):
            dtype = PRECISIONS[precision] or torch.float32
            rates[precision] = gemm_rate(dtype, device)
    return [rates]


def measure_facts(method: Method, make: Callable) -> List[dict]:
    """A row of what makes a method differ: :meth:`Method.facts`, what
    :meth:`InferenceCase.count_flops` says of the case that ``make`` makes, and
    parameters."""
    row = dict(method.origin(), kind=method.kind)
    try:
        row.update(method.facts())
        case = make(method, Load(people=1))
        row.update(case.count_flops())
        row['parameters'] = sum(x.numel() for x in case.model.parameters())
    except Exception as error:  # of any model
        row['failed'] = shorten(error)
    return [row]


def measure_cases(methods: Sequence[Method],
                  load: Load,
                  make: Callable,
                  settings: Settings,
                  measure: Callable = time_once,
                  with_memory: bool = False,
                  with_costs: bool = False) -> List[dict]:
    """Run the case that is made of each method and a load, in turns.

    Returns:
        list[dict]: method, the load, seconds (a list over turns, or one for
        each part, as ``measure`` tells them), and if asked for memory_mib (the
        peak of a call, weights included) and costs (FLOPs and bytes by part);
        or failed.
    """
    rows, cases = {}, {}
    for method in methods:
        row = rows[method] = dict(method=method.name, **load._asdict())
        try:
            reason = why_not(load.precision, load.mode, settings.device)
            if reason:
                raise RuntimeError(reason)
            if with_memory:
                prepare = partial(_prepare, make, method, load)
                row['memory_mib'] = peak_memory(prepare, settings.device)
            case = make(method, load)
            if with_costs:
                row['costs'] = {
                    part: list(map(float, amounts))
                    for part, amounts in case.count_parts().items()
                }
            cases[method] = case
        except Exception as error:  # of any model
            row['failed'] = shorten(error)
    results = take_turns('turns', cases, settings, measure)
    cases.clear()
    torch.cuda.empty_cache()
    for method, result in results.items():
        if isinstance(result, Exception):
            rows[method]['failed'] = shorten(result)
        elif isinstance(result[0], dict):
            rows[method]['seconds'] = {
                part: [turn[part] for turn in result]
                for part in result[0]
            }
        else:
            rows[method]['seconds'] = result
    return list(rows.values())


def _prepare(make: Callable, method: Method, load: Load) -> Callable:
    """What memory is measured of: making and running a case, after what it
    imports."""
    method.import_modules()
    return lambda: make(method, load)()
