"""COCO keypoints in folders, as CVAT and Roboflow write them."""
import json

import pytest

from projects.grouppose.describe.formats import read_labels
from tests.helpers.labeling_tools import (expected_poses, read_poses,
                                          write_coco, write_images, write_json)


def test_cvat_export(tmp_path):
    converted = read_labels(write_coco(tmp_path))
    assert read_poses(converted) == expected_poses(prefix='images/default/')
    assert converted.images == tmp_path
    assert converted.notes == ['Read as COCO.']
    ann = converted.content['annotations'][1]
    assert ann['bbox'] == [33, 6, 18, 20] and ann['area'] == 360


def test_images_elsewhere(tmp_path):
    write_coco(tmp_path / 'job')
    write_images(tmp_path / 'photos')
    converted = read_labels(tmp_path / 'job', images=tmp_path / 'photos')
    assert read_poses(converted) == expected_poses()
    assert converted.images == tmp_path / 'photos'


def test_parts_of_roboflow(tmp_path):
    """Each part has its own folder, and equal ids and names."""
    write_coco(tmp_path / 'job')
    content = json.loads(
        next(tmp_path.glob('job/*/person_keypoints_default.json')).read_text())
    for part in ('train', 'valid', 'test'):
        write_images(tmp_path / 'data' / part)
        write_json(tmp_path / 'data' / part / '_annotations.coco.json',
                   content)
    write_json(tmp_path / 'data/instances.json',
               dict(images=[], annotations=[], categories=[]))
    converted = read_labels(tmp_path / 'data')
    images = converted.content['images']
    assert [(image['id'], image['split'], image['file_name'])
            for image in images] == [(1, 'test', 'test/a b.png'),
                                     (2, 'test', 'test/sub/ü.png'),
                                     (3, 'train', 'train/a b.png'),
                                     (4, 'train', 'train/sub/ü.png'),
                                     (5, 'val', 'valid/a b.png'),
                                     (6, 'val', 'valid/sub/ü.png')]
    assert [(ann['id'], ann['image_id'])
            for ann in converted.content['annotations']
            ] == [(i, 2 * (i - 1) // 3 + 1) for i in range(1, 10)]
    assert 'instances.json has no keypoints' in ' '.join(converted.notes)


def test_parts_that_differ(tmp_path):
    write_coco(tmp_path)
    path, = tmp_path.glob('*/person_keypoints_default.json')
    content = json.loads(path.read_text())
    content['categories'][0]['name'] = 'bird'
    write_json(path.with_name('val.json'), content)
    with pytest.raises(
            ValueError,
            match='val.json: other `categories` than '
            'person_keypoints_default.json. Give'):
        read_labels(tmp_path)


def test_malformed(tmp_path):
    write_json(tmp_path / 'a.json',
               dict(images=[1], annotations=[], categories=[]))
    with pytest.raises(ValueError, match='a.json: not a COCO-format'):
        read_labels(tmp_path)
