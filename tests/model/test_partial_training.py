"""Training of one part of a finished model leaves the rest as it is."""
import copy

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import OptimWrapper
from mmpose.registry import MODELS

from tests.helpers.models import drawn_config, make_batch


def build(method: str, trained=('joint_scores', )):
    """A model whose scores of joints are trained, with the losses of all
    else, which must not matter."""
    torch.manual_seed(0)
    config = drawn_config(
        method,
        decoder=dict(joint_scores=dict(type='JointScores')),
        criterion=dict(
            losses=dict(
                loss_labeled=dict(type='LabeledJointLoss'),
                loss_error=dict(type='JointErrorLoss'))))
    config.update(type='PartlyTrainedEstimator', trained=trained)
    model = MODELS.build(config)
    model.init_weights()
    return model


def predicted(model, batch):
    """Class logits and poses, and the scores of joints."""
    model.eval()
    data = model.data_preprocessor(copy.deepcopy(batch))
    with torch.no_grad():
        last = model.head(
            model.extract_feat(data['inputs']), data['data_samples'])['last']
    return last


@pytest.mark.parametrize('method', ['grouppose', 'detrpose'])
def test_all_else_stays_bit_for_bit(method):
    """After steps of an optimizer that shrinks whatever has a gradient, no
    weight, statistic of a batch norm, pose or class score has changed, nor
    those of their moving averages."""
    model = build(method)
    batch = make_batch([(96, 128), (128, 96)], [2, 1], 17)
    before = copy.deepcopy(model.state_dict())
    expected = predicted(model, batch)
    model.train()
    wrapper = OptimWrapper(
        torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1))
    averaged = ExponentialMovingAverage(model, update_buffers=True)
    losses = []
    for _ in range(3):
        losses.append(
            float(model.train_step(copy.deepcopy(batch), wrapper)['loss']))
        averaged.update_parameters(model)
    assert losses[-1] < losses[0]
    for one in (model, averaged.module):
        changed = {
            name
            for name, value in one.state_dict().items()
            if not torch.equal(value, before[name])
        }
        assert changed and all('joint_scores' in name for name in changed)
    found = predicted(model, batch)
    for key, value in expected.items():
        assert torch.equal(found[key], value) != (key == 'joints'), key


def test_what_trains():
    model = build('detrpose')
    model.train()
    training = [name for name, part in model.named_modules() if part.training]
    assert 'head.decoder.joint_scores' in training
    assert all('joint_scores' in name for name in training)
    assert {
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    } == {
        name
        for name, _ in model.named_parameters() if 'joint_scores' in name
    }
    model.eval()
    assert not any(part.training for part in model.modules())


def test_all_trains_by_default():
    model = build('grouppose', trained=None).train()
    assert model.head.decoder.training and model.training
    assert model.head.decoder.layers[0].training


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="no module 'joint_score'"):
        build('grouppose', trained=['joint_score'])
