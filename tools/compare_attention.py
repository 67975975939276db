"""Train Group Pose with every scheme of self-attention, and compare them.

Draws crowds, trains one network without self-attention on them, and from its
weights, but for those of the decoder, trains a network with each scheme and
with several seeds. What an earlier run has finished is not done again.
"""
import argparse
import sys
from pathlib import Path

import torch
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

# flake8: noqa: E402
from projects.grouppose.benchmark.tables import Results, spread
from projects.grouppose.checkpoint import load_ours
from projects.grouppose.comparison.curves import draw_curves
from projects.grouppose.comparison.trainings import (Training, evaluate,
                                                     read_curve, train_all)
from projects.grouppose.data.drawn_people import draw_dataset
from projects.grouppose.model.decoder import SCHEMES

CONFIGS = ROOT / 'configs/body_2d_keypoint/grouppose/drawn'
START = 'grouppose_tiny-res18_1xb8-4e_drawn-crowds-128.py'
SCHEME = 'grouppose_tiny-res18_1xb8-900i_drawn-crowds-128.py'
EXPLANATION = """
All trainings begin with the same backbone, neck, encoder and query selection,
trained without any self-attention in the decoder, and a new decoder. AP is
that of the last evaluation on the held-out images, "without duplicates" is
after OKS-NMS at {nms}. Medians (least to most) of {seeds} seeds.
"""
NMS = 0.5


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/compare_attention'),
        help='folder for data, trainings and results (default: %(default)s)')
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
        '--images',
        type=int,
        default=6000,
        help='images to train on (default: %(default)s)')
    parser.add_argument(
        '--val-images',
        type=int,
        default=300,
        help='images to evaluate on (default: %(default)s)')
    parser.add_argument(
        '--start-epochs',
        type=int,
        default=4,
        help='epochs of the training that all begin with '
        '(default: %(default)s)')
    parser.add_argument(
        '--iterations',
        type=int,
        default=900,
        help='iterations of each training, with 8 images '
        '(default: %(default)s)')
    parser.add_argument(
        '--jobs',
        type=int,
        default=1,
        help='trainings at a time (default: %(default)s); small networks '
        'train fastest with one for each CPU')
    return parser.parse_args(argv)


def read_config(name, out, seed):
    """Read a config and let it use the data in the folder of the results."""
    config = Config.fromfile(str(CONFIGS / name))
    data = f'{out.resolve()}/data/'
    for split in ('train', 'val', 'test'):
        config[f'{split}_dataloader'].dataset.dataset.data_root = data
    for split in ('val', 'test'):
        config[f'{split}_evaluator'].ann_file = (
            f'{data}annotations/person_keypoints_val.json')
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
            interval = max(args.iterations // 6, 1)
            config.train_cfg.update(
                max_iters=args.iterations, val_interval=interval)
            config.default_hooks.checkpoint.interval = interval
            config.param_scheduler[1].update(
                end=args.iterations, T_max=args.iterations)
            trainings.append(
                Training(scheme, config, args.out / f'{scheme}_{seed}', seed))
    return trainings


def write_weights_without_decoder(training, path):
    """Keep what is the same for all schemes of a trained network."""
    if path.is_file():
        return
    weights = {
        name: weight
        for name, weight in load_ours(str(training.checkpoint)).items()
        if not name.startswith('head.decoder.')
    }
    torch.save(dict(state_dict=weights), path)


def drop_duplicates(config):
    """Keep the best of poses that are nearly the same."""
    config.test_evaluator.update(nms_mode='oks_nms', nms_thr=NMS)


def summarize(args, trainings, failures):
    """Evaluate what was trained and write table and curves."""
    columns = {
        'self-attention':
        lambda row: row['scheme'],
        'AP':
        lambda row: row.get('failed') or spread(row['AP'], digits=3),
        'AP50':
        lambda row: row.get('AP .5') and spread(row['AP .5'], 1, 3),
        'AR':
        lambda row: row.get('AR') and spread(row['AR'], 1, 3),
        'AP without duplicates':
        lambda row: row.get('unique') and spread(row['unique'], 1, 3),
        'parameters':
        lambda row: row.get('parameters') or '',
    }
    results = Results('Schemes of self-attention',
                      EXPLANATION.format(nms=NMS, seeds=len(args.seeds)),
                      columns, args.out / 'schemes')
    curves = {}
    for scheme in args.schemes:
        runs = [item for item in trainings if item.name == scheme]
        failed = [
            failures[str(run.folder)] for run in runs
            if str(run.folder) in failures
        ]
        if failed:
            results.add(scheme=scheme, failed=failed[0])
            continue
        plain = [evaluate(run, 'test', 1) for run in runs]
        unique = [evaluate(run, 'unique', 1, drop_duplicates) for run in runs]
        results.add(
            scheme=scheme,
            seeds=args.seeds,
            parameters=count_parameters(runs[0]),
            unique=[metrics['coco/AP'] for metrics in unique],
            **{
                name: [metrics[f'coco/{name}'] for metrics in plain]
                for name in ('AP', 'AP .5', 'AR')
            })
        curves[scheme] = [read_curve(run.folder, 'coco/AP') for run in runs]
    draw_curves(curves, 'iteration', 'AP', args.out / 'schemes.png')
    return results


def count_parameters(training):
    """Of the whole network."""
    weights = load_ours(str(training.checkpoint))
    return sum(weight.numel() for weight in weights.values())


def main(argv=None):
    args = parse_args(argv)
    try:
        draw_dataset(
            args.out / 'data',
            args.images,
            args.val_images,
            long_side=128,
            people=(4, 8))
        threads = max(torch.get_num_threads() // args.jobs, 1)
        start = describe_start(args)
        failed = train_all([start], 1, torch.get_num_threads())
        if failed:
            sys.exit(f'compare_attention.py: {failed[str(start.folder)]}')
        weights = args.out / 'start.pth'
        write_weights_without_decoder(start, weights)
        trainings = describe_schemes(args, weights)
        failures = train_all(trainings, args.jobs, threads)
    except (ValueError, OSError) as error:
        sys.exit(f'compare_attention.py: {error}')
    results = summarize(args, trainings, failures)
    print(results.markdown())
    print(f'{args.out}/schemes.md, .json and .png written')


if __name__ == '__main__':
    main()
