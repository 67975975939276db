"""The tables of a comparison of methods."""
import statistics
from pathlib import Path
from typing import Callable, Optional

from .configs import DETECTOR, TOP_DOWN, WHOLE_IMAGE
from .latencies import (by_people, crossing_text, grouped, in_order, latencies,
                        to_first, total)
from .parts import ORDER, STAGES
from .results import Section, markdown_table, mebibytes, milliseconds, spread

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


def seconds_of(part: Optional[str] = None) -> Callable[[dict], str]:
    """A column: seconds of a part, or of all together."""
    return lambda row: spread(
        row['seconds'][part] if part else total(row['seconds']), 1, 3)


def percent(value: Optional[float]) -> str:
    """'' also for -1, which COCO's evaluation gives where nobody is."""
    return '' if value is None or value < 0 else f'{100 * value:.1f}'


METHOD_COLUMNS = {
    'method': 'method',
    'kind': 'kind',
    'input': lambda row: '{} x {}'.format(*row['input_size']),
    'flip test': lambda row: 'yes' if row['flip_test'] else 'no',
    'boxes': 'boxes',
    'NMS': 'nms',
    'score threshold': 'score_threshold',
    'parameters (M)': lambda row: f'{row["parameters"] / 1e6:.2f}',
    'GFLOP': lambda row: f'{row["flops"] / 1e9:.2f}'
}
LATENCY_COLUMNS = {
    'precision': 'precision',
    'mode': 'mode',
    'batch': 'batch_size',
    'method': 'label',
    'ms per image': milliseconds(),
    'images/s': lambda row: f'{1 / statistics.median(row["seconds"]):.3g}',
    'memory (MiB)': mebibytes,
    'to first': to_first
}
SPLIT_COLUMNS = {
    'precision': 'precision',
    'method': 'method',
    'preprocessing (ms)': milliseconds('preprocessing'),
    'network (ms)': milliseconds('network'),
    'postprocessing (ms)': milliseconds('postprocessing'),
    'network, to first': to_first
}
PART_COLUMNS = {
    'precision': 'precision',
    'method': 'method',
    'part': 'part',
    'time (ms)': milliseconds(),
    'share': lambda row: f'{row["share"]:.1%}',
    'GFLOP': lambda row: f'{row["flops"] / 1e9:.1f}',
    'MB': lambda row: f'{row["bytes"] / 1e6:.0f}',
    'floor (ms)': lambda row: f'{row["floor"] * 1e3:.3g}',
    'times the floor': 'times'
}
TRAINING_COLUMNS = {
    'precision': 'precision',
    'batch': 'batch_size',
    'method': 'method',
    'forward (s)': seconds_of('forward'),
    'backward (s)': seconds_of('backward'),
    'optimizer (s)': seconds_of('optimizer'),
    'step (s)': seconds_of(),
    'memory (MiB)': mebibytes,
    'to first': to_first
}


def methods_table(content: dict) -> str:
    """What makes the methods differ."""
    origins = [
        f'- {row["method"]}: {row["config"]}, '
        f'{row["checkpoint"] or "random weights"}' for row in content['facts']
    ]
    return markdown_table(METHOD_COLUMNS,
                          content['facts']) + '\n' + '\n'.join(origins)


def accuracy_table(content: dict) -> str:
    """What was evaluated, beside what was published."""
    published = {row['method']: row for row in content['facts']}
    rows, measured = [], set()
    for row in content['accuracy']:
        facts = published.get(row['method'], {})
        row = dict(row, **row.get('metrics', {}))
        row['published'] = percent(facts.get('published_ap'))
        row['source'] = facts.get('published_source') or ''
        if 'missing' in row:
            row.update(boxes='', failed=row['missing'])
        measured |= row.keys()
        rows.append(row)
    columns = dict(method='method', boxes='boxes')
    for name in [x for x in METRICS if x in measured] or ['AP']:
        columns[METRICS[name]] = lambda row, name=name: percent(row[name])
    columns.update({'published AP': 'published', 'source': 'source'})
    return markdown_table(columns, rows)


def latency_table(content: dict) -> str:
    """Latency, throughput and memory by precision, mode and batch size."""
    rows = latencies(content)
    return markdown_table(
        LATENCY_COLUMNS,
        [row for row in rows if row['people'] == content['people']])


