"""Calibration of scores of joints: fitted, written, and used."""
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from projects.grouppose.evaluation.joint_calibration import (JointSamples,
                                                             calibrate,
                                                             collect_joints,
                                                             fit_mixture)
from projects.grouppose.inference import load_model
from projects.grouppose.model.joint_scores import ellipse_radius
from tests.helpers.exported import write_weights
from tests.helpers.tool_runs import TOOLS, load_tool

CONFIG = """
_base_ = {base!r}
model = dict(
    head=dict(
        decoder=dict(joint_scores=dict(type='JointScores')),
        criterion=dict(losses=dict(loss_error=dict(type='JointErrorLoss')))))
"""


def logistic(values):
    return 1 / (1 + np.exp(-values))


def make_joints(squares, **changes):
    """Joints of which only the errors matter."""
    ones = np.ones(len(squares))
    return JointSamples(ones, ones > 0, ones, ones > 0, squares, ones,
                        ones)._replace(**changes)


def test_known_temperatures_are_found():
    """Logits three times and half as large as they should be, covariances
    four times too small."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 1.5, (2, 10000))
    first, second = random.random((2, 10000)) < logistic(logits)
    joints = make_joints(
        4 * random.chisquare(2, 10000),
        labeled_probabilities=logistic(3 * logits[0]),
        labeled=first,
        visible_probabilities=logistic(logits[1] / 2),
        visible=second)
    found = calibrate(joints)
    np.testing.assert_allclose(found[:3], [3, 0.5, 4], rtol=0.08)
    fitted = joints._replace(squares=joints.squares / found.covariance)
    for share in (0.5, 0.9):
        assert abs(fitted.coverage(share, found.mixture) - share) < 0.02
        assert joints.coverage(share) < share - 0.1
        radius = ellipse_radius(share, found.mixture)
        assert abs(radius / ellipse_radius(share) - 1) < 0.03


def draw_squares(kind, seed, count=8000):
    """Squared errors of which a few are far off, by one scale."""
    random = np.random.default_rng(seed)
    squares = random.chisquare(2, count)
    if kind == 'misses':  # one in ten, on average ten times as far away
        return np.where(random.random(count) < 0.1, 100, 1) * squares
    if kind == 'Student':  # of two degrees of freedom: no variance
        return squares / (random.chisquare(2, count) / 2)
    return squares * np.exp(random.normal(0, 1.3, count))


@pytest.mark.parametrize('kind', ['misses', 'Student', 'lognormal'])
def test_heavy_tails(kind):
    """Both ellipses hold their shares of other errors than those of the
    fit, which no temperature alone can bring about."""
    temperature, mixture = fit_mixture(draw_squares(kind, 0))
    weights, scales = mixture
    np.testing.assert_allclose([weights.sum(), weights @ scales], 1)
    others = make_joints(draw_squares(kind, 1) / temperature)
    for share in (0.25, 0.5, 0.75, 0.9, 0.99):
        assert abs(others.coverage(share, mixture) - share) < 0.03
    needed = [
        np.quantile(others.squares, share) / ellipse_radius(share)**2
        for share in (0.5, 0.9)
    ]
    assert needed[1] > 1.5 * needed[0]


def test_equal_errors_are_no_trouble():
    temperature, mixture = fit_mixture(np.zeros(10))
    assert temperature > 0 and np.isfinite(mixture).all()


def test_one_sided_truths_fit_no_temperature():
    joints = make_joints(
        np.array([1.0, 2.0]),
        labeled_probabilities=np.array([.8, .9]),
        visible_probabilities=np.array([.3, .4]),
        visible=np.zeros(2, bool))
    assert calibrate(joints)[:2] == (1, 1)


def person(*keypoints, **changes):
    return dict(
        dict(keypoints=np.ravel(keypoints).tolist(), bbox=[0, 0, 20, 20]),
        **changes)


def test_joints_of_the_best_poses():
    """A worse copy of a pose, a pose of nobody, and crowds do not count; the
    error is measured by the covariance of its joint."""
    sample = PoseDataSample(
        metainfo=dict(raw_ann_info=[
            person([10, 10, 2], [0, 0, 0], [30, 20, 1], area=200),
            person([80, 80, 2], [80, 90, 2], [90, 90, 2], iscrowd=1),
        ]))
    poses = np.array(
        [[[11, 12], [5, 5], [30, 23]], [[10, 10], [5, 5], [30, 20]],
         [[80, 80], [80, 90], [90, 90]]], float)
    matrices = np.broadcast_to(np.array([[2., 1], [1, 3]]), (3, 3, 2, 2))
    sample.pred_instances = InstanceData(
        keypoints=poses,
        keypoint_scores=np.array([[.72, .1, .4]] + 2 * [[.5] * 3]),
        covariances=matrices,
        labeled_probabilities=np.array([[.9, .2, .8]] + 2 * [[.5] * 3]),
        visible_probabilities=np.array([[.45, .1, .2]] + 2 * [[.5] * 3]))
    joints = collect_joints([sample, PoseDataSample(metainfo={})],
                            np.full(3, .1, np.float32))
    assert joints.labeled_probabilities.tolist() == [.9, .2, .8]
    assert joints.labeled.tolist() == [True, False, True]
    np.testing.assert_allclose(joints.visible_probabilities, [.5, .25])
    assert joints.visible.tolist() == [True, False]
    inverse = np.linalg.inv(matrices[0, 0])
    errors = np.array([[1., 2], [0, 3]])
    np.testing.assert_allclose(joints.squares,
                               [error @ inverse @ error for error in errors])
    np.testing.assert_allclose(joints.expected_oks, [.8, .5])
    np.testing.assert_allclose(
        joints.oks, np.exp(-np.array([5, 9]) / (2 * 200 * .2**2)), rtol=1e-5)


def test_nobody_is_refused():
    with pytest.raises(ValueError, match='no pose was predicted'):
        collect_joints([], np.ones(3))


def test_other_keypoints_are_refused():
    sample = PoseDataSample(
        metainfo=dict(img_path='1.png', raw_ann_info=[person([1, 1, 2])]))
    with pytest.raises(ValueError, match='1.png: people have 1 keypoints'):
        collect_joints([sample], np.ones(3))


def test_the_checkpoint_has_it(drawn_config, tmp_path, capsys, monkeypatch):
    """The tool writes it; the model reads it and predicts accordingly, and
    it is fitted again as before."""
    # Poses of random weights.
    monkeypatch.setattr(
        'projects.grouppose.evaluation.joint_calibration.MIN_OKS', 0)
    config = tmp_path / 'joints.py'
    config.write_text(CONFIG.format(base=str(drawn_config)))
    weights, out = write_weights(config, tmp_path), tmp_path / 'out.pth'
    tool = load_tool('calibrate_joint_scores', TOOLS / 'analysis_tools')
    tool.main([str(config), str(weights), str(out)])
    printed = capsys.readouterr().out
    assert f'{out} written' in printed
    plain, part = (
        load_model(str(config), str(path), 'cpu').head.decoder.joint_scores
        for path in (weights, out))
    assert (plain.temperatures == 1).all()
    assert plain.mixture[0].tolist() == [1, 0, 0]
    found = part.temperatures
    assert found[2] != 1 and part.mixture[0].max() < 1
    meta = torch.load(out)['meta']['joint_calibration']
    np.testing.assert_allclose([*meta['temperatures'].values()], found)
    np.testing.assert_allclose([*meta['mixture'].values()], part.mixture)
    queries = torch.randn(1, 2, 17, 64)
    before, after = (one(queries) for one in (plain, part))
    torch.testing.assert_close(after[..., 2],
                               before[..., 2] + found[2].log() / 2)
    tool.main([str(config), str(out), str(out)])
    again = load_model(str(config), str(out), 'cpu').head.decoder.joint_scores
    torch.testing.assert_close(again.temperatures, found)
    torch.testing.assert_close(again.mixture, part.mixture)


@pytest.mark.parametrize('name, key', [('calibrate_joint_scores', 'out.pth'),
                                       ('measure_joint_scores', 'out')])
def test_a_model_without_is_refused(drawn_config, tmp_path, name, key):
    weights = write_weights(drawn_config, tmp_path)
    tool = load_tool(name, TOOLS / 'analysis_tools')
    with pytest.raises(SystemExit, match='no scores of joints'):
        tool.main([str(drawn_config), str(weights), str(tmp_path / key)])
