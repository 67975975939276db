"""A model as a labeling tool uses it: in pixels of the image, whatever the
pipeline makes of it."""
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.apis import init_model

from projects.grouppose.inference import predict
from projects.grouppose.labeling.labeler import PoseLabeler

FAST = dict(type='PoseFixedResize', size=64)
SIZE = 60, 100  # height and width


@pytest.fixture(scope='module')
def image():
    return np.random.RandomState(0).randint(0, 256, (*SIZE, 3), np.uint8)


def build(config, folder):
    torch.manual_seed(0)
    model = init_model(config, device='cpu')
    path = folder / 'epoch_1.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return PoseLabeler(config, str(path))


@pytest.fixture(scope='module', params=['PoseResize', 'PoseFixedResize'])
def labeler(request, drawn_config, tmp_path_factory):
    """Random weights; its poses stay where they are put but for moved
    offsets."""
    config = Config.fromfile(drawn_config)
    if request.param == 'PoseFixedResize':
        config.test_dataloader.dataset.pipeline[1] = FAST
    return build(config, tmp_path_factory.mktemp('weights'))


@pytest.fixture
def moved(labeler):
    """The same with pose heads that are not zero."""
    heads = labeler.head.decoder.pose_embeds
    kept = {name: value.clone() for name, value in heads.state_dict().items()}
    with torch.no_grad():
        for parameter in heads.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    yield labeler
    heads.load_state_dict(kept)


def make_poses(people):
    random = np.random.RandomState(1)
    return (random.rand(people, 17, 2) * SIZE[::-1]).astype(np.float32)


def test_proposals_are_those_of_predict(moved, image):
    expected = predict(moved.model, [image])[0].pred_instances
    found = moved.poses(moved.encode(image))
    np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=1e-3)
    np.testing.assert_allclose(found.scores, expected.bbox_scores, atol=1e-6)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.keypoint_scores is None
    assert found.keypoints.dtype == found.scores.dtype == np.float32


def test_scores_of_keypoints_are_those_of_predict(drawn_config, image,
                                                  tmp_path):
    config = Config.fromfile(drawn_config)
    config.model.head.decoder.joint_scores = dict(type='JointScores')
    labeler = build(config, tmp_path)
    joints = labeler.head.decoder.joint_scores
    with torch.no_grad():
        for parameter in joints.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    expected = predict(labeler.model, [image])[0].pred_instances
    found = labeler.poses(labeler.encode(image))
    np.testing.assert_allclose(
        found.keypoint_scores, expected.keypoint_scores, atol=1e-5)
    assert found.keypoint_scores.std(1).min() > 1e-4
    fixed = np.zeros(found.keypoints.shape[:2], bool)
    refined = labeler.refine(labeler.encode(image), found.keypoints, fixed)
    assert refined.shape == found.keypoints.shape


def test_metainfo(labeler):
    assert labeler.metainfo['num_keypoints'] == 17
    assert len(labeler.metainfo['sigmas']) == 17


def test_pixels_come_back(labeler, image):
    """Without offsets, poses stay where they are in the image."""
    poses = make_poses(3).clip(1, np.array(SIZE[::-1]) - 1)
    fixed = np.zeros(poses.shape[:2], bool)
    found = labeler.refine(labeler.encode(image), poses, fixed)
    np.testing.assert_allclose(found, poses, atol=0.02)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_fixed_keypoints_are_identical(moved, image, dtype):
    poses = make_poses(30).astype(dtype) / 3  # not exact in float32
    fixed = np.random.RandomState(2).rand(30, 17) < 0.4
    given = poses.copy()
    found = moved.refine(moved.encode(image), poses, fixed)
    assert np.array_equal(found[fixed], given[fixed])
    assert np.array_equal(poses, given)  # not written into
    assert (found[~fixed] != given[~fixed]).any(-1).mean() > 0.9
    alone = moved.refine(moved.encode(image), poses[7:8], fixed[7:8])
    np.testing.assert_allclose(alone, found[7:8], atol=0.01)


def test_nobody(labeler, image):
    found = labeler.refine(
        labeler.encode(image), np.zeros((0, 17, 2)), np.zeros((0, 17), bool))
    assert found.shape == (0, 17, 2)


def test_person_at(moved, image):
    encoded = moved.encode(image)
    point = np.array([33.3, 20.7], np.float32)
    pose = moved.person_at(encoded, point)
    assert pose.shape == (17, 2) and np.isfinite(pose).all()
    pose = moved.person_at(encoded, point, 5)
    assert np.array_equal(pose[5], point)
    assert not np.array_equal(pose[4], point)


def test_bad_input(labeler, image):
    encoded = labeler.encode(image)
    with pytest.raises(ValueError, match=r'`keypoints` must be \(N, 17, 2\)'):
        labeler.refine(encoded, np.zeros((2, 5, 2)), np.zeros((2, 5)))
    with pytest.raises(ValueError, match=r'`fixed` \(N, 17\)'):
        labeler.refine(encoded, np.zeros((2, 17, 2)), np.zeros((1, 17)))
    with pytest.raises(ValueError, match='must be finite'):
        labeler.refine(encoded, np.full((1, 17, 2), np.nan), np.zeros((1, 17)))
    with pytest.raises(ValueError, match='two finite numbers'):
        labeler.person_at(encoded, np.array([1, np.inf]))
    with pytest.raises(ValueError, match='no keypoint 17 of 17'):
        labeler.person_at(encoded, np.zeros(2), 17)
