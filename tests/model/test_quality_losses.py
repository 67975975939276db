"""Losses and costs of scores that know the pose: their values."""
import math

import pytest
import torch
from mmpose.registry import MODELS, TASK_UTILS

from projects.grouppose.model.matcher import Matches
from projects.grouppose.oks import object_keypoint_similarity
from tests.helpers.matching import make_targets
from tests.helpers.models import build_drawn, compute_losses, make_batch

KINDS = ('OKSVarifocalLoss', 'MatchabilityAwareLoss', 'PositionSupervisedLoss')


def make_case(offset=0.05):
    """Three queries, the second of which answers for the only person.

    Returns:
        tuple: Outputs, targets, matches and the OKS of the matched pose.
    """
    torch.manual_seed(0)
    targets = make_targets([1])
    keypoints = torch.rand(1, 1, 3, 4, 2)
    keypoints[0, 0, 1] = targets.keypoints[0, 0] + offset
    index = torch.tensor([[0]])
    matches = Matches(index[0], index + 1, index, 1)
    oks = object_keypoint_similarity(keypoints[0, 0, 1], targets.keypoints[0,
                                                                           0],
                                     targets.visible[0, 0],
                                     targets.areas[0, 0], targets.sigmas)
    outputs = dict(logits=torch.randn(1, 1, 3, 2), keypoints=keypoints)
    return outputs, targets, matches, oks.item()


def cross_entropy(p, t):
    return -t * math.log(p) - (1 - t) * math.log(1 - p)


# Of a score p: the terms of a matched query, by its OKS q, and of another.
FORMULAS = dict(
    OKSVarifocalLoss=(lambda p, q: q * cross_entropy(p, q),
                      lambda p: 0.25 * p**2 * cross_entropy(p, 0)),
    MatchabilityAwareLoss=(lambda p, q: cross_entropy(p, q**1.5),
                           lambda p: p**1.5 * cross_entropy(p, 0)),
    PositionSupervisedLoss=(lambda p, q: 0.25 *
                            (q**2 - p)**2 * cross_entropy(p, q**2),
                            lambda p: 0.75 * p**2 * cross_entropy(p, 0)))


@pytest.mark.parametrize('kind', KINDS)
def test_value(kind):
    outputs, targets, matches, oks = make_case()
    assert 0.1 < oks < 0.9
    loss = MODELS.build(dict(type=kind, loss_weight=3.0))
    matched, other = FORMULAS[kind]
    expected = 0
    for query, scores in enumerate(outputs['logits'][0, 0].sigmoid()):
        for label, score in enumerate(scores.tolist()):
            is_matched = query == 1 and label == 1
            expected += matched(score, oks) if is_matched else other(score)
    found = loss(outputs, targets, matches)
    assert found.shape == (1, )
    assert found.item() == pytest.approx(3 * expected, rel=1e-4)


@pytest.mark.parametrize('kind', KINDS)
def test_queries_that_are_ignored(kind):
    outputs, targets, matches, oks = make_case()
    matches.ignored = torch.tensor([[True, False, True]])
    matched, other = FORMULAS[kind]
    scores = outputs['logits'][0, 0, 1].sigmoid().tolist()
    found = MODELS.build(dict(type=kind))(outputs, targets, matches)
    assert found.item() == pytest.approx(
        other(scores[0]) + matched(scores[1], oks), rel=1e-4)


@pytest.mark.parametrize('kind, power', list(zip(KINDS, (1, 1.5, 2))))
def test_score_that_it_wants(kind, power):
    """The gradient vanishes there, and is no other in between."""
    outputs, targets, matches, oks = make_case()
    loss = MODELS.build(dict(type=kind))
    wanted = oks**power
    slopes = []
    for score in (wanted - 0.02, wanted, wanted + 0.02):
        logits = torch.full((1, 1, 3, 2), score).logit().requires_grad_()
        loss(dict(outputs, logits=logits), targets, matches).backward()
        slopes.append(logits.grad[0, 0, 1, 1].item())
    assert slopes[0] < 0 < slopes[2]
    assert slopes[1] == pytest.approx(0, abs=1e-5)


def test_position_supervised_is_focal_for_perfect_poses():
    """Values and gradients, also through the weights."""
    outputs, targets, matches, oks = make_case(offset=0)
    found = []
    for kind in ('PositionSupervisedLoss', 'QueryFocalLoss'):
        logits = outputs['logits'].clone().requires_grad_()
        loss = MODELS.build(dict(type=kind))(dict(outputs, logits=logits),
                                             targets, matches)
        loss.backward()
        found.append((loss.item(), logits.grad))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_matches_with_poor_poses_count():
    """Those of the varifocal loss hardly do."""
    outputs, targets, matches, oks = make_case(offset=0.3)
    assert oks < 0.01
    outputs['logits'][:] = 2.0
    slopes = {}
    for kind in KINDS:
        logits = outputs['logits'].clone().requires_grad_()
        MODELS.build(dict(type=kind))(dict(outputs, logits=logits), targets,
                                      matches).backward()
        slopes[kind] = logits.grad[0, 0, 1, 1].item()
    assert slopes['MatchabilityAwareLoss'] > 0.8
    assert slopes['OKSVarifocalLoss'] < 0.01


@pytest.mark.parametrize('method, kind', [
    ('grouppose', 'MatchabilityAwareLoss'),
    ('detrpose', 'PositionSupervisedLoss'),
])
@pytest.mark.parametrize('people', [[2, 12], [0, 0]])
def test_training_step(method, kind, people):
    model = build_drawn(
        method,
        training_queries=dict(denoising=None),
        criterion=dict(losses=dict(loss_cls=dict(_delete_=True, type=kind))))
    batch = make_batch([(32, 32)] * 2, people, num_keypoints=17)
    total, losses = compute_losses(model, batch)
    total.backward()
    assert total.isfinite()
    for name in ('loss_cls', 'd0.loss_cls', 'enc.loss_cls'):
        assert losses[name] > 0
    assert model.head.decoder.class_embeds[-1].weight.grad.abs().max() > 0


def test_modulated_cost():
    """The focal cost of the score times the root of the OKS."""
    outputs, targets, _, oks = make_case()
    pair = outputs['logits'], outputs['keypoints'], targets
    cost = TASK_UTILS.build(dict(type='PoseModulatedFocalCost', weight=2.0))
    score = outputs['logits'][0, 0, 1, 1].sigmoid().item() * oks**0.5
    expected = 0.25 * (1 - score)**2 * cross_entropy(score, 1) \
        - 0.75 * score**2 * cross_entropy(score, 0)
    assert cost(*pair).shape == (1, 1, 3, 1)
    assert cost(*pair)[0, 0, 1, 0].item() == pytest.approx(
        2 * expected, rel=1e-4)


def test_modulated_cost_without_power_is_focal():
    outputs, targets, _, _ = make_case()
    pair = outputs['logits'], outputs['keypoints'], targets
    found = [
        TASK_UTILS.build(cfg)(*pair)
        for cfg in (dict(type='PoseModulatedFocalCost', power=0),
                    dict(type='FocalCost'))
    ]
    torch.testing.assert_close(*found)


def test_predicted_oks_learns_that_of_matched_poses():
    outputs, targets, matches, oks = make_case()
    outputs['oks'] = torch.randn(1, 1, 3, 1)
    loss = MODELS.build(dict(type='PredictedOKSLoss', loss_weight=2.0))
    score = outputs['oks'][0, 0, 1, 0].sigmoid().item()
    assert loss(outputs, targets, matches).item() == pytest.approx(
        2 * cross_entropy(score, oks), rel=1e-4)
