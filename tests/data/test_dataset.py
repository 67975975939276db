"""Which images are used, and which annotation files are refused."""
import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmpose.registry import DATASETS, METRICS

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
            categories=[dict(id=i, name='person') for i in categories])
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
        write([annotation(1, 3, iscrowd=1, segmentation=[]),
               annotation(2, 2)]))
    assert len(dataset) == 2
    labels = dataset[1]['data_samples'].gt_instance_labels
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
    (dict(keypoints=[float('nan'), 1, 2] * 17), 'annotation 7: `keypoints`'),
    (dict(keypoints=['a', 1, 2] * 17), 'annotation 7: `keypoints`'),
    (dict(keypoints=[1, 1, 2] * 14), '`keypoints` must hold.*42, 51'),
    (dict(keypoints=[1, 1] * 17), '`keypoints` must hold.*34 numbers'),
    (dict(keypoints=[1, 1, -1] * 17), 'annotation 7: .* a visibility of -1'),
    (dict(foot_kpts=[1, 1, -1] * 6), 'annotation 7: `foot_kpts` has a visib'),
    (dict(num_keypoints='17'), 'annotation 7: `num_keypoints` must be'),
    (dict(num_keypoints=-1), 'annotation 7: `num_keypoints` must be'),
    (dict(area=0), 'annotation 7: `area` must be positive'),
    (dict(area=-2.5), 'annotation 7: `area` must be positive'),
    (dict(id=1), 'annotation 1: another one has the same `id`'),
    (dict(id=None), 'annotation number 1 of the list: `id` must be'),
    (dict(image_id=9), 'annotation 7: `images` has no entry.*9'),
    (dict(image_id=None), 'annotation 7: `image_id` must be an integer'),
    (dict(category_id='x'), 'annotation 7: `category_id` must be an integer'),
    (dict(category_id=3), '`category_id` 1, found.*3.*rewrite.*class_agnos'),
])
def test_unusable_annotations(write, changes, message):
    config = write([annotation(1, 1), {**annotation(7, 2), **changes}])
    with pytest.raises(ValueError, match='ann.json.*' + message):
        DATASETS.build(config)


def test_other_number_of_keypoints_than_the_metainfo(write):
    config = write([annotation(1, 1, keypoints=[9, 9, 2] * 14)])
    with pytest.raises(ValueError, match='14 keypoints.*metainfo 17'):
        DATASETS.build(config)


@pytest.mark.parametrize('changes', [
    dict(area=0, iscrowd=1, segmentation=[]),
    dict(area=0, num_keypoints=0, keypoints=[0] * 51),
])
def test_no_area_is_needed_of_what_is_left_out(write, changes):
    dataset = DATASETS.build(
        write([annotation(1, 1), annotation(7, 1, **changes)]))
    labels = dataset[0]['data_samples'].gt_instance_labels
    assert len(labels) == 1


