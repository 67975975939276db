"""Poses written as a data set that a labeling tool opens, to be corrected
there and trained on.

A keypoint inside of its image is written as visible, one outside as not
labeled. The box is the extent of the keypoints that are inside.
"""
import json
import os
import os.path as osp
import re
import shutil
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple
from xml.sax.saxutils import quoteattr

import cv2
import numpy as np
import yaml  # type: ignore[import-untyped]
from mmengine.structures import InstanceData
from PIL import Image

from ..data.loading import ORIENTATION
from ..data.metainfo import classes_of
from .sources import ImageFile, Source
from .web import file_name, is_url

COPIED = ('.jpg', '.jpeg', '.png')  # files that all tools show


class Labels(NamedTuple):
    """What is labeled.

    Args:
        classes (dict[int, str]): Names of the classes by the ``id`` of their
            category, in the order of their labels.
        keypoints (list[str]): Names of the K keypoints.
        skeleton (list[tuple[int]]): Links as pairs of indices from 0.
        flip_idx (list[int]): Mirror partner of each keypoint.
    """
    classes: Dict[int, str]
    keypoints: List[str]
    skeleton: List[Tuple[int, int]]
    flip_idx: List[int]

    @classmethod
    def of(cls,
           dataset_meta: dict,
           category: Optional[str] = None) -> 'Labels':
        """The labels of a metainfo; the category is the name of what is
        detected where it has no classes."""
        names = dataset_meta['keypoint_id2name']
        classes = classes_of(dataset_meta)
        if category is not None:
            classes = dict.fromkeys(classes, category)
        return cls(classes, [names[i] for i in sorted(names)],
                   [(int(a), int(b))
                    for a, b in dataset_meta['skeleton_links']],
                   [int(i) for i in dataset_meta['flip_indices']])

    def categories(self) -> List[dict]:
        """The categories of a COCO keypoint file."""
        return [
            dict(
                id=category_id,
                name=name,
                supercategory='',
                keypoints=self.keypoints,
                skeleton=[[a + 1, b + 1] for a, b in self.skeleton])
            for category_id, name in self.classes.items()
        ]


class Pose(NamedTuple):
    """A pose to write.

    Args:
        points (np.ndarray): x, y in pixels and visibility, 0 or 2, (K, 3).
        box (list[float]): x, y, width, height in pixels.
        score (float): Of the pose.
        label (int): Of its class.
    """
    points: np.ndarray
    box: List[float]
    score: float
    label: int


class CocoDataset:
    """COCO keypoints, in the folders of CVAT's "COCO Keypoints 1.0"."""
    images = 'images/default'

    def __init__(self, folder: str, labels: Labels):
        self.path = osp.join(folder,
                             'annotations/person_keypoints_default.json')
        self.ids = [*labels.classes]
        self.content: Dict[str, list] = dict(
            images=[], annotations=[], categories=labels.categories())

    def add(self, name: str, size: Tuple[int, int], poses: List[Pose]) -> None:
        """Add an image and its poses."""
        images, annotations = (
            self.content[field] for field in ('images', 'annotations'))
        images.append(
            dict(
                id=len(images) + 1,
                file_name=name,
                width=size[0],
                height=size[1]))
        for pose in poses:
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=len(images),
                    category_id=self.ids[pose.label],
                    iscrowd=0,
                    segmentation=[],
                    area=round(pose.box[2] * pose.box[3], 2),
                    bbox=_rounded(pose.box),
                    keypoints=_rounded(pose.points.ravel()),
                    num_keypoints=int((pose.points[:, 2] > 0).sum())))

    def close(self) -> None:
        """Write the file."""
        _write(self.path, json.dumps(self.content))


