"""A chart of what several trainings learned, with the spread of their
seeds."""
import statistics
from pathlib import Path
from typing import Dict, List, Tuple

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import MaxNLocator  # noqa: E402


def draw_curves(curves: Dict[str, List[List[Tuple[int, float]]]], steps: str,
                metric: str, path: Path) -> None:
    """Draw the median of some runs as a line and their spread as a band.

    Args:
        curves (dict[str, list]): Runs by name, each a list of step and
            metric, from 0 to 1. Runs of a name have the same steps.
        steps (str): What a step is, e.g. 'epoch'.
        metric (str): Name of the metric.
        path (Path): Picture to write.
    """
    figure, axis = plt.subplots(figsize=(8, 4.5))
    for name, runs in curves.items():
        places = [step for step, _ in runs[0]]
        values = [[100 * value for _, value in at] for at in zip(*runs)]
        line, = axis.plot(
            places, [statistics.median(at) for at in values],
            marker='.',
            label=name)
        if len(runs) > 1:
            axis.fill_between(
                places, [min(at) for at in values], [max(at) for at in values],
                color=line.get_color(),
                alpha=0.15,
                linewidth=0)
    axis.set(xlabel=steps, ylabel=f'{metric} (%)', ylim=(0, None))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3)
    axis.legend(loc='center left', bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=100, bbox_inches='tight')
    plt.close(figure)
