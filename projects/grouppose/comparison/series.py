"""Times of the methods, ready to be compared: a top-down method alone, with
the boxes given, and after a detector."""
import math
import statistics
from typing import Dict, List, NamedTuple, Optional

from .cases import PARTS

WHOLE_IMAGE, TOP_DOWN, DETECTOR = 'whole image', 'top-down', 'detector'


class Series(NamedTuple):
    """A method, or a detector and a method, over what was varied.

    Attributes:
        label (str): 'NAME', or 'NAME + detector'.
        method (str): Name of the method.
        kind (str): Kind of the method.
        detects (bool): Whether images are all that it needs. Not so for a
            top-down method that gets boxes.
        seconds (dict[int, list[float]]): An image, turn by turn, by what was
            varied.
        failed (dict[int, str]): Why there are none, by what was varied.
    """
    label: str
    method: str
    kind: str
    detects: bool
    seconds: Dict[int, List[float]]
    failed: Dict[int, str]


def find_series(rows: List[dict], kinds: Dict[str, str],
                varied: str) -> List[Series]:
    """Bring rows of latencies into series.

    Args:
        rows (list[dict]): Of latency, which differ in nothing but the method
            and what is varied.
        kinds (dict[str, str]): Kind of each method, by name, in the order of
            the series.
        varied (str): 'batch_size' or 'people'.

    Returns:
        list[Series]: Of each method with rows; behind a top-down method
        comes what it is with the detector, if that was measured.
    """
    found = {}
    for method, kind in kinds.items():
        own = [row for row in rows if row['method'] == method]
        if own:
            found[method] = _alone(method, kind, own, varied)
    detector = next((x for x in found.values() if x.kind == DETECTOR), None)
    series = []
    for one in found.values():
        series.append(one)
        if one.kind == TOP_DOWN and detector:
            series.append(_after(detector, one))
    return series


def seconds_an_image(row: dict) -> List[float]:
    """Of a row of latency: all parts together, turn by turn."""
    turns = zip(*(row['seconds'][part] for part in PARTS))
    return [sum(turn) / row['batch_size'] for turn in turns]


def find_ratios(seconds: Optional[List[float]],
                first: Optional[List[float]]) -> Optional[List[float]]:
    """Times by those of the first, turn by turn; None if either failed."""
    if seconds is None or first is None:
        return None
    return [a / b for a, b in zip(seconds, first)]


def find_crossings(whole: Series, other: Series) -> List[float]:
    """From how many people on a whole-image method is the faster one.

    It is where the ratio of their times in the same turn becomes 1. Between
    the numbers of people that were measured, it is taken to be linear, as it
    is for a top-down method beside one to which their number does not matter.

    Args:
        whole (Series): Of a whole-image method, over people.
        other (Series): Of another one, over people.

    Returns:
        list[float]: Turn by turn. ``-inf`` where it is faster for all
        numbers of people, ``inf`` where it is not even for the most. Empty
        without a number of people for which both were measured.
    """
    people = sorted(whole.seconds.keys() & other.seconds.keys())
    turns = [
        zip(whole.seconds[count], other.seconds[count]) for count in people
    ]
    return [
        _crossing(people, [b / a for a, b in turn]) for turn in zip(*turns)
    ]


def medians(series: Series) -> Dict[int, float]:
    """Median seconds of an image, by what was varied."""
    return {
        value: statistics.median(seconds)
        for value, seconds in series.seconds.items()
    }


def _alone(method: str, kind: str, rows: List[dict], varied: str) -> Series:
    """A method by itself."""
    seconds, failed = {}, {}
    for row in rows:
        if 'failed' in row:
            failed[row[varied]] = row['failed']
        else:
            seconds[row[varied]] = seconds_an_image(row)
    return Series(method, method, kind, kind != TOP_DOWN, seconds, failed)


def _after(detector: Series, method: Series) -> Series:
    """A detector, then a method on its boxes, turn by turn."""
    seconds = {
        value: [a + b for a, b in zip(detector.seconds[value], own)]
        for value, own in method.seconds.items() if value in detector.seconds
    }
    failed = {
        **{
            value: f'detector: {why}'
            for value, why in detector.failed.items()
        },
        **method.failed
    }
    return method._replace(
        label=f'{method.label} + detector',
        detects=True,
        seconds=seconds,
        failed=failed)


def _crossing(people: List[int], ratios: List[float]) -> float:
    """Where ratios to the whole-image method exceed 1 for good."""
    faster = [i for i, ratio in enumerate(ratios) if ratio <= 1]
    if not faster:
        return -math.inf
    last = faster[-1]
    if last == len(people) - 1:
        return math.inf
    before, after = ratios[last:last + 2]
    share = (1 - before) / (after - before)
    return people[last] + share * (people[last + 1] - people[last])
