"""Charts: medians of what was measured, with the spread of the turns."""
import statistics
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import matplotlib
from matplotlib import ticker

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402

COLORS = plt.get_cmap('tab10').colors


def save(figure: plt.Figure, path: Path) -> None:
    """Write a picture and forget the figure."""
    figure.savefig(path, dpi=100, bbox_inches='tight')
    plt.close(figure)


def spreads(values: Sequence[Sequence[float]],
            factor: float = 1e3) -> Tuple[List[float], List[List[float]]]:
    """Medians of lists, and their distances to the least and the most, all
    times a factor. By default seconds become ms."""
    medians = [factor * statistics.median(turns) for turns in values]
    low = [m - factor * min(turns) for m, turns in zip(medians, values)]
    high = [factor * max(turns) - m for m, turns in zip(medians, values)]
    return medians, [low, high]


def legend_beside(axis: plt.Axes, *arguments: Any) -> None:
    """A legend to the right of a panel."""
    place = dict(loc='center left', bbox_to_anchor=(1.01, 0.5))
    axis.legend(*arguments, fontsize=8, **place)


def plain_numbers(axis) -> None:
    """Label a logarithmic axis with 20, not with 2 x 10^1."""
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5), numticks=20))
    axis.set_major_formatter(ticker.StrMethodFormatter('{x:g}'))
    axis.set_minor_formatter(ticker.NullFormatter())


def draw_bars(axis: plt.Axes,
              names: Sequence[str],
              values: Sequence[Sequence[float]],
              label: str,
              factor: float = 1) -> None:
    """Draw a horizontal bar for each name, with the spread of its values in
    the turns, times a factor. The label has the unit."""
    medians, errors = spreads(values, factor)
    bars = axis.barh(names, medians, xerr=errors, capsize=3)
    axis.bar_label(bars, fmt='%.0f', padding=3, fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.set_xlabel(label)


def draw_curves(curves: Dict[str, List[List[Tuple[int, float]]]], steps: str,
                metric: str, path: Path) -> None:
    """Draw the median of some runs as a line and their spread as a band.

    Each name has runs of the same steps, lists of step and metric (0 to 1).
    """
    figure, axis = plt.subplots(figsize=(8, 4.5))
    for name, runs in curves.items():
        places = [step for step, _ in runs[0]]
        values = [[100 * value for _, value in at] for at in zip(*runs)]
        medians = [statistics.median(at) for at in values]
        axis.plot(places, medians, marker='.', label=name)
        axis.fill_between(
            places, [min(at) for at in values], [max(at) for at in values],
            alpha=0.15)
    axis.set(xlabel=steps, ylabel=f'{metric} (%)', ylim=(0, None))
    axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axis.grid(alpha=0.3)
    legend_beside(axis)
    save(figure, path)
