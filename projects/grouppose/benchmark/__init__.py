"""Time, memory and cost of models, measured so that numbers can be compared.

What the programs in ``tools/`` share that measure something: they run their
cases in turns, say on what machine, and write results as they come.
"""
from .machine import describe_machine, markdown_header
from .memory import added_memory, in_fresh_process
from .timing import Timing, clock, take_turns, time_once

__all__ = [
    'Timing', 'added_memory', 'clock', 'describe_machine', 'in_fresh_process',
    'markdown_header', 'take_turns', 'time_once'
]
