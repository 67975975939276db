"""Charts of a comparison: AP against latency, latency against people, and
memory."""
import statistics
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

import matplotlib

from .series import DETECTOR, TOP_DOWN, Series, medians
from .tables import MILLI, series_by_people

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402

MARKERS = 'osD^vP*X'
COLORS = plt.get_cmap('tab10').colors
GRAY = '0.45'
SIZE = (7, 4.5)
CHARTS = {
    'accuracy.png': 'AP against latency',
    'people.png': 'Latency against people',
    'memory.png': 'Memory'
}


def draw_charts(content: dict, folder: Path) -> None:
    """Draw all charts that there are numbers for.

    Args:
        content (dict): Of a :class:`Comparison`.
        folder (Path): Where to write :data:`CHARTS`.
    """
    draws: Tuple[Callable, ...] = (draw_accuracy, draw_people, draw_memory)
    for name, draw in zip(CHARTS, draws):
        figure = draw(content)
        if figure is not None:
            figure.savefig(folder / name, dpi=100, bbox_inches='tight')
            plt.close(figure)


def draw_accuracy(content: dict) -> Optional[plt.Figure]:
    """AP over ms an image, full where measured, hollow where published.

    AP with true boxes stands at the time without the detector, that with
    found boxes and the published one at the time with it. Published AP is
    left out where the input has another size than the published.
    """
    by_label = {series.label: series for series in series_by_people(content)}
    points = [(row['method'], row['boxes'] == 'true', row['metrics']['AP'],
               True) for row in content['accuracy']
              if 'AP' in row.get('metrics', {})]
    if content['settings'].get('size') is None:
        points += [(row['method'], False, row['published_ap'], False)
                   for row in content['facts'] if row.get('published_ap')]
    looks = _looks(content)
    figure, axis = plt.subplots(figsize=SIZE)
    names = {}
    for method, alone, value, measured in points:
        series = _timed(by_label.values(), method, alone)
        times = series and series.seconds.get(content['people'])
        if not times:
            continue
        median = statistics.median(times)
        color, marker = looks[method]
        bars = axis.errorbar(
            MILLI * median,
            100 * value,
            xerr=[[MILLI * (median - min(times))],
                  [MILLI * (max(times) - median)]],
            color=color,
            marker=marker,
            markersize=8,
            capsize=3,
            linestyle='',
            markerfacecolor=color if measured else 'white')
        source = 'measured' if measured else 'published'
        names[f'{series.label}, {source}'] = bars
    if not names:
        plt.close(figure)
        return None
    axis.set(
        xscale='log',
        xlabel=f'ms an image with {content["people"]} people',
        ylabel='AP (%)')
    _plain_numbers(axis.xaxis)
    _finish(axis, list(names.values()), list(names))
    return figure


def draw_people(content: dict) -> Optional[plt.Figure]:
    """ms an image over people: top-down methods with the boxes given are
    dashed, the detector alone is dotted."""
    all_series = [x for x in series_by_people(content) if x.seconds]
    if not all_series:
        return None
    looks = _looks(content)
    figure, axis = plt.subplots(figsize=SIZE)
    for series in all_series:
        color, marker = looks[series.method]
        style = '-' if series.detects else '--'
        times = medians(series)
        people = sorted(times)
        axis.errorbar(
            people, [MILLI * times[count] for count in people],
            [[MILLI * (times[x] - min(series.seconds[x])) for x in people],
             [MILLI * (max(series.seconds[x]) - times[x]) for x in people]],
            color=color,
            marker=marker,
            markersize=5,
            markerfacecolor=color if series.detects else 'white',
            capsize=3,
            linestyle=':' if series.kind == DETECTOR else style,
            label=series.label)
    counts = sorted({count for x in all_series for count in x.seconds})
    axis.set(xscale='log', yscale='log', xlabel='people', ylabel='ms an image')
    axis.set_xticks(counts, list(map(str, counts)))
    axis.minorticks_off()
    _plain_numbers(axis.yaxis)
    _finish(axis, *axis.get_legend_handles_labels())
    return figure


def draw_memory(content: dict) -> Optional[plt.Figure]:
    """Peak MiB of inference and of a training step."""
    amounts = {
        title: {
            row['method']: row['memory_mib']
            for row in content[table] if 'failed' not in row
        }
        for table, title in (('memory', 'inference'), ('training',
                                                       'training step'))
    }
    amounts = {title: found for title, found in amounts.items() if found}
    names = [
        name for name in content['kinds']
        if any(name in found for found in amounts.values())
    ]
    if not names:
        return None
    height = 0.8 / len(amounts)
    figure, axis = plt.subplots(
        figsize=(7, 1.3 + 0.4 * len(names) * len(amounts)))
    for i, (title, found) in enumerate(amounts.items()):
        rows = [j for j, name in enumerate(names) if name in found]
        bars = axis.barh([j + i * height for j in rows],
                         [found[names[j]] for j in rows],
                         height,
                         label=title)
        axis.bar_label(bars, fmt='%.0f', padding=3, fontsize=8)
    middle = (len(amounts) - 1) * height / 2
    axis.set_yticks([j + middle for j in range(len(names))], names)
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.set(xlabel='peak memory (MiB)')
    axis.legend(
        fontsize=8, ncols=2, loc='lower center', bbox_to_anchor=(0.5, 1))
    return figure


def _looks(content: dict) -> Dict[str, tuple]:
    """Color and marker of each method; a detector is gray."""
    looks = {}
    for i, (name, kind) in enumerate(content['kinds'].items()):
        color = GRAY if kind == DETECTOR else COLORS[i % len(COLORS)]
        looks[name] = color, MARKERS[i % len(MARKERS)]
    return looks


def _timed(all_series: List[Series], method: str,
           alone: bool) -> Optional[Series]:
    """The series of a method, with the detector if it needs one."""
    own = [series for series in all_series if series.method == method]
    if own and own[0].kind == TOP_DOWN and not alone:
        return next((series for series in own if series.detects), own[0])
    return own[0] if own else None


def _plain_numbers(axis) -> None:
    """Label a logarithmic axis with 20, not with 2 x 10^1."""
    axis.set_major_locator(
        matplotlib.ticker.LogLocator(subs=(1, 2, 5), numticks=20))
    axis.set_major_formatter(matplotlib.ticker.StrMethodFormatter('{x:g}'))
    axis.set_minor_formatter(matplotlib.ticker.NullFormatter())


def _finish(axis, handles: list, labels: List[str]) -> None:
    axis.grid(alpha=0.3)
    axis.legend(
        handles,
        labels,
        fontsize=8,
        loc='center left',
        bbox_to_anchor=(1.01, 0.5))
