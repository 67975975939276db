"""Scores of joints in result files, pictures and ONNX files."""
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from mmpose.apis import init_model

from projects.grouppose.inference import (PoseDrawer, coco_results, load_model,
                                          predict, read_image)
from projects.grouppose.model.joint_scores import ellipse_radius
from projects.grouppose.synthetic import draw_image
from projects.grouppose.visualization import draw_ellipses
from tests.helpers.exported import write_weights
from tests.helpers.tool_runs import TOOLS, load_tool, write_drawn_config

CONFIG = """
_base_ = {base!r}
model = dict(
    head=dict(
        decoder=dict(
            joint_scores=dict(type='JointScores', reweight={reweight})),
        criterion=dict(losses=dict(loss_error=dict(type='JointErrorLoss')))))
"""


@pytest.fixture(scope='module')
def config(drawn_config, tmp_path_factory):
    """A config with scores of joints, and weights that tell joints apart."""
    folder = tmp_path_factory.mktemp('joints')
    path = folder / 'joints.py'
    path.write_text(CONFIG.format(base=str(drawn_config), reweight=True))
    weights = write_weights(path, folder)
    content = torch.load(weights)
    generator = torch.Generator().manual_seed(0)
    for name, value in content['state_dict'].items():
        if 'joint_scores.embed' in name:
            value += 0.3 * torch.randn(value.shape, generator=generator)
        elif 'temperatures' in name:
            value[:] = torch.tensor([1.5, 2.0, 3.0])
        elif 'mixture' in name:
            value[:] = torch.tensor([[0.6, 0.3, 0.1], [0.5, 1.0, 4.0]])
    torch.save(content, weights)
    return path, weights


@pytest.fixture(scope='module')
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp('photo') / 'photo.png'
    cv2.imwrite(str(path), draw_image(1, 150)[0])
    return str(path)


@pytest.fixture(scope='module')
def expected(config, photo):
    """What the model finds, as a result file says it."""
    model = load_model(str(config[0]), str(config[1]), 'cpu')
    sample, = predict(model, [read_image(photo)])
    return sample.pred_instances, coco_results(
        sample.pred_instances, image_id=1, file_name=photo)


def assert_alike(found, expected):
    assert len(found) == len(expected) > 5
    for ours, theirs in zip(found, expected):
        assert list(ours) == list(theirs)
        for key in ('keypoints', 'labeled_probabilities',
                    'visible_probabilities', 'covariances', 'score'):
            np.testing.assert_allclose(
                ours[key], theirs[key], rtol=2e-3, atol=2e-3)


def test_result_file(config, photo, expected, tmp_path, monkeypatch):
    """Of infer.py: scores and probabilities of each keypoint, and its
    covariance without what is there twice."""
    monkeypatch.syspath_prepend(str(TOOLS))
    tool = load_tool('infer')
    arguments = [
        photo, '--config', config[0], '--checkpoint', config[1], '--out',
        tmp_path / 'out', '--device', 'cpu', '--score-thr', '0', '--ellipses'
    ]
    assert tool.main([*map(str, arguments)]) == 0
    content = json.loads((tmp_path / 'out/predictions.json').read_text())
    poses, entries = expected
    assert_alike(content, entries)
    first = content[0]
    np.testing.assert_allclose(
        first['keypoints'][2::3], poses.keypoint_scores[0], atol=1e-3)
    assert np.ptp(first['keypoints'][2::3]) > 0.01
    np.testing.assert_allclose(
        np.array(first['covariances'])[:, 1],
        poses.covariances[0, :, 0, 1],
        atol=1e-3)
    assert len(first['visible_probabilities']) == 17


