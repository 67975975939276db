"""Annotations into the journal, and back into a file that trains."""
import json

import numpy as np
import pytest
from mmpose.registry import DATASETS
from pycocotools.coco import COCO

from projects.grouppose.data.metainfo import load_metainfo
from projects.grouppose.describe.coco_file import KeypointFile
from projects.grouppose.labeling.coco_files import (export_annotations,
                                                    import_annotations)
from projects.grouppose.labeling.images import ImageList
from projects.grouppose.labeling.journal import Journal
from tests.helpers.labeled_images import (PLANE, POSES, SIZE, as_person,
                                          write_images)

META = load_metainfo(PLANE)
KEYPOINTS = ['left', 'right', 'tip']
CROWD = dict(
    id=9,
    image_id=7,
    category_id=3,
    iscrowd=1,
    bbox=[0, 0, 9, 9],
    area=81,
    segmentation=dict(size=[120, 160], counts='abc'),
    keypoints=[0] * 9,
    num_keypoints=0)


@pytest.fixture
def images(tmp_path):
    return ImageList(str(write_images(tmp_path / 'images')))


@pytest.fixture
def journal(tmp_path):
    return Journal(str(tmp_path / 'poses.journal'), KEYPOINTS)


@pytest.fixture
def ann_file(tmp_path):
    """One image with a labeled object and a crowd, one without any."""

    def write(**changes):
        ann = dict(
            id=4,
            image_id=7,
            category_id=3,
            iscrowd=0,
            bbox=[30, 20, 60, 50],
            area=1234.5,
            segmentation=[[30, 20, 90, 20, 90, 70]],
            keypoints=[40, 60, 2, 80, 60, 1, 0, 0, 0],
            num_keypoints=2,
            note='kept')
        content = dict(
            images=[
                dict(id=7, file_name='a.png', width=160, height=120, camera=2),
                dict(id=5, file_name='b.jpg', width=160, height=120)
            ],
            annotations=[dict(ann, **changes), CROWD],
            categories=[dict(id=3, name='plane', keypoints=KEYPOINTS)])
        path = tmp_path / 'given.json'
        path.write_text(json.dumps(content))
        return path, content

    return write


def test_import(images, journal, ann_file):
    path, _ = ann_file()
    notes = import_annotations(journal, images, str(path), META)
    assert notes == [f'{path}: 2 images read.']
    entry = journal.get('a.png')
    assert entry['revision'] == 0 and not entry['undo']
    person, = entry['state']['people']
    # The third keypoint starts in the center of the others.
    assert person == as_person([(40, 60), (80, 60), (60, 60)],
                               keypoints=[[40, 60, 2], [80, 60, 1],
                                          [60, 60, 0]],
                               fixed=[True, True, False],
                               category=1)
    assert journal.get('b.jpg')['state'] == dict(done=False, people=[])
    # It is read once.
    journal.save('a.png', 0, dict(done=True, people=[]))
    notes = import_annotations(journal, images, str(path), META)
    assert 'was read on an earlier start' in notes[0]
    assert journal.get('a.png')['state']['people'] == []
    with pytest.raises(
            ValueError,
            match='poses.journal: holds labels already,'
            ' begun with .*given.json. Leave out --annotations'):
        import_annotations(journal, images, str(path) + '2', META)


def test_nothing_is_lost(images, journal, ann_file, tmp_path):
    """Boxes, areas, outlines, crowds, ids and fields that nobody knows."""
    path, given = ann_file()
    import_annotations(journal, images, str(path), META)
    out = tmp_path / 'out.json'
    export_annotations(journal, META, str(out))
    found = json.loads(out.read_text())
    for image in given['images']:
        assert image in found['images']
    for ann in given['annotations']:
        assert dict(ann, category_id=1) in found['annotations']
    assert found['categories'] == [
        dict(
            id=1,
            name='plane',
            supercategory='',
            keypoints=KEYPOINTS,
            skeleton=[[1, 3], [2, 3]])
    ]


def test_boxes_follow_poses(images, journal, ann_file, tmp_path):
    """The box stays while it holds the pose."""
    path, _ = ann_file()
    import_annotations(journal, images, str(path), META)
    out = tmp_path / 'out.json'
    pose = [(40, 60), (80, 60), (60, 25)]
    journal.save('a.png', 0, dict(done=True, people=[as_person(pose)]))
    export_annotations(journal, META, str(out))
    ann = json.loads(out.read_text())['annotations'][0]
    assert (ann['id'], ann['bbox'], ann['area']) == (4, [30, 20, 60,
                                                         50], 1234.5)
    pose[2] = (60, 0)  # extent 40 x 60, margin 7.5
    others = [as_person(pose), as_person([(9, 9)] * 3, 2)]
    journal.save('a.png', 1, dict(done=True, people=others))
    export_annotations(journal, META, str(out))
    first, second, _ = json.loads(out.read_text())['annotations']
    assert first['bbox'] == [32.5, -7.5, 55, 75]
    assert first['area'] == pytest.approx(0.53 * 55 * 75)
    assert (first['note'], first['segmentation']) == ('kept', [])
    assert second['id'] == 10  # after the largest
    assert second['bbox'] == [-1, -1, 20, 20]  # a sixth of the shorter side


