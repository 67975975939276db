"""Checks of a file as a whole: ids, categories, images and their sizes."""
from collections import Counter
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np
from PIL import Image

from ..data.annotations import KEYPOINT_FIELDS, check_annotations
from ..data.loading import ORIENTATION
from .coco_file import KeypointFile
from .findings import Finding, found


def check_file(file: KeypointFile,
               folder: Optional[str] = None,
               for_training: bool = True) -> List[Finding]:
    """Run all checks of this module.

    Args:
        file (KeypointFile): The file.
        folder (str, optional): Where its images are. Without it, sizes are
            compared with what is annotated.
        for_training (bool): For training rather than evaluation. Defaults
            to True.

    Returns:
        list[Finding]: What looks wrong.
    """
    findings = [*check_ids(file), *check_categories(file, for_training)]
    if folder is None:
        findings += check_sizes(file)
    else:
        findings += check_image_files(file, Path(folder))
    if not any(finding.level == 'error' for finding in findings):
        try:
            check_annotations(file.content, file.path, class_agnostic=True)
        except ValueError as error:
            findings.append(
                Finding('error', 'Training refuses the file', str(error)))
    return findings


def check_ids(file: KeypointFile) -> List[Finding]:
    """Check for entries that training refuses, repeated ids, annotations
    without an image, and images without labeled people."""
    findings = []
    reasons: Dict[str, Tuple[str, List]] = {}
    for ann_id, reason in file.refused:
        kind = ''.join(c for c in reason if not c.isdigit())
        reasons.setdefault(kind, (reason, []))[1].append(ann_id)
    for reason, ids in reasons.values():
        findings += found('error', 'Annotations that training refuses', ids,
                          reason.rstrip('.'))
    for kind in ('image', 'annotation'):
        counts = Counter(entry.get('id') for entry in file.content[f'{kind}s'])
        findings += found(
            'error',
            f'{kind.capitalize()}s with the `id` of another one',
            [name for name, count in counts.items() if count > 1],
            'Only one of them would be seen; give each its own number',
            unit='id')
    findings += found('error',
                      'Annotations of images that are not in `images`', [
                          ann.get('id') for ann in file.content['annotations']
                          if ann.get('image_id') not in file.images
                      ], 'Add the images or remove the annotations')
    counts = Counter(image.get('file_name') for image in file.images.values())
    findings += found(
        'warning',
        'Files that several entries of `images` name',
        [name for name, count in counts.items() if count > 1],
        'Each entry is trained with its own people only; merge them',
        unit='file')
    used = set(file.image_ids[file.labeled.any(1)].tolist())
    findings += found(
        'error' if not used else 'note',
        'Images without a labeled keypoint',
        set(file.images) - used,
        'Training leaves them out, the evaluation counts detections there as '
        'wrong',
        unit='image',
        total=len(file.images))
    return findings


def check_categories(file: KeypointFile,
                     for_training: bool = True) -> List[Finding]:
    """Check for categories other than 1, annotations without keypoints, and
    fields with further keypoints."""
    names = {c.get('id'): c.get('name') for c in file.content['categories']}
    findings = []
    used = file.used_categories
    if used != [1]:
        shown = ', '.join(f'{names.get(i)} ({i})' for i in used[:5])
        more = ', ...' if len(used) > 5 else ''
        findings.append(
            Finding(
                'note', f'Categories other than 1: {shown}{more}',
                'The config takes all instances for the same thing '
                '(class_agnostic=True); to keep one category only, run again '
                'with --category NAME'))
    findings += found(
        'warning',
        'Categories of annotations that `categories` does not list',
        [i for i in used if i not in names],
        'Add them',
        unit='id')
    findings += found(
        'note' if for_training else 'error', 'Annotations without `keypoints`',
        [
            ann.get('id')
            for ann in file.content['annotations'] if 'keypoints' not in ann
        ], 'Training passes over them'
        if for_training else 'The metric needs them; remove the annotations')
    fields = {name for ann in file.people for name in ann} & {*KEYPOINT_FIELDS}
    findings += found(
        'note',
        'Fields with more keypoints',
        sorted(fields - {'keypoints'}),
        'Only `keypoints` is described. For all those of COCO-WholeBody use '
        'MMPose\'s CocoWholeBodyDataset and its metainfo',
        unit='field')
    return findings


