"""From COCO keypoint files to the journal, and back."""
import json
import os
import os.path as osp
from collections import defaultdict
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ..data.annotations import (CATEGORY_ID, check_annotations,
                                complete_annotations)
from ..data.instances import stand_in_for_box
from ..data.loading import SIZE_REMEDIES, compare_sizes
from ..data.repairs import load_annotations
from ..inference.datasets import Labels
from .images import ImageList
from .journal import Journal
from .people import rounded

# What an annotation keeps of the file that it comes from, where the box still
# holds the pose.
SHAPE_FIELDS = ('bbox', 'area', 'segmentation')


def import_annotations(journal: Journal, images: ImageList, ann_file: str,
                       dataset_meta: dict) -> List[str]:
    """Enter the annotations of a COCO keypoint file into a journal, once.

    Labeled keypoints are taken as placed by somebody. A keypoint that is not
    labeled starts in the center of those that are. What has no labeled
    keypoint, and crowd regions, is not shown and exported as it is.

    Args:
        journal (Journal): If it has the file already, nothing happens.
        images (ImageList): The images that are labeled.
        ann_file (str): The file.
        dataset_meta (dict): Metainfo of the keypoints.

    Returns:
        list[str]: What a user should know, a sentence each.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no COCO keypoint file, has other keypoints, or
            the journal holds something else.
    """
    begun = journal.fact('annotations')
    known = journal.progress()
    path = osp.abspath(ann_file)
    if begun == path:
        return [
            f'{ann_file}: was read on an earlier start; what was labeled '
            'since then is kept.'
        ]
    if begun or known:
        raise ValueError(
            f'{journal.path}: holds labels already'
            f'{f", begun with {begun}" if begun else ""}. Leave out '
            '--annotations to go on with them, or choose another --out for '
            f'{ann_file}.')
    content = _read(ann_file, images.folder, dataset_meta)
    annotations = defaultdict(list)
    for ann in content['annotations']:
        annotations[ann['image_id']].append(ann)
    absent = [i for i in content['images'] if i['file_name'] not in images]
    if len(absent) == len(content['images']):
        raise ValueError(
            f'{ann_file}: none of its {len(absent)} images is in '
            f'{images.folder}. Give the folder from which `file_name` counts.')
    with journal.transaction():
        for image in content['images']:
            name = image['file_name']
            if name in images:
                size = _check_size(image, images, ann_file)
                _enter(journal, image, size, annotations[image['id']],
                       'classes' in dataset_meta)
        journal.record('annotations', path)
        journal.record('category', _category_name(content))
    notes = [
        f'{ann_file}: {len(content["images"]) - len(absent)} images '
        'read.'
    ]
    if absent:
        notes.append(
            f'{ann_file}: {len(absent)} images are not in {images.folder} and '
            f'are left out, the first of them {absent[0]["file_name"]}.')
    return notes


def _read(ann_file: str, folder: str, dataset_meta: dict) -> dict:
    """The content of a file, checked."""
    content, _ = load_annotations(ann_file, folder)
    classes = dataset_meta.get('classes')
    check_annotations(
        content, ann_file, class_agnostic=not classes, classes=classes)
    complete_annotations(content)
    num_keypoints = dataset_meta['num_keypoints']
    for ann in content['annotations']:
        found = len(ann.get('keypoints', ())) // 3
        if found not in (0, num_keypoints):
            raise ValueError(
                f'{ann_file}: annotation {ann["id"]} has {found} keypoints, '
                f'the model has {num_keypoints}. Give annotations of the '
                'keypoints that the model was trained for.')
    named = [c for c in content['categories'] if c.get('keypoints')]
    names = Labels.of(dataset_meta).keypoints
    if len(named) == 1 and [*map(str, named[0]['keypoints'])] != names:
        raise ValueError(
            f'{ann_file}: the keypoints are {named[0]["keypoints"]}, those of '
            f'the model {names}. Give annotations of the keypoints that the '
            'model was trained for, in the same order and by the same names.')
    if not classes and len({a['category_id']
                            for a in content['annotations']}) > 1:
        raise ValueError(
            f'{ann_file}: has several categories, but the model tells no '
            'classes apart. Give a file with one of them.')
    return content


def _check_size(image: dict, images: ImageList,
                ann_file: str) -> Tuple[int, int]:
    """Width and height of an image, which the file must state."""
    name = image['file_name']
    stated, size = (image['width'], image['height']), images.size(name)
    problem = compare_sizes(stated, size, lambda: True)
    if problem:
        remedy = SIZE_REMEDIES['other']
        if problem == 'turned':
            remedy = ('It is shown as its EXIF orientation says: save it '
                      'upright, and annotate that.')
        raise ValueError(
            f'{ann_file}: image {image["id"]}: {name} has {size[0]} x '
            f'{size[1]} pixels, but `width` x `height` are {stated[0]:g} x '
            f'{stated[1]:g}. {remedy}')
    return size


