"""Charts of a report: latency by batch and precision, time by part."""
import statistics
from pathlib import Path
from typing import Dict, List

import matplotlib

from .parts import ORDER

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402


def draw_latency(rows: List[dict], path: Path) -> None:
    """Draw milliseconds an image over the batch size, a line for each method,
    precision and mode.

    Args:
        rows (list[dict]): From :func:`measure_latency`; those that failed
            are left out.
        path (Path): Picture to write.
    """
    lines: Dict[tuple, dict] = {}
    for row in rows:
        if 'failed' not in row:
            key = (row['config'], row['precision'], row['mode'])
            lines.setdefault(key, {})[row['batch_size']] = [
                1000 * seconds / row['batch_size']
                for seconds in row['seconds']
            ]
    figure, axis = plt.subplots(figsize=(8, 2.5 + 0.25 * len(lines)))
    for key, by_batch in lines.items():
        medians = [statistics.median(times) for times in by_batch.values()]
        low = [m - min(x) for m, x in zip(medians, by_batch.values())]
        high = [max(x) - m for m, x in zip(medians, by_batch.values())]
        axis.errorbar(
            list(by_batch),
            medians, (low, high),
            marker='o',
            capsize=3,
            label=', '.join(key))
    axis.set_xticks(sorted({row['batch_size'] for row in rows}))
    axis.set(xlabel='batch size', ylabel='ms an image', yscale='log')
    axis.legend(fontsize=7, loc='upper center', bbox_to_anchor=(0.5, -0.2))
    _save(figure, path)


def draw_parts(rows: List[dict], path: Path) -> None:
    """Draw a bar for each method and precision, stacked from its parts.

    Args:
        rows (list[dict]): From :func:`measure_parts`; those that failed are
            left out.
        path (Path): Picture to write.
    """
    bars: Dict[str, dict] = {}
    for row in rows:
        if 'failed' not in row:
            bar = bars.setdefault(f'{row["config"]}\n{row["precision"]}', {})
            bar[row['part']] = 1000 * statistics.median(row['seconds'])
    figure, axis = plt.subplots(figsize=(9, 1.5 + 0.6 * len(bars)))
    left = [0.0] * len(bars)
    for color, part in enumerate(ORDER):
        widths = [bar.get(part, 0.0) for bar in bars.values()]
        if any(widths):
            axis.barh(
                list(bars), widths, left=left, color=f'C{color}', label=part)
            left = [a + b for a, b in zip(left, widths)]
    axis.invert_yaxis()
    axis.tick_params(axis='y', labelsize=7)
    axis.set(xlabel='ms')
    axis.legend(fontsize=7, loc='center left', bbox_to_anchor=(1, 0.5))
    _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, dpi=100, bbox_inches='tight')
    plt.close(figure)
