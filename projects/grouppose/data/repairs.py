"""Annotation files as tools write them, brought to what COCO's own files
look like: the one place where training, evaluation and description of a data
set agree on what an unusual file means."""
import os.path as osp
import re
from collections import Counter
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from mmengine.fileio import exists

from .annotations import KEYPOINT_FIELDS, read_annotations
from .instances import count_labeled, is_number, stand_in_for_box
from .loading import SIDEWAYS, read_header

OPTIONAL = ('keypoints', 'bbox', 'area', 'segmentation', 'iscrowd',
            'num_keypoints')
ID = (int, float, str)  # what an id may be before it is numbered


class Repair(NamedTuple):
    """A change of what a file says.

    Args:
        what (str): What was found, a noun phrase.
        how (str): What was made of it, a sentence.
        examples (list): Ids or names of all entries concerned.
        unit (str): What these are. Defaults to 'annotation'.
    """
    what: str
    how: str
    examples: list
    unit: str = 'annotation'


def load_annotations(ann_file: str,
                     folder: Optional[str] = None,
                     for_training: bool = True) -> Tuple[dict, List[Repair]]:
    """Read an annotation file and bring it to COCO's form.

    Args:
        ann_file (str): COCO-format keypoint annotations.
        folder (str, optional): Where the images are, see
            :func:`repair_annotations`.
        for_training (bool): See :func:`read_annotations`, which also says
            what is raised. Defaults to True.

    Returns:
        tuple[dict, list[Repair]]: The content, and what was changed in it.
    """
    content = read_annotations(ann_file, for_training)
    return content, repair_annotations(content, folder)


def repair_annotations(content: dict,
                       folder: Optional[str] = None) -> List[Repair]:
    """Bring what tools write in place of COCO's own form to that form.

    - A field of an annotation that is ``null`` is a missing one.
    - Ids that are texts become integers: their value where all of a list are
      numbers, or else their position, from 1.
    - ``\\`` in a file name becomes ``/``, unless there is such a file. If
      there is no such file either, the last part of the name is looked for.
    - Missing sizes of images are taken from the files, of one that is turned
      by EXIF as a viewer, and so a labeling tool, shows it.
    - Keypoints as ``[[x, y, v], ...]`` become one list of numbers. Pairs of
      x and y are visible (2), but for (0, 0), which is not labeled (0).
    - The box of the labeled keypoints stands in for an unusable one, see
      :func:`stand_in_for_box`.

    What is not understood is left as it is, for :func:`check_annotations` to
    refuse.

    Args:
        content (dict): Of the file, with the lists ``images``,
            ``annotations`` and ``categories``. It is changed in place.
        folder (str, optional): Where the images are. Without it, no size is
            taken from a file, and no file is looked for.

    Returns:
        list[Repair]: What was changed.
    """
    _remove_nulls(content)
    repairs = [
        *_number_ids(content),
        _rename_files(content, folder),
        _take_sizes(content, folder),
        *_flatten_keypoints(content),
        _replace_boxes(content),
    ]
    return [repair for repair in repairs if repair.examples]


def leave_out_missing(content: dict, folder: str) -> int:
    """Take images without a file out of a content, with what is annotated in
    them, in place.

    Args:
        content (dict): With the lists ``images`` and ``annotations``.
        folder (str): Where the images are.

    Returns:
        int: How many images were taken out.
    """
    missing = find_missing(content['images'], folder)
    gone = {image.get('id') for image in missing}
    images = [i for i in content['images'] if i.get('id') not in gone]
    content['annotations'] = [
        ann for ann in content['annotations']
        if ann.get('image_id') not in gone
    ]
    number = len(content['images']) - len(images)
    content['images'] = images
    return number


def find_missing(images: List[dict], folder: str) -> List[dict]:
    """Entries of ``images`` that have a name, but no file."""
    return [
        image for image in images if isinstance(image.get('file_name'), str)
        and not _is_file(folder, image['file_name'])
    ]