class YoloDataset:
    """YOLO pose, as Ultralytics trains on and CVAT opens."""
    images = 'images/train'

    def __init__(self, folder: str, labels: Labels):
        self.folder = folder
        self.labels = labels
        self.names: List[str] = []

    def add(self, name: str, size: Tuple[int, int], poses: List[Pose]) -> None:
        """Write the labels of an image."""
        lines = []
        for pose in poses:
            x, y, width, height = pose.box
            box = np.array([x + width / 2, y + height / 2, width, height])
            points = pose.points / [*size, 1]
            values = [
                f'{value:.6g}'
                for value in (*(box / [*size, *size]), *points.ravel())
            ]
            lines.append(' '.join([str(pose.label), *values]) + '\n')
        label = osp.join(self.folder, 'labels/train',
                         osp.splitext(name)[0] + '.txt')
        _write(label, ''.join(lines))
        self.names.append(f'{self.images}/{name}\n')

    def close(self) -> None:
        """Write the settings and the list of images."""
        _write(osp.join(self.folder, 'train.txt'), ''.join(self.names))
        labels = self.labels
        names = dict(enumerate(labels.classes.values()))
        settings = dict(
            path='.',
            train='train.txt',
            kpt_shape=[len(labels.keypoints), 3],
            flip_idx=labels.flip_idx,
            names=names,
            kpt_names={i: [*labels.keypoints]
                       for i in names})
        _write(
            osp.join(self.folder, 'data.yaml'),
            yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))


class LabelStudioDataset:
    """Tasks of Label Studio with the poses as predictions."""
    images = 'images'

    def __init__(self, folder: str, labels: Labels):
        self.folder = folder
        self.labels = labels
        self.tasks: List[dict] = []

    def add(self, name: str, size: Tuple[int, int], poses: List[Pose]) -> None:
        """Add a task for an image."""
        result: List[dict] = []

        def region(kind: str, control: str, label: str, values, **fields):
            value = {
                key: round(100 * value / side, 6)
                for key, value, side in zip(('x', 'y', 'width',
                                             'height'), values, [*size, *size])
            }
            result.append(
                dict(
                    fields,
                    type=kind,
                    from_name=control,
                    to_name='image',
                    original_width=size[0],
                    original_height=size[1],
                    image_rotation=0,
                    value=dict(value, rotation=0, **{kind: [label]})))

        for i, pose in enumerate(poses):
            region(
                'rectanglelabels',
                'object', [*self.labels.classes.values()][pose.label],
                pose.box,
                id=f'object{i}',
                score=round(pose.score, 4))
            for j, (x, y, visibility) in enumerate(pose.points):
                if visibility:
                    region(
                        'keypointlabels',
                        'keypoint',
                        self.labels.keypoints[j], (x, y, size[0] / 200),
                        id=f'object{i}-{j}',
                        parentID=f'object{i}')
        address = f'/data/local-files/?d={self.images}/{name}'
        score = min((pose.score for pose in poses), default=0.)
        prediction = dict(
            model_version='grouppose', score=round(score, 4), result=result)
        self.tasks.append(
            dict(data=dict(image=address), predictions=[prediction]))

    def close(self) -> None:
        """Write the tasks and the labeling interface."""
        _write(osp.join(self.folder, 'tasks.json'), json.dumps(self.tasks))
        objects = [
            f'    <Label value={quoteattr(name)}/>'
            for name in self.labels.classes.values()
        ]
        points = [
            f'    <Label value={quoteattr(name)} model_index="{i}"/>'
            for i, name in enumerate(self.labels.keypoints)
        ]
        text = '\n'.join([
            '<View>', '  <RectangleLabels name="object" toName="image">',
            *objects, '  </RectangleLabels>',
            '  <KeyPointLabels name="keypoint" toName="image">', *points,
            '  </KeyPointLabels>', '  <Image name="image" value="$image"/>',
            '</View>', ''
        ])
        _write(osp.join(self.folder, 'labeling_config.xml'), text)


DATASETS: Dict[str, Any] = {
    'coco-dataset': CocoDataset,
    'yolo': YoloDataset,
    'label-studio': LabelStudioDataset,
}


