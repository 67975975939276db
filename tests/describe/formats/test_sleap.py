"""SLEAP's files, if sleap-io is installed."""
import sys

import numpy as np
import pytest
from PIL import Image

from projects.grouppose.describe.formats import read_labels
from projects.grouppose.describe.formats.read import find_format
from projects.grouppose.describe.formats.source import Source
from tests.helpers.labeling_tools import (NAMES, POSES, expected_poses,
                                          read_poses, write_images)


@pytest.fixture
def labels(tmp_path):
    """The labels of the images, and a frame with predictions only."""
    sio = pytest.importorskip('sleap_io')
    write_images(tmp_path)
    Image.new('RGB', (60, 40)).save(tmp_path / 'c.png')
    skeleton = sio.Skeleton(
        nodes=list(NAMES),
        edges=[('left_wing', 'tip')],
        symmetries=[('left_wing', 'right_wing')])
    names = [str(tmp_path / name) for name in POSES]
    video = sio.Video.from_filename([*names, str(tmp_path / 'c.png')])

    def instance(pose, kind=sio.Instance):
        points = np.array(pose, dtype=float)
        points[points[:, 2] == 0] = np.nan
        return kind.from_numpy(points[:, :2], skeleton=skeleton)

    frames = [
        sio.LabeledFrame(
            video=video, frame_idx=i, instances=list(map(instance, poses)))
        for i, poses in enumerate(POSES.values())
    ]
    guess = instance([(1, 1, 2)] * 3, sio.PredictedInstance)
    frames[0].instances.append(guess)
    frames.append(
        sio.LabeledFrame(video=video, frame_idx=2, instances=[guess]))
    return sio.Labels(frames)


def test_images(labels, tmp_path):
    """It tells no hidden keypoints and has no boxes; predictions are left
    out."""
    path = tmp_path / 'labels.v001'
    labels.save(str(tmp_path / 'labels.slp'))
    (tmp_path / 'labels.slp').rename(path)
    assert find_format(Source(path)) == 'SLEAP'
    converted = read_labels(path)
    assert read_poses(converted, False) == expected_poses(False)
    category, = converted.content['categories']
    assert category['skeleton'] == [[1, 3]]
    assert category['flip_idx'] == [1, 0, 2]
    assert '1 frames that nobody labeled' in converted.notes[1]


def test_package(labels, tmp_path):
    """Its images are written as files."""
    path = tmp_path / 'labels.pkg.slp'
    labels.save(str(path), embed='user')
    for name in POSES:
        (tmp_path / name).unlink()
    with pytest.raises(ValueError, match='labels.pkg.slp: holds the images'):
        read_labels(path)
    converted = read_labels(path, extract_to=tmp_path / 'out')
    names = [image['file_name'] for image in converted.content['images']]
    assert names == [
        'labels.pkg_video0/000000.png', 'labels.pkg_video0/000001.png'
    ]
    poses = read_poses(converted, False)
    assert list(poses.values()) == list(expected_poses(False).values())
    with Image.open(converted.images / names[0]) as image:
        assert image.size == (60, 40)


def test_missing_images(labels, tmp_path):
    labels.save(str(tmp_path / 'labels.slp'))
    for name in POSES:
        (tmp_path / name).rename(tmp_path / 'moved.png')
    with pytest.raises(
            FileNotFoundError,
            match='labels.slp: 1 images are '
            'not in .*by --images'):
        read_labels(tmp_path / 'labels.slp')


def test_nobody_labeled(labels, tmp_path):
    labels.labeled_frames = labels.labeled_frames[2:]
    labels.save(str(tmp_path / 'labels.slp'))
    with pytest.raises(ValueError, match='labels.slp: no frame was labeled'):
        read_labels(tmp_path / 'labels.slp')


def write_stub(path):
    """A damaged file with the names of SLEAP's groups."""
    path.write_bytes(b'\x89HDF\r\n\x1a\n' + bytes(64) +
                     b'videos_json tracks_json')
    return path


def test_damaged_file(tmp_path):
    pytest.importorskip('sleap_io')
    with pytest.raises(ValueError, match='a.slp: sleap-io cannot read it'):
        read_labels(write_stub(tmp_path / 'a.slp'))


def test_library_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'sleap_io', None)
    with pytest.raises(
            ImportError,
            match='a.slp: sleap-io.*not installed. '
            'Install it .pip install -r requirements/formats.txt'):
        read_labels(write_stub(tmp_path / 'a.slp'))
