"""How the threads of a CPU should wait for each other.

    python benchmarks/waiting.py --out DIR

A training step of the quickstart's model under several settings of GNU's
OpenMP, on the machine as it is and beside programs that keep processors busy.
Each turn is a new process that takes a few steps, as the setting is read once.
DIR gets waiting.md and waiting.json.
"""
import multiprocessing
import os
import statistics
from contextlib import contextmanager
from typing import Dict, Iterator

from program import ArgumentParser

from benchmarks.lib.case import Load, TrainingCase
from benchmarks.lib.memory import in_fresh_process
from benchmarks.lib.method import find_method
from benchmarks.lib.results import Results, milliseconds
from benchmarks.lib.turns import take_turns, time_once

CONFIG = ('configs/body_2d_keypoint/grouppose/drawn/'
          'grouppose_tiny-res18_1xb8-6e_drawn-128.py')
PASSIVE = 'OMP_WAIT_POLICY'
SPINS = 'GOMP_SPINCOUNT'
POLICIES: Dict[str, Dict[str, str]] = {'default': {}}
for _setting in (f'{SPINS}=10000', f'{SPINS}=3000', f'{SPINS}=1000',
                 f'{SPINS}=300', f'{PASSIVE}=PASSIVE'):
    POLICIES[_setting] = dict([_setting.split('=')])


def compute_forever() -> None:
    """A program that wants one processor."""
    while True:
        pass


@contextmanager
def other_programs(count: int) -> Iterator[None]:
    """Some programs that compute until the context ends."""
    context = multiprocessing.get_context('spawn')
    programs = [
        context.Process(target=compute_forever, daemon=True)
        for _ in range(count)
    ]
    for program in programs:
        program.start()
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.join()


def time_step(steps: int) -> float:
    """Seconds of a training step, the median of some, after two that do not
    count."""
    case = TrainingCase(find_method(CONFIG, (128, 128)), Load(batch_size=8))
    seconds = [time_once(case) for _ in range(2 + steps)]
    return statistics.median(seconds[2:])


def time_policy(policy: Dict[str, str], steps: int) -> float:
    """:func:`time_step` in a process with a setting."""
    before = dict(os.environ)
    for name in (PASSIVE, SPINS):
        os.environ.pop(name, None)
    os.environ.update(policy)
    try:
        return in_fresh_process(time_step, steps)
    finally:
        os.environ.clear()
        os.environ.update(before)


def main(argv=None) -> None:
    parser = ArgumentParser(__doc__, repeats=3, warmup=0)
    parser.add_number('--steps', 10, 'steps of a turn')
    parser.add_number('--programs', 3, 'programs beside it')
    args = parser.parse_args(argv)
    results = Results(
        args.out / 'waiting', 'How threads wait',
        'A training step of the small Group Pose of drawn people, 8 images of '
        '128 x 128 pixels. Each turn is the median of '
        f'{args.steps} steps of a new process; medians (least to most) of '
        f'{args.repeats} turns.', {
            'other programs': 'programs',
            'setting': 'policy',
            'step (ms)': milliseconds(digits=0)
        })
    for count in (0, args.programs):
        with other_programs(count):
            turns = take_turns(f'beside {count} programs', POLICIES,
                               args.settings,
                               lambda policy: time_policy(policy, args.steps))
        for policy, seconds in turns.items():
            if isinstance(seconds, Exception):
                raise seconds
            results.add(dict(programs=count, policy=policy, seconds=seconds))
    print(results.markdown())


if __name__ == '__main__':
    main()
