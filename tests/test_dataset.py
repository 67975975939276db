"""Which images are used, and which annotation files are refused."""
import json

import cv2
import numpy as np
import pytest
from mmpose.registry import DATASETS

PIPELINE = [
    dict(type='LoadPoseImage'),
    dict(type='PoseInstanceFilter'),
    dict(type='PoseResize', short_side=32),
    dict(
        type='GenerateTarget',
        encoder=dict(
            type='OKSKeypointCodec',
            metainfo=dict(from_file='configs/_base_/datasets/coco.py'))),
    dict(type='PackPoseInputs'),
]


def annotation(ann_id, image_id, **changes) -> dict:
    ann = dict(
        id=ann_id,
        image_id=image_id,
        category_id=1,
        iscrowd=0,
        bbox=[5, 5, 30, 40],
        area=700,
        keypoints=[10, 20, 2] * 17,
        num_keypoints=17)
    ann.update(changes)
    return ann


@pytest.fixture
def write(tmp_path):
    """Write a data set and return the config that reads it."""

    def write_(annotations, image_ids=(3, 1, 2), **changes):
        content = dict(
            images=[
                dict(id=i, file_name=f'{i}.png', width=60, height=50)
                for i in image_ids
            ],
            annotations=annotations,
            categories=[dict(id=1, name='person')])
        (tmp_path / 'ann.json').write_text(json.dumps(content))
        for i in image_ids:
            cv2.imwrite(
                str(tmp_path / f'{i}.png'),
                np.full((50, 60, 3), i, dtype=np.uint8))
        dataset = dict(
            type='CocoDataset',
            data_mode='bottomup',
            data_root=str(tmp_path),
            ann_file='ann.json',
            pipeline=PIPELINE)
        dataset.update(changes)
        return dict(type='PoseImageDataset', dataset=dataset)

    return write_


def test_training_uses_images_with_keypoints_in_order(write):
    dataset = DATASETS.build(
        write([
            annotation(1, 3),
            annotation(2, 2, num_keypoints=0, keypoints=[0] * 51),
            annotation(3, 1),
        ]))
    assert len(dataset) == 2
    assert [dataset.get_data_info(i)['img_id'] for i in range(2)] == [1, 3]
    assert dataset.metainfo['num_keypoints'] == 17


def test_crowds_count_for_images_not_for_instances(write):
    """The official rule: a crowd's keypoints keep the image in the list."""
    dataset = DATASETS.build(
        write([annotation(1, 3, iscrowd=1, segmentation=[])]))
    labels = dataset[0]['data_samples'].gt_instance_labels
    assert labels.keypoint_labels.shape == (0, 17, 2)


def test_testing_uses_all_images_in_order(write):
    config = write([annotation(1, 3)], test_mode=True)
    config['dataset']['pipeline'] = PIPELINE[:3:2] + PIPELINE[-1:]
    dataset = DATASETS.build(config)
    samples = [dataset[i]['data_samples'] for i in range(3)]
    assert [sample.img_id for sample in samples] == [1, 2, 3]
    assert [sample.id for sample in samples] == [[], [], [1]]


def test_targets_of_a_sample(write):
    dataset = DATASETS.build(
        write([annotation(1, 3),
               annotation(2, 3, bbox=[70, 0, 9, 9])]))
    sample = dataset[0]['data_samples']
    labels = sample.gt_instance_labels
    assert sample.img_shape == (32, 38)  # 60 x 50, truncated
    np.testing.assert_allclose(
        labels.keypoint_labels[0, 0], (10 / 60, 20 / 50), rtol=1e-5)
    assert labels.area_labels.item() == pytest.approx(700 / 3000, rel=1e-5)


def test_missing_area_is_the_box(write):
    ann = annotation(1, 3)
    del ann['area']
    labels = DATASETS.build(write([ann]))[0]['data_samples']
    area = labels.gt_instance_labels.area_labels.item()
    assert area == pytest.approx(30 * 40 / 3000, rel=1e-5)


@pytest.mark.parametrize('changes, message', [
    (dict(area=float('nan')), 'annotation 7: `area`.*finite'),
    (dict(bbox=[0, 0, float('inf'), 5]), 'annotation 7: `bbox`.*finite'),
    (dict(bbox=[0, 0, 5]), 'annotation 7: `bbox` must be x, y'),
    (dict(bbox=None), 'annotation 7: `bbox` must be a list'),
    (dict(keypoints=None), 'annotation 7: `keypoints` must be a list'),
    (dict(keypoints=[float('nan'), 1, 2] * 17), 'annotation 7: `keypoints`'),
    (dict(keypoints=['a', 1, 2] * 17), 'annotation 7: `keypoints`'),
    (dict(keypoints=[1, 1, 2] * 14), '`keypoints` must hold.*42, 51'),
    (dict(keypoints=[1, 1] * 17), '`keypoints` must hold'),
    (dict(category_id=3), '`category_id` 1, found.*3'),
])
def test_unusable_annotations(write, changes, message):
    config = write([annotation(1, 1), annotation(7, 2, **changes)])
    with pytest.raises(ValueError, match='ann.json.*' + message):
        DATASETS.build(config)


def test_annotation_without_box(write):
    ann = annotation(7, 2)
    del ann['bbox']
    with pytest.raises(ValueError, match='annotation 7: no `bbox`'):
        DATASETS.build(write([ann]))


def test_other_number_of_keypoints_than_the_metainfo(write):
    config = write([annotation(1, 1, keypoints=[9, 9, 2] * 14)])
    with pytest.raises(ValueError, match='14 keypoints.*metainfo 17'):
        DATASETS.build(config)


def test_metainfo_without_sigmas(write):
    metainfo = dict(
        dataset_name='toy',
        keypoint_info={},
        skeleton_info={},
        joint_weights=[])
    config = write([annotation(1, 1)], metainfo=metainfo, pipeline=[])
    with pytest.raises(ValueError, match='ann.json: the metainfo.*sigmas'):
        DATASETS.build(config)


def test_no_labeled_person_at_all(write):
    with pytest.raises(
            ValueError, match='ann.json: no annotation has a labeled'):
        DATASETS.build(write([]))


@pytest.mark.parametrize('content, message', [
    ('{"images": [', 'not valid JSON'),
    ('[]', 'not a COCO-format'),
    ('{"images": []}', 'not a COCO-format'),
])
def test_broken_file(write, tmp_path, content, message):
    config = write([annotation(1, 1)])
    (tmp_path / 'ann.json').write_text(content)
    with pytest.raises(ValueError, match='ann.json.*' + message):
        DATASETS.build(config)


def test_missing_file(write, tmp_path):
    config = write([annotation(1, 1)])
    (tmp_path / 'ann.json').unlink()
    with pytest.raises(FileNotFoundError, match='ann.json.*data_root'):
        DATASETS.build(config)


def test_topdown_mode_is_refused(write):
    config = write([annotation(1, 1)], data_mode='topdown')
    with pytest.raises(ValueError, match="data_mode='bottomup'"):
        DATASETS.build(config)


def test_missing_image_of_a_sample(write, tmp_path):
    dataset = DATASETS.build(write([annotation(1, 1)]))
    (tmp_path / '1.png').unlink()
    with pytest.raises(FileNotFoundError, match='1.png'):
        dataset[0]
