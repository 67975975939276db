"""An optimizer that makes the updates of matrices orthogonal."""
import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from torch import nn

from projects.grouppose.engine.muon import MuonAdamW, orthogonalize


class Model(nn.Module):
    """All kinds of parameters."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Conv2d(6, 8, 3)
        self.tall = nn.Linear(7, 20)
        self.wide = nn.Linear(20, 7)
        self.classes = nn.Linear(7, 2)  # too few to be a matrix
        self.unused = nn.Linear(7, 7)

    def forward(self, images):
        x = self.wide(self.tall(self.backbone(images).flatten(2)[:, :7, 0]))
        return self.classes(x)


def learn(model, optimizer, steps=1):
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        images = torch.randn(16, 6, 3, 3, generator=generator)
        optimizer.zero_grad()
        model(images).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize('shape', [(3, 9, 40), (40, 9), (9, 9)])
def test_orthogonalize(shape):
    """The singular vectors stay; the values become about 1."""
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    values = u.mT @ orthogonalize(matrices) @ v.mT
    diagonal = values.diagonal(dim1=-2, dim2=-1)
    assert diagonal.min() > 0.6 and diagonal.max() < 1.25
    rest = values - torch.diag_embed(diagonal)
    torch.testing.assert_close(rest, torch.zeros_like(rest), atol=1e-4, rtol=0)


def test_small_singular_values_grow():
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(9, 9))
    values = torch.logspace(0, -2.9, 9)
    found = torch.linalg.svdvals(orthogonalize(u @ values.diag() @ v))
    assert found.min() > 0.5 and found.max() < 1.25


def test_zero_gradients_stay_zero():
    assert not orthogonalize(torch.zeros(2, 6, 8)).any()


@pytest.mark.parametrize('name', ['backbone', 'tall', 'wide'])
def test_updates_of_matrices(name):
    """Of the same size as the rate says, whatever the gradient's."""
    model = Model()
    weight = getattr(model, name).weight
    before = weight.detach().clone()
    rate, scale = 1e-2, 0.3
    learn(
        model,
        MuonAdamW(model.parameters(), lr=rate, scale=scale, weight_decay=0.0))
    update = (weight.detach() - before).flatten(1)
    direction = torch.linalg.svd(weight.grad.flatten(1), full_matrices=False)
    unit = rate * scale * max(update.shape)**0.5
    # Gradients of few images have few directions; the others get no update.
    known = direction.S > 1e-2 * direction.S.norm()
    along = (direction.U.mT @ update @ direction.Vh.mT).diagonal() / -unit
    assert along[known].min() > 0.6 and along[known].max() < 1.25


def test_weight_decay():
    model, other = Model(), Model()
    for net, decay in ((model, 0.0), (other, 0.5)):
        learn(net, MuonAdamW(net.parameters(), lr=0.1, weight_decay=decay))
    shrunk = Model().tall.weight * 0.1 * 0.5
    torch.testing.assert_close(model.tall.weight - other.tall.weight, shrunk)


def test_vectors_are_of_adamw():
    """The first update, whose gradients do not depend on it."""
    model, other = Model(), Model()
    learn(model, MuonAdamW(model.parameters(), lr=1e-2))
    learn(other, torch.optim.AdamW(other.parameters(), lr=1e-2))
    for name in ('tall.bias', 'backbone.bias', 'classes.weight'):
        ours, theirs = (m.get_parameter(name) for m in (model, other))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert not torch.equal(model.tall.weight, other.tall.weight)


def test_momentum():
    """Nesterov's: ahead of the mean of the gradients."""
    optimizer = MuonAdamW([nn.Parameter(torch.zeros(6, 6))], momentum=0.75)
    param, = optimizer.param_groups[0]['params']
    param.grad = torch.full((6, 6), 8.0)
    torch.testing.assert_close(
        optimizer._momentum(param), torch.full((6, 6), 0.25 * 8 + 0.75 * 2))
    param.grad = torch.zeros(6, 6)
    torch.testing.assert_close(
        optimizer._momentum(param), torch.full((6, 6), 0.75 * 1.5))


@pytest.mark.parametrize('names', [None, ['wide.weight', 'tall.weight']])
def test_resume(names):
    """Also where all parameters are matrices."""
    model, other = Model(), Model()

    def params(net):
        return [p for n, p in net.named_parameters() if n in (names or [n])]

    optimizer = MuonAdamW(params(model), lr=1e-2)
    learn(model, optimizer, 3)
    other.load_state_dict(model.state_dict())
    resumed = MuonAdamW(params(other), lr=1.0)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    learn(model, optimizer)
    learn(other, resumed)
    for ours, theirs in zip(model.parameters(), other.parameters()):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_from_a_config():
    """With rates of its own per part, and merged groups."""
    model = Model()
    wrapper = build_optim_wrapper(
        model,
        ConfigDict(
            dict(
                constructor='mmpose.MergedGroupsConstructor',
                optimizer=dict(type='mmpose.MuonAdamW', lr=1e-3),
                paramwise_cfg=dict(
                    custom_keys=dict(backbone=dict(lr_mult=0.1))))))
    found = {
        (group['lr'], group['matrices']): len(group['params'])
        for group in wrapper.optimizer.param_groups
    }
    assert found == {
        (1e-4, True): 1,
        (1e-4, False): 1,
        (1e-3, True): 3,
        (1e-3, False): 5
    }


@pytest.mark.parametrize('options', [
    dict(momentum=1.0),
    dict(momentum=-0.1),
    dict(scale=0.0),
    dict(maximize=True),
])
def test_refuses(options):
    with pytest.raises(ValueError, match='MuonAdamW: momentum='):
        MuonAdamW([nn.Parameter(torch.zeros(6, 6))], **options)
