"""A model prepared for inference computes what it did before, in less."""
import copy

import pytest
import torch
from mmpose.models.utils import FrozenBatchNorm2d
from torch import nn

from projects.grouppose.inference import load_model, speed
from projects.grouppose.inference.speed import (OneDNNLinear,
                                                prepare_for_inference)
from tests.helpers.models import build_small_model, make_batch


@pytest.fixture
def model():
    """Its norms are not the identity that they start from."""
    model = build_small_model().eval()
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(std=0.2)
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
    return model


def outputs_of(model):
    torch.manual_seed(1)
    images = torch.randn(2, 3, 64, 96)
    return model(images, None, mode='tensor')


@torch.no_grad()
def test_computes_the_same(model):
    expected = outputs_of(copy.deepcopy(model))
    prepared = prepare_for_inference(model)
    assert prepared is model
    for name, output in outputs_of(prepared).items():
        torch.testing.assert_close(
            output, expected[name], rtol=1e-4, atol=1e-5)


def test_leaves_nothing_to_speed_up(model):
    modules = list(prepare_for_inference(model).modules())
    norms = (FrozenBatchNorm2d, nn.modules.batchnorm._BatchNorm)
    assert not any(isinstance(module, norms) for module in modules)
    linear = [m for m in modules if isinstance(m, nn.Linear)]
    assert len(linear) > 20
    assert all(isinstance(module, OneDNNLinear) for module in linear)


@torch.no_grad()
@pytest.mark.parametrize('bias', [True, False])
def test_onednn_linear(bias):
    linear = nn.Linear(12, 7, bias=bias)
    tokens = torch.randn(3, 12, 5).transpose(1, 2)
    torch.testing.assert_close(OneDNNLinear(linear)(tokens), linear(tokens))


def test_onednn_linear_leaves_what_it_cannot_do_to_pytorch():
    linear = nn.Linear(4, 4)
    tokens = torch.randn(2, 4, requires_grad=True)
    OneDNNLinear(linear)(tokens).sum().backward()
    assert tokens.grad is not None and linear.weight.grad is not None
    with torch.no_grad():
        result = OneDNNLinear(linear.double())(tokens.double())
    assert result.dtype == torch.float64


def test_without_onednn_layers_stay(model, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, 'is_available', lambda: False)
    speed.use_onednn(model)
    assert not any(isinstance(m, OneDNNLinear) for m in model.modules())


class Deployable(nn.Module):
    """Keeps a record of what it is asked for."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 1)
        self.calls = 0

    def switch_to_deploy(self, test_cfg=None):
        self.calls += 1


class DeployableForASize(Deployable):

    def switch_to_deploy(self, test_cfg):
        super().switch_to_deploy()


def test_modules_take_their_deploy_form(model):
    """All but those which want to know the size of the images."""
    model.deployable = nn.Sequential(Deployable(), DeployableForASize())
    assert hasattr(model, 'switch_to_deploy')  # which would call both
    prepare_for_inference(model)
    assert [module.calls for module in model.deployable] == [1, 0]


def test_predictions_stay(model):
    batch = make_batch([(64, 96), (96, 64)], [1, 1])
    with torch.no_grad():
        expected = model.test_step(copy.deepcopy(batch))
        results = prepare_for_inference(model).test_step(batch)
    for result, before in zip(results, expected):
        torch.testing.assert_close(
            torch.from_numpy(result.pred_instances.keypoints),
            torch.from_numpy(before.pred_instances.keypoints),
            rtol=0,
            atol=0.05)


def test_loaded_models_are_prepared(drawn_config, tmp_path):
    from mmpose.apis import init_model
    model = init_model(str(drawn_config), device='cpu')
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    loaded = load_model(str(drawn_config), str(path), device='cpu')
    assert any(isinstance(m, OneDNNLinear) for m in loaded.modules())
    loaded = load_model(str(drawn_config), str(path), 'cpu', prepare=False)
    assert loaded.state_dict().keys() == model.state_dict().keys()
