"""YOLO pose, as Ultralytics, Roboflow and CVAT write it."""
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from projects.grouppose.describe.coco_file import KeypointFile
from projects.grouppose.describe.dataset_info import describe_keypoints
from projects.grouppose.describe.formats import read_labels
from tests.helpers.labeling_tools import (BOXES, FIRST, expected_poses,
                                          read_poses, write_yolo)


def expected(hidden=True):
    poses = expected_poses(hidden)
    return {
        f'images/{part}/{name}': value
        for part, (name, value) in zip(('train', 'val'), poses.items())
    }


@pytest.mark.parametrize('name', ['', 'data.yaml'])
def test_ultralytics(tmp_path, name):
    converted = read_labels(write_yolo(tmp_path) / name)
    assert read_poses(converted) == expected()
    content = converted.content
    assert [image['split'] for image in content['images']] == ['train', 'val']
    assert [(image['width'], image['height'])
            for image in content['images']] == [(60, 40)] * 2
    np.testing.assert_allclose(
        [ann['bbox'] for ann in content['annotations'][:2]],
        BOXES[FIRST],
        atol=1e-3)
    assert content['categories'][0]['name'] == 'plane'
    assert converted.notes == ['Read as YOLO pose.']


def test_two_numbers(tmp_path):
    """What is missing lies at 0, 0; all others are visible."""
    converted = read_labels(write_yolo(tmp_path, dim=2))
    assert read_poses(converted) == expected(hidden=False)


def test_flip_idx_pairs_names_without_sides(tmp_path):
    write_yolo(tmp_path, config='kpt_names: [a, b, c]\n')
    content = read_labels(tmp_path).content
    info, findings = describe_keypoints(KeypointFile(content, 'x.json'), 'x')
    assert [point.swap for point in info.keypoints] == ['b', 'a', '']
    assert not [f for f in findings if 'left and right' in str(f)]


def test_flip_idx_that_says_nothing(tmp_path):
    """Roboflow writes that each keypoint is its own partner."""
    path = write_yolo(tmp_path) / 'data.yaml'
    path.write_text(path.read_text().replace('[1, 0, 2]', '[0, 1, 2]'))
    content = read_labels(tmp_path).content
    assert 'flip_idx' not in content['categories'][0]


def test_no_names(tmp_path):
    converted = read_labels(write_yolo(tmp_path, config=' '))
    assert converted.content['categories'][0]['keypoints'] == [
        'keypoint_0', 'keypoint_1', 'keypoint_2'
    ]
    assert 'no `kpt_names`' in converted.notes[1]


def test_roboflow(tmp_path):
    """Images and labels are in the folder of their part, the path starts
    with ../, and classes are a list."""
    write_yolo(tmp_path)
    for part, other in (('train', 'train'), ('val', 'valid')):
        for kind in ('images', 'labels'):
            target = tmp_path / other / kind
            target.parent.mkdir(exist_ok=True)
            shutil.move(str(tmp_path / kind / part), str(target))
    (tmp_path / 'data.yaml').write_text(
        'train: ../train/images\nval: ../valid/images\ntest: ../test/images\n'
        'kpt_shape: [3, 3]\nflip_idx: [1, 0, 2]\nnc: 1\nnames: [\'plane\']\n'
        'kpt_names: [left_wing, right_wing, tip]\n')
    converted = read_labels(tmp_path)
    assert read_poses(converted) == {
        name.replace('images/train', 'train/images').replace(
            'images/val', 'valid/images'):
        poses
        for name, poses in expected().items()
    }
    assert 'of `test` are not there' in converted.notes[1]


@pytest.mark.parametrize('labeled', [True, False])
def test_images_of_test(tmp_path, labeled):
    """They are read if anybody labeled them."""
    path = write_yolo(tmp_path) / 'data.yaml'
    path.write_text(path.read_text() + 'test: images/test\n')
    for kind in ('images', 'labels')[:2 if labeled else 1]:
        shutil.copytree(tmp_path / kind / 'train', tmp_path / kind / 'test')
    content, _, notes = read_labels(tmp_path)
    parts = [image['split'] for image in content['images']]
    assert parts == ['train', 'val', 'test'][:3 if labeled else 2]
    assert any('`test` have no labels' in note for note in notes) != labeled


