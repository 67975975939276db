"""Tables in Markdown of what a comparison has measured."""
import math
import statistics
from typing import List, Optional

from ..benchmark.tables import markdown_table, spread
from .cases import PARTS
from .series import (TOP_DOWN, WHOLE_IMAGE, Series, find_crossings,
                     find_ratios, find_series)

MILLI = 1e3
# Of CocoMetric, first for COCO, then for CrowdPose, with what it calls alike
# told apart.
METRICS = {
    'AP': 'AP',
    'AP .5': 'AP50',
    'AP .75': 'AP75',
    'AP (M)': 'APM',
    'AP (L)': 'APL',
    'AR': 'AR',
    'AP(E)': 'AP easy',
    'AP(M)': 'AP medium',
    'AP(H)': 'AP hard'
}


def methods_table(content: dict) -> str:
    """What makes the methods differ."""
    lines = []
    for row in content['facts']:
        if 'failed' in row:
            lines.append([row['method'], row['failed'], *7 * ['']])
            continue
        width, height = row['input_size']
        lines.append([
            row['method'], row['kind'], f'{width} x {height}',
            'yes' if row['flip_test'] else 'no', row['boxes'], row['nms'],
            _or_nothing(row['score_threshold']),
            f'{row["parameters"] / 1e6:.2f}', f'{row["flops"] / 1e9:.2f}'
        ])
    table = markdown_table([
        'method', 'kind', 'input', 'flip test', 'boxes', 'NMS',
        'score threshold', 'parameters (M)', 'GFLOP'
    ], lines)
    origins = [
        f'- {row["method"]}: {row["config"]}, '
        f'{row["checkpoint"] or "random weights"}' for row in content['facts']
    ]
    return '\n'.join([table, *origins, ''])


def accuracy_table(content: dict) -> str:
    """What was evaluated, beside what was published."""
    published = {row['method']: row for row in content['facts']}
    rows = content['accuracy']
    measured = {name for row in rows for name in row.get('metrics', {})}
    names = [name for name in METRICS if name in measured] or ['AP']
    lines = []
    for row in rows:
        metrics = row.get('metrics', {})
        numbers = [_percent(metrics.get(name)) for name in names]
        if not metrics:
            numbers[0] = row.get('missing') or row['failed']
        facts = published.get(row['method'], {})
        lines.append([
            row['method'],
            row.get('boxes', ''), *numbers,
            _percent(facts.get('published_ap')),
            facts.get('published_source') or ''
        ])
    return markdown_table([
        'method', 'boxes', *[METRICS[name]
                             for name in names], 'published AP', 'source'
    ], lines)


def batches_table(content: dict) -> str:
    """Latency and throughput by the size of the batch."""
    series = series_by_batch(content)
    lines = []
    for batch_size in _values(series):
        for one in series:
            if batch_size in one.failed:
                lines.append(
                    [batch_size, one.label, one.failed[batch_size], '', ''])
            elif batch_size in one.seconds:
                seconds = one.seconds[batch_size]
                lines.append([
                    batch_size, one.label,
                    spread(seconds, MILLI),
                    f'{1 / statistics.median(seconds):.3g}',
                    _ratio(one, series[0], batch_size)
                ])
    return markdown_table(
        ['batch', 'method', 'ms an image', 'images/s', 'to first'], lines)


def split_table(content: dict) -> str:
    """Where the time goes, one image at a time."""
    rows = [
        row for row in _in_order(content, 'latency')
        if row['people'] == content['people'] and row['batch_size'] == 1
    ]
    lines = []
    for row in rows:
        if 'failed' in row:
            lines.append([row['method'], row['failed'], *3 * ['']])
            continue
        times = row['seconds']
        ratios = None
        if 'failed' not in rows[0]:
            ratios = find_ratios(times['network'],
                                 rows[0]['seconds']['network'])
        lines.append([
            row['method'], *[spread(times[part], MILLI) for part in PARTS],
            _ratio_text(ratios)
        ])
    return markdown_table([
        'method', 'preprocessing (ms)', 'network (ms)', 'postprocessing (ms)',
        'network, to first'
    ], lines)


