"""Reading a COCO-format annotation file, and refusing with one message what
would crash later or silently mistrain."""
import logging
import math
from typing import List, Optional, Tuple

import numpy as np
from mmengine.fileio import load
from mmengine.logging import print_log

from .loading import is_unicode

# Lists of x, y and visibility; those after the first are COCO-WholeBody's.
KEYPOINT_FIELDS = ('keypoints', 'foot_kpts', 'face_kpts', 'lefthand_kpts',
                   'righthand_kpts')
CATEGORY_ID = 1  # with which the metric writes all detections
LARGEST = 1e6  # pixels from the corner; no image reaches that far


def read_annotations(ann_file: str, for_training: bool = True) -> dict:
    """Read an annotation file.

    Args:
        ann_file (str): COCO-format keypoint annotations.
        for_training (bool): Require the list ``annotations``, which files of
            test images (COCO's test-dev) do not have. Defaults to True.

    Returns:
        dict: At least the lists ``images``, ``annotations`` and
        ``categories``, of dicts.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: If it is not COCO-format JSON.
    """
    try:
        # Whatever the name ends in: pickles and YAML may execute something.
        content = load(ann_file, file_format='json')
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'{ann_file}: annotation file not found. Check `data_root` and '
            '`ann_file` of the data set.') from error
    except OSError as error:
        raise OSError(
            f'{ann_file}: cannot be read as an annotation file '
            f'({error.strerror or error}). Check `ann_file` of the data set.'
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f'{ann_file}: not valid JSON ({error}). Restore the file from '
            'its source.') from error
    if isinstance(content, dict) and not for_training:
        content.setdefault('annotations', [])
    fields = ('images', 'annotations', 'categories')
    if not isinstance(content, dict) or not all(
            isinstance(content.get(field), list) and all(
                isinstance(entry, dict) for entry in content[field])
            for field in fields):
        raise ValueError(
            f'{ann_file}: not a COCO-format annotation file. It needs the '
            'lists `images`, `annotations` and `categories`.')
    return content


def check_annotations(content: dict,
                      ann_file: str,
                      for_training: bool = True,
                      class_agnostic: bool = False) -> None:
    """Refuse annotations that would crash or silently mistrain.

    Args:
        content (dict): What :func:`read_annotations` returns.
        ann_file (str): The file, for messages.
        for_training (bool): For training rather than evaluation, whose
            metric reads other fields. Defaults to True.
        class_agnostic (bool): Allow any categories. Defaults to False.

    Raises:
        ValueError: If something is unusable; the message names the file,
            the entry, the field and the remedy.
    """
    checks = dict(image=_find_image_problem, annotation=_find_person_problem)
    for kind, find_problem in checks.items():
        known = set()
        for position, entry in enumerate(content[f'{kind}s']):
            entry_id = entry.get('id')
            if not isinstance(entry_id, int):
                entry_id = f'number {position} of the list'
                problem = '`id` must be an integer.'
            elif entry_id in known:
                problem = 'another one has the same `id`.'
            else:
                problem = find_problem(entry, for_training)
            if problem:
                raise ValueError(f'{ann_file}: {kind} {entry_id}: {problem} '
                                 f'Correct or remove the {kind}.')
            known.add(entry_id)

    image_ids = {image['id'] for image in content['images']}
    for ann in content['annotations']:
        if ann['image_id'] not in image_ids:
            raise ValueError(
                f'{ann_file}: annotation {ann["id"]}: `images` has no entry '
                f'with the `id` {ann["image_id"]} of its `image_id`. Add the '
                'image or remove the annotation.')

    people = [ann for ann in content['annotations'] if 'keypoints' in ann]
    lengths = sorted({len(ann['keypoints']) for ann in people})
    if len(lengths) > 1:
        raise ValueError(
            f'{ann_file}: `keypoints` must hold x, y and visibility of every '
            f'keypoint in all annotations, but lists of {lengths} numbers '
            'occur. Correct the annotations.')
    if not class_agnostic:
        _check_categories(content, people, ann_file, for_training)


def log_doubts(content: dict, ann_file: str, for_training: bool) -> None:
    """Warn of what is usable, but hardly meant.

    Args:
        content (dict): Annotations, checked and completed.
        ann_file (str): The file, for messages.
        for_training (bool): For training rather than evaluation.
    """
    people = [
        ann for ann in content['annotations']
        if 'keypoints' in ann and ann['num_keypoints'] and not ann['iscrowd']
    ]
    if for_training:
        doubtful = [ann['id'] for ann in people if min(ann['bbox'][2:]) <= 0]
        message = ('an empty or negative `bbox`. Training leaves these people '
                   'out; give them the box around the person.')
    else:
        doubtful = [ann['id'] for ann in people if ann.get('area', 0) <= 0]
        message = ('no positive `area`. The metric needs use_area=False (it '
                   'then takes 0.53 of the box), or add the areas.')
    if doubtful:
        print_log(
            f'{ann_file}: {len(doubtful)} annotations, the first of them '
            f'{doubtful[0]}, have {message}', 'current', logging.WARNING)


def complete_annotations(content: dict, class_agnostic: bool = False) -> None:
    """Fill in what COCO's own files have and others lack, in place.

    ``num_keypoints`` becomes the number of keypoints with a positive
    visibility, also where the file says more and there are none, ``iscrowd``
    0 and ``segmentation`` an empty list.

    Args:
        content (dict): Checked annotations.
        class_agnostic (bool): Give all instances the same category, too.
    """
    for ann in content['annotations']:
        if 'keypoints' not in ann:
            continue
        labeled = _count_labeled(ann)
        if 'num_keypoints' not in ann or not labeled:
            ann['num_keypoints'] = labeled
        ann.setdefault('iscrowd', 0)
        if ann.get('segmentation') is None:
            ann['segmentation'] = []
    if class_agnostic:
        merge_categories(content)


