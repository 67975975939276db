"""YOLO pose: a data.yaml, folders of images, and a text file for each image.

https://docs.ultralytics.com/datasets/pose/ describes the format. A line is
the class, the box (center and size) and K keypoints of 2 or 3 numbers; all but
class and visibility are parts of the width and height of the image.
"""
import math
import os.path as osp
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Set, Tuple

import numpy as np

from ..names import are_partners
from .content import ContentBuilder, Converted
from .image_files import image_size, list_images
from .source import Source

LARGEST = 2  # parts of the image; more must be pixels
PARTS = ('train', 'val', 'test')


def matches(source: Source) -> bool:
    """Whether a file is the data.yaml of a YOLO data set."""
    return 'names' in source.yaml and any(
        field in source.yaml for field in ('kpt_shape', 'nc', *PARTS))


def read(whole: Source, sources: List[Source]) -> Converted:
    """Read the images of train, val and test, with the labels beside them.

    Images of test that are not there, or all without labels, are left out:
    many files name some that only their authors have.

    Args:
        whole (Source): What the user gave; its ``images`` is the root of the
            data set in place of ``path`` of the data.yaml.
        sources (list[Source]): The data.yaml.

    Returns:
        Converted: Content, folder and notes.

    Raises:
        FileNotFoundError: If there are no images where the data.yaml says.
        ValueError: If something in the data.yaml or the labels is wrong.
    """
    source, *others = sources
    if others:
        raise ValueError(
            f'{whole.path}: {len(sources)} data sets: {source.path}, '
            f'{others[0].path}. Give the data.yaml of one of them.')
    path, config = source.path, source.yaml
    num_keypoints, dim = _shape(path, config)
    classes = _classes(path, config)
    flip_idx = _flip_idx(path, config, num_keypoints)
    keypoints, notes = _keypoint_names(path, config, num_keypoints)
    builder = ContentBuilder(path, keypoints, (), flip_idx)
    for name in classes.values():
        builder.add_category(str(name))
    root = whole.images or _root(source)
    seen: Set[Path] = set()
    for part in PARTS:
        images = _images_to_test(path, root, config.get(part), notes) if \
            part == 'test' else _images(path, root, config.get(part), part)
        repeated = seen.intersection(images)
        if repeated:
            other = '`train`' if part == 'val' else 'another part'
            notes.append(f'{len(repeated)} images of `{part}` are in {other}, '
                         'too, and left out of it: evaluation on them would '
                         'say nothing about new images.')
        for image in sorted(set(images) - seen):
            seen.add(image)
            size = image_size(image)
            name = osp.relpath(image, root).replace(osp.sep, '/')
            image_id = builder.add_image(name, size, part)
            label_file = _label_file(image)
            for number, values in _lines(label_file):
                where = f'{label_file}: line {number}'
                index, box, points = _parse(where, values, num_keypoints, dim,
                                            size)
                if index not in classes:
                    raise ValueError(
                        f'{where}: class {index} is not among the `names` of '
                        f'{path}: {sorted(classes)}. Correct one of them.')
                builder.add_object(image_id, str(classes[index]), points, box)
    return Converted(builder.content, root, notes)


def _shape(path: Path, config: dict) -> Tuple[int, int]:
    """Number of keypoints and of values for each."""
    shape = config.get('kpt_shape')
    if not isinstance(shape, list) or len(shape) != 2 or not all(
            isinstance(n, int) for n in shape) or shape[0] < 1 or \
            shape[1] not in (2, 3):
        raise ValueError(
            f'{path}: `kpt_shape` must be the number of keypoints and 2 (x, '
            f'y) or 3 (x, y, visibility), got {shape}. Without keypoints it '
            'is a data set for detection, and there is no pose to learn.')
    return shape[0], shape[1]


def _flip_idx(path: Path, config: dict, count: int) -> Optional[List[int]]:
    """Mirror partners, None if they are not stated. Exports that do not know
    them write that each keypoint is its own."""
    flip = config.get('flip_idx')
    if flip is None or flip == list(range(count)):
        return None
    if not are_partners(flip, count):
        raise ValueError(
            f'{path}: `flip_idx` must name the mirror partner of each of the '
            f'{count} keypoints, both ways, got {flip}. Correct it, or take '
            'it out.')
    return flip


def _keypoint_names(path: Path, config: dict,
                    count: int) -> Tuple[List[str], List[str]]:
    """Names of the keypoints, and what was assumed for them."""
    names = config.get('kpt_names', config.get('node_names'))
    if isinstance(names, dict):  # by class; all share the keypoints
        names = next(iter(names.values()), None)
    if names is not None:
        if not isinstance(names, list) or len(names) != count:
            raise ValueError(f'{path}: `kpt_names` must list {count} names, '
                             f'as `kpt_shape` says, got {names}.')
        return [str(name) for name in names], []
    note = ('There are no `kpt_names` in the data.yaml: the keypoints are '
            'called by their number. Add the names, so that known sigmas and '
            'skeletons are found.')
    return [f'keypoint_{i}' for i in range(count)], [note]


