"""Reading a COCO-format annotation file, and refusing with one message what
would crash later or silently mistrain."""
import logging
from collections import Counter
from typing import Dict, List, Optional

import numpy as np
from mmengine.fileio import load
from mmengine.logging import print_log

from .instances import count_labeled, find_numbers, is_number
from .loading import is_unicode
from .metainfo import ONE_CLASS

# Lists of x, y and visibility; those after the first are COCO-WholeBody's.
KEYPOINT_FIELDS = ('keypoints', 'foot_kpts', 'face_kpts', 'lefthand_kpts',
                   'righthand_kpts')
CATEGORY_ID, = ONE_CLASS  # with which the metric writes all detections
LARGEST = 1e6  # pixels from the corner; no image reaches that far
PERSON_NAMES = ('person', 'people', 'human', 'pedestrian')


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
                      class_agnostic: bool = False,
                      classes: Optional[Dict[int, str]] = None) -> None:
    """Refuse annotations that would crash or silently mistrain.

    Args:
        content (dict): What :func:`read_annotations` returns.
        ann_file (str): The file, for messages.
        for_training (bool): For training rather than evaluation, whose
            metric reads other fields. Defaults to True.
        class_agnostic (bool): Allow any categories. Defaults to False.
        classes (dict[int, str], optional): The categories that there may be,
            from :func:`load_metainfo`. Defaults to category 1, of any name.

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
    if classes:
        _check_classes(content, people, ann_file, classes)
    elif not class_agnostic:
        _check_categories(content, people, ann_file, for_training)


def log_doubts(content: dict, ann_file: str, for_training: bool) -> None:
    """Warn of what is usable, but hardly meant.

    Args:
        content (dict): Annotations, checked and completed.
        ann_file (str): The file, for messages.
        for_training (bool): For training rather than evaluation.
    """
    if for_training:
        return
    doubtful = [
        ann['id'] for ann in content['annotations']
        if 'keypoints' in ann and ann['num_keypoints'] and not ann['iscrowd']
        and ann.get('area', 0) <= 0
    ]
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
        labeled = count_labeled(ann)
        if 'num_keypoints' not in ann or not labeled:
            ann['num_keypoints'] = labeled
        ann.setdefault('iscrowd', 0)
        if ann.get('segmentation') is None:
            ann['segmentation'] = []
    if class_agnostic:
        merge_categories(content)


def name_objects(content: dict) -> str:
    """What to call the annotated objects in messages: 'people' or 'objects'.

    Args:
        content (dict): Of an annotation file.

    Returns:
        str: 'people' if all annotations are of a category of that name.
    """
    used = {repr(ann.get('category_id')) for ann in content['annotations']}
    names = {
        str(category.get('name', '')).lower()
        for category in content['categories']
        if not used or repr(category.get('id')) in used
    }
    return 'people' if names and names <= {*PERSON_NAMES} else 'objects'


def explain_nothing(content: dict) -> str:
    """What a file without keypoint annotations holds, and why that is not
    enough.

    Args:
        content (dict): Of the file.

    Returns:
        str: One or more sentences.
    """
    annotations = content['annotations']
    names = [str(entry.get('name')) for entry in content['categories']]
    shown = ', '.join(names[:3]) + ', ...' * (len(names) > 3)
    held = (f'The file has {_count(content["images"], "image")}, '
            f'{_count(annotations, "annotation")}')
    if names:
        noun = 'category' if len(names) == 1 else 'categories'
        held += f' and {len(names)} {noun} ({shown})'
    fields = Counter(
        field for ann in annotations for field in ('bbox', 'segmentation')
        if ann.get(field))
    if fields:
        held += '. What is annotated is ' + ' and '.join(
            f'`{field}` ({count})' for field, count in fields.items())
    named = any(entry.get('keypoints') for entry in content['categories'])
    reason = ('' if named else ' No category lists names of `keypoints`, so '
              'the labels are no skeletons: points, boxes and outlines that '
              'are labels of their own are not exported as keypoints.')
    return (f'{held}.{reason} Draw each object as one skeleton with all its '
            'keypoints (in CVAT a label of the type skeleton, exported as '
            '"COCO Keypoints 1.0"), or give a file with keypoint annotations.')


def _count(entries: list, unit: str) -> str:
    return f'{len(entries) or "no"} {unit}' + 's' * (len(entries) != 1)


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
        f'{ann_file}: {name_objects(content)} must have `category_id` 1, '
        f'found {sorted(labels)} in `annotations` and {known} in '
        '`categories`. Detections are written with category 1, so the '
        'evaluation would score none of the others. If they are all of one '
        'kind, rewrite `category_id` in annotations and `id` in categories to '
        '1. If these are several categories with the same keypoints '
        'that need not be told apart, set class_agnostic=True of '
        "PoseImageDataset and type='ClassAgnosticCocoMetric' of the "
        'evaluators. If they are to be told apart, let `metainfo` list them '
        "as `classes`, such as {1: 'cat', 2: 'dog'}, and set num_classes of "
        'the head to their number.')


def _check_classes(content: dict, people: List[dict], ann_file: str,
                   classes: Dict[int, str]) -> None:
    """Refuse categories that are no classes, or others than it says."""
    names = {
        category.get('id'): category.get('name')
        for category in content['categories']
    }
    for ann in people:
        label = ann['category_id']
        name = names.get(label)
        if label not in classes:
            raise ValueError(
                f'{ann_file}: annotation {ann["id"]}: `category_id` is '
                f'{label}, but `classes` of the metainfo are {classes}. Add '
                'it there and to num_classes of the head, or remove the '
                'annotations of this category.')
        if name and str(name) != classes[label]:
            raise ValueError(
                f'{ann_file}: category {label} is {name!r}, but '
                f'{classes[label]!r} in `classes` of the metainfo. All files '
                'must give a category the same `id` and `name`: correct '
                '`categories` and `category_id`, or the metainfo.')


def _find_image_problem(image: dict, for_training: bool) -> str:
    """What is wrong with an image entry, '' if nothing."""
    name = image.get('file_name')
    if not isinstance(name, str) or not name:
        return 'no `file_name`.'
    if '\0' in name or not is_unicode(name):
        return f'`file_name` {name!r} cannot be the name of a file.'
    for field in ('width', 'height'):
        if not is_number(image.get(field)) or image[field] <= 0:
            return (f'`{field}` must be a positive number of pixels, got '
                    f'{image.get(field)!r}. Where both are missing, they are '
                    'taken from the image file, but it was not found or is '
                    'not readable.')
    return ''


def _find_person_problem(ann: dict, for_training: bool) -> str:
    """What is wrong with an annotation, '' if nothing."""
    for field in ('image_id', 'category_id'):
        if not isinstance(ann.get(field), int):
            return (
                f'`{field}` must be an integer that is the `id` of an entry, '
                f'got {ann.get(field)!r}.')
    if 'keypoints' not in ann:
        # Training passes over it, the metric crashes.
        return '' if for_training else 'no `keypoints`.'
    for field in ('bbox', ) + KEYPOINT_FIELDS:
        if field not in ann:
            continue
        if not isinstance(ann[field], list):
            return f'`{field}` must be a list, got {ann[field]}.'
        values = find_numbers(ann[field])
        if values is None:
            return (f'`{field}` holds a value that is not a finite number: '
                    f'{_find_odd(ann[field])}.')
        if np.abs(values, dtype=float).max(initial=0) > LARGEST:
            return (f'`{field}` holds a value beyond {LARGEST:g}. It must be '
                    'in pixels of the image.')
        if field == 'bbox':
            if len(values) != 4:
                return f'`bbox` must be x, y, width, height, got {ann[field]}.'
        elif len(values) % 3:
            return (f'`{field}` must hold x, y and visibility of every '
                    f'keypoint, got {len(values)} numbers. If they are pairs '
                    'of x and y, name all keypoints in `categories`, or add '
                    'the visibility (2: visible, 0: not labeled).')
        elif (values[2::3] < 0).any():
            # Some data sets have other positive values than COCO's 1 and 2.
            return (f'`{field}` has a visibility of {values[2::3].min():g}. '
                    'It must be 0 (not labeled), 1 (labeled, not visible) or '
                    '2 (visible).')
    if 'bbox' not in ann:
        return ('no `bbox`, and the keypoints give none without `width` and '
                '`height` of the image. Add these or the box.')
    if 'num_keypoints' in ann and (not is_number(ann['num_keypoints'])
                                   or ann['num_keypoints'] < 0):
        return ('`num_keypoints` must be the number of labeled keypoints, got '
                f'{ann["num_keypoints"]}.')
    if ann.get('iscrowd', 0) not in (0, 1):
        return f'`iscrowd` must be 0 or 1, got {ann["iscrowd"]!r}.'
    if 'area' in ann:
        if not is_number(ann['area']) or ann['area'] > LARGEST**2:
            return ('`area` must be a number of square pixels, got '
                    f'{ann["area"]}: it is not finite or larger than any '
                    'image.')
        # Nobody trains on crowds, unlabeled people and empty boxes.
        if for_training and ann['area'] <= 0 and not ann.get('iscrowd') \
                and min(ann['bbox'][2:]) > 0 and count_labeled(ann):
            return (f'`area` must be positive, got {ann["area"]}: distances '
                    'are divided by it. Without the field, the area of the '
                    'box is used.')
    return ''


def _find_odd(values: list) -> str:
    """The first value that is not a finite number, shortened."""
    odd = next((v for v in values if not is_number(v)), None)
    text = 'a list for each keypoint' if isinstance(odd, list) else repr(odd)
    return text if len(text) < 40 else text[:36] + ' ...'
