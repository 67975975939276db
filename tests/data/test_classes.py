"""Several categories in the data: from ids of a file to labels."""
import json

import pytest
from mmpose.registry import DATASETS

from projects.grouppose.data.metainfo import classes_of, load_metainfo
from tests.helpers.classes import CLASSES, metainfo, write_classes
from tests.helpers.evaluation import COCO, dataset_config, edit

PIPELINE = [
    dict(type='LoadPoseImage'),
    dict(type='PoseInstanceFilter'),
    dict(type='PoseResize', short_side=32),
    dict(type='GenerateTarget', encoder=dict(type='OKSKeypointCodec')),
    dict(type='PackPoseInputs')
]


def build(ann_file,
          classes=CLASSES,
          pipeline=PIPELINE,
          test_mode=False,
          **changes):
    config = dataset_config(
        ann_file,
        metainfo=metainfo(classes),
        pipeline=pipeline,
        test_mode=test_mode)
    return DATASETS.build(dict(config, **changes))


def labels_of(dataset, index):
    return dataset[index]['data_samples'].gt_instance_labels.labels.tolist()


def test_labels_follow_the_order_of_the_ids(tmp_path):
    """Not that of the file or of the metainfo."""
    for classes in (CLASSES, dict([*CLASSES.items()][::-1])):
        dataset = build(write_classes(tmp_path), classes)
        assert [labels_of(dataset, i) for i in range(3)] == [[1, 0, 1], [0, 1],
                                                             [0, 1, 0, 1]]
        assert dataset.metainfo['classes'] == CLASSES
        assert [*dataset.metainfo['classes']] == [3, 18]


def test_labels_of_those_who_are_left_out(tmp_path):
    ann_file = write_classes(tmp_path)

    def damage(content):
        content['annotations'][0]['iscrowd'] = 1
        content['annotations'][1].update(keypoints=[0] * 51, num_keypoints=0)

    edit(ann_file, damage)
    assert labels_of(build(ann_file), 0) == [1]


def test_mosaic(tmp_path):
    load = PIPELINE[:2]
    pipeline = [
        *load,
        dict(type='PoseMosaic', short_side=32, pre_transform=load),
        *PIPELINE[2:]
    ]
    dataset = build(
        write_classes(tmp_path, (1, 2)), pipeline=pipeline, keep_empty=True)
    for index, first in ((0, [1]), (1, [0, 1])):
        labels = labels_of(dataset, index)
        assert labels[:len(first)] == first
        assert len(labels) >= len(first) + 3


def test_images_without_objects(tmp_path):
    """Those of other categories do not count as theirs."""
    ann_file = write_classes(tmp_path)
    content = json.loads(ann_file.read_text())
    content['categories'].append(dict(id=1, name='tree'))
    content['annotations'].append(
        dict(id=99, image_id=3, category_id=1, bbox=[1, 1, 5, 5]))
    ann_file.write_text(json.dumps(content))
    dataset = build(ann_file, keep_empty=True)
    assert len(dataset) == 4
    assert labels_of(dataset, 2) == []


def test_without_classes_everybody_is_a_person(tmp_path):
    ann_file = write_classes(tmp_path, classes={1: 'person'})
    config = dataset_config(ann_file, pipeline=PIPELINE, test_mode=False)
    dataset = DATASETS.build(config)
    assert 'classes' not in dataset.metainfo
    assert labels_of(dataset, 0) == [1, 1, 1]


@pytest.mark.parametrize('test_mode', [True, False])
@pytest.mark.parametrize('classes, message', [
    ({
        3: 'dog'
    }, r"ann\.json: annotation 1: `category_id` is 18, but .*3: 'dog'"),
    ({
        3: 'cat',
        18: 'dog'
    }, r"ann\.json: category 18 is 'cat', but 'dog' in `classes`"),
])
def test_other_categories_than_classes(tmp_path, classes, message, test_mode):
    with pytest.raises(ValueError, match=message):
        build(write_classes(tmp_path), classes, test_mode=test_mode)


def test_either_classes_or_class_agnostic(tmp_path):
    with pytest.raises(ValueError, match="class_agnostic=True.*3: 'dog'"):
        build(write_classes(tmp_path), class_agnostic=True)


def test_message_about_categories_names_both_ways(tmp_path):
    ann_file = write_classes(tmp_path)
    with pytest.raises(
            ValueError, match='class_agnostic=True.*`classes`.*num_classes'):
        DATASETS.build(dataset_config(ann_file))


def test_metainfo(tmp_path):
    """In the file, or beside it."""
    path = tmp_path / 'toy.py'
    path.write_text('dataset_info = dict(dataset_name="toy", keypoint_info='
                    '{0: dict(name="a", id=0)}, skeleton_info={}, '
                    'joint_weights=[1.], sigmas=[.1], '
                    'classes={9: "b", 2: "a"})')
    described = load_metainfo(dict(from_file=str(path)))
    assert [*classes_of(described).items()] == [(2, 'a'), (9, 'b')]
    assert [*classes_of(load_metainfo(metainfo())).items()] \
        == [*CLASSES.items()]
    assert classes_of(load_metainfo(COCO)) == {1: 'object'}


@pytest.mark.parametrize('classes', [{}, ['dog', 'cat'], {
    '1': 'dog'
}, {
    1: 2
}, {
    1: 'dog',
    2: 'dog'
}])
def test_unusable_classes(classes):
    with pytest.raises(
            ValueError, match='coco.py: `classes` must hold a name'):
        load_metainfo(metainfo(classes))