class DatasetFiles:
    """Writes images and poses as a data set.

    Images are copied where all tools show them as they are; others, and
    frames, are written as PNG or JPEG. Names that are equal get a number.

    Args:
        kind (str): Which of :data:`DATASETS`.
        folder (str): Where to write, made if missing.
        dataset_meta (dict): Metainfo of the keypoints.
        category (str, optional): What an object is called where the metainfo
            has no ``classes``. Defaults to 'object'.

    Raises:
        ValueError: If it has, and they have names already.
    """

    def __init__(self,
                 kind: str,
                 folder: str,
                 dataset_meta: dict,
                 category: Optional[str] = None):
        if category is not None and 'classes' in dataset_meta:
            raise ValueError(
                f'{category!r} cannot be what an object is called: the model '
                f'tells apart {dataset_meta["classes"]}. Name no category.')
        self._dataset = DATASETS[kind](folder,
                                       Labels.of(dataset_meta, category))
        self._images = osp.join(folder, self._dataset.images)
        os.makedirs(self._images, exist_ok=True)
        self._taken: set = set()

    def add(self, source: Source, index: int, image: np.ndarray,
            instances: InstanceData) -> None:
        """Add an image, or a frame, and its poses.

        Args:
            source (Source): Where it comes from.
            index (int): Number of the frame.
            image (np.ndarray): BGR, uint8, (H, W, 3).
            instances (InstanceData): Of numpy arrays, in pixels of it.

        Raises:
            OSError: If it cannot be written.
        """
        name = self._name(source, index)
        path = osp.join(self._images, name)
        if isinstance(source, ImageFile) and _as_it_is(source.path):
            shutil.copyfile(source.path, path)
        else:
            content = cv2.imencode(osp.splitext(name)[1], image)[1]
            with open(path, 'wb') as file:
                file.write(content)
        size = image.shape[1], image.shape[0]
        poses = [
            _pose(points, size, float(score), int(label))
            for points, score, label in zip(
                instances.keypoints, instances.bbox_scores, instances.labels)
        ]
        self._dataset.add(name, size, [p for p in poses if p.points.any()])

    def close(self) -> None:
        """Write what describes the data set as a whole."""
        self._dataset.close()

    def _name(self, source: Source, index: int) -> str:
        """A name for the file that no other has, also without suffix."""
        base = file_name if is_url(source.name) else osp.basename
        # No UTF-8, JSON or YAML holds half of a character.
        text = re.sub('[\ud800-\udfff]', '_', base(source.name))
        stem, suffix = osp.splitext(text)
        if not isinstance(source, ImageFile):
            stem, suffix = f'{stem}_{index:06d}', '.jpg'
        elif suffix.lower() not in COPIED:
            suffix = '.png'
        unique, number = stem, 1
        while unique.casefold() in self._taken:
            number += 1
            unique = f'{stem}-{number}'
        self._taken.add(unique.casefold())
        return unique + suffix


def _as_it_is(path: str) -> bool:
    """Whether all tools show a file as it was read here."""
    if is_url(path) or not path.lower().endswith(COPIED):
        return False
    with Image.open(path) as picture:
        return picture.getexif().get(ORIENTATION, 1) == 1


def _pose(keypoints: np.ndarray, size: Tuple[int, int], score: float,
          label: int) -> Pose:
    """A pose with what is inside of the image."""
    inside = ((keypoints >= 0) & (keypoints <= size)).all(1)
    points = np.column_stack([keypoints, 2 * inside]) * inside[:, None]
    placed = keypoints[inside] if inside.any() else np.zeros((1, 2))
    # A box of one point or a line has an area, too.
    low = np.clip(placed.min(0) - 1, 0, size)
    high = np.clip(placed.max(0) + 1, 0, size)
    return Pose(points, [*low, *(high - low)], score, label)


def _rounded(values: Iterable[float]) -> List[float]:
    return [round(float(value), 2) for value in values]


def _write(path: str, text: str) -> None:
    os.makedirs(osp.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8', newline='\n') as file:
        file.write(text)
