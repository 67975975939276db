"""Checks of a file as a whole: ids, categories, images and their sizes."""
from collections import Counter
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np

from ..data.annotations import CATEGORY_ID, KEYPOINT_FIELDS, check_annotations
from ..data.instances import is_number
from ..data.loading import SIDEWAYS, SIZE_REMEDIES, compare_sizes, read_header
from .coco_file import KeypointFile
from .findings import Finding, found

REFUSED = {
    True: 'Training refuses the file',
    False: 'The evaluation refuses the file'
}


def check_file(file: KeypointFile,
               folder: Optional[str] = None,
               for_training: bool = True,
               skip_missing: bool = False) -> List[Finding]:
    """Run all checks of this module, by the rules of training.

    Args:
        file (KeypointFile): The file. Its ``unusable`` and ``upright`` are
            set by what the images show.
        folder (str, optional): Where its images are. Without it, sizes are
            compared with what is annotated.
        for_training (bool): For training rather than evaluation. Defaults
            to True.
        skip_missing (bool): Whether images without a file are left out.
            Defaults to False.

    Returns:
        list[Finding]: What looks wrong.
    """
    findings = [
        Finding('note', repair.what, repair.how, repair.unit, repair.examples)
        for repair in file.repairs
    ]
    findings += [*check_ids(file), *check_categories(file, for_training)]
    if folder is None:
        findings += check_sizes(file)
    else:
        findings += check_image_files(file, Path(folder), for_training,
                                      skip_missing)
    if for_training and not _has_error(findings):
        findings += check_anybody(file)
    if not _has_error(findings):
        try:
            check_annotations(
                file.content, file.path, for_training, class_agnostic=True)
        except ValueError as error:
            findings.append(
                Finding('error', REFUSED[for_training], str(error)))
    return findings


def _has_error(findings: List[Finding]) -> bool:
    return any(finding.level == 'error' for finding in findings)


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
        f'Each entry is trained with its own {file.noun} only; merge them',
        unit='file')
    used = set(file.labeled_images.tolist())
    findings += found(
        'note',
        'Images without a labeled keypoint',
        set(file.images) - used,
        'Training leaves them out, the evaluation counts detections there as '
        'wrong',
        unit='image',
        total=len(file.images))
    return findings


def check_anybody(file: KeypointFile) -> List[Finding]:
    """Check that somebody remains to be trained on."""
    reasons = file.count_trained()
    if reasons.pop('', 0):
        return []
    counts = ', '.join(f'{count} {what}' for what, count in reasons.items())
    return [
        Finding(
            'error', f'Nothing can be trained on: {counts}',
            'Each needs `keypoints` with a positive visibility within the '
            'image. Correct `keypoints`, `num_keypoints`, `iscrowd` and '
            '`bbox`')
    ]


def check_categories(file: KeypointFile,
                     for_training: bool = True) -> List[Finding]:
    """Check for categories other than 1, annotations without keypoints, and
    fields with further keypoints."""
    names = {c.get('id'): c.get('name') for c in file.content['categories']}
    findings = []
    used = file.used_categories
    if used != [CATEGORY_ID]:
        counts = Counter(ann['category_id'] for ann in file.people)
        shown = ', '.join(f'{names.get(i)} (`id` {i}, {counts[i]} {file.noun})'
                          for i in used[:5])
        more = ', ...' if len(used) > 5 else ''
        what = f'{len(used)} categories' if len(used) > 1 else \
            f'A category with another `id` than {CATEGORY_ID}'
        remedy = ('The config takes all instances for the same thing '
                  '(class_agnostic=True); to keep one category only, run '
                  'again with --category NAME')
        if file.classes:
            remedy = ('They are classes of one model, each with an AP of its '
                      'own; to take all for the same thing, run again with '
                      '--one-class, to keep one with --category NAME')
        findings.append(Finding('note', f'{what}: {shown}{more}', remedy))
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


