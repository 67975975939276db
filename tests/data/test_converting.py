"""Data sets of different keypoints, mixed or cut by KeypointConverter: left
stays left, and people without a joint do not teach."""
import json

import numpy as np
import pytest
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS, TRANSFORMS
from PIL import Image

AIC_TO_CROWDPOSE = [(3, 0), (0, 1), (4, 2), (1, 3), (5, 4), (2, 5), (9, 6),
                    (6, 7), (10, 8), (7, 9), (11, 10), (8, 11), (12, 12),
                    (13, 13)]
AIC_TO_COCO = [(0, 6), (1, 8), (2, 10), (3, 5), (4, 7), (5, 9), (6, 12),
               (7, 14), (8, 16), (9, 11), (10, 13), (11, 15)]
# COCO's shoulders and hips have a middle in CrowdPose's place of the neck.
COCO_TO_CROWDPOSE = [(5, 0), (6, 1), (7, 2), (8, 3), (9, 4), (10, 5), (11, 6),
                     (12, 7), (13, 8), (14, 9), (15, 10), (16, 11),
                     ((5, 6), 13)]
FACE = [(i, i) for i in range(5)]


def describe(name: str) -> dict:
    """MMPose's metainfo of a data set."""
    return parse_pose_metainfo(
        dict(from_file=f'configs/_base_/datasets/{name}.py'))


def make_results(name: str, people: int = 2) -> dict:
    """People of a data set, each keypoint in a place of its own."""
    info = describe(name)
    count = info['num_keypoints']
    keypoints = np.random.randint(0, 60, (people, count, 2))
    return dict(
        img=np.zeros((60, 60, 3), dtype=np.uint8),
        img_shape=(60, 60),
        ori_shape=(60, 60),
        flip_indices=info['flip_indices'],
        keypoints=keypoints.astype(np.float32),
        keypoints_visible=np.ones((people, count), dtype=np.float32))


def convert(num_keypoints: int, mapping: list):
    return TRANSFORMS.build(
        dict(
            type='KeypointConverter',
            num_keypoints=num_keypoints,
            mapping=mapping))


@pytest.mark.parametrize('source, target, mapping', [
    ('aic', 'crowdpose', AIC_TO_CROWDPOSE),
    ('aic', 'coco', AIC_TO_COCO),
    ('coco', 'crowdpose', COCO_TO_CROWDPOSE),
    ('coco', 'coco', [(i, i) for i in range(17)]),
])
def test_flip_indices_are_those_of_the_target(source, target, mapping):
    info = describe(target)
    results = convert(info['num_keypoints'], mapping)(make_results(source))
    converted = [index for _, index in mapping]
    assert len(results['flip_indices']) == info['num_keypoints']
    assert [results['flip_indices'][i] for i in converted] \
        == [info['flip_indices'][i] for i in converted]


@pytest.mark.parametrize('source, num_keypoints, mapping', [
    ('aic', 14, AIC_TO_CROWDPOSE),
    ('aic', 17, AIC_TO_COCO),
    ('coco', 14, COCO_TO_CROWDPOSE),
    ('coco', 5, FACE),
])
def test_converting_commutes_with_the_flip(source, num_keypoints, mapping):
    results = make_results(source)
    results['keypoints_visible'][:, ::3] = 0
    converter = convert(num_keypoints, mapping)
    flip = TRANSFORMS.build(dict(type='PoseRandomFlip', prob=1.0))
    first, last = flip(converter(dict(results))), converter(flip(results))
    visible = last['keypoints_visible'][..., 0]
    np.testing.assert_array_equal(first['keypoints_visible'][..., 0], visible)
    labeled = visible > 0
    assert labeled.any()
    np.testing.assert_array_equal(first['keypoints'][labeled],
                                  last['keypoints'][labeled])


def test_several_keypoints_of_one_source():
    """Feet of which the source has only ankles."""
    mapping = [(15, 0), (16, 1), (15, 2), (16, 3), (0, 4), (0, 5)]
    results = convert(7, mapping)(make_results('coco'))
    assert results['flip_indices'] == [1, 0, 3, 2, 4, 5, 6]


def test_half_of_a_pair_cannot_be_flipped():
    results = convert(2, [(0, 0), (9, 1)])(make_results('coco'))
    assert results['flip_indices'] == [0, None]
    flip = TRANSFORMS.build(dict(type='PoseRandomFlip', prob=1.0))
    with pytest.raises(
            ValueError,
            match='mirror image of keypoint 1. .*PoseRandomFlip '
            'before it'):
        flip(results)


def test_flip_indices_of_other_keypoints_are_refused():
    results = make_results('coco')
    results['flip_indices'] = describe('crowdpose')['flip_indices']
    flip = TRANSFORMS.build(dict(type='PoseRandomFlip', prob=1.0))
    with pytest.raises(
            ValueError,
            match='`flip_indices` are for 14 of 17 keypoints.*CombinedDat'):
        flip(results)


def test_images_without_annotations_pass():
    results = make_results('coco')
    del results['keypoints'], results['keypoints_visible']
    results = convert(5, FACE)(results)
    assert results['flip_indices'] == [0, 2, 1, 4, 3]
    assert 'keypoints' not in results


