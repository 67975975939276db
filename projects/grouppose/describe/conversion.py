"""Annotations of labeling tools, written as COCO files for training,
evaluation and test."""
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import List, Optional

from .formats import read_labels
from .formats.read import find_format
from .formats.source import Source


@dataclass
class CocoFiles:
    """COCO files to train on, to evaluate on and to test on.

    Args:
        train (str): Annotations to train on.
        val (str, optional): Those to evaluate on, where the tool divides
            them.
        test (str, optional): Those to test on, likewise.
        images (str, optional): Folder of their images.
        notes (list[str]): How they were read, a sentence each.
    """
    train: str
    val: Optional[str] = None
    test: Optional[str] = None
    images: Optional[str] = None
    notes: List[str] = field(default_factory=list)


def to_coco(path: str,
            folder: Path,
            images: Optional[str] = None,
            name: str = 'all') -> CocoFiles:
    """Write annotations of any known format as COCO files.

    A COCO file stays where and what it is.

    Args:
        path (str): A file, an archive or a folder.
        folder (Path): Where to write: the annotations into its subfolder
            ``annotations``, and images that are inside the file into
            ``images``.
        images (str, optional): Folder of the images. Defaults to where the
            format has them.
        name (str): Name of the file if nothing divides the images. Defaults
            to 'all'.

    Returns:
        CocoFiles: What to train and evaluate on.

    Raises:
        OSError: As :func:`read_labels` does.
        ImportError: As :func:`read_labels` does.
        ValueError: As :func:`read_labels` does.
    """
    source = Source(Path(path))
    if not source.path.exists() or source.head.lstrip()[:1] in (
            b'{', b'[') and find_format(source) in (None, 'COCO'):
        # The checks of COCO files tell what is wrong with it.
        return CocoFiles(path, images=images)
    content, found, notes = read_labels(path, images, folder / 'images' / name)
    parts = _divide(content, name)
    files = {}
    for part, selected in parts.items():
        file = folder / 'annotations' / f'{part}.json'
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(selected), encoding='utf-8')
        files[part] = str(file)
    return CocoFiles(
        files.get('train') or files[name], files.get('val'), files.get('test'),
        str(found), [f'{path}: {" ".join(notes)}'])


def _divide(content: dict, name: str) -> dict:
    """The content of each part, or all of it if there are no two."""
    parts = {image.get('split') for image in content['images']}
    if 'train' not in parts or parts.isdisjoint({'val', 'test'}):
        return {name: content}
    divided = {}
    for part in sorted(parts - {None}):
        chosen = [
            image for image in content['images']
            if image.get('split', 'train') == part
        ]
        ids = {image['id'] for image in chosen}
        divided[part] = dict(
            content,
            images=chosen,
            annotations=[
                ann for ann in content['annotations'] if ann['image_id'] in ids
            ])
    return divided
