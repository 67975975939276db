"""The deformable attention of CPUs beside mmcv's."""
import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmcv.ops.multi_scale_deform_attn import \
    multi_scale_deformable_attn_pytorch as mmcv_sampling

from projects.grouppose.model.deformable_attention import DeformableAttention
from projects.grouppose.model.sampling import cpu as cpu_sampling
from projects.grouppose.model.sampling.cpu import sum_bags
from tests.helpers.sampling import SHAPES, compute, make_case


def assert_same(case, atol=1e-12):
    for ours, mmcvs in zip(
            compute(sum_bags, *case), compute(mmcv_sampling, *case)):
        torch.testing.assert_close(ours, mmcvs, rtol=0, atol=atol)


def test_equals_mmcv():
    assert_same(make_case())


def test_equals_mmcv_in_float32():
    assert_same(make_case(torch.float32), atol=2e-5)


def test_equals_mmcv_on_tokens_and_borders():
    """Where the slope jumps, both take the one behind the jump."""
    value, shapes, locations, weights = make_case()
    halves = (locations * 2 * shapes.flip(-1)[:, None]).round()
    # Powers of two are divided exactly.
    shapes = torch.tensor([(4, 8), (2, 1), (1, 2), (1, 1)])
    locations = halves / (2 * shapes.flip(-1)[:, None])
    value = value[:, :int(shapes.prod(1).sum())]
    assert_same((value, shapes, locations, weights))


@pytest.mark.parametrize('block', [1, 100, 1000])
def test_blocks_join(monkeypatch, block):
    monkeypatch.setattr(cpu_sampling, 'BLOCK', block)
    assert_same(make_case())


def test_takes_strided_arguments():
    value, shapes, locations, weights = make_case()
    assert_same((value.transpose(0, 1).contiguous().transpose(0, 1), shapes,
                 locations.flip(0).transpose(1,
                                             2).contiguous().transpose(1, 2),
                 weights.expand_as(weights)))


def test_gradients_are_those_of_the_sum():
    value, shapes, locations, weights = make_case(batch=1, queries=3, width=2)
    leaves = [leaf.requires_grad_() for leaf in (value, locations, weights)]
    torch.autograd.gradcheck(lambda v, x, w: sum_bags(v, shapes, x, w), leaves)


@pytest.mark.parametrize('number', [float('nan'), float('inf'), 1e30])
def test_survives_wild_locations(number):
    """Training that diverges ends with a NaN in the loss, not a crash."""
    value, shapes, locations, weights = make_case()
    wild = locations.clone()
    wild[0, 3, 1, 2, 0] = number
    result, grad_value, *_ = compute(sum_bags, value, shapes, wild, weights)
    expected = compute(sum_bags, value, shapes, locations, weights)[0]
    affected = torch.zeros_like(result).bool()
    affected[0, 3, 3:] = True  # the second head
    torch.testing.assert_close(result[~affected], expected[~affected])
    is_nan = number != number
    assert result[affected].isnan().all() == is_nan
    assert grad_value.isnan().any() == is_nan


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('coordinates', [2, 4])
def test_module_equals_mmcvs(masked, coordinates):
    sizes = dict(
        embed_dims=16, num_heads=2, num_levels=len(SHAPES), dropout=0.0)
    torch.manual_seed(0)
    mmcvs = MultiScaleDeformableAttention(batch_first=True, **sizes)
    for parameter in mmcvs.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    ours = DeformableAttention(batch_first=True, **sizes)
    ours.load_state_dict(mmcvs.state_dict())
    tokens = sum(h * w for h, w in SHAPES)
    arguments = dict(
        query=torch.randn(2, 5, 16),
        query_pos=torch.randn(2, 5, 16),
        value=torch.randn(2, tokens, 16),
        reference_points=torch.rand(2, 5, len(SHAPES), coordinates),
        spatial_shapes=torch.tensor(SHAPES),
        level_start_index=torch.tensor([0, 35, 38, 42]))
    if masked:
        arguments['key_padding_mask'] = torch.rand(2, tokens) < 0.3
    torch.testing.assert_close(
        ours(**arguments), mmcvs(**arguments), rtol=0, atol=1e-5)