@pytest.mark.parametrize('changes, message', [
    (dict(width=None, file_name='no.png'), 'image 2: `width` must be'),
    (dict(height=-1), 'image 2: `height` must be'),
    (dict(file_name=None), 'image 2: no `file_name`'),
    (dict(id=None), 'image number 1 of the list: `id` must be an integer'),
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
        if 'keypoints_visible' in mmposes:
            # MMPose does not tell visible keypoints (2) from hidden ones (1).
            mmposes['keypoints_visible'] = 2 * mmposes['keypoints_visible']
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


CROWD = dict(iscrowd=1, segmentation=[])
UNLABELED = dict(keypoints=[0] * 51, num_keypoints=0)


@pytest.mark.parametrize('changes, reason', [
    ([], 'no annotation has `keypoints`. The file has 3 images, no annot'),
    ([CROWD], '1 crowd regions'),
    ([UNLABELED] * 2, '2 people without a labeled keypoint'),
    ([dict(bbox=[60, 5, 9, 9]), CROWD
      ], '1 people with a `bbox` outside of the image, 1 crowd regions'),
])
def test_nobody_to_train_on(write, changes, reason):
    anns = [annotation(i, 1, **fields) for i, fields in enumerate(changes)]
    config = write(anns)
    for keep_empty in (False, True)[:1 + bool(anns)]:
        with pytest.raises(
                ValueError,
                match=f'ann.json: nothing can be trained on: {reason}' +
                '. Each needs .*within the image.*right file' * bool(anns)):
            DATASETS.build(dict(config, keep_empty=keep_empty))
    # The metric takes them as they are.
    assert len(DATASETS.build(write(anns, test_mode=True))) == 3


@pytest.fixture
def logged(monkeypatch) -> list:
    """What data sets say of themselves."""
    lines = []
    monkeypatch.setattr('projects.grouppose.data.dataset.print_log',
                        lambda message, *_: lines.append(message))
    return lines


def mixed_annotations() -> list:
    """Of 160 images, 153 with somebody to train on."""
    anns = [annotation(i, i) for i in range(1, 154)]
    for i, fields in enumerate((CROWD, CROWD, UNLABELED, dict(bbox=[5] * 4),
                                dict(bbox=[5, 5, 0, 0]))):
        anns.append(annotation(200 + i, 1 + i, **fields))
    anns.append(annotation(300, 154, **UNLABELED))
    return anns


def test_log_counts_images_and_people(write, logged, tmp_path):
    config = write(mixed_annotations(), range(1, 161))
    dataset = DATASETS.build(config)
    assert len(dataset) == 153
    assert dataset.num_people.tolist() == [1] * 3 + [2] * 2 + [1] * 148
    assert logged == [
        f'{tmp_path}/ann.json: No usable `bbox`: 1 annotations. The box of '
        'the labeled keypoints with a margin stands in, and 0.53 of it for an '
        '`area` that is missing or 0.',
        f'{tmp_path}/ann.json: 153 of 160 images are used, with 155 people to '
        'train on. Left out: 2 crowd regions, 2 people without a labeled '
        'keypoint, 7 images without a labeled person.'
    ]
    found = [
        len(dataset[i]['data_samples'].gt_instance_labels) for i in range(6)
    ]
    assert found == dataset.num_people[:6].tolist()


@pytest.mark.parametrize('changes, expected', [
    (dict(test_mode=True), ['160 of 160 images are used.']),
    (dict(test_mode=True, sample_interval=4), [
        '40 of 160 images are used. Left out: 120 images that '
        '`sample_interval` skips.'
    ]),
    (dict(test_mode=True, indices=4), [
        '160 of 160 images are used.', '`indices` takes 4 of these 160 images.'
    ]),
])
def test_log_of_parts_of_a_file(write, logged, tmp_path, changes, expected):
    dataset = DATASETS.build(
        write(mixed_annotations(), range(1, 161), **changes))
    # The first one says which boxes were replaced.
    assert logged[1:] == [f'{tmp_path}/ann.json: {line}' for line in expected]
    assert len(dataset) == len(dataset.num_people)


@pytest.mark.parametrize('indices, image_ids', [(2, [1, 2]), (-1, [5]),
                                                ([1, 3], [2, 4])])
def test_people_of_chosen_images(write, indices, image_ids):
    anns = [
        annotation(10 * image + i, image) for image in range(1, 6)
        for i in range(image)
    ]
    dataset = DATASETS.build(write(anns, range(1, 6), indices=indices))
    assert [dataset.get_data_info(i)['img_id']
            for i in range(len(dataset))] == image_ids
    assert dataset.num_people.tolist() == image_ids


def test_swapped_sizes_leave_nobody_out(write, tmp_path):
    """As in CrowdPose's own files."""
    config = write([annotation(1, 1, bbox=[52, 5, 6, 40])], [1])
    path = tmp_path / 'ann.json'
    content = json.loads(path.read_text())
    content['images'][0].update(width=50, height=60)
    path.write_text(json.dumps(content))
    dataset = DATASETS.build(config)
    assert dataset.num_people.tolist() == [1]
    assert len(dataset[0]['data_samples'].gt_instance_labels) == 1


def test_images_without_people(write):
    """Taken where it is asked for, but not images of unlabeled people."""
    anns = [
        annotation(1, 2),
        annotation(2, 3, **UNLABELED),
        dict(id=3, image_id=4, category_id=1, bbox=[5, 5, 9, 9]),
        dict(id=4, image_id=5, category_id=2, bbox=[5, 5, 9, 9]),
    ]
    config = write(anns, range(1, 6), categories=(1, 2))
    assert len(DATASETS.build(config)) == 1
    pipeline = PIPELINE.copy()
    pipeline[2:2] = [
        dict(type='PoseRandomFlip', prob=1.0),
        dict(type='PoseRandomAffine'),
        dict(type='PoseRandomCrop', min_size=20, max_size=30)
    ]
    dataset = DATASETS.build(dict(config, keep_empty=True, pipeline=pipeline))
    samples = [dataset[i]['data_samples'] for i in range(3)]
    assert [sample.img_id for sample in samples] == [1, 2, 5]
    assert dataset.num_people.tolist() == [0, 1, 0]
    for sample in samples[::2]:
        labels = sample.gt_instance_labels
        assert labels.keypoint_labels.shape == (0, 17, 2)
        assert labels.area_labels.shape == labels.labels.shape == (0, )


def test_a_file_of_backgrounds(write):
    """To be mixed with others."""
    dataset = DATASETS.build(dict(write([]), keep_empty=True))
    assert len(dataset) == 3 and not dataset.num_people.any()


def test_several_annotation_files(write, tmp_path, logged):
    """Of which ids are the same, and one is in a folder of its own."""
    write([annotation(1, 1), annotation(2, 1)], [1])
    (tmp_path / 'more').mkdir()
    (tmp_path / 'ann.json').rename(tmp_path / 'more/first.json')
    config = write([annotation(1, 1, bbox=[5, 5, 20, 20]),
                    annotation(2, 2)], [1, 2])
    config['dataset']['ann_file'] = [
        'more/first.json', str(tmp_path / 'ann.json')
    ]
    dataset = DATASETS.build(config)
    assert dataset.num_people.tolist() == [2, 1, 1]
    assert [dataset.get_data_info(i)['img_id'] for i in range(3)] == [1, 1, 2]
    np.testing.assert_array_equal(
        dataset.get_data_info(1)['bbox'], [[5, 5, 25, 25]])
    assert [line.split(',')[0] for line in logged] == [
        f'{tmp_path}/more/first.json: 1 of 1 images are used',
        f'{tmp_path}/ann.json: 2 of 2 images are used'
    ]
    (tmp_path / 'ann.json').write_text('{')
    with pytest.raises(ValueError, match='ann.json: not valid JSON'):
        DATASETS.build(config)


@pytest.mark.parametrize('files, test_mode', [([], False),
                                              (['ann.json'] * 2, True)])
def test_number_of_annotation_files(write, files, test_mode):
    config = write([annotation(1, 1)], ann_file=files, test_mode=test_mode)
    with pytest.raises(
            ValueError, match=f'`ann_file` is a list of {len(files)} files'):
        DATASETS.build(config)


def test_a_lazy_data_set_reads_by_the_same_rules(write):
    config = write([annotation(1, 3), annotation(2, 2, **UNLABELED)])
    config['dataset']['lazy_init'] = True
    for ask in (len, lambda dataset: dataset.get_data_info(0),
                lambda dataset: dataset[0]):
        dataset = DATASETS.build(config)
        ask(dataset)
        assert len(dataset) == 1


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