def test_ellipses_need_a_covariance(drawn_config, tmp_path, photo, capsys,
                                    monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    weights = write_weights(drawn_config, tmp_path)
    arguments = [
        photo, '--config', drawn_config, '--checkpoint', weights, '--out',
        tmp_path / 'out', '--device', 'cpu', '--ellipses'
    ]
    with pytest.raises(SystemExit):
        load_tool('infer').main([*map(str, arguments)])
    assert 'no scores of joints' in capsys.readouterr().err


def test_an_ellipse_holds_its_share():
    """Of samples of a covariance, as often as it says."""
    matrix = np.array([[16000., 10000], [10000, 12000]])
    image = np.zeros((900, 900, 3), np.uint8)
    draw_ellipses(image, np.array([[450., 450]]), matrix[None],
                  ellipse_radius(0.5), 1)
    edge = image.max(-1)
    inside = np.zeros((902, 902), np.uint8)
    cv2.floodFill(edge, inside, (450, 450), 255)
    samples = np.random.default_rng(0).multivariate_normal((450, 450), matrix,
                                                           100000)
    places = samples.round().astype(int).clip(0, 899)
    share = inside[1:-1, 1:-1][places[:, 1], places[:, 0]].mean()
    assert abs(share - 0.5) < 0.02


def test_uncertain_joints_are_not_drawn(config):
    meta = load_model(str(config[0]), str(config[1]), 'cpu').dataset_meta
    poses = InstanceData(
        keypoints=np.full((1, 17, 2), -50.),
        keypoint_scores=np.zeros((1, 17)),
        bbox_scores=np.ones(1),
        labels=np.zeros(1, int))
    poses.keypoints[0, :2] = [[20, 20], [60, 60]]
    poses.keypoint_scores[0, :2] = [0.9, 0.1]
    image = np.zeros((80, 80, 3), np.uint8)
    whole = PoseDrawer(meta).draw(image, poses)
    assert whole[20, 20].any() and whole[60, 60].any()
    some = PoseDrawer(meta, joint_thr=0.5).draw(image, poses)
    assert some[20, 20].any() and not some[60, 60].any()


def test_onnx_file(config, photo, expected, tmp_path):
    """The graph, run_onnx.py, and an evaluation of the file give the same."""
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    from projects.grouppose.deployment import export
    from projects.grouppose.deployment.exported_head import exported_model
    model = load_model(str(config[0]), str(config[1]), 'cpu', prepare=False)
    path = tmp_path / 'model.onnx'
    found = export(model, str(path))
    assert found.scores.max() < 1e-4
    graph = onnx.load(str(path)).graph
    assert [value.name
            for value in graph.output] == ['keypoints', 'scores', 'joints']

    cfg = Config(
        dict(model.cfg, model=exported_model(model.cfg.model, str(path))))
    exported = init_model(cfg, device='cpu')
    exported.dataset_meta = model.dataset_meta
    poses = predict(exported, [read_image(photo)])[0].pred_instances
    for key in ('keypoint_scores', 'covariances'):
        np.testing.assert_allclose(
            poses[key], expected[0][key], rtol=1e-3, atol=1e-3)

    tool = load_tool('run_onnx', TOOLS / 'deployment')
    assert tool.main([
        str(path), photo, '--out',
        str(tmp_path / 'out'), '--score-thr', '0', '--joint-thr', '2'
    ]) == 0
    results = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert_alike(results, expected[1])
    # No joint has a score of 2.
    picture = read_image(
        str(tmp_path / 'out/visualizations' / Path(photo).name))
    np.testing.assert_array_equal(picture, read_image(photo))


def test_half_precision_of_detrpose(tmp_path):
    """Scores of joints stay in float32, and agree."""
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    from projects.grouppose.deployment import export
    base = write_drawn_config(tmp_path, 'detrpose')
    path = tmp_path / 'joints.py'
    path.write_text(CONFIG.format(base=str(base), reweight=True))
    weights = write_weights(path, tmp_path)
    model = load_model(str(path), str(weights), 'cpu', prepare=False)
    torch.nn.init.normal_(model.head.decoder.joint_scores.embed.layers[1].bias)
    found = export(model, str(tmp_path / 'model.onnx'), half=True)
    assert np.median(found.scores) < 1e-3