def reason_to_leave_out(ann: dict, num_keypoints: int,
                        size: Tuple[float, float]) -> str:
    """Why nobody is trained on an annotation.

    Args:
        ann (dict): Annotation of a person, with ``bbox``.
        num_keypoints (int): How many keypoints are labeled.
        size (tuple[float]): Width and height of the image.

    Returns:
        str: What such annotations are, in the plural, or '' if this one is
        trained on.
    """
    if ann.get('iscrowd', 0):
        return 'crowd regions'
    if num_keypoints <= 0:
        return 'people without a labeled keypoint'
    sides = ann['bbox'][2:]
    if min(sides) <= 0:
        return 'people with an empty or negative `bbox`'
    if any(
            min(start + side, end) <= max(start, 0)
            for start, side, end in zip(ann['bbox'], sides, size)):
        return 'people with a `bbox` outside of the image'
    return ''


def merge_categories(content: dict) -> None:
    """Put all instances into one category, in place.

    Args:
        content (dict): Checked annotations.
    """
    for ann in content['annotations']:
        ann['category_id'] = CATEGORY_ID
    content['categories'] = [dict(id=CATEGORY_ID, name='object')]


def _check_categories(content: dict, people: List[dict], ann_file: str,
                      for_training: bool) -> None:
    """Refuse instances that the evaluation would not count."""
    labels = {ann['category_id'] for ann in people}
    known = [category.get('id') for category in content['categories']]
    if not labels or (labels == {CATEGORY_ID} and
                      (for_training or CATEGORY_ID in known)):
        return
    raise ValueError(
        f'{ann_file}: people must have `category_id` 1, found '
        f'{sorted(labels)} in `annotations` and {known} in `categories`. '
        'Detections are written with category 1, so the evaluation would '
        'score none of the others. If these are people, rewrite '
        '`category_id` in annotations and `id` in categories to 1. If these '
        'are several categories with the same keypoints, which need not be '
        'told apart, set class_agnostic=True of PoseImageDataset and '
        "type='ClassAgnosticCocoMetric' of the evaluators.")


def _find_image_problem(image: dict, for_training: bool) -> str:
    """What is wrong with an image entry, '' if nothing."""
    name = image.get('file_name')
    if not isinstance(name, str) or not name:
        return 'no `file_name`.'
    if '\0' in name or not is_unicode(name):
        return f'`file_name` {name!r} cannot be the name of a file.'
    for field in ('width', 'height'):
        if _number(image.get(field)) is None or image[field] <= 0:
            return (f'`{field}` must be a positive number of pixels, got '
                    f'{image.get(field)!r}.')
    return ''


def _find_person_problem(ann: dict, for_training: bool) -> str:
    """What is wrong with an annotation, '' if nothing."""
    for field in ('image_id', 'category_id'):
        if not isinstance(ann.get(field), int):
            return f'`{field}` must be an integer, got {ann.get(field)}.'
    if 'keypoints' not in ann:
        # Training passes over it, the metric crashes.
        return '' if for_training else 'no `keypoints`.'
    if 'bbox' not in ann:
        return 'no `bbox`.'

    for field in ('bbox', ) + KEYPOINT_FIELDS:
        if field not in ann:
            continue
        if not isinstance(ann[field], list):
            return f'`{field}` must be a list, got {ann[field]}.'
        values = _numbers(ann[field])
        if values is None:
            return f'`{field}` holds a value that is not a finite number.'
        if np.abs(values, dtype=float).max(initial=0) > LARGEST:
            return (f'`{field}` holds a value beyond {LARGEST:g}. It must be '
                    'in pixels of the image.')
        if field == 'bbox':
            if len(values) != 4:
                return f'`bbox` must be x, y, width, height, got {ann[field]}.'
        elif len(values) % 3:
            return (f'`{field}` must hold x, y and visibility of every '
                    f'keypoint, got {len(values)} numbers.')
        elif (values[2::3] < 0).any():
            # Some data sets have other positive values than COCO's 1 and 2.
            return (f'`{field}` has a visibility of {values[2::3].min():g}. '
                    'It must be 0 (not labeled), 1 (labeled, not visible) or '
                    '2 (visible).')
    if 'num_keypoints' in ann and (_number(ann['num_keypoints']) is None
                                   or ann['num_keypoints'] < 0):
        return ('`num_keypoints` must be the number of labeled keypoints, got '
                f'{ann["num_keypoints"]}.')
    if ann.get('iscrowd', 0) not in (0, 1):
        return f'`iscrowd` must be 0 or 1, got {ann["iscrowd"]!r}.'
    if 'area' in ann:
        if _number(ann['area']) is None or ann['area'] > LARGEST**2:
            return ('`area` must be a number of square pixels, got '
                    f'{ann["area"]}: it is not finite or larger than any '
                    'image.')
        # Nobody trains on crowds, unlabeled people and empty boxes.
        if for_training and ann['area'] <= 0 and not ann.get('iscrowd') \
                and min(ann['bbox'][2:]) > 0 and _count_labeled(ann):
            return (f'`area` must be positive, got {ann["area"]}: distances '
                    'are divided by it. Without the field, the area of the '
                    'box is used.')
    return ''


def _count_labeled(ann: dict) -> int:
    """Number of keypoints of an annotation with a positive visibility."""
    return sum(visibility > 0 for visibility in ann['keypoints'][2::3])


def _number(value) -> Optional[float]:
    """A finite number, or None if it is none."""
    try:
        finite = isinstance(value, (int, float)) and math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        finite = False
    return value if finite else None


def _numbers(values: list) -> Optional[np.ndarray]:
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
