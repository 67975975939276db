"""Small data sets, written as labeling tools write them."""
import csv
import json
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
from PIL import Image

# Sorted, because some tools keep no order.
NAMES = ['left_wing', 'right_wing', 'tip']
SIZE = 60, 40
FIRST, SECOND = 'a b.png', 'sub/ü.png'
# Objects of each image: x, y, visibility. One keypoint is hidden, one not
# labeled.
POSES: Dict[str, List[List[tuple]]] = {
    FIRST: [[(6, 12, 2), (18, 12, 2), (12, 4, 2)],
            [(36, 24, 2), (48, 24, 1), (42, 8, 2)]],
    SECOND: [[(30, 20, 2), (0, 0, 0), (24.5, 10, 2)]],
}
BOXES = {
    FIRST: [(3, 2, 18, 12), (33, 6, 18, 20)],
    SECOND: [(21, 8, 12, 14)],
}


def write_images(folder: Path) -> None:
    """Write the images of :data:`POSES`."""
    for name in POSES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', SIZE).save(folder / name)


def read_poses(converted, hidden: bool = True) -> Dict[str, list]:
    """Poses by image and, sorted, by object, in the order of :data:`NAMES`.

    Args:
        converted (Converted): What a reader made.
        hidden (bool): Tell hidden from visible keypoints. Defaults to True.
    """
    content = converted.content
    names = {c['id']: c['keypoints'] for c in content['categories']}
    found: Dict[str, list] = {
        image['file_name']: []
        for image in content['images']
    }
    files = {image['id']: image['file_name'] for image in content['images']}
    for ann in content['annotations']:
        points = np.reshape(ann['keypoints'], (-1, 3)).round(2)
        order = [names[ann['category_id']].index(name) for name in NAMES]
        found[files[ann['image_id']]].append(
            _comparable(points[order], hidden))
    return {name: sorted(poses) for name, poses in found.items()}


def expected_poses(hidden: bool = True, prefix: str = '') -> Dict[str, list]:
    """What :func:`read_poses` should return for :data:`POSES`."""
    return {
        prefix + name:
        sorted(_comparable(np.array(pose), hidden) for pose in poses)
        for name, poses in POSES.items()
    }


def _comparable(points: np.ndarray, hidden: bool) -> list:
    points = np.array(points, dtype=float)
    if not hidden:
        points[:, 2] = np.where(points[:, 2] > 0, 2, 0)
    return points.tolist()


def write_json(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding='utf-8')
    return path


def write_coco(folder: Path) -> Path:
    """CVAT's "COCO Keypoints 1.0", unpacked."""
    write_images(folder / 'images/default')
    images, annotations = [], []
    for name, poses in POSES.items():
        images.append(
            dict(
                id=len(images) + 1,
                width=SIZE[0],
                height=SIZE[1],
                file_name=name,
                license=0,
                flickr_url='',
                coco_url='',
                date_captured=0))
        for pose, box in zip(poses, BOXES[name]):
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=len(images),
                    category_id=1,
                    segmentation=[],
                    area=box[2] * box[3],
                    bbox=box,
                    iscrowd=0,
                    attributes=dict(occluded=False),
                    keypoints=[float(v) for point in pose for v in point],
                    num_keypoints=sum(v > 0 for *_, v in pose)))
    write_json(
        folder / 'annotations/person_keypoints_default.json',
        dict(
            licenses=[dict(name='', id=0, url='')],
            info={},
            categories=[
                dict(
                    id=1,
                    name='plane',
                    supercategory='',
                    keypoints=NAMES,
                    skeleton=[[1, 3], [2, 3]])
            ],
            images=images,
            annotations=annotations))
    return folder


