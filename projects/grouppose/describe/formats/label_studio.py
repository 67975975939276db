"""Label Studio: its JSON and JSON-MIN exports, with keypoint labels.

https://labelstud.io/tags/keypointlabels describes the regions. Coordinates
are percent of the width and height of the image. A keypoint belongs to a
rectangle by ``parentID`` or by a relation.
"""
import math
from typing import Dict, Hashable, Iterator, List, Tuple

from .content import ContentBuilder, Converted
from .grouping import Box, Object, Point, group_objects
from .image_files import SUFFIXES, ImageFiles, name_parts
from .source import Source

REMEDY = ('Draw a rectangle around each object and make its keypoints '
          'children of it, or relate them.')
KINDS = ('keypointlabels', 'rectanglelabels')
LISTS = ('annotations', 'completions', 'predictions')


def matches(source: Source) -> bool:
    """Whether a file lists tasks, or their regions by name (JSON-MIN)."""
    tasks = source.json
    if not isinstance(tasks, list) or not all(
            isinstance(task, dict) for task in tasks):
        return False
    return any((isinstance(task.get('data'), dict) and any(name in task
                                                           for name in LISTS))
               or any(_is_region(item) for item in _regions_of(task))
               for task in tasks)


def read(whole: Source, sources: List[Source]) -> Converted:
    """Read the tasks of all files.

    Args:
        whole (Source): What the user gave.
        sources (list[Source]): The exports.

    Returns:
        Converted: Content, folder and notes. Names of keypoints are sorted.

    Raises:
        FileNotFoundError: If an image is missing whose size nothing tells.
        ValueError: If something in the tasks is wrong.
    """
    notes = [
        'Label Studio exports no order of keypoints: they are sorted by '
        'name.'
    ]
    files = ImageFiles(whole.folder, whole.path)
    parsed = []
    for source in sources:
        for task, regions in _annotated(source, notes):
            where = f'{source.path}: task {task.get("id", "")}'.rstrip()
            name = _image_name(where, task, regions)
            size = _size(where, regions)
            path = files.name(name)
            if size is None:  # nothing is drawn in it
                measured, size = files.measure(name)
                if size is None or measured is None:
                    continue
                path = measured
            parsed.append((path, size, _objects(where, regions, size)))
    files.check()
    names = {
        name
        for *_, objects in parsed
        for item in objects
        for name in item.points
    }
    builder = ContentBuilder(whole.path, sorted(names))
    for path, size, objects in parsed:
        image_id = builder.add_image(path, size)
        for item in objects:
            builder.add_object(image_id, item.category,
                               builder.place(item.points), item.xywh)
    return Converted(builder.content, whole.folder, notes)


def _is_region(item) -> bool:
    """Whether something is a keypoint or rectangle of JSON-MIN."""
    return isinstance(item, dict) and any(kind in item for kind in KINDS)


def _regions_of(task: dict) -> list:
    """All that the lists of a task of JSON-MIN hold."""
    return [
        item for value in task.values() if isinstance(value, list)
        for item in value
    ]


def _annotated(source: Source,
               notes: List[str]) -> Iterator[Tuple[dict, List[dict]]]:
    """Tasks that somebody finished, with their regions."""
    tasks = source.json
    fields = ['annotations', 'completions']
    if not any(task.get(field) for task in tasks for field in fields) and any(
            task.get('predictions') for task in tasks):
        fields = ['predictions']
        notes.append(f'{source.path.name}: no task is annotated, the '
                     'predictions are taken.')
    skipped = several = 0
    for task in tasks:
        if 'data' not in task:  # JSON-MIN
            yield task, [
                dict(
                    value=item,
                    type=kind,
                    original_width=item.get('original_width'),
                    original_height=item.get('original_height'))
                for item in _regions_of(task) if isinstance(item, dict)
                for kind in KINDS if kind in item
            ]
            continue
        found = [
            entry for field in fields for entry in task.get(field) or []
            if isinstance(entry, dict) and not entry.get('was_cancelled')
        ]
        # The reference annotation, if somebody marked one.
        found.sort(key=lambda entry: not entry.get('ground_truth'))
        several += len(found) > 1
        if found:
            yield task, found[0].get('result') or []
        else:
            skipped += 1
    for count, what in ((skipped, 'without an annotation are left out'),
                        (several, 'with several annotations: the ground '
                         'truth, else the first, is taken')):
        if count:
            notes.append(f'{source.path.name}: {count} tasks {what}.')


