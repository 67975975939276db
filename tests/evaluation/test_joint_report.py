"""What is measured of scores of joints, and how it is written."""
import json

import cv2
import numpy as np
import pytest

from projects.grouppose.evaluation.joint_calibration import JointSamples
from projects.grouppose.evaluation.joint_report import (JointReport,
                                                        reliability, roc_area)
from tests.helpers.exported import write_weights
from tests.helpers.tool_runs import TOOLS, load_tool

CONFIG = """
_base_ = {base!r}
model = dict(
    head=dict(
        decoder=dict(joint_scores=dict(type='JointScores')),
        criterion=dict(losses=dict(loss_error=dict(type='JointErrorLoss')))))
"""


def test_roc_area():
    """Pairs in the right order, of all pairs; equal ones count half."""
    scores, truth = np.array([.1, .4, .4, .8]), np.array([0, 0, 1, 1]) > 0
    assert roc_area(scores, truth) == 3.5 / 4
    assert roc_area(-scores, truth) == 0.5 / 4
    assert roc_area(scores, truth | True) is None


def test_reliability():
    """Two bins, with errors of 0.1 and 0.25, the second of twice as many."""
    predicted = np.array([.1, .1, .9, .9, .6 + .4, .92])
    truth = np.array([0, 0, 1, 1, 0, 1])
    bins = reliability(predicted, truth)
    np.testing.assert_allclose(bins.predicted, [.1, .93])
    np.testing.assert_allclose(bins.found, [0, .75])
    assert bins.counts == [2, 4]
    assert bins.error == pytest.approx((2 * .1 + 4 * .18) / 6)


def make_report(count=5000, **changes):
    """Of perfect predictions."""
    random = np.random.default_rng(0)
    labeled, visible, oks = random.random((3, count))
    joints = JointSamples(labeled,
                          random.random(count) < labeled, visible,
                          random.random(count) < visible,
                          random.chisquare(2, count), oks,
                          (oks + random.normal(0, .1, count)).clip(0, 1))
    metrics = dict(instances={'coco/AP': 0.5}, reweighted={'coco/AP': 0.6})
    return JointReport('Scores', joints._replace(**changes), ((1, ), (1, )),
                       metrics, {'ms per image': 0.25}, ['A note.'])


def test_perfect_predictions(tmp_path):
    report = make_report()
    found = report.to_dict()
    for name in ('labeled', 'visible'):
        row = found['probabilities'][name]
        assert row['calibration_error'] < 0.03
        # That of a uniform probability which is right.
        assert abs(row['roc_area'] - 5 / 6) < 0.02
    assert abs(found['coverage']['0.5'] - 0.5) < 0.02
    assert abs(found['coverage']['0.9'] - 0.9) < 0.02
    assert 0.9 < found['oks']['pearson'] < 0.99
    assert found['metrics']['reweighted'] == {'coco/AP': 0.6}
    table = report.to_markdown()
    assert '| coco/AP | 0.5000 | 0.6000 |' in table
    assert '- A note.' in table and '| ms per image | 0.25 |' in table
    report.draw(tmp_path / 'chart.png')
    assert cv2.imread(str(tmp_path / 'chart.png')).shape == (850, 900, 3)


def test_what_cannot_be_measured():
    """Hidden joints are not marked; all errors are expected to be alike."""
    report = make_report(
        visible=np.ones(5000, bool), expected_oks=np.full(5000, .5))
    found = report.to_dict()
    assert found['probabilities']['visible']['roc_area'] is None
    assert found['oks']['pearson'] is None
    json.dumps(found, allow_nan=False)
    assert '| visible | 5000 | 100.0% | - |' in report.to_markdown()


def test_tool(drawn_config, tmp_path, capsys, monkeypatch):
    # Poses of random weights.
    monkeypatch.setattr(
        'projects.grouppose.evaluation.joint_calibration.MIN_OKS', 0)
    config, out = tmp_path / 'joints.py', tmp_path / 'out'
    config.write_text(CONFIG.format(base=str(drawn_config)))
    weights = write_weights(config, tmp_path)
    load_tool('measure_joint_scores', TOOLS / 'analysis_tools').main(
        [str(config), str(weights),
         str(out), '--timed', '2'])
    assert f'{out}/joints.md' in capsys.readouterr().out
    found = json.loads((out / 'joints.json').read_text())
    assert found['probabilities']['labeled']['joints'] % 17 == 0
    assert set(found['metrics']) == {'instances', 'reweighted'}
    assert 'coco/AP' in found['metrics']['reweighted']
    # Of two layers, with temperatures and mixture; 10 x 17 queries.
    assert found['cost']['KiB of weights'] * 256 == 65 * 64 + 65 * 5 + 3 + 6
    assert found['cost']['KiB of activations per image'] * 256 == \
        170 * (64 + 5)
    assert (out / 'joints.md').read_text().startswith('# Scores of joints')
    assert (out / 'joints.png').is_file()
