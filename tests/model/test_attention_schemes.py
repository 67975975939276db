"""Who attends to whom under each scheme of self-attention."""
import pytest
import torch

from projects.grouppose.model.decoder_layer import (SCHEMES,
                                                    GroupAttentionDecoderLayer)
from projects.grouppose.model.tokens import flatten_maps
from tests.helpers.models import build_small_model, compute_losses, make_batch

# Of (instance, slot) = (1, 2) among 3 instances of 4 slots.
SAME_INSTANCE = torch.tensor([[0], [1], [0]]).bool().expand(3, 4)
SAME_SLOT = torch.tensor([[0, 0, 1, 0]]).bool().expand(3, 4)
EVERYBODY = torch.ones(3, 4).bool()
REACHED = {
    'within_across': EVERYBODY,
    'across_within': EVERYBODY,
    'within': SAME_INSTANCE,
    'across': SAME_SLOT,
    'full': EVERYBODY,
    'none': SAME_INSTANCE & SAME_SLOT,
}


def run_layer(layer, query, attention_mask=None):
    memory = flatten_maps([torch.zeros(1, 8, 2, 3)],
                          [torch.zeros(1, 2, 3).bool()], torch.float32)
    return layer(query, torch.zeros_like(query),
                 torch.full((1, 3, 4, 1, 2), 0.5), memory, attention_mask)


@pytest.mark.parametrize('scheme', SCHEMES)
def test_a_query_reaches_its_groups(scheme):
    layer = GroupAttentionDecoderLayer(
        8, 2, num_levels=1, feedforward_channels=16, self_attention=scheme)
    query = torch.randn(1, 3, 4, 8)
    changed = query.clone()
    changed[0, 1, 2] += torch.randn(8)
    difference = run_layer(layer, query) - run_layer(layer, changed)
    assert (difference[0].abs().amax(-1) > 1e-7).equal(REACHED[scheme])


@pytest.mark.parametrize('scheme', SCHEMES)
def test_a_mask_keeps_instances_apart(scheme):
    """Here the first does not attend to the second; the third does."""
    layer = GroupAttentionDecoderLayer(
        8, 2, num_levels=1, feedforward_channels=16, self_attention=scheme)
    mask = torch.zeros(3, 3).bool()
    mask[0, 1] = True
    query = torch.randn(1, 3, 4, 8)
    changed = query.clone()
    changed[0, 1, 2] += torch.randn(8)
    difference = (
        run_layer(layer, query, mask) - run_layer(layer, changed, mask))
    reached = REACHED[scheme].clone()
    reached[0] = False
    assert (difference[0].abs().amax(-1) > 1e-7).equal(reached)


def test_orders_differ():
    """The same weights, attended to in the other order."""
    layers = [
        GroupAttentionDecoderLayer(8, 2, num_levels=1, self_attention=scheme)
        for scheme in ('within_across', 'across_within')
    ]
    layers[1].load_state_dict(layers[0].state_dict())
    query = torch.randn(1, 3, 4, 8)
    first, second = (run_layer(layer, query) for layer in layers)
    assert (first - second).abs().max() > 1e-3


@pytest.mark.parametrize('scheme', SCHEMES)
def test_every_scheme_trains(scheme):
    model = build_small_model(
        decoder=dict(layer_cfg=dict(self_attention=scheme)))
    total, _ = compute_losses(model, make_batch([(64, 96)], [2]))
    total.backward()
    for name, parameter in model.head.decoder.layers.named_parameters():
        assert parameter.grad is not None, name


def test_unknown_scheme():
    with pytest.raises(ValueError, match="'both'.*within_across, across_"):
        GroupAttentionDecoderLayer(8, 2, self_attention='both')
