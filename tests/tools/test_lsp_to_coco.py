"""Leeds Sports Pose and its extended set, made up in the form of their
archives, as COCO."""
import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from scipy.io import savemat

from tests.helpers.tool_runs import TOOLS, load_tool


@pytest.fixture
def tool():
    return load_tool('lsp_to_coco', TOOLS / 'dataset_converters')


def make_archive(folder, joints, name='im{:04d}.jpg'):
    """An archive, with images of 100 x 80 pixels."""
    (folder / 'images').mkdir()
    count = joints.shape[2]
    for index in range(1, count + 1):
        path = folder / 'images' / name.format(index)
        cv2.imwrite(str(path), np.zeros((80, 100, 3), np.uint8))
    savemat(str(folder / 'joints.mat'), dict(joints=joints))


def read(folder, name):
    return json.loads((folder / 'annotations' / name).read_text())


def test_lsp(tmp_path, tool):
    """The third row marks hidden joints; half of the images are for tests."""
    joints = np.zeros((3, 14, 4))
    joints[0] = np.arange(20, 34)[:, None] + 10 * np.arange(4)
    joints[1] = np.linspace(10, 70, 14)[:, None]
    joints[2, 3] = 1
    joints[:2, 5, 0] = (-3, 40)
    make_archive(tmp_path, joints)
    tool.main([str(tmp_path)])
    train, test = [read(tmp_path, f'lsp_{x}.json') for x in ('train', 'test')]
    assert [x['file_name'] for x in train['images']] == \
        ['im0001.jpg', 'im0002.jpg']
    assert [x['id'] for x in test['images']] == [3, 4]
    assert (test['images'][0]['width'], test['images'][0]['height']) == \
        (100, 80)
    ann = train['annotations'][0]
    assert ann['keypoints'][:3] == [20, 10, 2]
    assert ann['keypoints'][9:12] == [23, 23.85, 1]
    assert ann['keypoints'][15:18] == [0, 0, 0] and ann['num_keypoints'] == 13
    # An eighth of 60 pixels on each side.
    assert ann['bbox'] == [12.5, 2.5, 28, 75]
    assert ann['area'] == pytest.approx(0.53 * 28 * 75)


def test_extended_set(tmp_path, tool):
    """The third column marks labeled joints; every tenth image is kept
    aside; boxes end with the image."""
    joints = np.zeros((14, 3, 20))
    joints[:4] = np.array([[0, 0, 1], [99, 0, 1], [0, 79, 1], [50, 40,
                                                               0]])[..., None]
    make_archive(tmp_path, joints, 'im{:05d}.jpg')
    tool.main([str(tmp_path)])
    train, val = [read(tmp_path, f'lspet_{x}.json') for x in ('train', 'val')]
    assert [x['id'] for x in val['images']] == [10, 20]
    assert len(train['images']) == len(train['annotations']) == 18
    ann = val['annotations'][0]
    assert ann['keypoints'][:12] == [0, 0, 2, 99, 0, 2, 0, 79, 2, 0, 0, 0]
    assert ann['bbox'] == [0, 0, 100, 80] and ann['num_keypoints'] == 3


def test_what_it_refuses(tmp_path, tool):
    with pytest.raises(SystemExit, match='joints.mat'):
        tool.main([str(tmp_path)])
    (tmp_path / 'joints.mat').write_text('no matrix')
    with pytest.raises(SystemExit, match='joints.mat: not a MATLAB file'):
        tool.main([str(tmp_path)])
    make_archive(tmp_path, np.zeros((3, 16, 2)))
    with pytest.raises(SystemExit, match='joints.mat: `joints` is 3 x 16 x 2'):
        tool.main([str(tmp_path)])
    savemat(str(tmp_path / 'joints.mat'), dict(joints=np.zeros((3, 14, 5))))
    with pytest.raises(SystemExit, match='images: 2 images, but .* of 5'):
        tool.main([str(tmp_path)])


def test_description_of_the_keypoints(tool):
    """In the order of the files, with the sigmas of the same joints."""
    info = parse_pose_metainfo(
        Config.fromfile(TOOLS.parent /
                        'configs/_base_/datasets/lsp.py').dataset_info)
    names = list(info['keypoint_id2name'].values())
    assert names == list(tool.KEYPOINTS)
    assert [names[i] for i in info['flip_indices'][:3]] == \
        ['left_ankle', 'left_knee', 'left_hip']
    assert info['flip_indices'][12:] == [12, 13]
    crowdpose = parse_pose_metainfo(
        dict(from_file='configs/_base_/datasets/crowdpose.py'))
    for name, sigma in zip(names, info['sigmas']):
        other = crowdpose['keypoint_name2id'][{
            'head_top': 'top_head'
        }.get(name, name)]
        assert sigma == pytest.approx(crowdpose['sigmas'][other])
