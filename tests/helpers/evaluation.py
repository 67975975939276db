"""Annotated people without a network, and a model that knows them."""
import json
import time
from pathlib import Path
from typing import Optional, Sequence

import cv2
import mmpose
import numpy as np
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from mmpose.registry import DATASETS

from tests.helpers.models import R50_CONFIG

WIDTH, HEIGHT = 200, 160
COCO = dict(from_file='configs/_base_/datasets/coco.py')


def write_people(folder: Path,
                 counts: Sequence[int],
                 num_keypoints: int = 17,
                 seed: int = 0) -> Path:
    """Write images 1 to n and ann.json with people side by side.

    Args:
        folder (Path): Where to write.
        counts (Sequence[int]): People of each image, at most 40.
        num_keypoints (int): Number of keypoints K. Defaults to 17.
        seed (int): Of their poses.

    Returns:
        Path: The annotation file. The crowding of images rises from 0 to 1.
    """
    folder.mkdir(exist_ok=True)
    random = np.random.RandomState(seed)
    images, annotations = [], []
    for image_id, count in enumerate(counts, 1):
        name = f'{image_id}.png'
        cv2.imwrite(
            str(folder / name), np.full((HEIGHT, WIDTH, 3), 9, np.uint8))
        images.append(
            dict(
                id=image_id,
                file_name=name,
                width=WIDTH,
                height=HEIGHT,
                crowdIndex=(image_id - 1) / max(1,
                                                len(counts) - 1)))
        for place in range(count):
            corner = 20 * (place % 10), 40 * (place // 10)
            points = np.full((num_keypoints, 3), 2)
            points[:, :2] = corner + random.randint(0, (20, 40),
                                                    (num_keypoints, 2))
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=1,
                    iscrowd=0,
                    area=800,
                    bbox=[*corner, 20, 40],
                    num_keypoints=num_keypoints,
                    keypoints=points.ravel().tolist()))
    path = folder / 'ann.json'
    write(path, images, annotations)
    return path


def write(path: Path, images: list, annotations: list) -> None:
    """Write an annotation file of people."""
    path.write_text(
        json.dumps(
            dict(
                images=images,
                annotations=annotations,
                categories=[dict(id=1, name='person')])))


def edit(path: Path, change, copy: Optional[Path] = None) -> Path:
    """Change a file's content by a function, or that of a copy of it."""
    content = json.loads(path.read_text())
    change(content)
    copy = copy or path
    copy.write_text(json.dumps(content))
    return copy


def name_metainfo(name: str) -> dict:
    """COCO's keypoints under the name of another data set."""
    path = Path(mmpose.__file__).parent / '.mim' / COCO['from_file']
    return dict(Config.fromfile(path).dataset_info, dataset_name=name)


def dataset_config(ann_file: Path, **changes) -> dict:
    """A data set to evaluate on.

    Args:
        ann_file (Path): The annotations, beside the images.
        changes: Of the COCO-style data set.
    """
    pipeline = Config.fromfile(R50_CONFIG).val_pipeline
    pipeline[1].update(short_side=32)
    dataset = dict(
        type='CocoDataset',
        data_mode='bottomup',
        data_root=str(ann_file.parent),
        ann_file=ann_file.name,
        test_mode=True,
        metainfo=COCO,
        pipeline=pipeline)
    return dict(type='PoseImageDataset', dataset=dict(dataset, **changes))


def metric_config(ann_file: Path, **changes) -> dict:
    """The metric of the configs."""
    config = dict(
        Config.fromfile(R50_CONFIG).val_evaluator, ann_file=str(ann_file))
    return dict(config, **changes)


def annotated_poses(info: dict, noise: float = 0) -> dict:
    """What a model predicts that knows the labeled people of an image.

    Args:
        info (dict): Of the image, from the data set.
        noise (float): Deviation of coordinates in pixels, with scores drawn
            at random.
    """
    poses = np.zeros((0, 17, 2))
    if 'keypoints' in info:
        labeled = ~np.array(info['iscrowd'], dtype=bool)
        poses = info['keypoints'][labeled]
    poses = poses + noise * np.random.randn(*poses.shape)
    scores = np.random.rand(len(poses)) if noise else np.ones(len(poses))
    return dict(
        id=info['id'],
        img_id=info['img_id'],
        gt_instances={},
        pred_instances=dict(
            keypoints=poses,
            keypoint_scores=np.repeat(scores[:, None], poses.shape[1], 1),
            bbox_scores=scores))


def evaluate(dataset: dict, metric: dict, noise: float = 0) -> dict:
    """Metrics of :func:`annotated_poses` of a data set."""
    dataset, evaluator = DATASETS.build(dataset), Evaluator(metric)
    evaluator.dataset_meta = dataset.metainfo
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    evaluator.process([annotated_poses(info, noise) for info in infos])
    return evaluator.evaluate(len(infos))


class Oracle(BaseModel):
    """A model that predicts what is annotated, moved by some pixels.

    Args:
        offsets (dict): Pixels for the names of data sets. Defaults to none.
    """

    def __init__(self, **offsets: float):
        super().__init__()
        self.offsets = offsets

    def forward(self, inputs, data_samples, mode):
        for sample in data_samples:
            people = sample.raw_ann_info or []
            poses = np.array([ann['keypoints'] for ann in people], dtype=float)
            poses = poses.reshape(-1, 17, 3)[..., :2]
            poses = poses + self.offsets.get(sample.get('dataset_name'), 0)
            sample.pred_instances = InstanceData(
                keypoints=poses,
                keypoint_scores=np.ones(poses.shape[:2]),
                bbox_scores=np.ones(len(poses)))
        return data_samples


def make_runner(folder: Path, dataset: dict, evaluator: dict,
                **offsets: float) -> Runner:
    """A runner of :class:`Oracle` with the hooks of the configs."""
    hooks = Config.fromfile(R50_CONFIG).default_hooks
    names = ('logger', 'evaluation_check')
    return Runner(
        model=Oracle(**offsets),
        work_dir=str(folder / 'work_dir'),
        experiment_name=f'{folder} {time.time()}',
        default_scope='mmpose',
        test_cfg=dict(),
        test_evaluator=evaluator,
        test_dataloader=dict(
            batch_size=2,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dataset),
        default_hooks={name: hooks[name]
                       for name in names})
