"""The people of an image as they are labeled: what page, server and journal
exchange.

The state of an image is a dict of ``done`` (bool) and ``people``, a list of
dicts: ``id``, an integer that differs within the image; ``category``, the id
of the class; ``keypoints``, K lists of x, y in pixels and visibility (0: not
labeled, 1: hidden, 2: visible); ``fixed``, K booleans: somebody placed this
keypoint, so no model moves it; ``scores``, K numbers from 0 to 1 of a model
that is unsure of some keypoints, or None; where a model found the person,
``start``, K lists of x and y, where it did.
"""
import math
from typing import List, Sequence

import numpy as np

from ..data.annotations import LARGEST

MOST_PEOPLE = 1000  # in an image


def check_people(people, num_keypoints: int, classes: Sequence[int]) -> None:
    """Refuse what is not a list of people.

    Args:
        people: From a browser.
        num_keypoints (int): K.
        classes (Sequence[int]): Ids of the classes that there are.

    Raises:
        ValueError: With the first thing that is wrong.
    """
    if not isinstance(people, list) or len(people) > MOST_PEOPLE:
        raise ValueError('`people` must be a list of at most '
                         f'{MOST_PEOPLE} people')
    ids = set()
    for person in people:
        if not isinstance(person, dict) or person.keys() - {'start'} != {
                'id', 'category', 'keypoints', 'fixed', 'scores'
        }:
            raise ValueError('a person must have id, category, keypoints, '
                             'fixed and scores, perhaps start, and nothing '
                             'else')
        if type(person['id']) is not int or person['id'] in ids:
            raise ValueError('`id` of people must be different integers')
        ids.add(person['id'])
        where = f'person {person["id"]}'
        if person['category'] not in classes:
            raise ValueError(f'{where}: `category` must be one of {classes}')
        check_keypoints(person['keypoints'], num_keypoints, where)
        if not _is_list(person['fixed'], num_keypoints, _is_flag):
            raise ValueError(f'{where}: `fixed` must be {num_keypoints} '
                             'booleans')
        if person['scores'] is not None and not _is_list(
                person['scores'], num_keypoints, _is_number):
            raise ValueError(f'{where}: `scores` must be {num_keypoints} '
                             'numbers, or null')
        if 'start' in person and not _is_list(
                person['start'], num_keypoints,
                lambda point: _is_list(point, 2, _is_number)):
            raise ValueError(f'{where}: `start` must be {num_keypoints} lists '
                             'of x and y')


def check_keypoints(keypoints, num_keypoints: int, where: str) -> None:
    """Refuse what is not K lists of x, y and visibility."""

    def is_point(point) -> bool:
        return _is_list(point, 3, _is_number) and point[2] in (0, 1, 2)

    if not _is_list(keypoints, num_keypoints, is_point):
        raise ValueError(f'{where}: `keypoints` must be {num_keypoints} lists '
                         'of x, y and visibility (0, 1 or 2)')


def positions(people: List[dict]) -> np.ndarray:
    """Where the keypoints of people are, in pixels, float32, (N, K, 2)."""
    points = np.array([person['keypoints'] for person in people], np.float32)
    return points[..., :2]


def starts(people: List[dict]) -> np.ndarray:
    """Where refinement begins, in pixels, float32, (N, K, 2): the fixed
    keypoints where they are, the others where a model first put them, so that
    errors of earlier refinements do not add up."""
    points = positions(people)
    for pose, person in zip(points, people):
        if 'start' in person:
            free = ~np.array(person['fixed'])
            pose[free] = np.array(person['start'])[free]
    return points


def with_positions(person: dict, points: np.ndarray) -> dict:
    """A person with other places (K, 2) of the keypoints that are not
    fixed."""
    keypoints = [
        old if fixed else [*rounded(new), old[2]] for old, new, fixed in zip(
            person['keypoints'], points, person['fixed'])
    ]
    return dict(person, keypoints=keypoints)


def rounded(values) -> List[float]:
    """Pixels with the hundredths that annotation files keep."""
    return [round(float(value), 2) for value in values]


def _is_list(value, length: int, check) -> bool:
    return isinstance(value, list) and len(value) == length and all(
        map(check, value))


def _is_flag(value) -> bool:
    return isinstance(value, bool)


def _is_number(value) -> bool:
    return not isinstance(value, bool) and isinstance(
        value, (int, float)) and math.isfinite(value) and abs(value) < LARGEST