def check_image_files(file: KeypointFile,
                      folder: Path,
                      for_training: bool = True,
                      skip_missing: bool = False) -> List[Finding]:
    """Compare ``images`` with the headers of the image files, by the rules of
    ``LoadPoseImage``.

    What it refuses is an error where the image is used: with somebody labeled
    in training, and always in evaluation.
    """
    headers = {}
    missing: Dict[int, str] = {}
    broken: Dict[int, str] = {}
    for image_id, image in file.images.items():
        name = str(image.get('file_name'))
        try:
            headers[image_id] = read_header(str(folder / name))
        except FileNotFoundError:
            missing[image_id] = name
        except (OSError, ValueError):
            broken[image_id] = name
    sizes = _compare_headers(file, headers)
    turned = [i for i, kind in sizes.items() if kind == 'turned']
    if turned:
        # Then all are: the config says color_type='color'.
        file.upright = True
        sizes = _compare_headers(file, headers)
    by_kind: Dict[str, Dict[int, str]] = dict(
        missing=missing, broken=broken, other={}, turned={}, swapped={})
    for image_id, kind in sizes.items():
        if kind:
            name = str(file.images[image_id].get('file_name'))
            by_kind[kind][image_id] = name

    refused = dict(
        missing=(f'Images that are not in {folder}',
                 'Check --images and `file_name`, or leave them out by '
                 '--skip-missing'),
        broken=('Images that cannot be read',
                'Replace the files or remove the entries'),
        other=('`width` and `height` of another size',
               SIZE_REMEDIES['other'].rstrip('.')),
        turned=('Annotated as they are stored, though others are annotated '
                'as turned by EXIF', 'Save these images upright'))
    count = dict(unit='file', total=len(file.images))
    used = set(file.labeled_images.tolist()) if for_training else \
        set(file.images)
    findings = []
    for kind, (what, remedy) in refused.items():
        ids = by_kind[kind]
        skipped = kind == 'missing' and skip_missing
        needed = [] if skipped else [i for i in ids if i in used]
        others = [ids[i] for i in ids if i not in needed]
        findings += found('error', what, [ids[i] for i in needed], remedy,
                          **count)
        findings += found(
            'note', what, others, 'They are left out (skip_missing=True)'
            if skipped else 'Training does not use them', **count)
        file.unusable |= set(ids)
    findings += found(
        'note', '`width` and `height` swapped', by_kind['swapped'].values(),
        'The files have them the other way round, which training follows',
        **count)
    findings += found(
        'note', 'Annotated as rotated by EXIF',
        [str(file.images[i].get('file_name')) for i in turned],
        "The config follows the EXIF orientation (color_type='color' of "
        'LoadPoseImage)', **count)
    if not file.upright:
        findings += found(
            'warning', 'Turned or mirrored by EXIF, by the size unchanged', [
                str(file.images[i].get('file_name'))
                for i, (size, orientation) in headers.items()
                if orientation in range(2, 9) and not sizes[i] and (
                    orientation not in SIDEWAYS or size[0] == size[1])
            ], 'Training reads them as they are stored; if they were '
            "annotated as a viewer shows them, set color_type='color' of "
            'LoadPoseImage in config.py', **count)
    return findings


def _compare_headers(file: KeypointFile, headers: dict) -> Dict[int, str]:
    """What :func:`compare_sizes` says of each image that was looked at."""
    kinds = {}
    for image_id, (size, orientation) in headers.items():
        image = file.images[image_id]
        stated = [
            image[side] for side in ('width', 'height')
            if is_number(image.get(side))
        ]
        if len(stated) < 2:
            continue  # refused by check_annotations
        sideways = orientation in SIDEWAYS
        seen = size[::-1] if sideways and file.upright else size
        kinds[image_id] = compare_sizes(stated, seen, lambda: sideways)
    return kinds


def check_match(train: KeypointFile, val: KeypointFile) -> List[Finding]:
    """Check that training and evaluation have the same keypoints and
    classes."""
    if val.num_keypoints != train.num_keypoints:
        what = f'{val.num_keypoints} keypoints, {train.num_keypoints} in ' \
            'the file to train on'
    elif None not in (val.names, train.names) and val.names != train.names:
        what = 'Other names of keypoints than in the file to train on'
    else:
        return _check_classes(train, val)
    return [
        Finding('error', what,
                'Both files need the same keypoints in the same order')
    ]


def _check_classes(train: KeypointFile, val: KeypointFile) -> List[Finding]:
    """Check that categories of the evaluation are classes of the training."""
    if not train.classes:
        return []
    names = {c.get('id'): c.get('name') for c in val.content['categories']}
    others = [
        f'{names.get(i)} (`id` {i})' for i in val.used_categories
        if str(names.get(i) or train.classes.get(i)) != train.classes.get(i)
    ]
    known = ', '.join(f'{name} (`id` {i})'
                      for i, name in train.classes.items())
    return found(
        'error',
        'Categories that are not those of the file to train on',
        others,
        f'There they are {known}. Give them the same `id` and `name`, remove '
        'the annotations of others, or take all for the same thing by '
        '--one-class',
        unit='name')


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
