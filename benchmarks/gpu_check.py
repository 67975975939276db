"""All that is to be known about a GPU, in one command and a few minutes.

    bash tools/gpu_check.sh OUT

Steps run in the order of their importance, each a process of its own under a
time limit, those that measure no time side by side. OUT gets gpu_check.md and
gpu_check.json, which are written again whenever a step has written something,
so that a kill loses nothing, and gpu_check.log with what all steps printed.
``--rehearse`` runs every step on the CPU with tiny models: the same programs
and files, and no results.
"""
import argparse
import functools
import importlib.util
import itertools
import json
import os
import re
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

import torch
from program import ROOT, ArgumentParser

from benchmarks.lib.gpu_tables import CHECKS, describe, show_tables
from benchmarks.lib.results import Results, Section, markdown_table
from benchmarks.lib.tools import kill_program, last_line, start_program
from projects.grouppose.model.sampling.gpu import VARIABLE

PROGRAMS = Path(__file__).resolve().parent
TINY = 'configs/body_2d_keypoint/{0}/drawn/{0}_tiny-{1}_1xb8-6e_drawn-128.py'
TINY_MODELS = (TINY.format('grouppose',
                           'res18'), TINY.format('detrpose', 'hgnetv2'))
# With the switches that make training faster.
FAST = TINY_MODELS[0].replace('grouppose_',
                              'grouppose-fast_').replace('6e_', '3e_')
MODELS = ('grouppose-r50', 'detrpose-s', 'detrpose-l')
OTHERS = ('edpose-r50', 'rtmo-l')
TOGETHER = 4  # steps that run side by side
PATIENCE = 5  # times as long as on a GPU, for a rehearsal on a busy machine


class Step(NamedTuple):
    """What is run: its name, a program of this folder or 'pytest', arguments,
    and the most seconds that it may take; whether it may run beside others,
    as it measures no time, and environment variables."""
    name: str
    program: str
    arguments: Sequence[str]
    limit: int
    together: bool = False
    environment: Dict[str, str] = {}

    def command(self, out: Path) -> List[str]:
        """Arguments of Python, with a folder for the results."""
        if self.program == 'pytest':
            return [
                '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *self.arguments
            ]
        return [
            str(PROGRAMS / self.program), *self.arguments, '--out',
            str(out)
        ]


def gpu_tests() -> List[str]:
    """Files with tests that are marked for a GPU."""
    marked = re.compile(r'pytest\.mark\.gpu\b')
    return [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / 'tests').rglob('test_*.py'))
        if marked.search(path.read_text())
    ]


def plan(rehearse: bool) -> List[Step]:
    """All steps, in order: the same programs on a GPU and in a rehearsal."""
    goldens = [
        'tests/model/test_golden.py', 'tests/model/test_detrpose_golden.py'
    ]
    if rehearse:
        device = ['--device', 'cpu']
        tiny = ['--size', '64', '64']
        once = ['--repeats', '1', '--warmup', '0']
        models = others = TINY_MODELS[:1]
        curve_models = FAST, TINY_MODELS[1]
        trained = TINY_MODELS[:1]
        sampling = [
            *once, *tiny, '--real-time-size', '64', '--instances', '2',
            '--keypoints', '1', '--calls', '1'
        ]
        goldens += ['-k', 'released_noise']
        precision, curves = tiny, [*tiny, '--steps', '2', '--batch-size', '1']
        speed = [*once, *tiny]
        precisions = ['fp16', 'fp32']
        training = [
            '--seconds', '0.1', '--warmup', '1', '--workers', '0', '--images',
            '4', '--image-size', '64', '--batch-size', '2', '--precision',
            'fp32'
        ]
        resume = [
            '--images', '16', '--batch-size', '2', '--epochs', '3', '--twice',
            '2', '--image-size', '64'
        ]
    else:
        device = ['--device', 'cuda']
        models, others, trained = MODELS[:2], OTHERS, MODELS[:2]
        curve_models = (*MODELS, FAST)
        sampling, precision, curves, speed, training, resume = (
            [] for _ in range(6))
        speed = ['--repeats', '5']
        precisions = ['fp32', 'bf16']
    compare = [
        '--random', '--no-parts', '--no-detector', '--people', '5',
        '--batch-sizes', '1', *speed, *device
    ]
    deformops = {VARIABLE: 'deformops'}
    installed = importlib.util.find_spec('deformops') is not None
    return [
        Step('sampling', 'sampling.py', [*sampling, *device], 120),
        Step('goldens', 'pytest', [*goldens, *device], 100, True),
        Step('tests', 'pytest', ['-m', 'gpu', *gpu_tests()], 100, True),
        Step('precision', 'precision.py', [*models, *precision, *device], 90,
             True),
        Step('loss curves', 'loss_curves.py',
             [*curve_models, *curves, *device], 90, True),
        Step('resume', 'resume.py', [*resume, *device], 90, True),
        Step('speed', 'compare.py', [
            *dict.fromkeys([*models, *others]), '--precisions', *precisions,
            '--modes', 'eager', 'graph', '--training-batch', '2', *compare
        ], 130),
        Step('training', 'throughput.py', [*trained, *training, *device], 150),
        Step(
            'speed with deformops',
            'compare.py', [
                *models, '--precisions', *precisions[1:], '--modes', 'eager',
                'graph', '--no-training', *compare
            ],
            60,
            environment=deformops),
        Step(
            'compiled',
            'compare.py', [
                *models, '--precisions', *precisions[1:], '--modes', 'compile',
                '--no-training', *compare
            ],
            90,
            environment=deformops if installed else {}),
    ]


