"""labelme: a JSON file for each image, with points of a ``group_id``.

https://github.com/wkentaro/labelme writes ``shapes`` with ``label``,
``points``, ``group_id`` and ``shape_type``. Coordinates are pixels of the
image turned by EXIF.
"""
import os.path as osp
from pathlib import Path
from typing import List, Tuple

from .content import ContentBuilder, Converted
from .grouping import Box, Object, Point, group_objects
from .image_files import ImageFiles, image_size
from .source import Source

REMEDY = 'Give all points and the rectangle of an object the same group_id.'
HIDDEN = ('hidden', 'occluded')  # flags that people define


def matches(source: Source) -> bool:
    """Whether a file describes one image by shapes."""
    return isinstance(source.json, dict) and isinstance(
        source.json.get('shapes'), list) and 'imagePath' in source.json


def read(whole: Source, sources: List[Source]) -> Converted:
    """Read the files of all images.

    Args:
        whole (Source): What the user gave.
        sources (list[Source]): The files, one for each image.

    Returns:
        Converted: Content, folder and notes. Names of keypoints are sorted.

    Raises:
        ValueError: If something in the files is wrong.
    """
    parsed, others = [], 0
    for source in sources:
        objects, ignored = _parse(source)
        others += ignored
        parsed.append((source, objects))
    names = {
        name
        for _, objects in parsed
        for item in objects
        for name in item.points
    }
    builder = ContentBuilder(whole.path, sorted(names))
    files = ImageFiles(whole.folder, whole.path)
    for source, objects in parsed:
        base = None if whole.images else source.path.parent
        name = files.name(str(source.json['imagePath']), base)
        image_id = builder.add_image(name, _size(source, whole.folder / name))
        for item in objects:
            builder.add_object(image_id, item.category,
                               builder.place(item.points), item.xywh)
    notes = ['labelme keeps no order of keypoints: they are sorted by name.']
    if others:
        notes.append(f'{others} shapes that are neither points nor '
                     'rectangles are left out.')
    return Converted(builder.content, whole.folder, notes)


def _parse(source: Source) -> Tuple[List[Object], int]:
    """Objects of an image, and the number of shapes left out."""
    points, boxes, others = [], [], 0
    for number, shape in enumerate(source.json['shapes']):
        where = f'{source.path}: shape {number}'
        try:
            label, corners = str(shape['label']), [(float(x), float(y))
                                                   for x, y in shape['points']]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{where}: `label` and `points` ([[x, y], ...]) are needed '
                f'({type(error).__name__}: {error}). Correct the shape.'
            ) from error
        kind, group = shape.get('shape_type'), shape.get('group_id')
        if kind == 'point' and len(corners) == 1:
            flags = shape.get('flags') or {}
            hidden = any(flags.get(name) for name in HIDDEN)
            points.append(Point(label, *corners[0], 1 if hidden else 2, group))
        elif kind == 'rectangle' and len(corners) >= 2:
            xs, ys = zip(*corners)
            boxes.append(
                Box(label,
                    (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)),
                    group))
        else:
            others += 1
    return group_objects(points, boxes, str(source.path), REMEDY), others


def _size(source: Source, image: Path) -> Tuple[int, int]:
    """Width and height as stated, else those of the file."""
    size = [source.json.get(f'image{side}') for side in ('Width', 'Height')]
    if all(isinstance(side, int) and side > 0 for side in size):
        return size[0], size[1]
    if not osp.isfile(image):
        raise FileNotFoundError(
            f'{source.path}: `imageWidth` and `imageHeight` are missing, and '
            f'so is the image {image}. Give the folder of the images by '
            '--images.')
    return image_size(image)
