"""Rows of a comparison, ready to be shown: times per image, of a top-down
method also after the detector, beside those of the first, and crossings."""
import math
import statistics
from typing import Dict, List, Sequence

from .case import Load
from .configs import DETECTOR, TOP_DOWN
from .results import ratios, spread


def grouped(rows: Sequence[dict], *names: str) -> List[List[dict]]:
    """Rows of the same values, in the order of their first ones."""
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return list(groups.values())


def in_order(content: dict, rows: Sequence[dict]) -> List[dict]:
    """Copies of rows in the order of the methods, the detector last, each
    with ``first``, the seconds of the first one in the same turns."""
    order = list(content['kinds'])
    rows = sorted(rows, key=lambda row: order.index(row['method']))
    first = {'first': rows[0]['seconds']} if 'seconds' in rows[0] else {}
    return [dict(row, **first) for row in rows]


def total(seconds) -> List[float]:
    """Seconds of each turn, of all parts together."""
    if isinstance(seconds, dict):
        return [sum(turn) for turn in zip(*seconds.values())]
    return seconds


def to_first(row: dict) -> str:
    """A column: time by that of the first, turn by turn."""
    if 'seconds' not in row or 'first' not in row:
        return ''
    values = ratios(total(row['seconds']), total(row['first']))
    return spread(values, 1, 2 if statistics.median(values) >= 0.1 else 3)


def latencies(content: dict) -> List[dict]:
    """Rows of latency of each method, and behind a top-down one what it is
    after the detector, if that was measured: with label, kind, detects
    (whether images are all that it needs), seconds of an image, and first."""
    found = []
    for rows in grouped(content['latency'], *Load._fields):
        per_image = []
        for row in rows:
            kind = content['kinds'][row['method']]
            row = dict(
                row, label=row['method'], kind=kind, detects=kind != TOP_DOWN)
            if 'seconds' in row:
                row['seconds'] = [
                    x / row['batch_size'] for x in row['seconds']
                ]
            per_image.append(row)
        detector = [row for row in per_image if row['kind'] == DETECTOR]
        for row in in_order(content, per_image):
            found.append(row)
            if row['kind'] == TOP_DOWN and detector:
                found.append(_after(detector[0], row))
    return found


def _after(detector: dict, row: dict) -> dict:
    """A detector, then a method on its boxes, turn by turn."""
    row = dict(row, label=f'{row["method"]} + detector', detects=True)
    row.pop('memory_mib', None)
    seconds = row.pop('seconds', None)
    if 'failed' in detector:
        row.setdefault('failed', f'detector: {detector["failed"]}')
    elif seconds:
        row['seconds'] = [sum(x) for x in zip(detector['seconds'], seconds)]
    return row


def by_people(content: dict) -> List[dict]:
    """Latencies of one image at a time, in the first precision and mode."""
    rows = latencies(content)
    return [
        row for row in rows
        if row['batch_size'] == 1 and row['mode'] == rows[0]['mode']
        and row['precision'] == rows[0]['precision']
    ]


def crossing_text(whole: Dict[int, list], other: Dict[int, list]) -> str:
    """Median (least to most) of :func:`find_crossings` in words."""
    crossings = find_crossings(whole, other)
    if not crossings:
        return ''
    people = whole.keys() & other.keys()
    ends = {-math.inf: f'<= {min(people)}', math.inf: f'> {max(people)}'}
    # Not the mean of two in the middle, one of which may be infinite.
    median, least, most = [
        ends.get(x, f'{x:.1f}') for x in (statistics.median_high(crossings),
                                          min(crossings), max(crossings))
    ]
    return median if least == most else f'{median} ({least} to {most})'


def find_crossings(whole: Dict[int, list], other: Dict[int,
                                                       list]) -> List[float]:
    """From how many people on a whole-image method is the faster one.

    It is where the ratio of their times in the same turn becomes 1. Between
    the numbers of people that were measured, it is taken to be linear, as it
    is for a top-down method beside one to which their number does not matter.
    Both give seconds of each turn, by the number of people.

    Returns:
        list[float]: Turn by turn. ``-inf`` where it is faster for all
        numbers of people, ``inf`` where it is not even for the most. Empty
        without a number of people for which both were measured.
    """
    people = sorted(whole.keys() & other.keys())
    turns = zip(*(ratios(other[count], whole[count]) for count in people))
    crossings = []
    for turn in turns:
        slower = [i for i, ratio in enumerate(turn) if ratio <= 1]
        if not slower or slower[-1] == len(people) - 1:
            crossings.append(math.inf if slower else -math.inf)
            continue
        i = slower[-1]  # from here on the ratio exceeds 1 for good
        share = (1 - turn[i]) / (turn[i + 1] - turn[i])
        crossings.append(people[i] + share * (people[i + 1] - people[i]))
    return crossings
