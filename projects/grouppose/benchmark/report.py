"""What was measured as JSON and as tables in Markdown."""
import json
import statistics
from pathlib import Path
from typing import Callable, Dict, List, Sequence

from .machine import markdown_header
from .tables import markdown_table, spread

MILLI = 1e3
EXPLANATION = """
Weights are those that training starts from unless the command names a
checkpoint; images and people are random. Methods that drop poses below a score
have fewer to work on then than trained ones. A method is timed from images in
main memory to poses as numpy arrays. The methods of a row take turns; times
are medians (least to most) of {repeats} after {warmup} that did not count.
"to first" is the time of a method by that of the first one in the same turn.
Memory is the peak with weights, on a CPU of a fresh process.
"""
FLOOR = """
The floor is the larger of FLOPs by the rate of large matrix products and bytes
by the bandwidth of a copy, both measured in the same run:
{rates}.
FLOPs are those of matrix products, convolutions, attention and deformable
sampling, two for a multiplication and an addition; bytes are what these read
and write if each reads its operands once and writes its result once,
everything else fused into them. What a part does outside of the others is its
own. On a GPU each part is waited for, so that the sum is more than the
latency.
"""


class Report:
    """Collects rows, and writes them after every addition.

    Args:
        description (dict): From :func:`describe_machine`.
        settings (dict): ``repeats`` and ``warmup``.
        rates (dict): From :func:`measure_rates`.
        notes (list[str]): What a reader should know besides.
        folder (Path, optional): Where to write report.json and report.md.

    Attributes:
        content (dict): What report.json holds: ``machine``, ``settings``,
            ``rates``, ``notes`` and lists of rows ``latency``, ``parts`` and
            ``training``, see :mod:`.measure`.
    """

    def __init__(self,
                 description: Dict[str, str],
                 settings: dict,
                 rates: Dict[str, float],
                 notes: Sequence[str] = (),
                 folder: Path = None):
        self.folder = folder
        self.content = dict(
            machine=description,
            settings=settings,
            rates=rates,
            notes=list(notes),
            latency=[],
            parts=[],
            training=[])

    def add(self, table: str, rows: List[dict]) -> None:
        """Add rows to ``latency``, ``parts`` or ``training``."""
        self.content[table] += rows
        if self.folder is not None:
            text = json.dumps(self.content, indent=1)
            (self.folder / 'report.json').write_text(text)
            (self.folder / 'report.md').write_text(self.markdown())

    def markdown(self) -> str:
        """The report in Markdown."""
        content = self.content
        rates = ', '.join(f'{name} {rate / 1e9:.0f} '
                          f'{"GB" if name == "bandwidth" else "GFLOP"}/s'
                          for name, rate in content['rates'].items())
        blocks = [
            '# Benchmark\n',
            markdown_header(content['machine']),
            EXPLANATION.format(**content['settings']), *content['notes']
        ]
        for table, title, to_text in TABLES:
            if content[table]:
                blocks.append(f'\n## {title}\n')
                if table == 'parts':
                    blocks.append(FLOOR.format(rates=rates))
                blocks.append(to_text(content[table]))
        return '\n'.join(blocks)


def ratios_to_first(rows: Sequence[dict], seconds: Callable) -> List[str]:
    """Time of each method by that of the first, turn by turn.

    Args:
        rows (Sequence[dict]): Of the methods that took turns.
        seconds (Callable): The list of timings of a row.

    Returns:
        list[str]: Medians (least to most); '' where one of them failed.
    """
    texts = []
    for row in rows:
        if 'failed' in row or 'failed' in rows[0]:
            texts.append('')
            continue
        ratios = [a / b for a, b in zip(seconds(row), seconds(rows[0]))]
        texts.append(spread(ratios, 1, 2))
    return texts


def latency_table(rows: Sequence[dict]) -> str:
    """Table of :func:`measure_latency`'s rows."""
    lines = []
    for turn in _grouped(rows, ('precision', 'batch_size', 'mode')):
        ratios = ratios_to_first(turn, lambda row: row['seconds'])
        for row, ratio in zip(turn, ratios):
            facts = [row[name] for name in ('precision', 'batch_size', 'mode')]
            facts.append(row['config'])
            if 'failed' in row:
                lines.append([*facts, row['failed'], '', '', ''])
                continue
            per_second = row['batch_size'] / statistics.median(row['seconds'])
            lines.append([
                *facts,
                spread(row['seconds'], MILLI), f'{per_second:.3g}',
                f'{row["memory_mib"]:.0f}', ratio
            ])
    return markdown_table([
        'precision', 'batch', 'mode', 'method', 'latency (ms)', 'images/s',
        'memory (MiB)', 'to first'
    ], lines)


def parts_table(rows: Sequence[dict]) -> str:
    """Table of :func:`measure_parts`' rows."""
    lines = []
    for parts in _grouped(rows, ('precision', 'batch_size', 'config')):
        row = parts[0]
        facts = [row[name] for name in ('precision', 'batch_size', 'config')]
        if 'failed' in row:
            lines.append([*facts, row['failed'], *6 * ['']])
            continue
        total = dict(
            part='total',
            seconds=[sum(x) for x in zip(*(row['seconds'] for row in parts))])
        for name in ('flops', 'bytes', 'floor_seconds'):
            total[name] = sum(row[name] for row in parts)
        whole = statistics.median(total['seconds'])
        for row in [*parts, total]:
            median = statistics.median(row['seconds'])
            floor = row['floor_seconds']
            lines.append([
                *facts, row['part'],
                spread(row['seconds'], MILLI), f'{median / whole:.1%}',
                f'{row["flops"] / 1e9:.1f}', f'{row["bytes"] / 1e6:.0f}',
                f'{floor * MILLI:.3g}',
                f'{median / floor:.1f}' if floor else ''
            ])
    return markdown_table([
        'precision', 'batch', 'method', 'part', 'time (ms)', 'share', 'GFLOP',
        'MB', 'floor (ms)', 'times the floor'
    ], lines)


def training_table(rows: Sequence[dict]) -> str:
    """Table of :func:`measure_training`'s rows."""
    lines = []
    for turn in _grouped(rows, ('precision', 'batch_size')):
        ratios = ratios_to_first(
            turn, lambda row: [sum(step.values()) for step in row['stages']])
        for row, ratio in zip(turn, ratios):
            facts = [row['precision'], row['batch_size'], row['config']]
            if 'failed' in row:
                lines.append([*facts, row['failed'], *5 * ['']])
                continue
            stages = [[step[stage] for step in row['stages']]
                      for stage in ('forward', 'backward', 'optimizer')]
            whole = [sum(step) for step in zip(*stages)]
            lines.append([
                *facts, *[spread(times, 1, 3) for times in [*stages, whole]],
                f'{row["memory_mib"]:.0f}', ratio
            ])
    return markdown_table([
        'precision', 'batch', 'method', 'forward (s)', 'backward (s)',
        'optimizer (s)', 'step (s)', 'memory (MiB)', 'to first'
    ], lines)


def _grouped(rows: Sequence[dict], names: Sequence[str]) -> List[List[dict]]:
    """Rows of the same values, in the order of their first ones."""
    groups = {}
    for row in rows:
        key = tuple(row[name] for name in names)
        groups.setdefault(key, []).append(row)
    return list(groups.values())


TABLES = (
    ('latency', 'From image to poses', latency_table),
    ('parts', 'Time by part, eager', parts_table),
    ('training', 'Training step', training_table),
)
