"""Draw the loss and AP curves of one or more runs."""
import argparse
import json
import os.path as osp
import sys
from glob import glob
from typing import Dict, List, Optional

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'work_dirs', nargs='+', help='work dirs, one for each run')
    parser.add_argument('out', help='picture to write, e.g. curves.png')
    parser.add_argument(
        '--metric',
        help='metric of the right curve, e.g. coco/AR (default: the first '
        'AP in the log)')
    parser.add_argument(
        '--chain',
        action='store_true',
        help='the runs are stages of one training, each from the weights of '
        'the one before: draw them one after another')
    return parser.parse_args()


def read_scalars(work_dir: str) -> List[dict]:
    """Read what a run logged, resumed parts included.

    Args:
        work_dir (str): Work dir of the run.

    Returns:
        list[dict]: Logged values in order.

    Raises:
        FileNotFoundError: If there is no log.
        ValueError: If a line that is not the last is not JSON.
    """
    logs = sorted(glob(osp.join(work_dir, '*', 'vis_data', 'scalars.json')))
    if not logs:
        raise FileNotFoundError(
            f'{work_dir}: no */vis_data/scalars.json, which training writes.')
    rows = []
    for log in logs:
        with open(log) as file:
            lines = file.read().splitlines()
        for number, line in enumerate(lines, 1):
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                # A run that was killed may leave half a line at the end.
                if number < len(lines):
                    raise ValueError(f'{log}, line {number}: {error}. Remove '
                                     'the line.') from error
    return rows


def chain(stages: List[List[dict]]) -> List[dict]:
    """Let each stage go on where the one before ended.

    Args:
        stages (list[list[dict]]): See :func:`read_scalars`.

    Returns:
        list[dict]: One run with all their values.
    """
    rows = []
    iterations = epochs = 0
    for stage in stages:
        train = [row for row in stage if 'loss' in row]
        val = [row for row in stage if 'loss' not in row]
        for row in stage:
            offset = iterations if 'loss' in row else epochs
            rows.append(dict(row, step=row['step'] + offset))
        iterations += max((row['step'] for row in train), default=0)
        epochs += max(
            [row.get('epoch', 0)
             for row in train] + [row['step'] for row in val],
            default=0)
    return rows


def find_metric(runs: List[List[dict]], wanted: Optional[str]) -> str:
    """The metric to draw: the wanted one, or the first AP of the logs.

    Args:
        runs (list[list[dict]]): See :func:`read_scalars`.
        wanted (str, optional): Name of a metric.

    Returns:
        str: Its name; that of COCO if nothing was evaluated yet.

    Raises:
        ValueError: If the wanted one was never logged.
    """
    found = sorted({
        name
        for rows in runs
        for row in rows if 'loss' not in row for name in row if '/' in name
    })
    if wanted is None:
        return next((name for name in found if name.endswith('/AP')),
                    'coco/AP')
    if wanted not in found:
        raise ValueError(f'--metric {wanted} is not in the log, which has: '
                         f'{", ".join(found) or "none"}.')
    return wanted


def plot(runs: Dict[str, List[dict]], metric: str, out: str) -> None:
    """Draw losses over iterations and a metric over epochs.

    Args:
        runs (dict[str, list[dict]]): What each run logged. Of a single run,
            the total loss and the terms of the last decoder layer are drawn,
            of several the total alone.
        metric (str): Name of the metric.
        out (str): Picture to write.
    """
    names = ['loss']
    if len(runs) == 1:
        names += ['loss_kpt', 'loss_oks', 'loss_cls']
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
    for run, rows in runs.items():
        for name in names:
            curve = [(row['step'], row[name]) for row in rows
                     if 'loss' in row and name in row]
            if curve:
                left.plot(*zip(*curve), label=name if len(runs) == 1 else run)
        curve = [(row['step'], row[metric]) for row in rows if metric in row]
        if curve:
            right.plot(*zip(*curve), marker='.', label=run)
    left.set(xlabel='iteration', ylabel='weighted loss', yscale='log')
    left.legend()
    right.set(xlabel='epoch', ylabel=metric, ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(out, dpi=100)
    plt.close(figure)


def main() -> None:
    args = parse_args()
    try:
        runs = {path: read_scalars(path) for path in args.work_dirs}
        if args.chain:
            runs = {args.work_dirs[-1]: chain(list(runs.values()))}
        metric = find_metric(list(runs.values()), args.metric)
        plot(runs, metric, args.out)
    except (OSError, ValueError) as error:
        sys.exit(f'plot_curves.py: {error}')
    print(f'{args.out} written')


if __name__ == '__main__':
    main()