def test_it_trains(images, journal, tmp_path):
    """Description and data set read what was labeled."""
    for name, people in POSES.items():
        journal.add(
            name, SIZE,
            dict(
                done=name != 'b.jpg',
                people=[
                    as_person(pose, i) for i, pose in enumerate(people, 1)
                ]))
    hidden = as_person(POSES['b.jpg'][0], visibility=1)
    hidden['keypoints'][2][2] = 0
    journal.save('b.jpg', 0, dict(done=False, people=[hidden]))
    out = tmp_path / 'out.json'
    numbers = export_annotations(journal, META, str(out), category='plane')
    assert numbers == dict(path=str(out), images=3, unfinished=1, people=3)
    assert not list(tmp_path.glob('*.part'))

    described = KeypointFile.read(out, folder=images.folder)
    assert not described.refused and not described.repairs
    assert described.names == KEYPOINTS
    np.testing.assert_array_equal(described.keypoints[:2, :, :2],
                                  POSES['a.png'])
    np.testing.assert_array_equal(described.keypoints[2],
                                  [[30, 90, 1], [70, 90, 1], [0, 0, 0]])
    assert COCO(str(out)).getCatIds() == [1]
    dataset = DATASETS.build(
        dict(
            type='PoseImageDataset',
            metainfo=PLANE,
            dataset=dict(
                type='CocoDataset',
                metainfo=PLANE,
                data_mode='bottomup',
                ann_file=str(out),
                data_prefix=dict(img=f'{images.folder}/')),
            pipeline=[dict(type='LoadPoseImage')]))
    samples = {
        sample['img_path'].rpartition('images/')[2]: sample
        for sample in map(dataset.__getitem__, range(len(dataset)))
    }
    np.testing.assert_array_equal(samples['a.png']['keypoints'],
                                  POSES['a.png'])
    np.testing.assert_array_equal(samples['b.jpg']['keypoints_visible'],
                                  [[1, 1, 0]])


def test_refused_files(images, journal, ann_file, tmp_path):
    with pytest.raises(
            FileNotFoundError, match='no.json: annotation file not'):
        import_annotations(journal, images, str(tmp_path / 'no.json'), META)
    path, content = ann_file()
    ann = content['annotations'][0]
    for change, message in (
        (dict(annotations=[dict(ann, keypoints=[1, 1, 2] * 4)]),
         'annotation 4 has 4 keypoints, the model has 3. Give annotations of'),
        (dict(annotations=[dict(ann, keypoints=[1, 1, -1] * 3)]),
         'annotation 4: `keypoints` has a visibility of -1'),
        (dict(categories=[
            dict(content['categories'][0], keypoints=['tip', 'left', 'right'])
        ]), 'the same order and by the same names'),
        (dict(images=[dict(content['images'][0], width=320)],
              annotations=[]), 'a.png has 160 x 120 pixels, but `width` x'),
        (dict(images=[dict(content['images'][0], file_name='x.png')]),
         'none of its 1 images is in .*images. Give the folder'),
        (dict(annotations=[ann, dict(ann, id=5, category_id=4)]),
         'several categories, but the model tells no classes apart'),
    ):
        path.write_text(json.dumps(dict(content, **change)))
        with pytest.raises(ValueError, match=message):
            import_annotations(journal, images, str(path), META)
        assert journal.progress() == {}
        assert journal.fact('annotations') is None


def test_missing_images_are_told(images, journal, ann_file):
    path, content = ann_file()
    content['images'].append(
        dict(id=8, file_name='gone.png', width=9, height=9))
    path.write_text(json.dumps(content))
    notes = import_annotations(journal, images, str(path), META)
    assert '1 images are not in' in notes[1] and 'gone.png' in notes[1]


def test_classes(images, journal, tmp_path):
    """Categories of the annotations are classes of the model."""
    meta = dict(META, classes={2: 'glider', 5: 'jet'})
    content = dict(
        images=[dict(id=1, file_name='a.png', width=160, height=120)],
        annotations=[
            dict(
                id=1,
                image_id=1,
                category_id=5,
                bbox=[1, 1, 9, 9],
                keypoints=[2, 2, 2] * 3)
        ],
        categories=[dict(id=5, name='jet', keypoints=KEYPOINTS)])
    path = tmp_path / 'given.json'
    path.write_text(json.dumps(content))
    import_annotations(journal, images, str(path), meta)
    assert journal.get('a.png')['state']['people'][0]['category'] == 5
    export_annotations(journal, meta, str(path))
    found = json.loads(path.read_text())
    assert found['annotations'][0]['category_id'] == 5
    assert [c['name'] for c in found['categories']] == ['glider', 'jet']
