"""Hidden keypoints (1) and visible ones (2) stay apart on the way from the
annotation file to the training targets."""
import json

import cv2
import numpy as np
import pytest
from mmpose.registry import DATASETS, TRANSFORMS

VISIBILITY = [2, 1, 0, 2, 1] + 12 * [2]
ENCODE = [
    dict(type='GenerateTarget', encoder=dict(type='OKSKeypointCodec')),
    dict(type='PackPoseInputs')
]
LOAD = [dict(type='LoadPoseImage'), dict(type='PoseInstanceFilter')]


def make_dataset(folder, pipeline, **changes):
    """One person of 17 keypoints in an image of 60 x 50 pixels."""
    places = np.stack([5 + 2 * np.arange(17), 10 + 2 * np.arange(17)], 1)
    ann = dict(
        id=1,
        image_id=1,
        category_id=1,
        iscrowd=0,
        bbox=[4, 9, 40, 40],
        area=700,
        num_keypoints=16,
        keypoints=np.column_stack([places, VISIBILITY]).ravel().tolist(),
        **changes)
    content = dict(
        images=[dict(id=1, file_name='1.png', width=60, height=50)],
        annotations=[ann],
        categories=[dict(id=1, name='person')])
    (folder / 'ann.json').write_text(json.dumps(content))
    cv2.imwrite(str(folder / '1.png'), np.zeros((50, 60, 3), np.uint8))
    return DATASETS.build(
        dict(
            type='PoseImageDataset',
            dataset=dict(
                type='CocoDataset',
                data_mode='bottomup',
                data_root=str(folder),
                ann_file='ann.json',
                pipeline=pipeline)))


def test_targets_tell_hidden_from_visible(tmp_path):
    sample = make_dataset(tmp_path, LOAD + ENCODE)[0]['data_samples']
    labels = sample.gt_instance_labels
    assert labels.keypoint_weights.tolist() == [[
        float(v > 0) for v in VISIBILITY
    ]]
    assert labels.seen_labels.tolist() == [[float(v > 1) for v in VISIBILITY]]


@pytest.mark.parametrize('steps', [
    [dict(type='PoseFixedResize', size=(64, 32))],
    [dict(type='PoseRandomAffine', rotate_factor=0, shift_factor=0)],
    [dict(type='PoseZoomOut')],
    [dict(type='PoseMosaic', short_side=32, pre_transform=LOAD)],
    [dict(type='PoseMixUp', pre_transform=LOAD)],
])
def test_transforms_keep_them_apart(tmp_path, steps):
    """And mosaics and mix-up those of all people."""
    dataset = make_dataset(tmp_path, LOAD + steps)
    visible = dataset[0]['keypoints_visible']
    inside = visible > 0  # of an enlarged image, some leave it
    assert len(visible) == dict(
        PoseMosaic=4, PoseMixUp=2).get(steps[0]['type'], 1)
    assert inside.sum() > 8 * len(visible)
    expected = np.broadcast_to(VISIBILITY, visible.shape)
    np.testing.assert_array_equal(visible[inside], expected[inside])


def test_flip(tmp_path):
    dataset = make_dataset(tmp_path,
                           LOAD + [dict(type='PoseRandomFlip', prob=1)])
    results = dataset[0]
    expected = np.array(VISIBILITY)[results['flip_indices']]
    np.testing.assert_array_equal(results['keypoints_visible'], [expected])


def test_nothing_is_visible_outside_of_a_crop(tmp_path):
    """Where it stays labeled, at the border."""
    step = dict(type='PoseRandomCrop', min_size=25, max_size=25)
    before = make_dataset(tmp_path, LOAD)[0]
    results = make_dataset(tmp_path, LOAD + [step])[0]
    shift = before['keypoints'] - results['keypoints']
    corner = np.round(results['input_center'] - 12.5)
    inside = (shift == corner).all(-1)
    assert 0 < inside.sum() < 17
    expected = np.where(inside, VISIBILITY, np.minimum(VISIBILITY, 1))
    np.testing.assert_array_equal(results['keypoints_visible'], expected)


@pytest.mark.parametrize('pair, expected', [((0, 3), 2), ((0, 1), 1),
                                            ((1, 4), 1), ((0, 2), 0)])
def test_a_mean_is_hidden_if_one_of_both_is(tmp_path, pair, expected):
    dataset = make_dataset(tmp_path, LOAD)
    convert = TRANSFORMS.build(
        dict(
            type='KeypointConverter',
            num_keypoints=2,
            mapping=[(pair, 0), (1, 1)]))
    visible = convert(dataset[0])['keypoints_visible']
    assert visible[0, :, 0].tolist() == [expected, 1]
    assert visible[0, :, 1].tolist() == [1, 1]