def write_yolo(folder: Path, dim: int = 3, config: str = '') -> Path:
    """Ultralytics' layout: the first image is for training, the second for
    evaluation."""
    parts = dict(zip(POSES, ('train', 'val')))
    for name, part in parts.items():
        (folder / 'images' / part / name).parent.mkdir(
            parents=True, exist_ok=True)
        Image.new('RGB', SIZE).save(folder / 'images' / part / name)
        lines = []
        for pose, box in zip(POSES[name], BOXES[name]):
            values = [(box[0] + box[2] / 2) / SIZE[0],
                      (box[1] + box[3] / 2) / SIZE[1], box[2] / SIZE[0],
                      box[3] / SIZE[1]]
            for x, y, visibility in pose:
                values += [x / SIZE[0], y / SIZE[1], visibility][:dim]
            lines.append(' '.join(['0',
                                   *(f'{value:.6g}' for value in values)]))
        label = folder / 'labels' / part / Path(name).with_suffix('.txt')
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text('\n'.join(lines) + '\n')
    (folder / 'data.yaml').write_text(
        'path: .\ntrain: images/train\nval: images/val\n'
        f'kpt_shape: [3, {dim}]\nflip_idx: [1, 0, 2]\n'
        'names:\n  0: plane\n' +
        (config or 'kpt_names:\n  0: [left_wing, right_wing, tip]\n'))
    return folder


def label_studio_region(kind: str, name: str, value: dict, **fields) -> dict:
    """A region as Label Studio exports it."""
    return dict(
        fields,
        original_width=SIZE[0],
        original_height=SIZE[1],
        image_rotation=0,
        value=dict(value, **{kind: [name]}),
        from_name='kp' if kind == 'keypointlabels' else 'rect',
        to_name='img',
        type=kind,
        origin='manual')


def label_studio_result(name: str, link: str = 'parent') -> List[dict]:
    """The regions of an image.

    Args:
        name (str): The image.
        link (str): How keypoints belong to rectangles: 'parent', 'relation',
            or '' for not at all.
    """
    result = []
    for i, (pose, box) in enumerate(zip(POSES[name], BOXES[name])):
        keys = ('x', 'y', 'width', 'height')
        sides = [*SIZE, *SIZE]
        value = {k: 100 * v / s for k, v, s in zip(keys, box, sides)}
        result.append(
            label_studio_region(
                'rectanglelabels',
                'plane',
                dict(value, rotation=0),
                id=f'r{i}'))
        for j, (x, y, visibility) in enumerate(pose):
            if not visibility:
                continue
            point = dict(x=100 * x / SIZE[0], y=100 * y / SIZE[1], width=0.5)
            region = label_studio_region(
                'keypointlabels', NAMES[j], point, id=f'k{i}{j}')
            if link == 'parent':
                region['parentID'] = f'r{i}'
            result.append(region)
            if link == 'relation':
                result.append(
                    dict(
                        from_id=f'k{i}{j}',
                        to_id=f'r{i}',
                        type='relation',
                        direction='right'))
    return result


def label_studio_tasks(link: str = 'parent') -> List[dict]:
    """Tasks of the two images, as uploaded and from local files."""
    names = {
        FIRST: '/data/upload/3/a b.png',
        SECOND: '/data/local-files/?d=sub/%C3%BC.png'
    }
    return [
        dict(
            id=i,
            annotations=[
                dict(
                    id=10 + i,
                    completed_by=1,
                    result=label_studio_result(name, link),
                    was_cancelled=False,
                    ground_truth=False)
            ],
            predictions=[],
            drafts=[],
            data=dict(image=names[name]),
            project=3) for i, name in enumerate(POSES, 1)
    ]


def write_label_studio(folder: Path, link: str = 'parent') -> Path:
    write_images(folder)
    return write_json(folder / 'project-3-at-2026-01-02.json',
                      label_studio_tasks(link))


def labelme_shape(label: str, points: List[Tuple], kind: str, group) -> dict:
    return dict(
        label=label,
        points=[list(map(float, point)) for point in points],
        group_id=group,
        description='',
        shape_type=kind,
        flags={},
        mask=None)


def write_labelme(folder: Path) -> Path:
    write_images(folder)
    for name in POSES:
        shapes = []
        for i, (pose, box) in enumerate(zip(POSES[name], BOXES[name])):
            x, y, width, height = box
            shapes.append(
                labelme_shape('plane', [(x + width, y + height), (x, y)],
                              'rectangle', i))
            for label, (x, y, visibility) in zip(NAMES, pose):
                if visibility:
                    shape = labelme_shape(label, [(x, y)], 'point', i)
                    shape['flags'] = dict(hidden=visibility == 1)
                    shapes.append(shape)
        path = folder / name
        write_json(
            path.with_suffix('.json'),
            dict(
                version='5.5.0',
                flags={},
                shapes=shapes,
                imagePath=path.name,
                imageData=None,
                imageHeight=SIZE[1],
                imageWidth=SIZE[0]))
    return folder


