"""Train a small model with parts that may make it learn faster, each added to
the baseline alone, and compare what it learns from as many images.

    python benchmarks/compare_parts.py --out DIR
    python benchmarks/compare_parts.py --out DIR --data lsp --data-root data

The parts are listed in benchmarks/configs/parts.yml. By default they learn
drawn crowds, which the program draws; with --data lsp, the baseline and the
best learn the photographs of Leeds Sports Pose and its extended set, in the
folders lsp and lspet of --data-root. What an earlier run has finished is not
done again, so that more variants, or more seeds, can be added. DIR gets a
table and curves (parts_crowds_grouppose.md and so on), the time and memory of
a step (step_*.md), the data and the trainings.
"""
import argparse
import statistics
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from program import ArgumentParser

from benchmarks.lib.charts import draw_curves
from benchmarks.lib.configs import evaluators_of, read_config
from benchmarks.lib.parts_file import (BASELINE, METHODS, apply_part,
                                       read_parts, train_by_iterations)
from benchmarks.lib.results import Results, mebibytes, ratios, spread
from benchmarks.lib.step import Step
from benchmarks.lib.trainings import (Training, find_failure, train_all,
                                      use_drawn_data)
from benchmarks.lib.variants import COLUMNS as STEP_COLUMNS
from benchmarks.lib.variants import MEMORY, measure_variants
from projects.grouppose.synthetic import draw_dataset

CONFIGS = {
    ('grouppose', 'crowds'):
    'benchmarks/configs/grouppose_tiny-res18_1xb8-4e_drawn-crowds-128.py',
    ('detrpose', 'crowds'):
    'configs/body_2d_keypoint/detrpose/drawn/'
    'detrpose_tiny-hgnetv2_1xb8-6e_drawn-128.py',
    ('grouppose', 'lsp'):
    'configs/body_2d_keypoint/grouppose/lsp/'
    'grouppose_tiny-res18_1xb8-20e_lsp-128.py',
}
STEPS = dict(crowds=1500, lsp=3000)
METRICS = dict(
    crowds={'AP': 'coco/AP'}, lsp={
        'AP': 'coco/AP',
        'PCK@0.2': 'coco/PCK@0.2'
    })
Curve = List[Tuple[int, float]]  # steps, and a metric then

TEXT = """
Each variant is the baseline and what its row says, trained from scratch for
{steps} steps with {batch} images of 128 pixels ({seen} images seen, of
{images}). AP {pck}is on {val_images} other images, in percent. "Share of the
steps" is when the AP of the baseline's end (the median of its seeds) is
reached, by straight lines between evaluations every {interval} steps; "share
of the time" is that times the time of a step. "AP in the same time" is when as
much time has passed as the baseline takes, at most at the end; the learning
rate then is not down yet. The time of a step is its ratio to the baseline's,
measured in turns with the images loaded; memory is what a step adds.
"Minutes" are those of the trainings, which share the machine. Medians (least
to most) of the seeds {seeds}.
"""


def make_config(args: argparse.Namespace, name: str, parts: dict, seed: int):
    """The complete config of a training."""
    config = read_config(CONFIGS[args.method, args.data])
    if args.data == 'crowds':
        use_drawn_data(config, args.out)
        config.model.head.num_queries = 20  # up to 8 people, seldom seen well
    else:
        use_photographs(config, args.data_root.resolve(), args.val_images)
    train_by_iterations(config, args.steps, args.interval)
    apply_part(config, parts[name], parts, args.method)
    config.randomness = dict(seed=seed)
    return config


def use_photographs(config, root: Path, val_images: int) -> None:
    """Let a config use the photographs of a folder, and evaluate on the first
    of them."""
    train = config.train_dataloader.dataset.datasets
    for dataset in (*(part.dataset for part in train),
                    config.val_dataloader.dataset.dataset,
                    config.test_dataloader.dataset.dataset):
        folder = root / Path(dataset.data_root).name
        file = folder / dataset.ann_file
        if not file.is_file():
            raise ValueError(
                f'{file}: no such file. Give the folder that holds lsp and '
                'lspet as --data-root, see '
                'tools/dataset_converters/lsp_to_coco.py.')
        dataset.data_root = f'{folder}/'
    config.val_dataloader.dataset.dataset.indices = val_images
    for split in ('val', 'test'):
        dataset = config[f'{split}_dataloader'].dataset.dataset
        for evaluator in evaluators_of(config, split):
            evaluator.ann_file = dataset.data_root + dataset.ann_file


