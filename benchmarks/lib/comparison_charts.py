"""Charts of a comparison of methods."""
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from .charts import COLORS, legend_beside, plain_numbers, plt, save, spreads
from .configs import DETECTOR, TOP_DOWN
from .latencies import by_people, grouped
from .parts import ORDER

MARKERS = 'osD^vP*X'


def draw_charts(content: dict, folder: Path) -> None:
    """Draw all charts of a comparison that there are numbers for."""
    for name, (_, draw) in CHARTS.items():
        figure = plt.figure(figsize=(7, 4.5))
        if draw(content, figure.gca()):
            save(figure, folder / f'{name}.png')
        plt.close(figure)


def show_charts(folder: Path) -> str:
    """The charts of a folder in Markdown."""
    return '\n\n'.join(f'![{title}]({name}.png)'
                       for name, (title, _) in CHARTS.items()
                       if (folder / f'{name}.png').exists())


def draw_accuracy(content: dict, axis: plt.Axes) -> bool:
    """AP over ms per image, full where measured, hollow where published.

    AP with true boxes stands at the time without the detector, that with
    found boxes and the published one at the time with it. Published AP is
    left out where the input has another size than the published.
    """
    points = [(row['method'], row['boxes'] == 'true', row['metrics']['AP'],
               'measured') for row in content['accuracy']
              if 'AP' in row.get('metrics', {})]
    if content['settings'].get('size') is None:
        points += [(row['method'], False, row['published_ap'], 'published')
                   for row in content['facts'] if row.get('published_ap')]
    timed = [
        row for row in by_people(content)
        if row['people'] == content['people'] and 'seconds' in row
    ]
    looks, names = _looks(content), {}
    for method, alone, value, source in points:
        row = _find(timed, method, alone)
        if row is None:
            continue
        color, marker = looks[method]
        median, errors = spreads([row['seconds']])
        names[f'{row["label"]}, {source}'] = axis.errorbar(
            median, [100 * value],
            xerr=errors,
            color=color,
            marker=marker,
            capsize=3,
            linestyle='',
            markerfacecolor=color if source == 'measured' else 'white')
    if names:
        axis.set(
            xscale='log',
            xlabel=f'ms per image with {content["people"]} people',
            ylabel='AP (%)')
        plain_numbers(axis.xaxis)
        axis.grid(alpha=0.3)
        legend_beside(axis, list(names.values()), list(names))
    return bool(names)


def draw_people(content: dict, axis: plt.Axes) -> bool:
    """ms per image over people: top-down methods with the boxes given are
    dashed, the detector alone is dotted."""
    rows = [row for row in by_people(content) if 'seconds' in row]
    looks = _looks(content)
    for line in grouped(rows, 'label'):
        line.sort(key=lambda row: row['people'])
        color, marker = looks[line[0]['method']]
        detects = line[0]['detects']
        style = ':' if line[0]['kind'] == DETECTOR else '-'
        axis.errorbar([row['people'] for row in line],
                      *spreads([row['seconds'] for row in line]),
                      color=color,
                      marker=marker,
                      markerfacecolor=color if detects else 'white',
                      capsize=3,
                      linestyle=style if detects else '--',
                      label=line[0]['label'])
    if rows:
        counts = sorted({row['people'] for row in rows})
        axis.set(
            xscale='log', yscale='log', xlabel='people', ylabel='ms per image')
        axis.set_xticks(counts, list(map(str, counts)))
        axis.minorticks_off()
        plain_numbers(axis.yaxis)
        axis.grid(alpha=0.3)
        legend_beside(axis)
    return bool(rows)


def draw_parts(content: dict, axis: plt.Axes) -> bool:
    """A bar for each method and precision, stacked from its parts."""
    rows = [row for row in content['parts'] if 'seconds' in row]
    names = [f'{row["method"]}\n{row["precision"]}' for row in rows]
    left = [0.0] * len(rows)
    for color, part in enumerate(ORDER):
        widths, _ = spreads([row['seconds'].get(part, [0]) for row in rows])
        if any(widths):
            axis.barh(names, widths, left=left, color=f'C{color}', label=part)
            left = [a + b for a, b in zip(left, widths)]
    if rows:
        axis.invert_yaxis()
        axis.tick_params(axis='y', labelsize=7)
        axis.set(xlabel='ms')
        legend_beside(axis)
    return bool(rows)


CHARTS = dict(
    accuracy=('AP against latency', draw_accuracy),
    people=('Latency against people', draw_people),
    parts=('Time by part', draw_parts))


def _looks(content: dict) -> Dict[str, Tuple]:
    """Color and marker of each method; a detector is gray."""
    return {
        name: ('0.45' if kind == DETECTOR else COLORS[i % len(COLORS)],
               MARKERS[i % len(MARKERS)])
        for i, (name, kind) in enumerate(content['kinds'].items())
    }


def _find(rows: List[dict], method: str, alone: bool) -> Optional[dict]:
    """The latency of a method, with the detector if it needs one."""
    own = [row for row in rows if row['method'] == method]
    if own and own[0]['kind'] == TOP_DOWN and not alone:
        own.sort(key=lambda row: not row['detects'])
    return own[0] if own else None