def _image_name(where: str, task: dict, regions: List[dict]) -> str:
    """The name of a task's image, without what an upload puts before it."""
    data = task.get('data', task)
    keys = [str(region.get('source', ''))[1:] for region in regions]
    names = [
        data[key] for key in [*keys, 'image', 'img', *data]
        if isinstance(data.get(key), str)
    ]
    # Of several texts, the one that looks like the name of an image.
    names.sort(key=lambda name: not '/'.join(name_parts(name)).lower().
               endswith(SUFFIXES))
    if not names:
        raise ValueError(f'{where}: `data` names no image. Correct the task, '
                         'or remove it.')
    return names[0]


def _size(where: str, regions: List[dict]):
    """Width and height of the image that regions were drawn in, or None."""
    for region in regions:
        if region.get('type') not in KINDS:
            continue
        if region.get('image_rotation'):
            raise ValueError(
                f'{where}: `image_rotation` is {region["image_rotation"]}. '
                'Turn the image file itself, and label it as it is then.')
        size = region.get('original_width'), region.get('original_height')
        if not all(
                isinstance(side, (int, float)) and side > 0 for side in size):
            raise ValueError(f'{where}: `original_width` and '
                             f'`original_height` must be pixels, got {size}. '
                             'Export the task again.')
        return size
    return None


def _objects(where: str, regions: List[dict],
             size: Tuple[float, float]) -> List[Object]:
    """Objects of an image."""
    groups = _groups(regions)
    points, boxes = [], []
    for region in regions:
        if region.get('type') not in KINDS:
            continue
        label, (x, y, width, height), degrees = _measure(where, region, size)
        group = groups.get(str(region.get('id')))
        if region['type'] == 'keypointlabels':
            points.append(Point(label, x, y, 2, group))
        else:
            box = _upright(x, y, width, height, degrees)
            boxes.append(Box(label, box, group))
    return group_objects(points, boxes, where, REMEDY)


def _measure(where: str, region: dict,
             size: Tuple[float, float]) -> Tuple[str, List[float], float]:
    """Label of a region, left, top, width and height in pixels (of a
    keypoint, the last two are 0), and by how many degrees it is turned."""
    kind, value = region['type'], region.get('value')
    needed = ['x', 'y']
    if kind == 'rectanglelabels':
        needed += ['width', 'height']
    if not isinstance(value, dict) or not value.get(kind) or not all(
            isinstance(value.get(name),
                       (int, float)) and math.isfinite(value[name])
            for name in needed):
        raise ValueError(
            f'{where}: region {region.get("id", "")}: `value` needs `{kind}` '
            f'and the numbers {", ".join(needed)}, got {value}. Correct the '
            'region and export again.')
    xywh = [
        value[name] / 100 * side for name, side in zip(needed, [*size, *size])
    ]
    return str(value[kind][0]), (xywh + [0, 0])[:4], value.get('rotation') or 0


def _groups(regions: List[dict]) -> Dict[str, Hashable]:
    """What is connected by parents and relations, a name for each group."""
    leaders: Dict[str, str] = {}

    def find(name: str) -> str:
        while leaders.setdefault(name, name) != name:
            name = leaders[name]
        return name

    for region in regions:
        ends = region.get('id'), region.get('parentID')
        if region.get('type') == 'relation':
            ends = region.get('from_id'), region.get('to_id')
        if None not in ends and '' not in ends:
            leaders[find(str(ends[0]))] = find(str(ends[1]))
    return {name: find(name) for name in leaders}


def _upright(x: float, y: float, width: float, height: float,
             degrees: float) -> Tuple[float, float, float, float]:
    """The box around one that is turned clockwise about its corner x, y."""
    cos = math.cos(math.radians(degrees))
    sin = math.sin(math.radians(degrees))
    xs = [0, width * cos, -height * sin, width * cos - height * sin]
    ys = [0, width * sin, height * cos, width * sin + height * cos]
    return (x + min(xs), y + min(ys), max(xs) - min(xs), max(ys) - min(ys))