def describe_trainings(args: argparse.Namespace,
                       parts: dict) -> List[Training]:
    """All trainings, the variants of a seed after another."""
    return [
        Training(name, make_config(args, name, parts, seed),
                 args.out / f'{args.data}_{args.method}_{name}_{seed}', seed)
        for seed in args.seeds for name in args.variants
    ]


def measure_steps(args: argparse.Namespace,
                  trainings: Sequence[Training]) -> Dict[str, dict]:
    """Time and memory of a step of each variant, by its name, as measured now
    or before."""
    results = Results(
        args.out / f'step_{args.data}_{args.method}',
        'Training step',
        'Images are loaded and augmented in it. Time in turns, medians (least '
        'to most); memory that a step adds.', {
            **STEP_COLUMNS, 'times the time of the first':
            lambda row: spread(ratios(row['seconds'], row['first']), 1, 2),
            **MEMORY
        },
        settings=dict(repeats=args.repeats))
    results.resume()
    measured = {row['case'] for row in results.content['rows']}
    if not measured.issuperset(args.variants):
        results.content['rows'] = []  # all of them in the same turns
        first_of = {}
        for training in trainings:
            training.write_config()
            first_of.setdefault(training.name, training)
        cases = {
            name: Step(training.config_file, args.settings.device).prepare
            for name, training in first_of.items()
        }
        results.add(*measure_variants('step', cases, args.settings))
    return {row['case']: row for row in results.content['rows']}


def value_at(curve: Curve, place: float) -> float:
    """A metric between two evaluations; before the first one it grows from
    zero."""
    steps, values = zip((0, 0.0), *curve)
    return float(np.interp(place, steps, values))


def first_reach(curve: Curve, target: float) -> Optional[float]:
    """When a metric is reached for the first time, in steps; None if it is
    not."""
    before = (0, 0.0)
    for step, value in curve:
        if value >= target > 0:
            part = (target - before[1]) / (value - before[1])
            return before[0] + part * (step - before[0])
        before = step, value
    return None


def share_text(row: dict, factor: float = 1.0) -> str:
    """Shares of the seeds; those who do not get there come last."""
    shares = sorted(
        float('inf') if share is None else factor * share
        for share in row['shares'])
    texts = [
        'not reached' if share == float('inf') else f'{share:.2f}'
        for share in (statistics.median_high(shares), shares[0], shares[-1])
    ]
    return f'{texts[0]} ({texts[1]} to {texts[2]})'


def step_ratio(row: dict) -> float:
    """Time of a step of a variant by the baseline's."""
    return statistics.median(
        ratios(row['cost']['seconds'], row['cost']['first']))


def table_columns(metrics: Sequence[str]) -> dict:
    """What the table shows."""
    return {
        'variant': 'variant',
        **{
            title: lambda row, title=title: spread(row[title], 100)
            for title in metrics
        },
        'share of the steps to the baseline\'s AP': share_text,
        'share of the time to it': lambda row: share_text(
            row, step_ratio(row)),
        'AP in the same time': lambda row: spread([
            value_at(curve, row['steps'] / max(step_ratio(row), 1))
            for curve in row['curves']
        ], 100),
        'time of a step': lambda row: spread(
            ratios(row['cost']['seconds'], row['cost']['first']), 1, 2),
        'memory of a step (MiB)': lambda row: mebibytes(row['cost']),
        'minutes': lambda row: spread(row['minutes']),
        'what': 'says',
    }  # yapf: disable


