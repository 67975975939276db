"""COCO keypoints in a folder or an archive, as CVAT and Roboflow export
them."""
import re
from pathlib import Path
from typing import List

from ...data.annotations import read_annotations
from .content import SPLITS, Converted
from .image_files import ImageFiles
from .source import Source

FIELDS = ('images', 'annotations', 'categories')


def matches(source: Source) -> bool:
    """Whether a file has COCO's three lists."""
    return isinstance(source.json, dict) and all(
        isinstance(source.json.get(field), list) for field in FIELDS)


def read(whole: Source, sources: List[Source]) -> Converted:
    """Read all files with keypoints and give their entries new ids.

    Args:
        whole (Source): What the user gave.
        sources (list[Source]): The COCO files in it.

    Returns:
        Converted: Content, folder and notes.

    Raises:
        ValueError: If the files describe different categories, or one is not
            COCO-format.
    """
    merged: dict = dict(images=[], annotations=[], categories=[])
    notes = []
    for source in sources:
        content = read_annotations(str(source.path))
        if not any('keypoints' in ann for ann in content['annotations']):
            notes.append(f'{source.path.name} has no keypoints and is left '
                         'out.')
            continue
        categories = content['categories']
        if merged['categories'] not in ([], categories):
            raise ValueError(
                f'{source.path}: other `categories` than '
                f'{sources[0].path.name}. Give the file to train on, and '
                'that to evaluate on by --val-ann.')
        merged['categories'] = categories
        _append(merged, content, _split(source.path),
                ImageFiles(whole.images or source.path.parent, source.path),
                ImageFiles(whole.folder, source.path))
    return Converted(merged, whole.folder, notes)


def _append(merged: dict, content: dict, split: str, near: ImageFiles,
            far: ImageFiles) -> None:
    """Append a file's images and annotations, with ids of their own."""
    ids = {}
    for image in content['images']:
        name = str(image.get('file_name'))
        # The same name may be there in each part, beside its file.
        path = near.find(name)
        if path is not None:
            name = (near.folder / path).relative_to(far.folder).as_posix()
        else:
            name = far.name(name)
        ids[image.get('id')] = len(merged['images']) + 1
        image = dict(image, id=ids[image.get('id')], file_name=name)
        if split:
            image['split'] = SPLITS.get(split, split)
        merged['images'].append(image)
    for ann in content['annotations']:
        image_id = ids.get(ann.get('image_id'), 0)  # no image has 0
        number = len(merged['annotations']) + 1
        merged['annotations'].append(dict(ann, id=number, image_id=image_id))


def _split(path: Path) -> str:
    """Which part a file holds, by its name or folder; '' if unknown."""
    words = '|'.join([*SPLITS, 'test'])
    for text in (path.stem.lower(), path.parent.name.lower()):
        found = re.search(f'(?<![a-z])({words})(?![a-z])', text)
        if found:
            return found[1]
    return ''