def _remove_nulls(content: dict) -> None:
    for ann in content['annotations']:
        for field in OPTIONAL:
            if field in ann and ann[field] is None:
                del ann[field]
        if ann.get('bbox') == []:
            del ann['bbox']


def _number_ids(content: dict) -> List[Repair]:
    """Make integers of ids, and of the fields that refer to them."""
    repairs = []
    for kind, field in (('image', 'image_id'), ('category', 'category_id'),
                        ('annotation', '')):
        entries = content['categories' if kind == 'category' else f'{kind}s']
        ids = [entry.get('id') for entry in entries]
        changed = [i for i in ids if not isinstance(i, int)]
        users = [
            ann for ann in content['annotations']
            if field and not isinstance(ann.get(field), int)
        ]
        if not changed and not users:
            continue
        numbers = _numbers_of(ids)
        for entry in entries:
            if isinstance(entry.get('id'), ID):
                entry['id'] = numbers.get(entry['id'], entry['id'])
        by_text = {str(old): new for old, new in numbers.items()}
        refer = []
        for ann in users:
            number = by_text.get(str(ann.get(field)))
            if number is None and _agree(numbers):
                number = _as_integer(ann.get(field))
            if number is not None:
                ann[field] = number
                refer.append(ann.get('id'))
        if changed and numbers:
            same = _agree(numbers)
            repairs.append(
                Repair(
                    f'`id` in {_plural(kind)} that is no integer',
                    'The integer of the same value is taken' if same else
                    'They are numbered from 1, in the order of the file, and '
                    'predictions have these numbers', changed, 'id'))
        elif refer:
            repairs.append(
                Repair(f'`{field}` that is no integer',
                       'The integer of the same value is taken', refer))
    return repairs


def _plural(kind: str) -> str:
    return '`categories`' if kind == 'category' else f'`{kind}s`'


def _numbers_of(ids: list) -> Dict[Union[int, float, str], int]:
    """An integer for each id; none where an entry has no id."""
    if not all(isinstance(i, ID) for i in ids):
        return {}
    distinct = list(dict.fromkeys(ids))
    whole = [_as_integer(i) for i in distinct]
    if None in whole or len(set(whole)) < len(distinct):
        whole = list(range(1, len(distinct) + 1))
    return dict(zip(distinct, whole))


def _agree(numbers: dict) -> bool:
    """Whether the integers of ids have the value of these ids."""
    return all(_as_integer(old) == new for old, new in numbers.items())


def _as_integer(value: Any) -> Optional[int]:
    """The integer that a value stands for, None if there is none."""
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r'\s*\d{1,18}\s*', value,
                                               re.ASCII):
        return int(value)
    return None


def _rename_files(content: dict, folder: Optional[str]) -> Repair:
    """Find the files of names that Windows wrote."""
    images = [
        image for image in content['images']
        if isinstance(image.get('file_name'), str)
        and '\\' in image['file_name'] and '\0' not in image['file_name']
    ]
    last = Counter(_last_part(image['file_name']) for image in images)
    renamed = []
    for image in images:
        name = image['file_name']
        slashes = name.replace('\\', '/')
        found = slashes
        if folder is not None:
            candidates = [name, slashes]
            if last[_last_part(name)] == 1:  # no two entries for one file
                candidates.append(_last_part(name))
            found = next((n for n in candidates if _is_file(folder, n)),
                         slashes)
        if found != name:
            image['file_name'] = found
            renamed.append(name)
    return Repair(r'`file_name` with `\`', 'It is read as `/`', renamed,
                  'file')


def _last_part(name: str) -> str:
    return re.split(r'[\\/]', name)[-1]


def _is_file(folder: str, name: str) -> bool:
    try:
        return exists(osp.join(folder, name))
    except ValueError:  # a name that no file can have
        return False


