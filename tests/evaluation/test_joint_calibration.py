"""Temperatures of scores of joints: fitted, written, and used."""
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from projects.grouppose.evaluation.joint_calibration import (JointSamples,
                                                             collect_joints,
                                                             fit_temperatures)
from projects.grouppose.inference import load_model
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


def test_known_temperatures_are_found():
    """Logits three times and half as large as they should be, covariances
    four times too small."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 1.5, (2, 40000))
    first, second = random.random((2, 40000)) < logistic(logits)
    joints = JointSamples(
        logistic(3 * logits[0]), first, logistic(logits[1] / 2), second,
        4 * random.chisquare(2, 40000))
    found = fit_temperatures(joints)
    np.testing.assert_allclose(found, [3, 0.5, 4], rtol=0.05)
    fitted = joints._replace(squares=joints.squares / found.covariance)
    for share in (0.5, 0.9):
        assert abs(fitted.coverage(share) - share) < 0.01
        assert joints.coverage(share) < share - 0.1


def test_one_sided_truths_fit_no_temperature():
    joints = JointSamples(
        np.array([.8, .9]), np.array([True, True]), np.array([.3, .4]),
        np.array([False, False]), np.array([1.0, 2.0]))
    assert fit_temperatures(joints)[:2] == (1, 1)


def person(*keypoints, **changes):
    return dict(
        dict(keypoints=np.ravel(keypoints).tolist(), bbox=[0, 0, 20, 20]),
        **changes)


def test_joints_of_the_best_poses():
    """A worse copy of a pose, a pose of nobody, and crowds do not count; the
    error is measured by the covariance of its joint."""
    sample = PoseDataSample(
        metainfo=dict(raw_ann_info=[
            person([10, 10, 2], [0, 0, 0], [30, 20, 1]),
            person([80, 80, 2], [80, 90, 2], [90, 90, 2], iscrowd=1),
        ]))
    poses = np.array(
        [[[11, 12], [5, 5], [30, 23]], [[10, 10], [5, 5], [30, 20]],
         [[80, 80], [80, 90], [90, 90]]], float)
    matrices = np.broadcast_to(np.array([[2., 1], [1, 3]]), (3, 3, 2, 2))
    sample.pred_instances = InstanceData(
        keypoints=poses,
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
    expected = [
        error @ inverse @ error for error in np.array([[1., 2], [0, 3]])
    ]
    np.testing.assert_allclose(joints.squares, expected)


def test_nobody_is_refused():
    with pytest.raises(ValueError, match='no pose was predicted'):
        collect_joints([], np.ones(3))


def test_the_checkpoint_has_them(drawn_config, tmp_path, capsys, monkeypatch):
    """The tool writes them; the model reads them and predicts accordingly,
    and fits the same ones again."""
    # Poses of random weights.
    monkeypatch.setattr(
        'projects.grouppose.evaluation.joint_calibration.MIN_OKS', 0)
    config = tmp_path / 'joints.py'
    config.write_text(CONFIG.format(base=str(drawn_config)))
    weights, out = write_weights(config, tmp_path), tmp_path / 'out.pth'
    tool = load_tool('fit_temperature', TOOLS / 'analysis_tools')
    tool.main([str(config), str(weights), str(out)])
    printed = capsys.readouterr().out
    assert f'{out} written' in printed
    plain = load_model(str(config), str(weights), 'cpu')
    model = load_model(str(config), str(out), 'cpu')
    found = model.head.decoder.joint_scores.temperatures
    assert (plain.head.decoder.joint_scores.temperatures == 1).all()
    assert found[2] != 1
    meta = torch.load(out)['meta']['joint_temperatures']
    np.testing.assert_allclose([*meta.values()], found)
    queries = torch.randn(1, 2, 17, 64)
    before, after = (
        one.head.decoder.joint_scores(queries) for one in (plain, model))
    torch.testing.assert_close(after[..., 2],
                               before[..., 2] + found[2].log() / 2)
    tool.main([str(config), str(out), str(out)])
    again = load_model(str(config), str(out), 'cpu')
    torch.testing.assert_close(again.head.decoder.joint_scores.temperatures,
                               found)


def test_a_model_without_is_refused(drawn_config, tmp_path):
    weights = write_weights(drawn_config, tmp_path)
    tool = load_tool('fit_temperature', TOOLS / 'analysis_tools')
    with pytest.raises(SystemExit, match='no scores of joints'):
        tool.main([str(drawn_config), str(weights), str(tmp_path / 'out.pth')])
