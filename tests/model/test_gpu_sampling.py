"""The implementations of deformable attention on GPUs: which one is chosen,
what it is given, and on a GPU what it computes, beside that of CPUs."""
import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from projects.grouppose.model import deformable_attention
from projects.grouppose.model.deformable_attention import DeformableAttention
from projects.grouppose.model.sampling import gpu
from projects.grouppose.model.sampling.cpu import sum_bags
from tests.helpers.sampling import compute, make_case


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    monkeypatch.setattr(gpu, '_chosen', None)
    monkeypatch.delenv(gpu.VARIABLE, raising=False)


@pytest.fixture
def deformops(monkeypatch):
    """A stand-in for the library, which records the calls."""
    calls = []

    def msda(value, shapes, starts, locations, weights, /, *, backend):
        calls.append((value, shapes, starts, locations, weights, backend))
        return value.new_ones(*locations.shape[:2], value[0, 0].numel())

    registry = ModuleType('deformops.registry')
    registry.msda = msda
    registry.Backend = SimpleNamespace(TRITON='triton')
    package = ModuleType('deformops')
    package.registry = registry
    monkeypatch.setitem(sys.modules, 'deformops', package)
    monkeypatch.setitem(sys.modules, 'deformops.registry', registry)
    return calls


def test_choice(monkeypatch, deformops):
    assert gpu.gpu_sampling() == gpu._load_mmcv()
    assert not gpu.gpu_sampling().takes_half
    gpu.choose_gpu_sampling('deformops')
    assert gpu.gpu_sampling().takes_half
    arguments = [*make_case(torch.float32)]
    arguments.insert(2, torch.zeros(4).long())
    result = gpu.gpu_sampling().sample(*arguments, 64)
    assert result.shape == (2, 30, 6)
    (*given, backend), = deformops
    assert all(a is b for a, b in zip(given, arguments)) and len(given) == 5
    assert backend == 'triton'


@pytest.mark.parametrize('name, takes_half', [('', False), ('mmcv', False),
                                              ('deformops', True)])
def test_choice_by_the_environment(monkeypatch, deformops, name, takes_half):
    monkeypatch.setenv(gpu.VARIABLE, name)
    assert gpu.gpu_sampling().takes_half == takes_half


def test_choice_that_cannot_be(monkeypatch):
    monkeypatch.setenv(gpu.VARIABLE, 'fast')
    with pytest.raises(
            ValueError,
            match="'fast' is no .*see GROUPPOSE_GPU_"
            'SAMPLING.*there are mmcv and deformops'):
        gpu.gpu_sampling()
    monkeypatch.setitem(sys.modules, 'deformops', None)
    with pytest.raises(
            ImportError, match='cannot be imported.*modern/gpu.txt'):
        gpu.choose_gpu_sampling('deformops')
    assert gpu._chosen is None


def make_attention():
    torch.manual_seed(0)
    attention = DeformableAttention(
        32, 4, num_levels=2, dropout=0.0, batch_first=True)
    nn.init.uniform_(attention.attention_weights.weight)
    arguments = dict(
        query=torch.rand(1, 6, 32),
        value=torch.rand(1, 8, 32),
        key_padding_mask=torch.arange(8)[None] == 7,
        reference_points=torch.rand(1, 6, 2, 2),
        spatial_shapes=torch.tensor([[2, 3], [1, 2]]),
        level_start_index=torch.tensor([0, 6]))
    return attention, arguments


@pytest.mark.parametrize('half, dtype', [(False, torch.float32),
                                         (True, torch.bfloat16)])
def test_dtypes_in_mixed_precision(monkeypatch, half, dtype):
    """Values and weights may be rounded, locations are not, and the residual
    sum is in the dtype of the weights."""
    attention, arguments = make_attention()
    expected = attention(**arguments)
    seen = []

    def sample(value, shapes, starts, locations, weights, step):
        seen.append((value.dtype, locations.dtype, weights.dtype))
        assert (value[:, 7] == 0).all() and (value[:, 6] != 0).all()
        return sum_bags(value.float(), shapes, locations,
                        weights.float()).to(value.dtype)

    monkeypatch.setattr(deformable_attention, 'sample_maps', sample)
    monkeypatch.setattr(deformable_attention, 'takes_half', lambda _: half)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        result = attention(**arguments)
    assert seen == [(dtype, torch.float32, dtype)]
    assert result.dtype == torch.float32
    torch.testing.assert_close(
        result, expected, atol=0.05 if half else 1e-6, rtol=0)
    assert torch.equal(result, expected) != half


def test_only_gpus_are_asked(monkeypatch, deformops):
    """Whatever is chosen, CPUs compute as they do."""
    gpu.choose_gpu_sampling('deformops')
    assert gpu.takes_half('cuda') and not gpu.takes_half('cpu')
    attention, arguments = make_attention()
    attention(**arguments)
    assert not deformops


needs_deformops = pytest.mark.skipif(
    importlib.util.find_spec('deformops') is None,
    reason='needs deformops: pip install -r requirements/modern/gpu.txt')
LIBRARIES = ['mmcv', pytest.param('deformops', marks=needs_deformops)]


def on_gpu(sampling, step=64):
    """An implementation with the arguments of :func:`sum_bags`, on a CPU."""

    def call(value, shapes, locations, weights):
        areas = shapes.prod(1)
        starts = areas.cumsum(0) - areas
        return sampling.sample(value.cuda(), shapes.cuda(), starts.cuda(),
                               locations.cuda(), weights.cuda(), step).cpu()

    return call


@pytest.mark.gpu
@pytest.mark.parametrize('width', [8, 32])
@pytest.mark.parametrize('library', LIBRARIES)
def test_computes_what_cpus_do(library, width):
    """Values and gradients, also for maps of one token, one row or one
    column."""
    gpu.choose_gpu_sampling(library)
    case = make_case(torch.float32, width=width)
    computed = compute(on_gpu(gpu.gpu_sampling()), *case)
    names = ('result', 'grad_value', 'grad_locations', 'grad_weights')
    for name, ours, expected in zip(names, computed, compute(sum_bags, *case)):
        torch.testing.assert_close(
            ours, expected, rtol=1e-4, atol=1e-4, msg=lambda m: f'{name}: {m}')


@pytest.mark.gpu
@needs_deformops
@pytest.mark.parametrize('dtype, tolerance', [(torch.float16, 0.003),
                                              (torch.bfloat16, 0.02)])
def test_half_precision_beside_exact_locations(dtype, tolerance):
    """Within the rounding of values, weights and results."""
    value, shapes, locations, weights = make_case(torch.float32, width=32)
    weights = weights / weights.sum((3, 4), keepdim=True)
    value, weights = value.to(dtype), weights.to(dtype)
    gpu.choose_gpu_sampling('deformops')
    computed = compute(
        on_gpu(gpu.gpu_sampling()), value, shapes, locations, weights)
    expected = compute(sum_bags, value.float(), shapes, locations,
                       weights.float())
    assert computed[0].dtype == dtype and computed[2].dtype == torch.float32
    for ours, exact in zip(computed, expected):
        assert ((ours.float() - exact).norm() / exact.norm()) < tolerance
