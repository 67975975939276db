"""Group attention beside one self-attention over all queries.

Measures time and memory of the two attentions of a decoder layer (within
instances, then across instances) and of one full attention over the same
N * (K + 1) queries, forward and backward, in one run, and draws a chart:

    python tools/analysis_tools/benchmark_attention.py --out attention.png
"""
import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Callable

import matplotlib
import torch
from torch import Tensor, nn
from tqdm import tqdm

matplotlib.use('Agg')
import matplotlib.pyplot as plt

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

# flake8: noqa: E402
from projects.grouppose.benchmark import (Timing, added_memory, clock,
                                          describe_machine, in_fresh_process,
                                          markdown_header, take_turns)

KINDS = ('group', 'full')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', required=True, help='chart to write, .png')
    parser.add_argument(
        '--keypoints',
        type=int,
        nargs='+',
        default=[17, 133],
        metavar='K',
        help='numbers of keypoints (17 133)')
    parser.add_argument(
        '--queries', type=int, default=100, help='instances N (100)')
    parser.add_argument(
        '--embed-dims', type=int, default=256, help='width C (256)')
    parser.add_argument('--heads', type=int, default=8)
    parser.add_argument(
        '--repeats', type=int, default=5, help='timings of each (5)')
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    return parser.parse_args()


class GroupAttention(nn.Module):
    """The two self-attentions of a decoder layer, without norms."""

    def __init__(self, embed_dims: int, num_heads: int):
        super().__init__()
        self.within = nn.MultiheadAttention(
            embed_dims, num_heads, batch_first=True)
        self.across = nn.MultiheadAttention(
            embed_dims, num_heads, batch_first=True)

    def forward(self, query: Tensor) -> Tensor:
        """(N, K + 1, C) to the same shape."""
        query = self.within(query, query, query, need_weights=False)[0]
        query = query.transpose(0, 1)
        query = self.across(query, query, query, need_weights=False)[0]
        return query.transpose(0, 1)


class FullAttention(nn.Module):
    """One self-attention over all queries of an image."""

    def __init__(self, embed_dims: int, num_heads: int):
        super().__init__()
        self.attention = nn.MultiheadAttention(
            embed_dims, num_heads, batch_first=True)

    def forward(self, query: Tensor) -> Tensor:
        """(N, K + 1, C) to the same shape."""
        tokens = query.flatten(0, 1)[None]
        tokens = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return tokens.view(query.shape)


def make_case(kind: str, num_keypoints: int, args: argparse.Namespace):
    """The module and its input."""
    torch.manual_seed(0)
    module = dict(group=GroupAttention, full=FullAttention)[kind]
    module = module(args.embed_dims, args.heads).to(args.device)
    query = torch.randn(
        args.queries,
        num_keypoints + 1,
        args.embed_dims,
        device=args.device,
        requires_grad=True)
    return module, query


def run_once(module: nn.Module, query: Tensor) -> tuple:
    """Seconds of one forward and of the backward behind it."""
    start = clock()
    output = module(query)
    middle = clock()
    output.sum().backward()
    return middle - start, clock() - middle


def time_case(case: Callable) -> tuple:
    """Seconds of a new module and input, see :func:`run_once`."""
    return run_once(*case())


def peak_memory(kind: str, num_keypoints: int,
                args: argparse.Namespace) -> float:
    """MiB that one forward and backward add to module and input."""
    run_once(*make_case(kind, 1, args))  # libraries and thread pools
    case = make_case(kind, num_keypoints, args)
    return added_memory(lambda: run_once(*case), args.device)


def measure(args: argparse.Namespace) -> list:
    """Rows with medians, spreads (min, max) and memory of every case."""
    cases = {
        (kind, count): partial(make_case, kind, count, args)
        for count in args.keypoints
        for kind in KINDS
    }
    with tqdm(total=len(cases) * (args.repeats + 1), mininterval=2) as bar:
        seconds = take_turns(cases, args.repeats, 1, bar, time_case)
    rows = []
    for (kind, count), times in seconds.items():
        if isinstance(times, Exception):
            raise times
        row = dict(kind=kind, num_keypoints=count)
        totals = tuple(map(sum, times))
        for name, values in zip(('forward', 'backward', 'total'),
                                (*zip(*times), totals)):
            timing = Timing.of([1000 * value for value in values])
            row[f'{name}_ms'] = timing.median
            row[f'{name}_range_ms'] = [timing.least, timing.most]
        # A process of its own: the peak of a process never falls again.
        row['memory_mib'] = in_fresh_process(peak_memory, kind, count, args)
        rows.append(row)
    return rows


def report(rows: list, args: argparse.Namespace) -> None:
    """Print a table with the ratios of full to group."""
    print(markdown_header(describe_machine()))
    print(f'N = {args.queries}, C = {args.embed_dims}, {args.heads} heads, '
          f'{args.device}, {torch.get_num_threads()} threads, float32, '
          f'median of {args.repeats} (least to most)')
    print('  K   attention  forward + backward (ms)      peak memory (MiB)')
    for row in rows:
        low, high = row['total_range_ms']
        print(f'{row["num_keypoints"]:4}  {row["kind"]:9}  '
              f'{row["total_ms"]:8.1f} ({low:.1f} to {high:.1f})'
              f'{row["memory_mib"]:18.0f}')
    for group, full in zip(rows[::2], rows[1::2]):
        print(f'K = {group["num_keypoints"]}: full takes '
              f'{full["total_ms"] / group["total_ms"]:.1f} times the time and '
              f'{full["memory_mib"] / group["memory_mib"]:.1f} times the '
              'memory of group attention')


def draw(rows: list, path: str) -> None:
    """Draw time and memory as bars."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4))
    counts = [row['num_keypoints'] for row in rows[::2]]
    labels = dict(
        total_ms='forward + backward (ms)', memory_mib='peak memory (MiB)')
    for axis, (key, label) in zip(axes, labels.items()):
        for i, kind in enumerate(KINDS):
            bars = axis.bar([n + 0.4 * i for n in range(len(counts))],
                            [row[key] for row in rows[i::2]],
                            0.36,
                            label=f'{kind} attention')
            axis.bar_label(bars, fmt='%.0f')
        axis.set(ylabel=label, yscale='log')
        axis.set_xticks([n + 0.2 for n in range(len(counts))],
                        [f'K = {count}' for count in counts])
        axis.margins(y=0.15)
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    args = parse_args()
    out = Path(args.out)
    if out.suffix != '.png' or not out.parent.is_dir():
        sys.exit(f'benchmark_attention.py: --out {out}: give a .png file in '
                 'a folder that exists.')
    rows = measure(args)
    report(rows, args)
    draw(rows, args.out)
    out.with_suffix('.json').write_text(json.dumps(rows, indent=1))
    print(f'{out} and {out.with_suffix(".json")} written')


if __name__ == '__main__':
    main()
