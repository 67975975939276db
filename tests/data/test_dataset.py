"""Which images are used, with which random numbers, and which annotation
files are refused."""
import json
import random
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmpose.registry import DATASETS, METRICS
from torch.utils.data import DataLoader

from projects.grouppose.engine.epoch_seed_hook import EpochSeedHook

PIPELINE = [
    dict(type='LoadPoseImage'),
    dict(type='PoseInstanceFilter'),
    dict(type='PoseResize', short_side=32),
    dict(type='GenerateTarget', encoder=dict(type='OKSKeypointCodec')),
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

    def write_(annotations, image_ids=(3, 1, 2), categories=(1, ), **changes):
        content = dict(
            images=[
                dict(id=i, file_name=f'{i}.png', width=60, height=50)
                for i in image_ids
            ],
            annotations=annotations,
            categories=[dict(id=i, name=f'class {i}') for i in categories])
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
    (dict(keypoints=[1, 1] * 17), '`keypoints` must hold.*34 numbers'),
    (dict(keypoints=[1, 1, -1] * 17), 'annotation 7: .* a visibility of -1'),
    (dict(foot_kpts=[1, 1, -1] * 6), 'annotation 7: `foot_kpts` has a visib'),
    (dict(num_keypoints='17'), 'annotation 7: `num_keypoints` must be'),
    (dict(num_keypoints=None), 'annotation 7: `num_keypoints` must be'),
    (dict(num_keypoints=-1), 'annotation 7: `num_keypoints` must be'),
    (dict(area=0), 'annotation 7: `area` must be positive'),
    (dict(area=-2.5), 'annotation 7: `area` must be positive'),
    (dict(id=1), 'annotation 1: another one has the same `id`'),
    (dict(id=None), 'annotation number 1 of the list: `id` must be'),
    (dict(image_id=9), 'annotation 7: `images` has no entry.*9'),
    (dict(image_id=None), 'annotation 7: `image_id` must be an integer'),
    (dict(category_id='1'), 'annotation 7: `category_id` must be an integer'),
    (dict(category_id=3), '`category_id` 1, found.*3.*rewrite.*class_agnos'),
])
def test_unusable_annotations(write, changes, message):
    config = write([annotation(1, 1), {**annotation(7, 2), **changes}])
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


@pytest.mark.parametrize('changes', [
    dict(area=0, iscrowd=1, segmentation=[]),
    dict(area=0, bbox=[5, 5, 0, 0]),
    dict(area=0, num_keypoints=0, keypoints=[0] * 51),
])
def test_no_area_is_needed_of_what_is_left_out(write, changes):
    dataset = DATASETS.build(
        write([annotation(1, 1), annotation(7, 1, **changes)]))
    labels = dataset[0]['data_samples'].gt_instance_labels
    assert len(labels) == 1