def summarize(args: argparse.Namespace, parts: dict,
              trainings: Sequence[Training], failures: dict,
              costs: Dict[str, dict]) -> Results:
    """Write what the trainings learned as a table and as curves."""
    metrics = METRICS[args.data]
    name_of = f'parts_{args.data}_{args.method}'
    batch = trainings[0].config.train_dataloader.batch_size
    text = TEXT.format(
        batch=batch,
        seen=batch * args.steps,
        pck='and PCK@0.2 (shares of correct keypoints within 0.2 of the '
        'longer side of the box) ' if len(metrics) > 1 else '',
        **dict(
            vars(args), images='all' if args.data == 'lsp' else args.images))
    results = Results(
        args.out / name_of, f'Parts that learn faster: '
        f'{args.method}, {args.data}', text, table_columns(list(metrics)))
    curves: Dict[str, dict] = {title: {} for title in metrics}
    target = None
    for name in args.variants:
        runs = [item for item in trainings if item.name == name]
        row = dict(variant=name, says=parts[name].says, seeds=args.seeds)
        failed = [find_failure(run, failures, args.steps) for run in runs]
        if any(failed):
            results.add(dict(row, failed=next(filter(None, failed))))
            continue
        for title, key in metrics.items():
            found = [run.curve(key) for run in runs]
            row[title] = [curve[-1][1] for curve in found]
            curves[title][name] = [[(batch * step, value)
                                    for step, value in curve]
                                   for curve in found]
        row.update(steps=args.steps, curves=[x.curve('coco/AP') for x in runs])
        if target is None:  # the baseline is the first
            target = statistics.median(row['AP'])
        reached = [first_reach(curve, target) for curve in row['curves']]
        row['shares'] = [x if x is None else x / args.steps for x in reached]
        row['minutes'] = [
            run.seconds_per_step() * args.steps / 60 for run in runs
        ]
        if name in costs:
            row['cost'] = costs[name]
        results.add(row)
    for title, of_variants in curves.items():
        if of_variants:
            suffix = '' if title == 'AP' else '_pck'
            draw_curves(of_variants, 'images seen', title,
                        args.out / f'{name_of}{suffix}.png')
    return results


def parse_args(argv, parts: dict) -> argparse.Namespace:
    parser = ArgumentParser(__doc__, repeats=15, warmup=2)
    parser.add_argument(
        '--data',
        choices=('crowds', 'lsp'),
        default='crowds',
        help='what is learned (%(default)s)')
    parser.add_argument(
        '--data-root',
        type=Path,
        default=Path('data'),
        metavar='DIR',
        help='folder with lsp and lspet (%(default)s)')
    parser.add_argument(
        '--method',
        choices=METHODS,
        default=METHODS[0],
        help='whose parts (%(default)s)')
    parser.add_argument(
        '--variants',
        nargs='+',
        choices=list(parts),
        metavar='NAME',
        help='beside the baseline (all that fit the method; of lsp, the '
        'best): ' + ', '.join(parts))
    parser.add_argument(
        '--seeds',
        type=int,
        nargs='+',
        default=[0, 1, 2],
        help='seeds of each (0 1 2)')
    parser.add_argument(
        '--steps',
        type=int,
        help='steps of each training, with 8 images '
        f'({STEPS["crowds"]}, of lsp {STEPS["lsp"]})')
    parser.add_argument(
        '--interval', type=int, help='steps between evaluations (a tenth)')
    parser.add_trainings(images=6000)
    parser.add_device('cpu')
    cost = parser.add_mutually_exclusive_group()
    cost.add_argument(
        '--no-cost', action='store_true', help='do not time steps')
    cost.add_argument(
        '--steps-only', action='store_true', help='time steps, train nothing')
    args = parser.parse_args(argv)
    if (args.method, args.data) not in CONFIGS:
        parser.error(f'there is no config of {args.method} for {args.data}')
    args.steps = args.steps or STEPS[args.data]
    args.interval = args.interval or max(args.steps // 10, 1)
    if args.steps < 1 or args.steps % args.interval:
        parser.error(f'--steps {args.steps} is no multiple of --interval '
                     f'{args.interval}')
    fit = [name for name, part in parts.items() if args.method in part.methods]
    chosen = args.variants or (fit if args.data == 'crowds' else ['best'])
    for name in chosen:
        if name not in fit:
            parser.error(f'{name} is not for {args.method}')
    args.variants = [BASELINE, *(x for x in chosen if x != BASELINE)]
    return args


def main(argv=None) -> None:
    try:
        parts = read_parts()
        args = parse_args(argv, parts)
        if args.data == 'crowds':
            draw_dataset(
                args.out / 'data',
                args.images,
                args.val_images,
                long_side=128,
                people=(4, 8))
        trainings = describe_trainings(args, parts)
        costs = {} if args.no_cost else measure_steps(args, trainings)
        if args.steps_only:
            return
        failures = train_all(trainings, args.jobs)
    except (ValueError, OSError) as error:
        sys.exit(f'compare_parts.py: {error}')
    print(summarize(args, parts, trainings, failures, costs).markdown())


if __name__ == '__main__':
    main()