class Check:
    """Runs steps and keeps what they have found.

    Args:
        results (Results): Report of all.
        scratch (Path): Folder for what the steps write.
        seconds (float): What all may take, from now on.
        patience (float): By which all limits are multiplied.
    """

    def __init__(self,
                 results: Results,
                 scratch: Path,
                 seconds: float,
                 patience: float = 1):
        self.results, self.scratch = results, scratch
        self.patience = patience
        self.deadline = time.monotonic() + patience * seconds
        self.lock = threading.Lock()
        self.stopped = threading.Event()

    def run(self, steps: Sequence[Step]) -> None:
        """Run all, those that go together side by side."""
        for together, group in itertools.groupby(steps, lambda x: x.together):
            group = list(group)
            count = min(len(group), TOGETHER) if together else 1
            with ThreadPoolExecutor(count) as pool:
                try:
                    list(
                        pool.map(
                            functools.partial(self.run_step, beside=count),
                            group))
                except BaseException:  # also a signal
                    self.stopped.set()
                    raise

    def run_step(self, step: Step, beside: int = 1) -> None:
        """Run a step, of some that share the processor."""
        row = dict(name=step.name, outcome='running', note='', seconds=0.0)
        with self.lock:
            self.results.add(row, table='checks')
        left = self.deadline - time.monotonic()
        if self.stopped.is_set():
            left = 0
        started = time.monotonic()
        if left <= 5:
            row.update(outcome='skipped', note='no time was left')
        else:
            folder = self.scratch / step.name.replace(' ', '_')
            folder.mkdir(parents=True)
            log = folder / 'log.txt'
            threads = max(1, (os.cpu_count() or 1) // beside)
            limit = min(self.patience * step.limit, left)
            code = self.wait(step, folder, log, threads, limit)
            row['outcome'] = describe_outcome(code)
            if code != 0 or step.program == 'pytest':
                row['note'] = last_line(log).replace('|', '/')
            if code is None:
                row['note'] = f'after {limit:.0f} s; ' + row['note']
            self.collect(step, folder)
            with self.lock, (
                    self.results.path.with_suffix('.log')).open('a') as file:
                file.write(f'\n==== {step.name}\n{log.read_text()}')
        row['seconds'] = time.monotonic() - started
        with self.lock:
            self.results.write()
        print(
            f'{row["seconds"]:6.1f} s  {step.name}: {row["outcome"]}  '
            f'{row["note"]}',
            flush=True)

    def wait(self, step: Step, folder: Path, log: Path, threads: int,
             limit: float) -> Optional[int]:
        """Run its process, and take over what it writes meanwhile; return its
        exit code, None if its time was up."""
        end = time.monotonic() + limit
        process = start_program(
            step.command(folder), log, threads, **step.environment)
        try:
            while (process.poll() is None and time.monotonic() < end
                   and not self.stopped.is_set()):
                time.sleep(0.2)
                self.collect(step, folder)
            return process.poll()
        finally:
            kill_program(process)

    def collect(self, step: Step, folder: Path) -> None:
        """Take over what a step has written, if it is new."""
        path = next(folder.glob('*.json'), None)
        if path is None:
            return
        found = json.loads(path.read_text())  # whole or not at all
        with self.lock:
            if found != self.results.content['results'].get(step.name):
                self.results.content['results'][step.name] = found
                self.results.write()


def describe_outcome(code: Optional[int]) -> str:
    """'ok', 'failed' or 'timed out' by an exit code."""
    return {0: 'ok', None: 'timed out'}.get(code, 'failed')


def prepare(args: argparse.Namespace, steps: Sequence[Step]) -> Results:
    """The report, with nothing in it but the machine."""
    os.environ.pop(VARIABLE, None)
    sections = [
        Section('checks', describe),
        Section('checks', lambda x: markdown_table(CHECKS, x['checks']),
                'Steps'),
        Section('checks', show_tables),
    ]
    results = Results(
        args.out / 'gpu_check',
        'Check of a GPU',
        'Times are medians (least to most). Deformable attention is computed '
        "by mmcv's kernel where nothing else is said.",
        sections,
        rehearsal=args.rehearse,
        results={},
        libraries={
            step.name: step.environment.get(VARIABLE, 'mmcv')
            for step in steps if step.program == 'compare.py'
        })
    results.path.with_suffix('.log').unlink(missing_ok=True)
    results.write()
    return results


def main(argv=None) -> None:
    parser = ArgumentParser(__doc__)
    parser.add_argument(
        '--rehearse',
        action='store_true',
        help='run all steps on the CPU, with tiny models')
    parser.add_number('--limit', 420, 'seconds that all may take')
    parser.add_argument(
        '--steps',
        nargs='+',
        metavar='STEP',
        choices=[step.name for step in plan(True)],
        help='only these: ' +
        ', '.join(repr(step.name) for step in plan(True)))
    args = parser.parse_args(argv)
    if not args.rehearse and not torch.cuda.is_available():
        parser.error('no GPU is visible; --rehearse runs all steps on the '
                     'CPU, with tiny models')
    steps = [
        step for step in plan(args.rehearse)
        if not args.steps or step.name in args.steps
    ]
    results = prepare(args, steps)
    with tempfile.TemporaryDirectory(
            prefix='gpu_check_', ignore_cleanup_errors=True) as scratch:
        patience = PATIENCE if args.rehearse else 1
        Check(results, Path(scratch), args.limit, patience).run(steps)
    print(results.markdown())
    bad = [
        row['name'] for row in results.content['checks']
        if row['outcome'] != 'ok'
    ]
    if bad:
        sys.exit(f'gpu_check.py: not ok: {", ".join(bad)}; see '
                 f'{args.out}/gpu_check.log')


if __name__ == '__main__':
    # Else its end would leave the steps running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('gpu_check.py: stopped'))
    main()