PIPELINE = [
    dict(type='LoadPoseImage'),
    dict(type='PoseInstanceFilter'),
    dict(type='PoseRandomFlip', prob=1.0),
    dict(type='PoseResize', short_side=50),
    dict(type='GenerateTarget', encoder=dict(type='OKSKeypointCodec')),
    dict(type='PackPoseInputs'),
]
WIDTH, HEIGHT = 60, 50


def person(ann_id: int, num_keypoints: int, labeled=None) -> dict:
    """Keypoint i is at (3 i, i); without `labeled`, all are labeled."""
    keypoints = [[3 * i, i, 2] if labeled is None or i in labeled else [0] * 3
                 for i in range(num_keypoints)]
    return dict(
        id=ann_id,
        image_id=1,
        category_id=1,
        iscrowd=0,
        bbox=[0, 0, 60, 50],
        area=900,
        keypoints=np.ravel(keypoints).tolist(),
        num_keypoints=sum(visible > 0 for _, _, visible in keypoints))


@pytest.fixture
def write(tmp_path):
    """Write an image with people and return the config that reads it."""

    def write_(kind: str, people: list, wrapped=True, **changes) -> dict:
        content = dict(
            images=[dict(id=1, file_name='1.png', width=WIDTH, height=HEIGHT)],
            annotations=people,
            categories=[dict(id=1, name='person')])
        (tmp_path / f'{kind}.json').write_text(json.dumps(content))
        Image.new('RGB', (WIDTH, HEIGHT)).save(tmp_path / '1.png')
        dataset = dict(
            type=kind,
            data_mode='bottomup',
            data_root=str(tmp_path),
            ann_file=f'{kind}.json')
        if wrapped:
            return dict(type='PoseImageDataset', dataset=dataset, **changes)
        return dict(dataset, **changes)

    return write_


def check_flipped(sample, mapping, flip_indices, num_people=1):
    """All people are where they are after conversion and flip."""
    labels = sample.gt_instance_labels
    assert len(labels) == num_people
    for source, target in mapping:
        place = np.mean([[3 * i, i] for i in np.ravel(source)], 0)
        flipped = flip_indices[target]
        found = labels.keypoint_labels[0, flipped].numpy() * (WIDTH, HEIGHT)
        np.testing.assert_allclose(
            found, (WIDTH - 1 - place[0], place[1]), atol=1e-3)
    converted = [flip_indices[target] for _, target in mapping]
    visible = np.zeros(labels.keypoint_weights.shape[1])
    visible[converted] = 1
    np.testing.assert_array_equal(labels.keypoint_weights[0], visible)


@pytest.mark.parametrize('wrapped', [True, False])
def test_mixed_data_sets(write, wrapped):
    """MMPose's way: converters in the parts, of any class."""
    coco = write(
        'CocoDataset',
        [person(1, 17), person(2, 17, labeled=[0])],
        wrapped,
        pipeline=[
            dict(
                type='KeypointConverter',
                num_keypoints=14,
                mapping=COCO_TO_CROWDPOSE)
        ])
    aic = write(
        'AicDataset', [person(1, 14)],
        wrapped,
        pipeline=[
            dict(
                type='KeypointConverter',
                num_keypoints=14,
                mapping=AIC_TO_CROWDPOSE)
        ])
    mixed = DATASETS.build(
        dict(
            type='CombinedDataset',
            metainfo=dict(from_file='configs/_base_/datasets/crowdpose.py'),
            datasets=[coco, aic],
            pipeline=PIPELINE))
    order = describe('crowdpose')['flip_indices']
    assert len(mixed) == 2
    # The second person of COCO has only a nose, which CrowdPose has not.
    check_flipped(mixed[0]['data_samples'], COCO_TO_CROWDPOSE, order)
    check_flipped(mixed[1]['data_samples'], AIC_TO_CROWDPOSE, order)


@pytest.mark.parametrize('position', range(1, 5))
def test_a_subset_of_the_keypoints(write, position):
    """Wherever the conversion is in the pipeline of a single data set."""
    pipeline = PIPELINE.copy()
    pipeline.insert(
        position,
        dict(type='KeypointConverter', num_keypoints=5, mapping=FACE))
    people = [person(1, 17), person(2, 17, labeled=range(5, 17))]
    dataset = DATASETS.build(write('CocoDataset', people, pipeline=pipeline))
    check_flipped(dataset[0]['data_samples'], FACE, [0, 2, 1, 4, 3])


def test_a_converter_for_all_parts(write):
    """In the pipeline of the CombinedDataset."""
    mixed = DATASETS.build(
        dict(
            type='CombinedDataset',
            metainfo=dict(from_file='configs/_base_/datasets/aic.py'),
            datasets=[write('AicDataset', [person(1, 14)])],
            pipeline=[
                dict(
                    type='KeypointConverter',
                    num_keypoints=14,
                    mapping=AIC_TO_CROWDPOSE), *PIPELINE
            ]))
    check_flipped(mixed[0]['data_samples'], AIC_TO_CROWDPOSE,
                  describe('crowdpose')['flip_indices'])