def people_table(content: dict) -> str:
    """Latency by the number of people, in ms and by that of the first."""
    series = series_by_people(content)
    counts = _values(series)
    times, ratios = [], []
    for one in series:
        times.append([
            one.label, *[
                spread(one.seconds[count], MILLI)
                if count in one.seconds else one.failed.get(count, '')
                for count in counts
            ]
        ])
        ratios.append(
            [one.label, *[_ratio(one, series[0], count) for count in counts]])
    people = ['1 person' if x == 1 else f'{x} people' for x in counts]
    return '\n'.join([
        markdown_table(['ms an image', *people], times),
        markdown_table(['to first', *people], ratios)
    ])


def crossing_table(content: dict) -> str:
    """From how many people on whole-image methods are faster; '' without one
    of either kind."""
    series = series_by_people(content)
    whole = [x for x in series if x.kind == WHOLE_IMAGE and x.seconds]
    others = [x for x in series if x.kind == TOP_DOWN and x.seconds]
    if not whole or not others:
        return ''
    return markdown_table(
        ['faster than', *[one.label for one in whole]],
        [[other.label, *[crossing_text(one, other) for one in whole]]
         for other in others])


def crossing_text(whole: Series, other: Series) -> str:
    """Median (least to most) of :func:`find_crossings` in words."""
    crossings = find_crossings(whole, other)
    if not crossings:
        return ''
    people = whole.seconds.keys() & other.seconds.keys()

    def to_text(crossing: float) -> str:
        if crossing == -math.inf:
            return f'<= {min(people)}'
        if crossing == math.inf:
            return f'> {max(people)}'
        return f'{crossing:.1f}'

    # Not the mean of two in the middle, one of which may be infinite.
    median, least, most = map(
        to_text,
        (statistics.median_high(crossings), min(crossings), max(crossings)))
    return median if least == most else f'{median} ({least} to {most})'


def memory_table(content: dict) -> str:
    """Peak memory of inference."""
    lines = [[row['method'],
              row.get('failed') or f'{row["memory_mib"]:.0f}']
             for row in _in_order(content, 'memory')]
    return markdown_table(['method', 'memory (MiB)'], lines)


def training_table(content: dict) -> str:
    """Seconds and peak memory of an optimizer step."""
    rows = _in_order(content, 'training')
    lines = []
    for row in rows:
        if 'failed' in row:
            lines.append([row['method'], row['failed'], '', ''])
            continue
        ratios = find_ratios(row['seconds'], rows[0].get('seconds'))
        lines.append([
            row['method'],
            spread(row['seconds'], 1, 3), f'{row["memory_mib"]:.0f}',
            _ratio_text(ratios)
        ])
    return markdown_table(['method', 'step (s)', 'memory (MiB)', 'to first'],
                          lines)


def series_by_batch(content: dict) -> List[Series]:
    """Latencies of images with the usual number of people."""
    rows = [x for x in content['latency'] if x['people'] == content['people']]
    return find_series(rows, content['kinds'], 'batch_size')


def series_by_people(content: dict) -> List[Series]:
    """Latencies of one image at a time."""
    rows = [x for x in content['latency'] if x['batch_size'] == 1]
    return find_series(rows, content['kinds'], 'people')


def _in_order(content: dict, table: str) -> List[dict]:
    """Rows in the order of the methods, the detector last."""
    order = list(content['kinds'])
    return sorted(content[table], key=lambda row: order.index(row['method']))


def _values(series: List[Series]) -> List[int]:
    """All that was varied, measured or not."""
    return sorted(
        {value
         for one in series
         for value in (*one.seconds, *one.failed)})


def _ratio(one: Series, first: Series, value: int) -> str:
    return _ratio_text(
        find_ratios(one.seconds.get(value), first.seconds.get(value)))


def _ratio_text(ratios: Optional[List[float]]) -> str:
    if ratios is None:
        return ''
    return spread(ratios, 1, 2 if statistics.median(ratios) >= 0.1 else 3)


def _percent(value: Optional[float]) -> str:
    """'' also for -1, which COCO's evaluation gives where nobody is."""
    return '' if value is None or value < 0 else f'{100 * value:.1f}'


def _or_nothing(value) -> str:
    return 'none' if value is None else str(value)