def write_deeplabcut(folder: Path, columns: int = 3) -> Path:
    """A project of several animals with one video.

    Args:
        folder (Path): Where to write.
        columns (int): In how many columns a row names its image, 1 or 3.
    """
    place = folder / 'labeled-data/video 1'
    header = [['scorer'], ['individuals'], ['bodyparts'], ['coords']]
    for line in header:
        line += [''] * (columns - 1)
    animals = [('animal1', NAMES), ('animal2', NAMES), ('single', ['corner'])]
    for animal, parts in animals:
        for part in parts:
            for coord in 'xy':
                for line, text in zip(header, ('me', animal, part, coord)):
                    line.append(text)
    rows = []
    for name, poses in POSES.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', SIZE).save(place / name)
        cells = [
            '' if not v else str(value) for pose in poses for *xy, v in pose
            for value in xy
        ]
        cells += [''] * (12 - len(cells)) + ['1.0', '2.0']
        index = ['labeled-data', 'video 1', name]
        rows.append(['/'.join(index)] * (columns == 1) + index *
                    (columns == 3) + cells)
    with open(
            place / 'CollectedData_me.csv', 'w', newline='',
            encoding='utf-8') as file:
        csv.writer(file).writerows([*header, *rows])
    (folder / 'config.yaml').write_text(
        'Task: planes\nscorer: me\nmultianimalproject: true\n'
        'skeleton:\n- - left_wing\n  - tip\n- - nothing\n  - tip\n')
    return folder


def write_cvat(folder: Path) -> Path:
    """CVAT's "CVAT for images 1.1", unpacked."""
    write_images(folder / 'images')
    nodes = ''.join(
        f'&lt;circle r=&quot;1.5&quot; cx=&quot;5&quot; cy=&quot;{i}&quot; '
        f'data-type=&quot;element node&quot; data-element-id=&quot;{i}&quot; '
        f'data-node-id=&quot;{i}&quot; data-label-name=&quot;{name}&quot;'
        '&gt;&lt;/circle&gt;' for i, name in enumerate(NAMES, 1))
    text = [
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n'
        '<version>1.1</version>\n<meta><task><id>7</id><labels>'
        '<label><name>plane</name><type>skeleton</type><attributes>'
        '</attributes><svg>&lt;line x1=&quot;5&quot; '
        'data-type=&quot;edge&quot; data-node-from=&quot;1&quot; '
        f'data-node-to=&quot;3&quot;&gt;&lt;/line&gt;{nodes}</svg></label>'
    ]
    text += [
        f'<label><name>{name}</name><type>points</type>'
        '<parent>plane</parent></label>' for name in NAMES
    ]
    text.append('</labels></task></meta>')
    for i, (name, poses) in enumerate(POSES.items()):
        text.append(f'<image id="{i}" name="{name}" width="{SIZE[0]}" '
                    f'height="{SIZE[1]}">')
        for pose in poses:
            text.append('<skeleton label="plane" source="manual" z_order="0">')
            for label, (x, y, v) in reversed(list(zip(NAMES, pose))):
                text.append(
                    f'<points label="{label}" source="manual" '
                    f'outside="{int(v == 0)}" occluded="{int(v == 1)}" '
                    f'points="{x:.2f},{y:.2f}"></points>')
            text.append('</skeleton>')
        text.append('</image>')
    (folder / 'annotations.xml').write_text(
        '\n'.join([*text, '</annotations>']), encoding='utf-8')
    return folder


WRITERS = {
    'COCO': write_coco,
    'YOLO pose': write_yolo,
    'Label Studio': write_label_studio,
    'labelme': write_labelme,
    'DeepLabCut': write_deeplabcut,
    'CVAT for images': write_cvat,
}