def _classes(path: Path, config: dict) -> Dict[int, str]:
    """Names of the classes by number, from a list or a mapping."""
    names = config['names']
    if isinstance(names, list):
        return dict(enumerate(names))
    if not isinstance(names, dict):
        raise ValueError(f'{path}: `names` must list the names of the '
                         f'classes, got {names}. Correct it.')
    return names


def _root(source: Source) -> Path:
    """The folder that the parts are relative to."""
    here = source.path.parent
    stated = here / str(source.yaml.get('path') or '.')
    # Many files name the folder they lie in, or one of another machine.
    return stated.resolve() if stated.is_dir() else here.resolve()


def _images_to_test(path: Path, root: Path, stated,
                    notes: List[str]) -> List[Path]:
    """The images of test, none if they cannot serve, which is noted."""
    try:
        images = _images(path, root, stated, 'test')
    except FileNotFoundError:
        notes.append('The images of `test` are not there and left out.')
        return []
    if images and not any(_label_file(image).is_file() for image in images):
        notes.append('The images of `test` have no labels and are left out.')
        return []
    return images


def _images(path: Path, root: Path, stated, part: str) -> List[Path]:
    """The images of a part: of folders, or of lists of files."""
    found: List[Path] = []
    entries = stated if isinstance(stated, list) else [stated]
    for entry in map(str, filter(None, entries)):
        # Roboflow writes ../train/images for train/images.
        inside = entry[3:] if entry.startswith('../') else entry
        places = [
            place
            for place in (root / entry, path.parent / entry, root / inside)
            if place.exists()
        ]
        if not places:
            raise FileNotFoundError(
                f'{path}: `{part}`: no {entry} in {root}. Correct `path` or '
                f'`{part}`, or give the root of the data set by --images.')
        if places[0].is_dir():
            found += list_images(places[0])
            continue
        for line in places[0].read_text(
                encoding='utf-8', errors='replace').split('\n'):
            if line.strip():
                name = line.strip()
                near = places[0].parent / name
                found.append(near if near.is_file() else root / name)
    missing = [image for image in found if not image.is_file()]
    if missing or (stated and not found):
        what = f'{len(missing)} images are missing, for instance ' \
            f'{missing[0]}' if missing else 'no images there'
        raise FileNotFoundError(f'{path}: `{part}`: {what}. Correct `path` '
                                f'or `{part}`, or give the root of the data '
                                'set by --images.')
    return sorted(found)


def _label_file(image: Path) -> Path:
    """The last folder named images becomes labels, if there is one."""
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == 'images':
            parts[i] = 'labels'
            break
    return Path(*parts).with_suffix('.txt')


def _lines(label_file: Path) -> List[Tuple[int, List[str]]]:
    """Lines that hold something, with their numbers; none without a file."""
    if not label_file.is_file():
        return []
    lines = label_file.read_text(
        encoding='utf-8', errors='replace').splitlines()
    return [(number, line.split()) for number, line in enumerate(lines, 1)
            if line.strip()]


def _parse(where: str, texts: Sequence[str], num_keypoints: int, dim: int,
           size: Sequence[int]) -> Tuple[int, List[float], np.ndarray]:
    """Class, box and keypoints of a line, in pixels."""
    expected = 5 + num_keypoints * dim
    if len(texts) != expected:
        raise ValueError(
            f'{where}: {len(texts)} numbers, but kpt_shape [{num_keypoints}, '
            f'{dim}] makes {expected}: the class, 4 of the box, {dim} of each '
            'keypoint. Correct the line or kpt_shape.')
    try:
        values = [float(text) for text in texts]
    except ValueError as error:
        raise ValueError(f'{where}: {error}. Correct the line.') from error
    if not all(map(math.isfinite, values)) or values[0] != int(values[0]):
        raise ValueError(f'{where}: class {texts[0]} must be an integer, all '
                         'others finite numbers. Correct the line.')
    points = np.array(values[5:]).reshape(num_keypoints, dim)
    if dim == 2:
        # What is missing lies at 0, 0.
        visible = np.where((points > 0).any(1), 2, 0)
        points = np.column_stack([points, visible])
    elif not np.isin(points[:, 2], (0, 1, 2)).all():
        raise ValueError(
            f'{where}: a visibility of {points[:, 2].max():g}. It must be 0 '
            '(not labeled), 1 (hidden) or 2 (visible); predictions with '
            'confidences are no annotations. Correct the line.')
    if np.abs(points[:, :2]).max() > LARGEST or max(values[1:5]) > LARGEST:
        raise ValueError(f'{where}: a coordinate beyond {LARGEST}. They must '
                         'be parts of the width and height of the image, not '
                         'pixels. Divide them.')
    points[:, :2] *= size
    x, y, width, height = (value * side
                           for value, side in zip(values[1:5], [*size, *size]))
    box = [x - width / 2, y - height / 2, width, height]
    return int(values[0]), box, points
