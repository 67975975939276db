"""Convolutions with their channels last compute the same."""
from types import SimpleNamespace

import torch
from torch import nn

from projects.grouppose.engine import ChannelsLastHook


def test_layout_and_result():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3)).eval()
    image = torch.randn(2, 3, 9, 7)
    expected = model(image)
    weights = {name: x.clone() for name, x in model.state_dict().items()}
    ChannelsLastHook().before_run(SimpleNamespace(model=model))
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
    found = model(image)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, expected)
    # A checkpoint is that of a model without the hook.
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=0, atol=0)
