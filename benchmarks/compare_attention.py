"""Train Group Pose with every scheme of self-attention, and compare them.

    python benchmarks/compare_attention.py --out DIR

Draws crowds and trains one network without self-attention on them. From its
weights, and new ones for self-attention, goes on training with each scheme and
with several seeds. What an earlier run has finished is not done again. DIR
gets schemes.md, schemes.json, curves, the data and the trainings.
"""
import argparse
import sys
from pathlib import Path
from typing import List

from program import ArgumentParser

from benchmarks.lib.charts import draw_curves
from benchmarks.lib.results import Results, spread
from benchmarks.lib.trainings import (Training, find_failure,
                                      read_training_config, train_all)
from projects.grouppose.model.decoder_layer import SCHEMES
from projects.grouppose.synthetic import draw_dataset

START = 'grouppose_tiny-res18_1xb8-4e_drawn-crowds-128.py'
SCHEME = 'grouppose_tiny-res18_1xb8-750i_drawn-crowds-128.py'
METRICS = {
    'AP': 'coco/AP',
    'AP50': 'coco/AP .5',
    'AR': 'coco/AR',
    'AP without duplicates': 'without_duplicates/AP'
}
COLUMNS = {
    'self-attention': 'scheme',
    **{
        title: lambda row, name=name: spread(row[name], 100)
        for title, name in METRICS.items()
    }, 'parameters': 'parameters'
}
EXPLANATION = """
All trainings begin with the same weights, of {start_epochs} epochs without
self-attention in the decoder; that of the scheme is new. Then follow
{iterations} iterations with 8 of {images} images, which show 4 to 8 people
each, rarely 3. AP is the last on {val_images} other images, "without
duplicates" that after OKS-NMS at 0.5. Medians (least to most) of {count}
seeds, in percent.
"""


def describe_start(args: argparse.Namespace) -> Training:
    """The training whose weights all others begin with."""
    config = read_training_config(
        START, args.out, max_epochs=args.start_epochs)
    config.model.head.decoder.layer_cfg.self_attention = 'none'
    return Training('start', config, args.out / 'start')


def describe_schemes(args: argparse.Namespace,
                     weights: Path) -> List[Training]:
    """The trainings that are compared, all schemes of a seed after another."""
    trainings = []
    for seed in args.seeds:
        for scheme in args.schemes:
            config = read_training_config(
                SCHEME, args.out, max_iters=args.iterations)
            config.randomness = dict(seed=seed)
            config.load_from = str(weights.resolve())
            config.model.head.decoder.layer_cfg.self_attention = scheme
            interval = max(args.iterations // 5, 1)
            config.train_cfg.val_interval = interval
            config.default_hooks.checkpoint.interval = interval
            folder = args.out / f'{scheme}_{seed}'
            trainings.append(Training(scheme, config, folder, seed))
    return trainings


def summarize(args: argparse.Namespace, trainings: List[Training],
              failures: dict) -> Results:
    """Write what the trainings learned as a table and as curves."""
    results = Results(args.out / 'schemes', 'Schemes of self-attention',
                      EXPLANATION.format(count=len(args.seeds), **vars(args)),
                      COLUMNS)
    curves = {title: {} for title in METRICS}
    for scheme in args.schemes:
        runs = [item for item in trainings if item.name == scheme]
        failed = [find_failure(run, failures, args.iterations) for run in runs]
        if any(failed):
            results.add(dict(scheme=scheme, failed=next(filter(None, failed))))
            continue
        row = dict(scheme=scheme, seeds=args.seeds)
        row['parameters'] = runs[0].count_parameters()
        for title, name in METRICS.items():
            curves[title][scheme] = [run.curve(name) for run in runs]
            row[name] = [run[-1][1] for run in curves[title][scheme]]
        results.add(row)
    for title, file_name in (('AP', 'schemes.png'),
                             ('AP without duplicates',
                              'schemes_without_duplicates.png')):
        draw_curves(curves[title], 'iteration', title, args.out / file_name)
    return results


def main(argv=None) -> None:
    parser = ArgumentParser(__doc__)
    parser.add_trainings(images=6000)
    parser.add_argument(
        '--schemes',
        nargs='+',
        default=list(SCHEMES),
        choices=list(SCHEMES),
        help='self-attentions to compare (all)')
    parser.add_argument(
        '--seeds',
        type=int,
        nargs='+',
        default=[0, 1, 2],
        help='seeds of each (0 1 2)')
    parser.add_number('--start-epochs', 4,
                      'epochs of the training that all begin with')
    parser.add_number('--iterations', 750,
                      'iterations of each training, with 8 images')
    args = parser.parse_args(argv)
    try:
        draw_dataset(
            args.out / 'data',
            args.images,
            args.val_images,
            long_side=128,
            people=(4, 8))
        start = describe_start(args)
        for failure in train_all([start], 1).values():
            sys.exit(f'compare_attention.py: {failure}')
        trainings = describe_schemes(args, start.checkpoint)
        failures = train_all(trainings, args.jobs)
    except (ValueError, OSError) as error:
        sys.exit(f'compare_attention.py: {error}')
    print(summarize(args, trainings, failures).markdown())


if __name__ == '__main__':
    main()
