"""Merged groups of parameters train as a group per parameter does."""
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

import projects.grouppose  # noqa: F401


@pytest.fixture
def losses():
    """Losses of a few steps with a constructor and options of AdamW, and the
    number of groups."""

    def train(constructor, **options):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8), nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8)),
            nn.Linear(8, 1))
        wrapper = build_optim_wrapper(
            model,
            dict(
                type='OptimWrapper',
                constructor=constructor,
                optimizer=dict(
                    type='AdamW', lr=0.01, weight_decay=0.1, **options),
                clip_grad=dict(max_norm=1.0, **options),
                paramwise_cfg=dict(
                    norm_decay_mult=0.0,
                    custom_keys={'1.1': dict(lr_mult=0.5)})))
        values = []
        for _ in range(5):
            loss = (model(torch.linspace(-1, 1, 12).view(3, 4)) - 1).square()
            wrapper.update_params(loss.mean())
            values.append(loss.mean().item())
        return values, len(wrapper.optimizer.param_groups)

    return train


def test_the_same_is_learned(losses):
    expected, number = losses('DefaultOptimWrapperConstructor')
    assert number == 8
    merged, number = losses('MergedGroupsConstructor', foreach=True)
    assert number == 3  # the rest, the norm, and what learns half as fast
    assert merged == pytest.approx(expected, rel=1e-5)
    assert expected[-1] < expected[0]
