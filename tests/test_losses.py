"""The criterion: values, gradients, and batches at the edge."""
import pytest
import torch
from conftest import (build_small_model, compute_losses, make_batch,
                      small_config)
from mmpose.registry import MODELS

from projects.grouppose.model.losses import (KeypointL1Loss, KeypointOKSLoss,
                                             MatchedPoses)
from projects.grouppose.oks import object_keypoint_similarity

SIZES = [(64, 96), (96, 64)]


def make_poses() -> MatchedPoses:
    return MatchedPoses(
        pred=torch.rand(2, 3, 4, 2),
        gt=torch.rand(2, 3, 4, 2),
        visible=(torch.rand(2, 3, 4) > 0.3).float(),
        areas=0.1 + torch.rand(2, 3),
        sigmas=torch.full((4, ), 0.1))


def test_pose_losses():
    poses = make_poses()
    loss = KeypointL1Loss(loss_weight=10.0)(poses)
    expected = sum(poses.visible[1, 2, k] *
                   (poses.pred - poses.gt)[1, 2, k].abs().sum()
                   for k in range(4))
    assert loss[1, 2].item() == pytest.approx(10 * expected.item(), rel=1e-5)

    loss = KeypointOKSLoss(loss_weight=4.0)(poses)
    oks = object_keypoint_similarity(
        *[x[1, 2] for x in (poses.pred, poses.gt, poses.visible, poses.areas)],
        poses.sigmas)
    assert loss[1, 2].item() == pytest.approx(4 * (1 - oks.item()), rel=1e-5)


@pytest.mark.parametrize('logit, target, expected', [
    (1., 1., 0.0056645),
    (1., 0., 0.5264013),
    (0., 0., 0.1299651),
])
def test_focal_loss_of_the_config(logit, target, expected):
    """The config's loss, without its weight of 2."""
    loss = MODELS.build(small_config().head.loss_cls)
    value = loss(torch.tensor([[logit]]), torch.tensor([[target]]))
    assert value.item() == pytest.approx(2 * expected, rel=1e-4)


def test_names_and_number_of_losses():
    _, losses = compute_losses(build_small_model(), make_batch(SIZES, [2, 1]))
    terms = {'loss_cls', 'loss_kpt', 'loss_oks'}
    expected = {
        prefix + term
        for prefix in ('d0.', 'd1.', '', 'enc.')
        for term in terms
    }
    assert set(losses) == expected | {'matched_oks'}
    assert 0 <= losses['matched_oks'] <= 1


def test_nobody_in_the_batch_trains_every_parameter():
    model = build_small_model()
    total, losses = compute_losses(model, make_batch(SIZES, [0, 0]))
    total.backward()
    for name, value in losses.items():
        assert (value > 0) == ('loss_cls' in name), name
    assert 'matched_oks' not in losses
    without = [
        name for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    assert not without


def test_more_people_than_queries():
    total, _ = compute_losses(build_small_model(), make_batch(SIZES, [20, 1]))
    assert torch.isfinite(total)


@pytest.mark.parametrize('part', [
    'decoder.class_embeds.2.bias', 'decoder.pose_embeds.1.layers.2.bias',
    'query_selection.class_embed.bias', 'level_embed'
])
@pytest.mark.parametrize('people', [[1, 1], [0, 0]])
def test_non_finite_predictions_stay_in_the_loss(part, people):
    """Whether or not a person is matched to them."""
    model = build_small_model()
    with torch.no_grad():
        model.head.get_parameter(part).view(-1)[0] = float('nan')
    total, _ = compute_losses(model, make_batch(SIZES, people))
    assert not torch.isfinite(total)


def test_other_number_of_keypoints_than_the_head():
    with pytest.raises(ValueError, match='7 keypoints a person.*predicts 5'):
        compute_losses(build_small_model(5), make_batch(SIZES, [1, 1], 7))


def test_missing_targets():
    batch = make_batch(SIZES, [1, 1])
    del batch['data_samples'][1].gt_instance_labels.keypoint_labels
    with pytest.raises(ValueError, match='GenerateTarget'):
        compute_losses(build_small_model(), batch)


def test_unknown_loss():
    with pytest.raises(
            KeyError,
            match='model.head.loss_kpt: .*NoSuchLoss.*custom_imports'):
        build_small_model(loss_kpt=dict(type='NoSuchLoss'))