def _take_sizes(content: dict, folder: Optional[str]) -> Repair:
    """Take missing sizes of images from their files."""
    taken = []
    for image in content['images']:
        name = image.get('file_name')
        if folder is None or not isinstance(name, str) or not any(
                image.get(side) in (None, 0) for side in ('width', 'height')):
            continue
        try:
            size, orientation = read_header(osp.join(folder, name))
        except (OSError, ValueError):
            continue
        if orientation in SIDEWAYS:
            size = size[::-1]
        image['width'], image['height'] = size
        taken.append(name)
    return Repair('`images` without `width` and `height`',
                  'They are taken from the files', taken, 'file')


def _flatten_keypoints(content: dict) -> List[Repair]:
    """Bring keypoints to one list of x, y and visibility."""
    nested: list = []
    pairs: list = []
    for ann in content['annotations']:
        for field in KEYPOINT_FIELDS:
            points = ann.get(field)
            if not isinstance(points, list) or not points or not all(
                    isinstance(point, list) for point in points):
                continue
            lengths = {len(point) for point in points}
            if lengths not in ({2}, {3}):
                continue
            if lengths == {2}:
                points = [[*point, _visibility(point)] for point in points]
            (pairs if lengths == {2} else nested).append(ann.get('id'))
            ann[field] = [value for point in points for value in point]
    for ann in _find_flat_pairs(content):
        values = ann['keypoints']
        points = list(zip(values[::2], values[1::2]))
        ann['keypoints'] = [
            value for point in points for value in (*point, _visibility(point))
        ]
        pairs.append(ann.get('id'))
    return [
        Repair('`keypoints` as a list of lists', 'They are read as one list',
               nested),
        Repair('`keypoints` without a visibility',
               'All are read as visible (2), but (0, 0) as not labeled (0)',
               pairs),
    ]


def _visibility(point: Any) -> int:
    return 0 if tuple(point) == (0, 0) else 2


def _find_flat_pairs(content: dict) -> List[dict]:
    """Annotations whose keypoints are x, y, x, y and so on.

    There are twice as many numbers as names of keypoints. Without names,
    none of the lists can be one of threes, and all are as long.
    """
    known = {
        entry.get('id'): len(entry['keypoints'])
        for entry in content['categories'] if isinstance(entry.get('id'), int)
        and isinstance(entry.get('keypoints'), list) and entry['keypoints']
    }
    people = [
        ann for ann in content['annotations']
        if isinstance(ann.get('keypoints'), list) and ann['keypoints']
    ]
    nameless = {
        len(ann['keypoints'])
        for ann in people if _category(ann) not in known
    }
    pairs_only = len(nameless) == 1 and all(n % 2 == 0 and n % 3 != 0
                                            for n in nameless)
    found = []
    for ann in people:
        length = len(ann['keypoints'])
        count = known.get(_category(ann))
        if length == 2 * count if count else pairs_only:
            found.append(ann)
    return found


def _category(ann: dict) -> Optional[int]:
    category = ann.get('category_id')
    return category if isinstance(category, int) else None


def _replace_boxes(content: dict) -> Repair:
    """Let the box of the labeled keypoints stand in for unusable ones."""
    images = {
        image.get('id'): image
        for image in content['images'] if isinstance(image.get('id'), int)
    }
    replaced = []
    for ann in content['annotations']:
        if 'keypoints' not in ann:
            continue
        image_id = ann.get('image_id')
        image = images.get(image_id if isinstance(image_id, int) else None, {})
        size = (image.get('width'), image.get('height'))
        known = all(is_number(side) and side > 0 for side in size)
        changes = stand_in_for_box(ann, size if known else None)
        if changes:
            ann.update(changes)
            replaced.append(ann.get('id'))
        elif 'bbox' not in ann and not count_labeled(ann):
            ann['bbox'] = [0, 0, 0, 0]  # nobody reads it
    return Repair(
        'No usable `bbox`',
        'The box of the labeled keypoints with a margin stands in, and '
        '0.53 of it for an `area` that is missing or 0', replaced)
