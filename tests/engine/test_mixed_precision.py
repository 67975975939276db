"""What stays in float32 in mixed precision, and what it does to training."""
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmpose.registry import OPTIM_WRAPPERS

from projects.grouppose.engine.bfloat16_optim_wrapper import \
    BFloat16OptimWrapper
from projects.grouppose.model import deformable_attention
from projects.grouppose.model.deformable_attention import DeformableAttention
from tests.helpers.models import build_small_model, compute_losses, make_batch
from tests.helpers.tool_runs import load_tool

SIZES = [(64, 96), (96, 64)]


def in_bfloat16():
    return torch.autocast('cpu', dtype=torch.bfloat16)


def test_attention_samples_in_float32(monkeypatch):
    """Values, locations and weights, in the encoder and the decoder."""
    sample_maps = deformable_attention.sample_maps
    dtypes = []

    def record(value, shapes, starts, locations, weights, step):
        dtypes.append((value.dtype, locations.dtype, weights.dtype))
        return sample_maps(value, shapes, starts, locations, weights, step)

    monkeypatch.setattr(deformable_attention, 'sample_maps', record)
    with in_bfloat16():
        compute_losses(build_small_model(), make_batch(SIZES, [1, 2]))
    # One encoder layer and three decoder layers.
    assert dtypes == 4 * [3 * (torch.float32, )]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_attention_takes_any_dtype(dtype):
    attention = DeformableAttention(
        32, 4, num_levels=1, dropout=0.0, batch_first=True)
    arguments = dict(
        query=torch.rand(1, 6, 32),
        query_pos=torch.rand(1, 6, 32),
        value=torch.rand(1, 6, 32),
        reference_points=torch.rand(1, 6, 1, 2),
        spatial_shapes=torch.tensor([[2, 3]]),
        level_start_index=torch.tensor([0]))
    expected = attention(**arguments)
    for name in ('query', 'query_pos', 'value'):
        arguments[name] = arguments[name].to(dtype)
    result = attention(**arguments)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, expected, atol=0.02, rtol=0)


def test_geometry_and_ranking_are_in_float32():
    head = build_small_model().head
    feats = [torch.rand(1, 32, 40 // s, 24 // s) for s in (1, 2, 4)]
    with in_bfloat16():
        feats = [x.bfloat16() for x in feats]
        tokens = head.pre_transformer(feats)
        memory = head.forward_encoder(tokens)
        queries = head.pre_decoder(memory)
    assert memory.valid_sizes.dtype == torch.float32
    assert memory.valid_ratios.dtype == torch.float32
    assert queries.outputs['enc']['logits'].dtype == torch.float32
    assert queries.references.dtype == torch.float32


def test_criterion_runs_without_autocast():
    seen = []

    def record(criterion, inputs):
        last = inputs[0]['last']
        dtypes = [last['logits'].dtype, last['keypoints'].dtype]
        seen.append((*dtypes, torch.is_autocast_cpu_enabled()))

    model = build_small_model()
    model.head.criterion.register_forward_pre_hook(record)
    with in_bfloat16():
        compute_losses(model, make_batch(SIZES, [1, 2]))
    assert seen == [(torch.float32, torch.float32, False)]


@pytest.mark.parametrize('device, dtype', [
    ('cpu', torch.bfloat16),
    pytest.param('cuda', torch.float16, marks=pytest.mark.gpu),
    pytest.param('cuda', torch.bfloat16, marks=pytest.mark.gpu),
])
def test_losses_and_gradients_agree(device, dtype):
    """Losses within 2 %, the direction of the gradient within 20 degrees."""
    model = build_small_model().to(device).train()
    batch = make_batch(SIZES, [2, 3])

    def run(enabled):
        model.zero_grad()
        with torch.autocast(device, dtype=dtype, enabled=enabled):
            total, losses = compute_losses(model, batch)
        total.backward()
        gradient = torch.cat([
            parameter.grad.flatten() for parameter in model.parameters()
            if parameter.grad is not None
        ])
        return losses, gradient

    losses, gradient = run(False)
    mixed_losses, mixed_gradient = run(True)
    assert not torch.equal(gradient, mixed_gradient)  # it was in effect
    for name, value in losses.items():
        if 'loss' in name:
            assert mixed_losses[name].dtype == torch.float32
            assert mixed_losses[name].item() == pytest.approx(
                value.item(), rel=0.02), name
    assert torch.cosine_similarity(gradient, mixed_gradient, 0) > 0.94


def test_bfloat16_optim_wrapper():
    model = torch.nn.Linear(2, 2)
    wrapper = OPTIM_WRAPPERS.build(
        dict(
            type='BFloat16OptimWrapper',
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
            accumulative_counts=2))
    assert isinstance(wrapper, BFloat16OptimWrapper)
    with wrapper.optim_context(model):
        output = model(torch.rand(1, 2))
    assert output.dtype == torch.bfloat16
    assert model(torch.rand(1, 2)).dtype == torch.float32


@pytest.fixture
def use(monkeypatch):
    """Apply ``--amp`` to a config of the optimizer wrapper."""
    monkeypatch.syspath_prepend('tools')

    def call(device, amp, **wrapper):
        monkeypatch.setattr('mmengine.device.get_device', lambda: device)
        tool = load_tool('train')
        wrapper = Config(dict(optim_wrapper=wrapper)).optim_wrapper

        def error(message):
            raise ValueError(message)

        tool.use_mixed_precision(SimpleNamespace(error=error), amp, wrapper)
        return wrapper

    return call


def test_amp_argument(use):
    assert use('cuda', 'float16') == dict(
        type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic')
    assert use('cpu', 'bfloat16') == dict(type='BFloat16OptimWrapper')
    scaled = dict(type='AmpOptimWrapper', loss_scale=512., dtype='float16')
    assert use('cuda', 'float16', **scaled) == scaled
    assert use('cuda', 'bfloat16',
               **scaled) == dict(type='BFloat16OptimWrapper')


@pytest.mark.parametrize('dtype, wrapper, message', [
    ('float16', 'OptimWrapper',
     'needs a GPU for float16.*--amp-dtype bfloat16'),
    ('bfloat16', 'ApexOptimWrapper', 'does not go with.*ApexOptimWrapper'),
])
def test_amp_argument_that_cannot_be(use, dtype, wrapper, message):
    with pytest.raises(ValueError, match=message):
        use('cpu', dtype, type=wrapper)
