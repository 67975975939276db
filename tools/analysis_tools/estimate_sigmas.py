"""Estimate sigmas from the errors of a trained model.

RESULTS are its poses on the data that CONFIG evaluates, which this writes:

  python tools/test.py CONFIG CHECKPOINT --cfg-options \\
      test_evaluator.outfile_prefix=PREFIX    # to PREFIX.keypoints.json

Poses are matched to the annotated objects by OKS, as the metric does. With d
the error of a keypoint and s^2 the area of its object,

  sigma^2 = median(d^2 / s^2) / ln 2

which for normal errors is COCO's sigma^2, the mean of d^2 / s^2, but is not
moved by misses: errors of more than 3 sigma are left out, and the median is
taken again.

This is an upper bound. COCO's sigma is the spread of annotators around the
true place; the errors of a model have its own on top. It is near the sigma if
the model is as exact as annotators are, and far above if the model is poor. On
images that the model was trained on, it may be too low.
"""
import argparse
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import List, Tuple

import numpy as np
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmpose.registry import METRICS

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from projects.grouppose import evaluation  # noqa: E402
from projects.grouppose.config_file import read_config  # noqa: E402
from projects.grouppose.data import annotations, metainfo  # noqa: E402
from projects.grouppose.describe import dataset_info  # noqa: E402
from projects.grouppose.describe import known_datasets  # noqa: E402
from projects.grouppose.evaluation import coco_eval  # noqa: E402
from projects.grouppose.evaluation import multi_dataset  # noqa: E402
from projects.grouppose.evaluation import result_file  # noqa: E402

# With so many errors, an estimated sigma is within 13% of the true one in two
# of three cases.
MIN_ERRORS = 30


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the model')
    parser.add_argument('results', help='its poses, COCO results JSON')
    parser.add_argument(
        '--write',
        type=Path,
        metavar='FILE',
        help='write a metainfo.py with the sigmas that the bound lowers '
        '(default: only print)')
    parser.add_argument(
        '--keypoints',
        nargs='+',
        metavar='NAME',
        help='write the bounds of these keypoints, whether they are lower or '
        'higher than the sigmas of CONFIG, and of no others')
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace FILE, which may hold edits')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config')
    return parser.parse_args(argv)


def build_metric(cfg: Config, config: str) -> evaluation.PoseCocoMetric:
    """The metric that the config tests with, and its annotations."""
    init_default_scope(cfg.get('default_scope', 'mmpose'))
    evaluators = cfg.get('test_evaluator') or []
    if isinstance(evaluators, dict):
        evaluators = [evaluators]
    for evaluator in evaluators:
        if evaluator.get('type') in METRICS:
            metric = METRICS.build(evaluator)
            if isinstance(metric, evaluation.PoseCocoMetric):
                metric.dataset_meta = metainfo.load_metainfo(
                    multi_dataset.find_metainfo(cfg.test_dataloader.dataset))
                return metric
    raise ValueError(f'{config}: `test_evaluator` has no PoseCocoMetric. Give '
                     'a config that evaluates one data set with it.')


def estimate(metric: evaluation.PoseCocoMetric,
             results: List[dict]) -> Tuple[np.ndarray, np.ndarray]:
    """Sigmas of the errors, and the numbers of errors, both (K, )."""
    if metric.class_agnostic:
        annotations.merge_categories(metric.coco.dataset)
        metric.coco.createIndex()
    most = max(coco_eval.count_people(metric.coco).values(), default=0)
    matched = evaluation.match_poses(
        metric.coco,
        metric.coco.loadRes(results),
        metric.dataset_meta['num_keypoints'],
        metric.use_area,
        max_dets=max(coco_eval.COCO_MAX_DETS, most))
    return matched.spread()


def choose(names: List[str], current: np.ndarray, sigmas: np.ndarray,
           counts: np.ndarray, wanted) -> List[int]:
    """Keypoints whose sigma is to be written."""
    usable = (counts >= MIN_ERRORS) & (sigmas > 0)
    if wanted is None:
        return np.flatnonzero(usable & (sigmas < current)).tolist()
    for name in wanted:
        if name not in names:
            raise ValueError(f'--keypoints: there is no {name!r}. There are: '
                             f'{", ".join(names)}.')
        if not usable[names.index(name)]:
            raise ValueError(
                f'--keypoints: {name} has {counts[names.index(name)]} errors '
                f'above 0, but {MIN_ERRORS} are needed for a bound.')
    return [names.index(name) for name in wanted]


def format_table(names: List[str], current: np.ndarray, sigmas: np.ndarray,
                 counts: np.ndarray) -> str:
    """A row for each keypoint, in Markdown."""
    lines = [
        '| keypoint | sigma now | upper bound | errors |', '|---|---|---|---|'
    ]
    for row in zip(names, current, sigmas, counts):
        bound = f'{row[2]:.3g}' if row[3] >= MIN_ERRORS else 'too few errors'
        lines.append(f'| {row[0]} | {row[1]:.3g} | {bound} | {row[3]} |')
    return '\n'.join(lines)


def run(args: argparse.Namespace) -> None:
    """Print the table, and write what is wanted."""
    if args.write is not None and args.write.exists() and not args.overwrite:
        raise FileExistsError(f'{args.write} exists and may hold your edits. '
                              'Choose another --write, or add --overwrite.')
    cfg = read_config(args.config, args.cfg_options)
    with redirect_stdout(None):  # in which COCO's reader says what it does
        metric = build_metric(cfg, args.config)
    count = metric.dataset_meta['num_keypoints']
    results = result_file.read_results(args.results, metric.coco.imgs, count,
                                       metric.ann_file)
    if not results:
        raise ValueError(f'{args.results}: it holds no poses. Give '
                         f'{result_file.WANTED}.')
    given = known_datasets.GivenInfo(args.config, metric.dataset_meta)
    current = given.metainfo['sigmas']
    with redirect_stdout(None):
        sigmas, counts = estimate(metric, results)
    print(format_table(given.names, current, sigmas, counts))
    print('\nThese are upper bounds: the error of the model and the spread of '
          'the annotations\ntogether. Of images that it was trained on, they '
          'may be too low. See --help.')
    chosen = choose(given.names, current, sigmas, counts, args.keypoints)
    if args.write is None:
        print(f'{len(chosen)} of {len(current)} sigmas could be changed; '
              'nothing was: add --write FILE.')
        return
    if not chosen:
        print(f'No bound is below its sigma, so {args.write} was not written. '
              'To raise sigmas, name --keypoints.')
        return
    info, _ = dataset_info.describe_given(given,
                                          given.metainfo['dataset_name'])
    for i in chosen:
        info.keypoints[i].sigma = float(f'{sigmas[i]:.3g}')
        info.keypoints[i].source = f'bound by {counts[i]} errors of a model'
    args.write.write_text(
        info.format(), encoding='utf-8', errors='backslashreplace')
    print(f'{args.write} written, with {len(chosen)} of {len(current)} sigmas '
          'changed. AP by it does not compare to AP before.')


def main(argv=None) -> None:
    args = parse_args(argv)
    try:
        run(args)
    except (OSError, ValueError) as error:
        sys.exit(f'estimate_sigmas.py: {error}')


if __name__ == '__main__':
    main()