def test_lists_of_cvat(tmp_path):
    write_yolo(tmp_path)
    (tmp_path / 'data.yaml').write_text(
        'path: ./ # root\ntrain: train.txt\nkpt_shape: [3, 3]\n'
        'names:\n  0: plane\nkpt_names: [left_wing, right_wing, tip]\n')
    (tmp_path / 'train.txt').write_text(
        'images/train/a b.png\nimages/val/sub/ü.png\n', encoding='utf-8')
    assert read_poses(read_labels(tmp_path)) == expected()


def test_same_images_for_both(tmp_path):
    """They are trained on only, and divided later."""
    path = write_yolo(tmp_path) / 'data.yaml'
    path.write_text(path.read_text().replace('images/val', 'images/train'))
    content, _, notes = read_labels(tmp_path)
    assert [image['split'] for image in content['images']] == ['train']
    assert len(content['annotations']) == 2
    assert '1 images of `val` are in `train`, too' in notes[1]


def test_root_elsewhere(tmp_path):
    write_yolo(tmp_path / 'a')
    path = shutil.move(tmp_path / 'a/data.yaml', tmp_path / 'data.yaml')
    with pytest.raises(
            FileNotFoundError,
            match='data.yaml: `train`: no '
            'images/train in .*by --images'):
        read_labels(path)
    converted = read_labels(path, images=tmp_path / 'a')
    assert read_poses(converted) == expected()


def test_background_and_classes(tmp_path):
    write_yolo(tmp_path)
    label, = tmp_path.glob('labels/train/*.txt')
    label.write_text(label.read_text().replace('0 ', '1 ', 1))
    path = tmp_path / 'data.yaml'
    path.write_text(path.read_text().replace('0: plane', '0: plane\n  1: b'))
    Image.new('RGB', (8, 8)).save(tmp_path / 'images/train/none.png')
    content = read_labels(tmp_path).content
    assert [c['name'] for c in content['categories']] == ['plane', 'b']
    assert [ann['category_id'] for ann in content['annotations']] == [2, 1, 1]
    used = {ann['image_id'] for ann in content['annotations']}
    assert [
        image['file_name'] for image in content['images']
        if image['id'] not in used
    ] == ['images/train/none.png']


def test_turned_by_exif(tmp_path):
    """Ultralytics takes the size as viewers show it."""
    write_yolo(tmp_path)
    path, = tmp_path.glob('images/train/*.png')
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (40, 60)).save(path, exif=exif)
    assert read_poses(read_labels(tmp_path)) == expected()


@pytest.mark.parametrize('old, new, message', [
    ('kpt_shape: [3, 3]', '', '`kpt_shape` must be.*got None'),
    ('[3, 3]', '[3, 4]', '`kpt_shape` must be'),
    ('[1, 0, 2]', '[1, 2, 0]', '`flip_idx` must name the mirror partner'),
    ('[1, 0, 2]', '[1, 0, a]', '`flip_idx` must name the mirror partner'),
    ('[1, 0, 2]', '["1", "0", 2]', '`flip_idx` must name'),
    ('[1, 0, 2]', '[1, 0]', '`flip_idx` must name the mirror partner'),
    ('[left_wing, right_wing, tip]', '[a]', '`kpt_names` must list 3 names'),
    ('names:\n  0: plane', 'names: plane', '`names` must list'),
    ('images/val', 'images/nothing', '`val`: no images/nothing'),
    ('0: plane', '1: plane', 'line 1: class 0 is not among the `names`'),
])
def test_malformed_settings(tmp_path, old, new, message):
    path = write_yolo(tmp_path) / 'data.yaml'
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_labels(tmp_path)


@pytest.mark.parametrize('line, message', [
    ('0 .5 .5 .1 .1', '5 numbers, but kpt_shape .3, 3. makes 14'),
    ('0 .5 .5 .1 .1 a .5 2 .5 .5 2 .5 .5 2', "could not convert .*'a'"),
    ('.5 .5 .5 .1 .1 .5 .5 2 .5 .5 2 .5 .5 2', 'class .5 must be an integer'),
    ('0 .5 .5 .1 .1 .5 .5 .9 .5 .5 2 .5 .5 2', 'a visibility of'),
    ('0 .5 .5 .1 .1 30 20 2 .5 .5 2 .5 .5 2', 'not pixels'),
    ('0 .5 .5 .1 .1 nan 20 2 .5 .5 2 .5 .5 2', 'finite numbers'),
])
def test_malformed_labels(tmp_path, line, message):
    label, = write_yolo(tmp_path).glob('labels/train/*.txt')
    label.write_text(f'\n{line}\n')
    with pytest.raises(
            ValueError, match=f'{Path(label).name}: line 2.*{message}'):
        read_labels(tmp_path)