def check_sizes(file: KeypointFile) -> List[Finding]:
    """Compare the sizes of images with the extent of their annotations."""
    turned: List[int] = []
    small: List[int] = []
    reach = _reach(file)
    for image_id, far in reach.items():
        image = file.images.get(image_id, {})
        size = np.array(
            [image.get('width', np.nan),
             image.get('height', np.nan)])
        # Bodies may be thought to go on beyond the border, but not much.
        allowed = 1.05 * size + 2
        if (far <= allowed).all() or np.isnan(size).any():
            continue
        fits = (far <= allowed[::-1]).all() and size[0] != size[1]
        (turned if fits else small).append(image_id)
    level = 'warning' if len(turned) > 0.02 * len(reach) else 'note'
    findings = found(
        level,
        'Keypoints beyond the image, but not if width and height trade places',
        turned,
        '`width` and `height` of `images` may be swapped. Run again with '
        '--images to compare with the files',
        unit='image',
        total=len(file.images))
    return findings + found(
        'warning',
        'Keypoints beyond the image',
        small,
        '`width` and `height` may be those of a resized image; both and the '
        'keypoints must be pixels of the same file. Run again with --images',
        unit='image',
        total=len(file.images))


def _reach(file: KeypointFile) -> dict:
    """The largest x and y of labeled keypoints, by image."""
    points = np.where(file.labeled[..., None], file.keypoints[..., :2], 0)
    reach: Dict[int, np.ndarray] = {}
    for image_id, far in zip(file.image_ids.tolist(), points.max(1)):
        reach[image_id] = np.maximum(reach.get(image_id, 0), far)
    return reach


def check_image_files(file: KeypointFile, folder: Path) -> List[Finding]:
    """Compare ``images`` with the headers of the image files."""
    missing, broken, other = [], [], []
    turned: List[str] = []
    rotated: List[str] = []
    for image in file.images.values():
        name = str(image.get('file_name'))
        try:
            with Image.open(folder / name) as picture:
                size = picture.size
                sideways = picture.getexif().get(ORIENTATION, 1) >= 5
        except FileNotFoundError:
            missing.append(name)
            continue
        except Exception:  # of Pillow's many formats
            broken.append(name)
            continue
        stated = (image.get('width'), image.get('height'))
        if stated == size:
            continue
        if stated == size[::-1]:
            (rotated if sideways else turned).append(name)
        else:
            other.append(name)
    count = dict(unit='file', total=len(file.images))
    findings = found('error', f'Images that are not in {folder}', missing,
                     'Check --images and `file_name`', **count)
    findings += found('error', 'Images that cannot be read', broken,
                      'Replace the files or remove the entries', **count)
    findings += found(
        'warning', '`width` and `height` swapped', turned,
        'The files have them the other way round; people would be clipped '
        'away. Correct `images`', **count)
    findings += found(
        'warning', 'Annotated as rotated by EXIF', rotated,
        'Training does not follow the EXIF orientation. Save these images '
        'upright, or set color_type=\'color\' of LoadPoseImage', **count)
    return findings + found(
        'warning', '`width` and `height` of another size', other,
        'The keypoints may be those of a resized image. Annotate in pixels '
        'of the file', **count)


def check_match(train: KeypointFile, val: KeypointFile) -> List[Finding]:
    """Check that training and evaluation have the same keypoints."""
    if val.num_keypoints != train.num_keypoints:
        what = f'{val.num_keypoints} keypoints, {train.num_keypoints} in ' \
            'the file to train on'
    elif None not in (val.names, train.names) and val.names != train.names:
        what = 'Other names of keypoints than in the file to train on'
    else:
        return []
    return [
        Finding('error', what,
                'Both files need the same keypoints in the same order')
    ]


def check_overlap(train: KeypointFile, val: KeypointFile,
                  same_folder: bool) -> List[Finding]:
    """Check for images that are in both training and evaluation.

    Args:
        train (KeypointFile): Annotations to train on.
        val (KeypointFile): Annotations to evaluate on.
        same_folder (bool): Whether equal file names are the same image. If
            not, the same people must be annotated in it, too.

    Returns:
        list[Finding]: What looks wrong.
    """
    names = []
    for file in (train, val):
        boxes: Dict[int, List] = {image_id: [] for image_id in file.images}
        for image_id, box in zip(file.image_ids.tolist(), file.boxes.tolist()):
            boxes.get(image_id, []).append(box)
        names.append({(image.get('file_name'), same_folder
                       or str(boxes[image_id]))
                      for image_id, image in file.images.items()
                      if same_folder or boxes[image_id]})
    return found(
        'warning',
        'Images in both files, for training and for evaluation',
        sorted(str(name) for name, _ in names[0] & names[1]),
        'The AP on them says nothing about new images; remove them from one',
        unit='file')
