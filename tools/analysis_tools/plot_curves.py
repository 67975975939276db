"""Draw the loss and AP curves of a run."""
import argparse
import json
import os.path as osp
import sys
from glob import glob
from typing import List

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', help='work dir of the run')
    parser.add_argument('out', help='picture to write, e.g. curves.png')
    parser.add_argument(
        '--metric',
        default='coco/AP',
        help='metric of the right curve (default: coco/AP)')
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


def plot(rows: List[dict], metric: str, out: str) -> None:
    """Draw losses over iterations and a metric over epochs.

    Args:
        rows (list[dict]): See :func:`read_scalars`.
        metric (str): Name of the metric.
        out (str): Picture to write.
    """
    train = [row for row in rows if 'loss' in row]
    val = [row for row in rows if metric in row]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
    # The total and the terms of the last decoder layer.
    for name in ('loss', 'loss_kpt', 'loss_oks', 'loss_cls'):
        curve = [(row['step'], row[name]) for row in train if name in row]
        if curve:
            left.plot(*zip(*curve), label=name)
    left.set(xlabel='iteration', ylabel='weighted loss', yscale='log')
    left.legend()
    if val:
        right.plot([row['step'] for row in val], [row[metric] for row in val],
                   marker='.')
    right.set(xlabel='epoch', ylabel=metric, ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(out, dpi=100)
    plt.close(figure)


def main() -> None:
    args = parse_args()
    try:
        plot(read_scalars(args.work_dir), args.metric, args.out)
    except (OSError, ValueError) as error:
        sys.exit(f'plot_curves.py: {error}')
    print(f'{args.out} written')


if __name__ == '__main__':
    main()
