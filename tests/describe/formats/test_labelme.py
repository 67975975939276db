"""labelme's files, one for each image."""
import json

import pytest

from projects.grouppose.describe.formats import read_labels
from tests.helpers.labeling_tools import (expected_poses, labelme_shape,
                                          read_poses, write_images,
                                          write_labelme)


def test_folder(tmp_path):
    converted = read_labels(write_labelme(tmp_path))
    assert read_poses(converted) == expected_poses()
    assert [ann['bbox']
            for ann in converted.content['annotations']] == [[3, 2, 18, 12],
                                                             [33, 6, 18, 20],
                                                             [21, 8, 12, 14]]
    assert converted.content['categories'][0]['name'] == 'plane'


def test_images_elsewhere(tmp_path):
    write_labelme(tmp_path / 'json')
    write_images(tmp_path / 'photos')
    for path in (tmp_path / 'json').rglob('*.png'):
        path.unlink()
    for path in (tmp_path / 'json').rglob('*.json'):
        content = json.loads(path.read_text())
        content['imagePath'] = 'C:\\photos\\' + content['imagePath']
        path.write_text(json.dumps(content))
    converted = read_labels(tmp_path / 'json', tmp_path / 'photos')
    assert read_poses(converted) == expected_poses()


@pytest.fixture
def one(tmp_path):
    """Change the file of the image with one object."""
    write_labelme(tmp_path)
    path, = tmp_path.glob('sub/*.json')

    def change(update):
        content = json.loads(path.read_text())
        update(content)
        path.write_text(json.dumps(content))
        return read_labels(path)

    return change


def test_without_groups_and_rectangles(one):
    """All points are one object; other shapes are left out."""

    def update(content):
        points = [
            dict(shape, group_id=None) for shape in content['shapes']
            if shape['shape_type'] == 'point'
        ]
        line = labelme_shape('x', [(0, 0), (1, 1)], 'line', None)
        content['shapes'] = [*points, line]

    converted = one(update)
    ann, = converted.content['annotations']
    assert ann['keypoints'] == [30, 20, 2, 24.5, 10, 2]
    assert 'bbox' not in ann
    assert '1 shapes that are neither' in converted.notes[-1]


def test_size_of_the_file(one):
    image, = one(lambda content: content.pop('imageWidth')).content['images']
    assert (image['width'], image['height']) == (60, 40)


def set_shape(**fields):
    return lambda content: content['shapes'][1].update(fields)


@pytest.mark.parametrize('update, message', [
    (set_shape(points=[[1]]), 'shape 1: `label` and `points`'),
    (set_shape(points=None), 'shape 1: `label` and `points`'),
    (lambda content: content['shapes'][1].pop('label'),
     'shape 1: `label` and `points`'),
    (set_shape(label='tip'), "'tip' occurs twice.*same group_id"),
    (set_shape(group_id=None, points=[[59, 39]]),
     "'left_wing' at 59, 39 lies in 0 boxes.*same group_id"),
    (lambda content: content['shapes'].append(content['shapes'][0]),
     'two boxes of the group 0.*same group_id'),
    (lambda content: content.update(imageWidth=None, imagePath='x.png'),
     '`imageWidth` and `imageHeight` are missing.*by --images'),
])
def test_malformed(one, update, message):
    with pytest.raises((ValueError, FileNotFoundError),
                       match=f'ü.json: {message}'):
        one(update)
