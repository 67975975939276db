"""How fast models are, how much memory they take, and what takes the time.

Methods are measured in turns, in one run:

    python tools/analysis_tools/benchmark.py CONFIG [CONFIG:CHECKPOINT ...] \\
        [mmpose::body_2d_keypoint/rtmo/coco/NAME.py ...] --out DIR

Prints tables in Markdown: latency, throughput and memory by precision, batch
size and mode (eager, prepared for inference, torch.compile, CUDA graph); time
by part with the floor that the machine sets; training steps. DIR gets
report.md, report.json, which are complete up to the row that was measured
last, and charts. Without a GPU, only a few of the rows are measured by
default.
"""
import argparse
import sys
from pathlib import Path

import torch
from tqdm import tqdm

ROOT = str(Path(__file__).resolve().parents[2])
sys.path.insert(0, ROOT)

# flake8: noqa: E402
from projects.grouppose.benchmark import describe_machine
from projects.grouppose.benchmark.charts import draw_latency, draw_parts
from projects.grouppose.benchmark.measure import (Settings, measure_latency,
                                                  measure_parts, measure_rates,
                                                  measure_training)
from projects.grouppose.benchmark.methods import find_methods
from projects.grouppose.benchmark.networks import MODES, PRECISIONS
from projects.grouppose.benchmark.report import Report

BATCHES = (1, 8, 16)
# What ends in minutes without a GPU.
ON_CPU = dict(
    precisions=['fp32', 'bf16'],
    batches=[1],
    modes=['eager', 'prepared'],
    repeats=3,
    training_batch=1)
ON_GPU = dict(
    precisions=list(PRECISIONS),
    batches=list(BATCHES),
    modes=list(MODES),
    repeats=20,
    training_batch=2)


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'configs',
        nargs='+',
        metavar='CONFIG[:CHECKPOINT]',
        help='config, or mmpose:: and the path of one of MMPose; ratios are '
        'to the first')
    parser.add_argument('--out', type=Path, help='folder for the report')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('W', 'H'),
        help='size of the images (default: the largest that a config tests '
        'with, in landscape format)')
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='cuda or cpu')
    parser.add_argument(
        '--precisions', nargs='+', choices=PRECISIONS, help='all by default')
    parser.add_argument(
        '--batches', type=int, nargs='+', help='sizes (1 8 16)')
    parser.add_argument('--modes', nargs='+', choices=MODES, help='all')
    parser.add_argument(
        '--repeats', type=int, help='timings of each (20, on a CPU 3)')
    parser.add_argument(
        '--warmup', type=int, default=1, help='runs before them (1)')
    parser.add_argument('--threads', type=int, help='threads on the CPU')
    parser.add_argument(
        '--training-batch', type=int, help='images a step (2, on a CPU 1)')
    parser.add_argument(
        '--people', type=int, default=10, help='on a training image (10)')
    parser.add_argument(
        '--no-parts', action='store_true', help='leave the parts out')
    parser.add_argument(
        '--no-training', action='store_true', help='leave training out')
    args = parser.parse_args(argv)

    if args.device.startswith('cuda') and not torch.cuda.is_available():
        parser.error('--device cuda: no GPU is visible')
    defaults = ON_GPU if args.device.startswith('cuda') else ON_CPU
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    numbers = [args.repeats, args.warmup, args.training_batch, *args.batches]
    if min(numbers) < 1:
        parser.error('--repeats, --warmup, --batches and --training-batch '
                     'must be 1 or more')
    try:
        args.methods = find_methods(args.configs, args.size)
    except ValueError as error:
        parser.error(str(error))
    return args


def make_notes(args: argparse.Namespace) -> list:
    """What was measured, and what by default was not."""
    notes = ['Sizes of the images:\n']
    for method in args.methods:
        width, height = method.size
        notes.append(f'- {method.name}: {width} x {height}')
    left_out = [
        f'{name} {", ".join(map(str, missing))}'
        for name, everything, chosen in (('precision', PRECISIONS,
                                          args.precisions), ('batch', BATCHES,
                                                             args.batches),
                                         ('mode', MODES, args.modes))
        if (missing := [x for x in everything if x not in chosen])
    ]
    if left_out:
        notes.append(f'\nLeft out of the full table: {"; ".join(left_out)}.')
    return notes


def run(args: argparse.Namespace) -> Report:
    """Measure everything that the arguments ask for."""
    settings = Settings(args.device, args.repeats, args.warmup, args.people)
    rates = measure_rates(args.precisions, args.device)
    report = Report(describe_machine(),
                    dict(repeats=args.repeats, warmup=args.warmup), rates,
                    make_notes(args), args.out)

    tables = [('latency', measure_latency, (precision, mode, batch_size))
              for precision in args.precisions for batch_size in args.batches
              for mode in args.modes]
    if not args.no_parts:
        tables += [('parts', measure_parts, (precision, args.batches[0]))
                   for precision in args.precisions]
    if not args.no_training:
        tables += [('training', measure_training, (precision,
                                                   args.training_batch))
                   for precision in args.precisions]
    runs = len(tables) * len(args.methods) * settings.runs
    with tqdm(total=runs, mininterval=1) as progress:
        for table, measure, facts in tables:
            progress.set_description(' '.join(map(str, (table, *facts))))
            more = (rates, ) if table == 'parts' else ()
            rows = measure(
                args.methods, *facts, settings, *more, progress=progress)
            report.add(table, rows)
    return report


def main(argv=None) -> None:
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
    report = run(args)
    print(report.markdown())
    if args.out:
        draw_latency(report.content['latency'], args.out / 'latency.png')
        if report.content['parts']:
            draw_parts(report.content['parts'], args.out / 'parts.png')
        print(f'{args.out} written: report.md, report.json, charts')


if __name__ == '__main__':
    main()