def people_table(content: dict) -> str:
    """Latency by the number of people, in ms and by that of the first."""
    rows = by_people(content)
    counts = {
        '1 person' if x == 1 else f'{x} people': x
        for x in sorted({row['people']
                         for row in rows})
    }
    to_ms = milliseconds()
    tables = []
    for title, to_text in (('ms per image',
                            lambda row: row.get('failed') or to_ms(row)),
                           ('to first', to_first)):
        lines = {}
        for row in rows:
            line = lines.setdefault(row['label'], {title: row['label']})
            line[row['people']] = to_text(row)
        tables.append(
            markdown_table(
                dict({title: title}, **counts), list(lines.values())))
    return '\n'.join(tables)


def crossing_table(content: dict) -> str:
    """From how many people on whole-image methods are faster; '' without one
    of either kind."""
    times = {WHOLE_IMAGE: {}, TOP_DOWN: {}, DETECTOR: {}}
    for row in by_people(content):
        if 'seconds' in row:
            seconds = times[row['kind']].setdefault(row['label'], {})
            seconds[row['people']] = row['seconds']
    whole = times[WHOLE_IMAGE]
    rows = []
    for label, other in times[TOP_DOWN].items():
        cells = {
            name: crossing_text(one, other)
            for name, one in whole.items()
        }
        rows.append({'faster than': label, **cells})
    if not rows or not whole:
        return ''
    return markdown_table({name: name for name in rows[0]}, rows)


def split_table(content: dict) -> str:
    """Where the time goes: before, in and behind the network."""
    rows = []
    for turn in grouped(content['parts'], 'precision'):
        split = []
        for row in turn:
            row = dict(row)
            parts = row.pop('seconds', None)
            for stage, names in STAGES.items() if parts else ():
                row[stage] = total(
                    {name: parts[name]
                     for name in names if name in parts})
            if parts:
                row['seconds'] = row['network']  # is compared
            split.append(row)
        rows += in_order(content, split)
    return markdown_table(SPLIT_COLUMNS, rows)


def parts_table(content: dict) -> str:
    """Time by part beside the floor of each: the larger of FLOPs and bytes by
    the rates of the machine."""
    rates, = content['rates']
    rows = []
    for row in content['parts']:
        if 'failed' in row:
            rows.append(row)
            continue
        names = sorted(row['seconds'], key=ORDER.index)
        parts = [
            dict(part=name, seconds=row['seconds'][name]) for name in names
        ]
        for part in parts:
            flops, size = row['costs'][part['part']]
            floor = max(flops / rates[row['precision']],
                        size / rates['bandwidth'])
            part.update(flops=flops, bytes=size, floor=floor)
        whole = dict(part='total', seconds=total(row['seconds']))
        for name in ('flops', 'bytes', 'floor'):
            whole[name] = sum(part[name] for part in parts)
        for part in [*parts, whole]:
            median = statistics.median(part['seconds'])
            part['share'] = median / statistics.median(whole['seconds'])
            floor = part['floor']
            part['times'] = f'{median / floor:.1f}' if floor else ''
            rows.append({**row, **part})
    machine = ', '.join(f'{name} {rate / 1e9:.0f} '
                        f'{"GB" if name == "bandwidth" else "GFLOP"}/s'
                        for name, rate in rates.items())
    return f'{machine}\n\n' + markdown_table(PART_COLUMNS, rows)


def training_table(content: dict) -> str:
    """Seconds and peak memory of an optimizer step."""
    turns = grouped(content['training'], 'precision')
    return markdown_table(
        TRAINING_COLUMNS,
        [row for turn in turns for row in in_order(content, turn)])


# The texts of the report by the title of their section.
EXPLANATION, *BLOCKS = Path(__file__).with_name(
    'comparison.md').read_text().split('\n## ')
TEXTS = dict(block.split('\n', 1) for block in BLOCKS)
SECTIONS = [
    Section(table, to_markdown, title, TEXTS[title])
    for table, to_markdown, title in (
        ('facts', methods_table, 'Methods'),
        ('accuracy', accuracy_table, 'Accuracy'),
        ('latency', latency_table, 'Latency'),
        ('latency', people_table, 'Latency by number of people'),
        ('latency', crossing_table,
         'From how many people on whole images win'),
        ('parts', split_table, 'Where the time goes'),
        ('parts', parts_table, 'Time by part'),
        ('training', training_table, 'Training step'),
    )
]
