"""Self-distillation of offset distributions."""
import pytest
import torch
from mmpose.registry import MODELS
from torch.distributions import Categorical, kl_divergence

from projects.grouppose.model.matcher import Matches
from projects.grouppose.oks import object_keypoint_similarity
from tests.helpers.matching import make_targets
from tests.helpers.models import build_drawn, compute_losses, make_batch

LOSS = dict(type='DistributionDistillationLoss')


def make_case():
    """Three layers of two images with five queries; three people."""
    torch.manual_seed(0)
    targets = make_targets([2, 1])
    outputs = dict(
        logits=torch.randn(3, 2, 5, 2),
        keypoints=targets.keypoints.repeat(1, 3, 1, 1)[None, :, :5] +
        0.05 * torch.randn(3, 2, 5, 4, 2),
        corners=3 * torch.randn(3, 2, 5, 4, 2 * 9))
    images, queries, people = torch.tensor([[0, 0, 1], [3, 0, 2], [1, 0, 0]])
    return outputs, targets, Matches(images, queries[None], people[None], 3)


def divergences(corners, temperature):
    """Mean over coordinates, (B, N), of the first layer from the last."""
    first, last = (
        Categorical(logits=layer.unflatten(-1, (2, -1)) / temperature)
        for layer in (corners[0], corners[-1]))
    return temperature**2 * kl_divergence(last, first).mean((-2, -1))


@pytest.mark.parametrize('temperature', [1., 5.])
def test_value(temperature):
    outputs, targets, matches = make_case()
    matches.ignored = torch.zeros(2, 5, dtype=torch.bool)
    matches.ignored[1, 4] = True
    loss = MODELS.build(dict(LOSS, temperature=temperature, loss_weight=2.0))
    found = loss(outputs, targets, matches) / matches.count

    divergence = divergences(outputs['corners'], temperature)
    matched, others = [], []
    pairs = {(0, 3): 1, (0, 0): 0, (1, 2): 0}
    for image in range(2):
        for query in range(5):
            value = divergence[image, query]
            if (image, query) in pairs:
                gt = image, pairs[image, query]
                oks = object_keypoint_similarity(
                    outputs['keypoints'][0, image,
                                         query], targets.keypoints[gt],
                    targets.visible[gt], targets.areas[gt], targets.sigmas)
                matched.append(oks * value)
            elif (image, query) != (1, 4):
                score = outputs['logits'][2, image, query].max().sigmoid()
                others.append(score * value)
    assert len(matched) == 3 and len(others) == 6
    expected = (3**0.5 * sum(matched) / 3 +
                6**0.5 * sum(others) / 6) / (3**0.5 + 6**0.5)
    torch.testing.assert_close(found[0], 2 * expected, rtol=1e-4, atol=1e-6)
    assert found[1] > 0
    assert abs(found[2]) < 1e-6


def test_the_last_layer_is_taught_nothing():
    outputs, targets, matches = make_case()
    corners = outputs['corners'].requires_grad_()
    logits = outputs['logits'].requires_grad_()
    MODELS.build(LOSS)(outputs, targets, matches).sum().backward()
    assert corners.grad[0].abs().max() > 0 and corners.grad[1].abs().max() > 0
    assert corners.grad[2].abs().max() < 1e-6
    assert logits.grad is None


def test_nobody_and_no_queries():
    outputs, _, _ = make_case()
    targets = make_targets([0, 0])
    empty = torch.zeros(1, 0).long()
    matches = Matches(empty[0], empty, empty, 1)
    loss = MODELS.build(LOSS)
    assert loss(outputs, targets, matches)[0] > 0
    without = {name: value[:, :, :0] for name, value in outputs.items()}
    assert loss(without, targets, matches).tolist() == [0, 0, 0]


# The decoder of DETRPose in place of Group Pose's.
REFINED = dict(decoder=dict(type='DETRPoseDecoder'))


@pytest.mark.parametrize('people', [[2, 11], [0, 0]])
@pytest.mark.parametrize('method, head', [('detrpose', {}),
                                          ('grouppose', REFINED)])
def test_training_step(method, head, people):
    torch.manual_seed(0)
    model = build_drawn(
        method, criterion=dict(losses=dict(loss_distill=LOSS)), **head)
    batch = make_batch([(32, 32)] * 2, people, num_keypoints=17)
    total, losses = compute_losses(model, batch)
    total.backward()
    assert total.isfinite()
    named = {name for name in losses if 'distill' in name}
    expected = {'loss_distill', 'd0.loss_distill'}
    if method == 'detrpose':
        expected |= {f'denoising.{name}' for name in expected}
    assert named == expected
    # Without training, later layers add nothing.
    assert losses['d0.loss_distill'] >= losses['loss_distill'] >= -1e-6
    assert losses['d0.loss_distill'] > 0


def test_decoder_without_distributions():
    model = build_drawn(
        'grouppose', criterion=dict(losses=dict(loss_distill=LOSS)))
    batch = make_batch([(32, 32)], [1], num_keypoints=17)
    with pytest.raises(ValueError, match='loss_distill: no output.*corners'):
        compute_losses(model, batch)