def _enter(journal: Journal, image: dict, size: Tuple[int, int],
           annotations: List[dict], has_classes: bool) -> None:
    """Enter an image and what is annotated in it."""
    people: List[dict] = []
    shapes: Dict[str, dict] = {}
    others = []
    for ann in annotations:
        if ann.get('iscrowd') or not ann.get('num_keypoints'):
            others.append(ann)
            continue
        points = np.reshape(ann['keypoints'], (-1, 3)).astype(float)
        labeled = points[:, 2] > 0
        points[~labeled, :2] = points[labeled, :2].mean(0)
        person = len(people) + 1
        people.append(
            dict(
                id=person,
                category=ann['category_id'] if has_classes else CATEGORY_ID,
                keypoints=[[*rounded((x, y)), min(int(v), 2)]
                           for x, y, v in points],
                fixed=labeled.tolist(),
                scores=None))
        shapes[str(person)] = {
            key: value
            for key, value in ann.items()
            if key not in ('keypoints', 'num_keypoints', 'category_id',
                           'image_id')
        }
    journal.add(image['file_name'], size, dict(done=False, people=people),
                image['id'], dict(image=image, people=shapes, others=others))


def _category_name(content: dict) -> str:
    used = {ann['category_id'] for ann in content['annotations']}
    names = [
        str(category['name']) for category in content['categories']
        if category.get('id') in used and category.get('name')
    ]
    return names[0] if len(names) == 1 else 'object'


def export_annotations(journal: Journal,
                       dataset_meta: dict,
                       path: str,
                       category: Optional[str] = None) -> Dict[str, Any]:
    """Write what was labeled as a COCO keypoint file, whole or not at all.

    It has the images in which somebody changed or confirmed something. The
    box of a person that is new or has left its box is that of the labeled
    keypoints with a margin, see :func:`stand_in_for_box`.

    Args:
        journal (Journal): With the labels.
        dataset_meta (dict): Metainfo of the keypoints.
        path (str): File to write; one that exists is replaced.
        category (str, optional): What an object is called, where no classes
            are told apart. Defaults to the name in the imported file, or
            'object'.

    Returns:
        dict: Numbers of ``images``, of those that are not ``done`` among
        them as ``unfinished``, and of ``people``, and the ``path``.

    Raises:
        OSError: If it cannot be written.
    """
    if 'classes' not in dataset_meta:
        category = category or journal.fact('category')
    else:
        category = None
    labels = Labels.of(dataset_meta, category)
    content: Dict[str, list] = dict(
        images=[], annotations=[], categories=labels.categories())
    unfinished = 0
    for entry in journal.entries():
        size = dict(width=entry['width'], height=entry['height'])
        imported = entry['imported']
        content['images'].append({
            **imported.get('image', {}), 'id': entry['id'],
            'file_name': entry['name'],
            **size
        })
        unfinished += not entry['state']['done']
        for person in entry['state']['people']:
            shape = imported.get('people', {}).get(str(person['id']), {})
            content['annotations'].append(
                dict(
                    _annotation(person, shape, (*size.values(), )),
                    image_id=entry['id']))
        content['annotations'] += imported.get('others', [])
    if 'classes' not in dataset_meta:
        for ann in content['annotations']:
            ann['category_id'] = CATEGORY_ID
    _number(content['annotations'])
    _write(path, json.dumps(content))
    return dict(
        path=osp.abspath(path),
        images=len(content['images']),
        unfinished=unfinished,
        people=sum('keypoints' in ann for ann in content['annotations']))


def _annotation(person: dict, shape: dict, size: Tuple[int, int]) -> dict:
    """A person as COCO has it."""
    points = np.array(person['keypoints'], dtype=float)
    labeled = points[:, 2] > 0
    points[~labeled] = 0
    ann = dict(
        shape,
        category_id=person['category'],
        iscrowd=0,
        num_keypoints=int(labeled.sum()),
        keypoints=rounded(points.ravel()))
    if not _holds(ann.get('bbox'), points[labeled, :2]):
        for field in SHAPE_FIELDS:
            ann.pop(field, None)
        ann.update(bbox=[0, 0, 0, 0], area=0)
        ann.update(stand_in_for_box(ann, size))
    ann['bbox'] = rounded(ann['bbox'])
    ann.setdefault('segmentation', [])
    return ann


def _holds(box: Optional[list], points: np.ndarray) -> bool:
    """Whether a box holds all points (n, 2)."""
    if box is None or not len(points):
        return box is not None
    low = np.array(box[:2])
    return bool(((points >= low - 1) & (points <= low + box[2:] + 1)).all())


def _number(annotations: List[dict]) -> None:
    """Give ids to annotations that have none."""
    largest = max((ann.get('id', 0) for ann in annotations), default=0)
    for ann in annotations:
        if 'id' not in ann:
            largest += 1
            ann['id'] = largest


def _write(path: str, text: str) -> None:
    """Write a file whole, or leave what is there."""
    part = f'{path}.part'
    with open(part, 'w', encoding='utf-8', newline='\n') as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
