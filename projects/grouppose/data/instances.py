"""Which annotated objects are trained on, and the box of those that have no
usable one: rules that training, evaluation and description share."""
import math
from typing import Optional, Sequence

import numpy as np

# The box that stands in for one that is not usable: labeled keypoints with
# this part of their longer extent on each side. COCO's boxes of people are
# about that much larger than those of their keypoints.
MARGIN = 1 / 8
ONE_PLACE = 2  # pixels of the longer extent up to which it is one place,
POINT_SIDE = 1 / 6  # whose box has this part of the image's shorter side
BOX_SHARE = 0.53  # of a box is the area that COCO's metric takes


def reason_to_leave_out(ann: dict, num_keypoints: int,
                        size: Sequence[float]) -> str:
    """Why nobody is trained on an annotation.

    Args:
        ann (dict): Annotation of an object, with a usable ``bbox``, see
            :func:`stand_in_for_box`.
        num_keypoints (int): How many keypoints are labeled.
        size (Sequence[float]): Width and height of the image.

    Returns:
        str: What such annotations are, in the plural, with {} for the name
        of the objects; '' if this one is trained on.
    """
    if ann.get('iscrowd', 0):
        return 'crowd regions'
    if num_keypoints <= 0:
        return '{} without a labeled keypoint'
    if any(
            min(start + side, end) <= max(start, 0)
            for start, side, end in zip(ann['bbox'], ann['bbox'][2:], size)):
        return '{} with a `bbox` outside of the image'
    return ''


def reason_in_file(ann: dict, num_keypoints: int,
                   size: Sequence[float]) -> str:
    """:func:`reason_to_leave_out` by the size that a file states, whose width
    and height are swapped in CrowdPose's own files."""
    return reason_to_leave_out(ann, num_keypoints,
                               size) and reason_to_leave_out(
                                   ann, num_keypoints, size[::-1])


def stand_in_for_box(ann: dict, size: Optional[Sequence[float]]) -> dict:
    """What stands in for the box of an annotation, if that is not usable.

    A box that is missing or without an extent (zeros, a line, negative
    sides) is not. That of the labeled keypoints takes its place, larger by
    1/8 of its longer extent on each side. Keypoints in one place, within 2
    pixels, get a square around it with 1/6 of the image's shorter side. An
    area that is missing or not positive becomes 0.53 of that box, as COCO's
    metric takes it from boxes. A box that is usable, but outside of the
    image, stays as it is.

    Args:
        ann (dict): Annotation with ``keypoints``.
        size (Sequence[float], optional): Width and height of the image, None
            if they are not known; one place then has no box.

    Returns:
        dict: The fields to change, none if the box is usable or nothing can
        stand in for it.
    """
    box = ann.get('bbox')
    if box is not None:
        sides = find_numbers(box) if isinstance(box, list) else None
        if sides is None or len(sides) != 4 or sides[2:].min() > 0:
            return {}  # usable, or no box at all, which is refused
    values = ann.get('keypoints')
    values = find_numbers(values) if isinstance(values, list) else None
    if values is None or len(values) % 3:
        return {}
    points = values.reshape(-1, 3).astype(float)
    points = points[points[:, 2] > 0, :2]
    if not len(points):
        return {}
    low, high = points.min(0), points.max(0)
    longer = (high - low).max()
    if longer > ONE_PLACE:
        low, high = low - MARGIN * longer, high + MARGIN * longer
    elif size is not None:
        half = POINT_SIDE * min(size) / 2
        low, high = (low + high) / 2 - half, (low + high) / 2 + half
    else:
        return {}
    sides = high - low
    changes: dict = dict(bbox=[*low.tolist(), *sides.tolist()])
    area = ann.get('area', 0)
    if is_number(area) and area <= 0:
        changes['area'] = float(BOX_SHARE * sides.prod())
    return changes


def count_labeled(ann: dict) -> int:
    """Number of keypoints of an annotation with a positive visibility."""
    values = ann['keypoints']
    if not isinstance(values, list):
        return 0
    return sum(is_number(v) and v > 0 for v in values[2::3])


def is_number(value) -> bool:
    """Whether a value is a finite number."""
    try:
        return isinstance(value, (int, float)) and math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def find_numbers(values: list) -> Optional[np.ndarray]:
    """A list of finite numbers (n, ), or None if something else is in it."""
    try:
        array = np.array(values)
    except ValueError:  # lists of different lengths
        return None
    # An empty list has a float type.
    if array.ndim != 1 or array.dtype.kind not in 'iuf' or \
            not np.isfinite(array).all():
        return None
    return array
