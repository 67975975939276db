"""How frequent the kinds of errors are, by size, crowding and keypoint, with
bootstrap intervals."""
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from .error_kinds import KEYPOINT_KINDS, PoseErrors

# What each rate is a part of: labeled keypoints of the people who were found,
# people with labeled keypoints, predicted poses that count.
BASES = dict(
    dict.fromkeys(KEYPOINT_KINDS, 'keypoints'),
    missed='people',
    doubled='people',
    background='poses')
INFINITE = float('inf')
# COCO's, in square pixels; that of a pose is the area of its extent.
SIZES = dict(small=(0, 32**2), medium=(32**2, 96**2), large=(96**2, INFINITE))
# Annotated people of the image.
CROWDING = {
    'nobody': (0, 1),
    '1': (1, 2),
    '2 to 4': (2, 5),
    '5 or more': (5, INFINITE)
}
TAILS = (0.025, 0.975)  # of an interval of 95 %
CHUNK = 100  # draws at once
Counts = Dict[str, np.ndarray]


@dataclass
class Rate:
    """How many of some things are of a kind.

    Args:
        count (int): How many are.
        total (int): Of how many.
        low (float, optional): Lower end of the bootstrap interval of 95 %,
            None where there is nothing to count.
        high (float, optional): Its upper end.
    """
    count: int
    total: int
    low: Optional[float] = None
    high: Optional[float] = None

    @property
    def share(self) -> Optional[float]:
        """float, optional: None where there is nothing to count."""
        return self.count / self.total if self.total else None


@dataclass
class Group:
    """A part of all people and poses.

    Args:
        table (str): What it is a part by: 'all', 'size', 'crowding' or
            'keypoint'.
        name (str): Which part, for instance 'small'.
        rates (dict[str, Rate]): By kind, see ``BASES``.
    """
    table: str
    name: str
    rates: Dict[str, Rate]


def count_errors(errors: PoseErrors,
                 names: Sequence[str],
                 samples: int = 1000,
                 seed: int = 0) -> List[Group]:
    """Count errors, and resample the images.

    People of an image share what makes them difficult. So it is images that
    are drawn with replacement, as many as there are, not people.

    Args:
        errors (PoseErrors): The errors.
        names (Sequence[str]): Names of the K keypoints.
        samples (int): How often to draw. Defaults to 1000.
        seed (int): Of the draws. Defaults to 0.

    Returns:
        list[Group]: All together first. Parts of which there is nothing are
        left out.
    """
    parts = [
        part for part in _divide(errors, names)
        if part[0] == 'all' or any(part[2][base].any()
                                   for base in _bases(part[2]))
    ]
    per_image = np.stack(
        [values for _, _, counts in parts for values in counts.values()], 1)
    totals = iter(per_image.sum(0).astype(int).tolist())
    drawn = iter(_resample(per_image, samples, seed).T)
    groups = []
    for table, name, counts in parts:
        sums = {column: (next(totals), next(drawn)) for column in counts}
        groups.append(
            Group(
                table, name, {
                    kind: _rate(*sums[kind], *sums[BASES[kind]])
                    for kind in counts if kind in BASES
                }))
    return groups


def _bases(counts: Counts) -> List[str]:
    return [column for column in counts if column not in BASES]


def _divide(errors: PoseErrors,
            names: Sequence[str]) -> List[Tuple[str, str, Counts]]:
    """Table, name and counts per image of each group."""
    stray_areas = np.array([pose['area'] for pose in errors.strays])
    by_crowding = (errors.crowding[errors.images],
                   errors.crowding[errors.stray_images])
    parts = [('all', 'all', _count(errors, errors.areas >= 0, stray_areas
                                   >= 0))]
    for table, ranges, (people, strays) in (('size', SIZES, (errors.areas,
                                                             stray_areas)),
                                            ('crowding', CROWDING,
                                             by_crowding)):
        parts += [(table, name,
                   _count(errors, (people >= low) & (people < high),
                          (strays >= low) & (strays < high)))
                  for name, (low, high) in ranges.items()]
    number = len(errors.crowding)
    parts += [('keypoint', name,
               _count_keypoints(errors.kinds[:, [k]], errors.images, number))
              for k, name in enumerate(names)]
    return parts


def _count(errors: PoseErrors, people: np.ndarray,
           strays: np.ndarray) -> Counts:
    """Counts per image (I, ) of some people (P, ) and strays (S, )."""
    number = len(errors.crowding)
    images = errors.images[people]
    found = errors.found[people]
    doubles = np.array([len(poses) for poses in errors.doubles],
                       dtype=int)[people]

    def add_up(values: np.ndarray) -> np.ndarray:
        return np.bincount(images, values, number)

    background = np.bincount(errors.stray_images[strays], minlength=number)
    return dict(
        _count_keypoints(errors.kinds[people], images, number),
        missed=add_up(~found),
        doubled=add_up(doubles > 0),
        background=background,
        people=add_up(np.ones(len(images))),
        poses=background + add_up(found + doubles))


def _count_keypoints(kinds: np.ndarray, images: np.ndarray,
                     number: int) -> Counts:
    """Counts per image (I, ) of what the keypoints (n, k) of people are."""
    counts = {
        name: np.bincount(images, (kinds == kind).sum(1), number)
        for kind, name in enumerate(KEYPOINT_KINDS)
    }
    return dict(
        counts, keypoints=np.bincount(images, (kinds >= 0).sum(1), number))


def _resample(per_image: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Sums (samples, n) of drawn images, from values per image (I, n)."""
    number = len(per_image)
    random = np.random.default_rng(seed)
    chances = np.full(number, 1 / number)
    return np.concatenate([
        random.multinomial(number, chances, min(CHUNK, samples - start))
        @ per_image for start in range(0, samples, CHUNK)
    ])


def _rate(count: int, counts: np.ndarray, total: int,
          totals: np.ndarray) -> Rate:
    """A rate with its interval; draws without any of the total are left
    out."""
    some = totals > 0
    if not total or not some.any():
        return Rate(count, total)
    low, high = np.quantile(counts[some] / totals[some], TAILS)
    return Rate(count, total, float(low), float(high))
