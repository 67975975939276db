"""Train Group Pose with every scheme of self-attention, and compare them.

Draws crowds and trains one network without self-attention on them. From its
weights, and new ones for self-attention, goes on training with each scheme and
with several seeds. What an earlier run has finished is not done again.
"""
import argparse
import sys
from pathlib import Path

from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

# flake8: noqa: E402
from projects.grouppose.benchmark.tables import Results, spread
from projects.grouppose.comparison.curves import draw_curves
from projects.grouppose.comparison.trainings import (Training, add_arguments,
                                                     count_parameters,
                                                     read_curve, train_all)
from projects.grouppose.model.decoder import SCHEMES
from projects.grouppose.synthetic import annotation_file, draw_dataset

CONFIGS = ROOT / 'configs/comparison/drawn'
START = 'grouppose_tiny-res18_1xb8-4e_drawn-crowds-128.py'
SCHEME = 'grouppose_tiny-res18_1xb8-750i_drawn-crowds-128.py'
METRICS = ('coco/AP', 'coco/AP .5', 'coco/AR', 'without_duplicates/AP')
EXPLANATION = """
All trainings begin with the same weights, of {start_epochs} epochs without
self-attention in the decoder; that of the scheme is new. Then follow
{iterations} iterations with 8 of {images} images, which show 4 to 8 people
each, rarely 3. AP is the last on {val_images} other images, "without
duplicates" that after OKS-NMS at 0.5. Medians (least to most) of {count}
seeds, in percent.
"""


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser, 'work_dirs/compare_attention', images=6000)
    parser.add_argument(
        '--schemes',
        nargs='+',
        default=list(SCHEMES),
        choices=list(SCHEMES),
        help='self-attentions to compare (default: all)')
    parser.add_argument(
        '--seeds',
        type=int,
        nargs='+',
        default=[0, 1, 2],
        help='seeds of each (default: 0 1 2)')
    parser.add_argument(
        '--start-epochs',
        type=int,
        default=4,
        help='epochs of the training that all begin with '
        '(default: %(default)s)')
    parser.add_argument(
        '--iterations',
        type=int,
        default=750,
        help='iterations of each training, with 8 images '
        '(default: %(default)s)')
    return parser.parse_args(argv)


def read_config(name, out, seed):
    """Read a config and let it use the data in the folder of the results."""
    config = Config.fromfile(str(CONFIGS / name))
    data = f'{out.resolve()}/data/'
    for split in ('train', 'val', 'test'):
        config[f'{split}_dataloader'].dataset.dataset.data_root = data
    ann_file = str(annotation_file(Path(data), 'val'))
    for split in ('val', 'test'):
        evaluators = config[f'{split}_evaluator']
        for evaluator in (evaluators
                          if isinstance(evaluators, list) else [evaluators]):
            evaluator.ann_file = ann_file
    config.randomness = dict(seed=seed)
    return config


def describe_start(args):
    """The training whose weights all others begin with."""
    config = read_config(START, args.out, seed=0)
    config.train_cfg.max_epochs = args.start_epochs
    config.param_scheduler[1].update(
        end=args.start_epochs, T_max=args.start_epochs)
    config.model.head.decoder.layer_cfg.self_attention = 'none'
    return Training('start', config, args.out / 'start')


def describe_schemes(args, weights):
    """The trainings that are compared, all schemes of a seed after another."""
    trainings = []
    for seed in args.seeds:
        for scheme in args.schemes:
            config = read_config(SCHEME, args.out, seed)
            config.load_from = str(weights.resolve())
            config.model.head.decoder.layer_cfg.self_attention = scheme
            interval = max(args.iterations // 5, 1)
            config.train_cfg.update(
                max_iters=args.iterations, val_interval=interval)
            config.default_hooks.checkpoint.interval = interval
            config.param_scheduler[1].update(
                end=args.iterations, T_max=args.iterations)
            trainings.append(
                Training(scheme, config, args.out / f'{scheme}_{seed}', seed))
    return trainings


def find_failure(training, failures, iterations):
    """Why a training has no last evaluation, None if it has one."""
    steps = [step for step, _ in read_curve(training.folder, 'coco/AP')]
    if str(training.folder) in failures or iterations in steps:
        return failures.get(str(training.folder))
    return ('cut in its last evaluation: remove '
            f'{training.folder} and start again')


def summarize(args, trainings, failures):
    """Write what the trainings learned as a table and as curves."""

    def column(name):
        return lambda row: spread(row[name], 100) if name in row else ''

    columns = {
        'self-attention': lambda row: row['scheme'],
        'AP': lambda row: row.get('failed') or column('coco/AP')(row),
        'AP50': column('coco/AP .5'),
        'AR': column('coco/AR'),
        'AP without duplicates': column('without_duplicates/AP'),
        'parameters': lambda row: row.get('parameters', ''),
    }
    results = Results('Schemes of self-attention',
                      EXPLANATION.format(count=len(args.seeds), **vars(args)),
                      columns, args.out / 'schemes')
    curves, unique = {}, {}
    for scheme in args.schemes:
        runs = [item for item in trainings if item.name == scheme]
        failed = [find_failure(run, failures, args.iterations) for run in runs]
        if any(failed):
            results.add(scheme=scheme, failed=next(filter(None, failed)))
            continue
        last = {
            name: [read_curve(run.folder, name)[-1][1] for run in runs]
            for name in METRICS
        }
        results.add(
            scheme=scheme,
            seeds=args.seeds,
            parameters=count_parameters(runs[0]),
            **last)
        for name, drawn in (('coco/AP', curves), ('without_duplicates/AP',
                                                  unique)):
            drawn[scheme] = [read_curve(run.folder, name) for run in runs]
    draw_curves(curves, 'iteration', 'AP', args.out / 'schemes.png')
    draw_curves(unique, 'iteration', 'AP without duplicates',
                args.out / 'schemes_without_duplicates.png')
    return results


def main(argv=None):
    args = parse_args(argv)
    try:
        draw_dataset(
            args.out / 'data',
            args.images,
            args.val_images,
            long_side=128,
            people=(4, 8))
        start = describe_start(args)
        failed = train_all([start], 1)
        if failed:
            sys.exit(f'compare_attention.py: {failed[str(start.folder)]}')
        trainings = describe_schemes(args, start.checkpoint)
        failures = train_all(trainings, args.jobs)
    except (ValueError, OSError) as error:
        sys.exit(f'compare_attention.py: {error}')
    results = summarize(args, trainings, failures)
    print(results.markdown())
    print(f'{args.out}/schemes.md, .json and .png written')


if __name__ == '__main__':
    main()