@pytest.mark.parametrize('changes, message', [
    (dict(width=None), 'image 2: `width` must be'),
    (dict(height=0), 'image 2: `height` must be'),
    (dict(file_name=None), 'image 2: no `file_name`'),
    (dict(id='2'), 'image number 1 of the list: `id` must be an integer'),
    (dict(id=1), 'image 1: another one has the same `id`'),
])
def test_unusable_images(write, tmp_path, changes, message):
    config = write([annotation(1, 1)], image_ids=(1, 2))
    content = json.loads((tmp_path / 'ann.json').read_text())
    content['images'][1].update(changes)
    (tmp_path / 'ann.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match='ann.json: ' + message):
        DATASETS.build(config)


def test_evaluation_needs_keypoints(write):
    """The metric would crash, after an epoch."""
    ann = annotation(7, 1)
    del ann['keypoints']
    anns = [annotation(1, 1), ann]
    assert len(DATASETS.build(write(anns))) == 1
    with pytest.raises(ValueError, match='annotation 7: no `keypoints`'):
        DATASETS.build(write(anns, test_mode=True))


def test_evaluation_needs_the_category(write):
    """The metric would find nobody."""
    anns = [annotation(1, 1)]
    assert len(DATASETS.build(write(anns, categories=[]))) == 1
    with pytest.raises(ValueError, match='found.*1.*in `categories`'):
        DATASETS.build(write(anns, categories=[], test_mode=True))


def test_missing_number_of_keypoints_is_that_of_the_visibilities(write):
    labeled, unlabeled = [
        annotation(i, i, keypoints=[9, 9, v, 0, 0, 0] * 8 + [9, 9, 0])
        for i, v in ((1, 1), (2, 0))
    ]
    del labeled['num_keypoints'], unlabeled['num_keypoints']
    dataset = DATASETS.build(write([labeled, unlabeled]))
    assert len(dataset) == 1
    assert dataset.get_data_info(0)['num_keypoints'] == [8]


def test_reads_like_mmpose(write, monkeypatch):
    """All values of all images, without reading the file a second time."""
    anns = [
        annotation(1, 3),
        annotation(2, 1, iscrowd=1, segmentation=dict(counts=[], size=[2, 2])),
        annotation(3, 1, segmentation=[[1, 2, 3, 4]]),
        annotation(4, 3, bbox=[50, 10, 30, 99], segmentation=[[5, 6]]),
    ]
    config = write(anns, test_mode=True, pipeline=[])['dataset']
    expected = DATASETS.build(config)
    order = sorted(range(3), key=lambda i: expected[i]['img_id'])
    expected.get_subset_(order)
    monkeypatch.setattr(
        'mmpose.datasets.datasets.base.base_coco_style_dataset.COCO', None)
    dataset = DATASETS.build(dict(type='PoseImageDataset', dataset=config))
    assert dataset.metainfo['CLASSES'] == expected.metainfo['CLASSES']
    for i in range(3):
        ours, mmposes = dataset.get_data_info(i), expected.get_data_info(i)
        assert ours.pop('stated_size') == (60, 50)
        for info in (ours, mmposes):
            for ann in info.get('raw_ann_info') or []:
                ann.pop('segmentation', None)
            info.pop('segmentation', None)
            info.pop('invalid_segs', None)
        np.testing.assert_equal(ours, mmposes)


def test_only_some_annotations_have_masks(write):
    anns = [annotation(1, 1, segmentation=[[1, 2, 3, 4]]), annotation(2, 1)]
    assert len(DATASETS.build(write(anns))) == 1


METAINFO = dict(
    dataset_name='toy',
    keypoint_info={
        0: dict(name='left', swap='right'),
        1: dict(name='right', swap='left')
    },
    skeleton_info={0: dict(link=('left', 'right'))},
    joint_weights=[1, 1],
    sigmas=[0.1, 0.1])


@pytest.mark.parametrize('changes, message', [
    (dict(sigmas=None, skeleton_info=None), 'Add skeleton_info and sigmas'),
    (dict(sigmas=[0.1]), '`sigmas` must hold.* 2 keypoints, got 1'),
    (dict(keypoint_info={0: dict(name='left', swap='rihgt')}), "'rihgt'"),
    (dict(skeleton_info={0: dict(link=('left', 'nose'))}), "'nose'"),
    (dict(keypoint_info={
        0: dict(name='left', swap='right'),
        1: dict(name='right', swap='')
    }), '`swap` of left is right, but not the other'),
])
@pytest.mark.parametrize('in_file', [False, True])
def test_unusable_metainfo(write, tmp_path, changes, message, in_file):
    metainfo = {k: v for k, v in {**METAINFO, **changes}.items() if v}
    source = 'the given metainfo'
    if in_file:
        source = f'{tmp_path}/toy.py'
        Config(dict(dataset_info=metainfo)).dump(source)
        metainfo = dict(from_file=source)
    config = write([annotation(1, 1)], metainfo=metainfo)
    with pytest.raises(ValueError, match=f'{source}: .*{message}'):
        DATASETS.build(config)


def test_missing_metainfo_file(write):
    config = write([annotation(1, 1)])
    with pytest.raises(FileNotFoundError, match='none.py: .*`from_file`'):
        DATASETS.build(dict(config, metainfo=dict(from_file='none.py')))


def test_metainfo_file_without_the_description(write, tmp_path):
    (tmp_path / 'toy.py').write_text('sigmas = [0.1]')
    metainfo = dict(from_file=f'{tmp_path}/toy.py')
    config = write([annotation(1, 1)], metainfo=metainfo)
    with pytest.raises(ValueError, match='toy.py: .*define .*dataset_info'):
        DATASETS.build(config)


def test_failing_transform_is_not_blamed_on_the_metainfo(write):
    config = write([annotation(1, 1)], pipeline=[dict(type='mmdet.Mosaic')])
    config['dataset']['pipeline'] = [dict(type='Albumentation')]
    with pytest.raises(Exception) as caught:
        DATASETS.build(config)
    assert 'metainfo' not in str(caught.value)


def test_file_of_another_data_set_class(write):
    config = write([annotation(1, 1)], type='CocoWholeBodyDataset')
    with pytest.raises(
            ValueError, match='annotation 1: no `foot_kpts`. CocoWholeBody'):
        DATASETS.build(config)


def test_class_that_reads_its_files_otherwise(write):
    config = write([annotation(1, 1)], type='MpiiDataset')
    with pytest.raises(ValueError, match='MpiiDataset.*not in COCO format'):
        DATASETS.build(config)


def test_whole_body_counts_all_keypoints(write):
    """`num_keypoints` counts those of the body only."""
    parts = dict(foot=6, face=68, lefthand=21, righthand=21)
    anns = [
        annotation(i, i, keypoints=[0] * 51, num_keypoints=0) for i in (1, 2)
    ]
    for ann in anns:
        ann.update({f'{name}_kpts': [0] * 3 * n for name, n in parts.items()})
    anns[0]['face_kpts'] = [9, 9, 1.0] * 68
    dataset = DATASETS.build(write(anns, type='CocoWholeBodyDataset'))
    assert len(dataset) == 1
    labels = dataset[0]['data_samples'].gt_instance_labels
    assert labels.keypoint_weights.sum() == 68


def build_class_agnostic(write, **changes):
    """Two images with three categories and a crowd region."""
    config = write([
        annotation(1, 1, category_id=5),
        annotation(2, 1, category_id=7, keypoints=[30, 40, 2] * 17),
        annotation(3, 2, category_id=9),
        annotation(
            4,
            2,
            category_id=5,
            iscrowd=1,
            bbox=[30, 30, 20, 20],
            keypoints=[40, 40, 2] * 17,
            segmentation=[]),
    ], (1, 2), (5, 7, 9), **changes)
    return DATASETS.build(dict(config, class_agnostic=True))


def test_class_agnostic_training(write):
    dataset = build_class_agnostic(write)
    counts = [
        len(dataset[i]['data_samples'].gt_instance_labels) for i in range(2)
    ]
    assert counts == [2, 1]


@pytest.mark.parametrize('from_file', [True, False])
def test_class_agnostic_evaluation(write, tmp_path, from_file):
    """AP is 1 for the annotated poses, wherever the metric has them from, and
    what is found in a crowd region costs nothing."""
    dataset = build_class_agnostic(write, test_mode=True)
    metric = METRICS.build(
        dict(
            type='ClassAgnosticCocoMetric',
            ann_file=str(tmp_path / 'ann.json') if from_file else None,
            score_mode='bbox',
            nms_mode='none'))
    metric.dataset_meta = dataset.metainfo
    if not from_file:
        metric.coco = None
    for i in range(2):
        info = dataset.get_data_info(i)
        count = len(info['keypoints'])
        sample = dict(
            id=info['id'],
            img_id=info['img_id'],
            ori_shape=(50, 60),
            raw_ann_info=info['raw_ann_info'],
            gt_instances={},
            pred_instances=dict(
                keypoints=info['keypoints'],
                keypoint_scores=np.ones((count, 17)),
                # The crowd region is found first.
                bbox_scores=np.arange(count) + 1.0))
        metric.process({}, [sample])
    for _ in range(2):  # as after every epoch
        results = metric.compute_metrics(metric.results)
        assert results['AP'] == results['AR'] == pytest.approx(1)


@pytest.mark.parametrize('num_workers', [0, 2])
def test_random_numbers(write, num_workers):
    """They depend on the seed and the image, and disturb nobody else's."""
    anns = [annotation(i, i) for i in range(1, 9)]
    config = write(anns, range(1, 9))
    pipeline = PIPELINE.copy()
    pipeline[2] = dict(type='PoseResize', short_side=list(range(20, 60)))
    dataset = DATASETS.build(dict(config, pipeline=pipeline))
    loader = DataLoader(
        dataset,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        collate_fn=lambda samples: samples[0]['inputs'].shape[1])
    before = random.getstate(), np.random.get_state()
    sizes = []
    for seed in (1, 2, 2):
        dataset.seed_pipeline(seed)
        sizes.append(list(loader))
    np.testing.assert_equal((random.getstate(), np.random.get_state()), before)
    assert sizes[0] == [26, 36, 41, 55, 26, 54, 54, 59]
    assert sizes[1] != sizes[0] and sizes[1] == sizes[2]


def make_runner(dataset, loop=EpochBasedTrainLoop, seed=3, epoch=0):
    """What the hook needs of a runner."""
    return SimpleNamespace(
        train_loop=object.__new__(loop),
        train_dataloader=DataLoader(dataset, batch_size=2),
        seed=seed,
        epoch=epoch)


def test_seeds_of_the_hook(write):
    config = write([annotation(i, i) for i in range(1, 4)])
    both = DATASETS.build(dict(type='ConcatDataset', datasets=[config] * 2))
    hook = EpochSeedHook()
    found = []
    for seed, epoch in ((3, 0), (3, 1), (9, 0), (3, 0)):
        runner = make_runner(both, seed=seed, epoch=epoch)
        hook.before_train(runner)
        hook.before_train_epoch(runner)
        found += [(dataset._seed.item(), np.random.rand())
                  for dataset in both.datasets]
    assert found[:2] == found[6:]
    assert len({seed for seed, _ in found}) == 6
    assert len({number for _, number in found}) == 6


def test_hook_refuses_what_it_cannot_seed(write):
    config = write([annotation(1, 1)])
    dataset = DATASETS.build(config)
    repeated = dict(type='RepeatDataset', dataset=config, times=2)
    for runner, message in (
        (make_runner(DATASETS.build(repeated)), 'RepeatDataset.*resumed run'),
        (make_runner(dataset.dataset), 'CocoDataset.*custom_hooks'),
        (make_runner(dataset, IterBasedTrainLoop), 'IterBased.*by_epoch=True'),
    ):
        with pytest.raises(ValueError, match=f'EpochSeedHook: .*{message}'):
            EpochSeedHook().before_train(runner)


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
