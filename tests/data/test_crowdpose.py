"""CrowdPose: 14 keypoints, no annotated areas, AP by crowding."""
import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.registry import DATASETS, METRICS, MODELS

from projects.grouppose.checkpoints.official_names import from_official
from tests.helpers.models import CONFIG_DIR, make_batch
from tests.helpers.stand_in import cut_keypoints, official_state_dict

CONFIG = (
    CONFIG_DIR + 'crowdpose/grouppose_res50_8xb2-80e_crowdpose-800x1333.py')
SPLITS = ('trainval', 'test')


def write_data(folder) -> None:
    """Three images, each with two people, of rising crowding."""
    random = np.random.RandomState(0)
    images, annotations = [], []
    for i, crowding in enumerate((0.1, 0.5, 0.9)):
        images.append(
            dict(
                id=i,
                file_name=f'{i}.png',
                width=60,
                height=50,
                crowdIndex=crowding))
        for j in range(2):
            keypoints = np.full((14, 3), 2)
            keypoints[:, :2] = random.randint((30 * j, 0), (30 * j + 30, 50),
                                              (14, 2))
            annotations.append(
                dict(
                    id=2 * i + j,
                    image_id=i,
                    category_id=1,
                    iscrowd=0,
                    bbox=[30 * j, 0, 30, 50],
                    keypoints=keypoints.flatten().tolist(),
                    num_keypoints=14))
    content = dict(
        images=images,
        annotations=annotations,
        categories=[dict(id=1, name='person')])
    for name in ('annotations', 'images'):
        (folder / name).mkdir()
    for split in SPLITS:
        path = folder / f'annotations/mmpose_crowdpose_{split}.json'
        path.write_text(json.dumps(content))
    for i in range(3):
        image = np.full((50, 60, 3), 80 * i, np.uint8)
        cv2.imwrite(str(folder / f'images/{i}.png'), image)


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Config:
    """The config for a few made-up images."""
    folder = tmp_path_factory.mktemp('crowdpose')
    write_data(folder)
    config = Config.fromfile(CONFIG)
    for loader in (config.train_dataloader, config.test_dataloader):
        loader.dataset.dataset.data_root = str(folder)
    config.test_evaluator.ann_file = str(
        folder / 'annotations/mmpose_crowdpose_test.json')
    return config


def test_metainfo_is_that_of_the_official_program(config):
    info = DATASETS.build(config.train_dataloader.dataset).metainfo
    np.testing.assert_allclose(info['sigmas'], [
        .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089,
        .079, .079
    ])
    assert list(info['flip_indices']) \
        == [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 12, 13]


def test_training_uses_the_areas_of_boxes(config):
    dataset = dict(config.train_dataloader.dataset)
    dataset['pipeline'] = [
        dict(type='LoadPoseImage'),
        dict(type='PoseInstanceFilter'),
        dict(type='PoseResize', short_side=100), *config.train_pipeline[-2:]
    ]
    labels = DATASETS.build(dataset)[0]['data_samples'].gt_instance_labels
    assert labels.keypoint_labels.shape == (2, 14, 2)
    torch.testing.assert_close(labels.area_labels, torch.tensor([0.5, 0.5]))


def test_training_pipeline_runs(config):
    dataset = DATASETS.build(config.train_dataloader.dataset)
    for i in range(3):
        labels = dataset[i]['data_samples'].gt_instance_labels
        assert labels.keypoint_labels.shape[1:] == (14, 2)


def evaluate(config, move) -> dict:
    """Evaluate poses that are made of the annotated ones."""
    dataset = DATASETS.build(config.test_dataloader.dataset)
    metric = METRICS.build(config.test_evaluator)
    metric.dataset_meta = dataset.metainfo
    for i in range(len(dataset)):
        sample = dataset[i]['data_samples']
        truth = np.array([ann['keypoints'] for ann in sample.raw_ann_info])
        poses = truth.reshape(-1, 14, 3)[..., :2].astype(np.float32)
        poses = move(poses, sample.img_id)
        sample = sample.to_dict()
        sample['pred_instances'] = dict(
            keypoints=poses,
            keypoint_scores=np.full(poses.shape[:2], 0.9),
            bbox_scores=np.full(len(poses), 0.9))
        metric.process({}, [sample])
    return metric.evaluate(len(dataset))


def test_evaluation_by_crowding(config):
    values = evaluate(config, lambda poses, image: poses)
    assert values[config.default_hooks.checkpoint.save_best] \
        == pytest.approx(1)
    # wrong in the most crowded image only
    moved = evaluate(config, lambda poses, image: poses + 500 * (image == 2))
    assert moved['crowdpose/AP'] < 0.9
    assert moved['crowdpose/AP(E)'] == pytest.approx(1)
    assert moved['crowdpose/AP(M)'] == pytest.approx(1)
    assert moved['crowdpose/AP(H)'] == 0


def test_model_of_14_keypoints_predicts(config):
    model = MODELS.build(config.model)
    weights = cut_keypoints(official_state_dict(), 14)
    model.load_state_dict(from_official(weights))
    model.eval()
    data = model.data_preprocessor(make_batch([(64, 90), (70, 64)], [0, 0]))
    with torch.no_grad():
        results = model(**data, mode='predict')
    for result in results:
        poses = result.pred_instances
        assert poses.keypoints.shape[1:] == (14, 2)
        assert np.isfinite(poses.keypoints).all()
        assert np.isfinite(poses.bbox_scores).all()
