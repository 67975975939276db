"""HGNetv2 computes what the official program computes, and trains."""
import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmpose.models.utils import FrozenBatchNorm2d
from mmpose.registry import MODELS

from projects.grouppose.inference.speed import prepare_for_inference
from tests.helpers.detrpose import (SIZES, build_maps, golden_maps,
                                    official_rows)

TINY = dict(
    stem=(8, 8),
    stages=((8, 16, 1), (8, 32, 2), (16, 64, 2)),
    num_layers=2,
    use_lab=False)


def build(arch='b0', **kwargs):
    """A backbone in evaluation mode whose norms are not the identity."""
    kwargs.setdefault('out_indices', (0, 1, 2))
    backbone = MODELS.build(dict(type='HGNetV2', arch=arch, **kwargs))
    for name, value in backbone.state_dict().items():
        if 'running_var' in name or 'scale' in name:
            value.uniform_(0.5, 1.5)
        elif value.dim() == 1:
            value.add_(0.2 * torch.randn_like(value))
    return backbone.eval()


# --- The network in other words ---------------------------------------------


def conv_block(weights, name, maps, stride=1, depthwise=False, act=True):
    """Convolution, frozen norm, ReLU, affine map."""
    kernel = weights[f'{name}.conv.weight']
    maps = F.conv2d(
        maps,
        kernel,
        stride=stride,
        padding=(kernel.shape[-1] - 1) // 2,
        groups=len(kernel) if depthwise else 1)
    gain, shift, mean, var = (
        weights[f'{name}.bn.{leaf}'][:, None, None]
        for leaf in ('weight', 'bias', 'running_mean', 'running_var'))
    maps = gain * (maps - mean) / (var + 1e-5)**0.5 + shift
    if act:
        maps = maps.clamp(min=0)
        if f'{name}.lab.scale' in weights:
            maps = maps * weights[f'{name}.lab.scale']
            maps = maps + weights[f'{name}.lab.bias']
    return maps


def with_row_and_column(maps):
    """One row of zeros below, one column on the right."""
    maps = torch.cat([maps, torch.zeros_like(maps[:, :, :1])], 2)
    return torch.cat([maps, torch.zeros_like(maps[..., :1])], 3)


def expected_stem(weights, images):
    maps = with_row_and_column(conv_block(weights, 'stem.stem1', images, 2))
    branch = with_row_and_column(conv_block(weights, 'stem.stem2a', maps))
    branch = conv_block(weights, 'stem.stem2b', branch)
    pooled = torch.stack([
        maps[:, :, :-1, :-1], maps[:, :, 1:, :-1], maps[:, :, :-1, 1:],
        maps[:, :, 1:, 1:]
    ]).amax(0)
    maps = torch.cat([pooled, branch], 1)
    maps = conv_block(weights, 'stem.stem3', maps, 2)
    return conv_block(weights, 'stem.stem4', maps)


def expected_stage(weights, index, maps, num_blocks, num_layers):
    stage = f'stages.{index}'
    if index > 0:
        maps = conv_block(weights, f'{stage}.downsample', maps, 2, True, False)
    for b in range(num_blocks):
        block, outs = f'{stage}.blocks.{b}', [maps]
        for i in range(num_layers):
            layer = f'{block}.layers.{i}'
            out = outs[-1]
            if index < 2:
                out = conv_block(weights, layer, out)
            else:
                out = conv_block(weights, f'{layer}.conv1', out, act=False)
                out = conv_block(weights, f'{layer}.conv2', out, 1, True)
            outs.append(out)
        out = conv_block(weights, f'{block}.aggregation.0', torch.cat(outs, 1))
        out = conv_block(weights, f'{block}.aggregation.1', out)
        maps = out + maps if b > 0 else out
    return maps


@torch.no_grad()
@pytest.mark.parametrize('size', [(64, 96), (75, 50)])
@pytest.mark.parametrize('arch, num_blocks, num_layers', [
    ('b0', (1, 1, 2), 3),
    (TINY, (1, 2, 2), 2),
])
def test_computes_what_the_specification_says(arch, num_blocks, num_layers,
                                              size):
    backbone = build(arch).double()
    images = torch.rand(2, 3, *size, dtype=torch.float64)
    weights = backbone.state_dict()
    maps = expected_stem(weights, images)
    for i, out in enumerate(backbone(images)):
        maps = expected_stage(weights, i, maps, num_blocks[i], num_layers)
        torch.testing.assert_close(out, maps)
        assert out.std() > 1e-3
        stride = 4 * 2**i
        assert out.shape[2:] == tuple(-(-side // stride) for side in size)


# --- The official program ----------------------------------------------------


@pytest.mark.parametrize('name', ['n_k17', 's_k14', 'l_k17'])
def test_golden_maps(name):
    maps = golden_maps(name)
    names = [key for key in maps if key.startswith('backbone')]
    assert len(names) == (2 if name.startswith('n') else 3)
    for key in names:
        np.testing.assert_allclose(*maps[key], rtol=0, atol=2e-4)


@pytest.mark.parametrize('size, num_parameters', [
    ('n', 1838124),
    ('s', 1838124),
    ('m', 5999930),
    ('l', 13507680),
    ('x', 33231840),
])
def test_number_of_parameters(size, num_parameters):
    backbone = MODELS.build(dict(SIZES[size]['backbone'], type='HGNetV2'))
    total = sum(parameter.numel() for parameter in backbone.parameters())
    assert total == num_parameters


@pytest.mark.parametrize('size', SIZES)
def test_names_are_those_of_official_checkpoints(size):
    official = {
        name: shape
        for name, (shape, _) in official_rows(size).items()
        if name.startswith('backbone.')
    }
    ours = {
        f'backbone.{name}': tuple(value.shape)
        for name, value in build_maps(size)['backbone'].state_dict().items()
    }
    assert ours == official


# --- Training and inference --------------------------------------------------


def test_all_but_the_norms_trains():
    backbone = build(out_indices=(1, 2, 3)).train()
    before = copy.deepcopy(dict(backbone.named_buffers()))
    images = torch.rand(2, 3, 64, 96)
    sum((out**2).sum() for out in backbone(images)).backward()
    names = [name for name, _ in backbone.named_parameters()]
    assert all('.conv.' in name or '.lab.' in name for name in names)
    assert any('.lab.' in name for name in names)
    for name, parameter in backbone.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
    for name, buffer in backbone.named_buffers():
        assert torch.equal(buffer, before[name]), name


def test_recomputing_changes_no_gradient():
    gradients = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        backbone = build(TINY, with_cp=with_cp)
        images = torch.rand(1, 3, 64, 64)
        sum((out**2).sum() for out in backbone(images)).backward()
        gradients.append([p.grad for p in backbone.parameters()])
    torch.testing.assert_close(*gradients)


@torch.no_grad()
@pytest.mark.parametrize('arch', ['b0', TINY])
def test_prepared_for_inference_it_computes_the_same(arch):
    backbone = build(arch)
    images = torch.rand(2, 3, 64, 96)
    expected = backbone(images)
    prepare_for_inference(backbone)
    assert not any(
        isinstance(module, FrozenBatchNorm2d) for module in backbone.modules())
    for out, before in zip(backbone(images), expected):
        assert (out - before).abs().max() < 1e-5 * before.abs().max()


@torch.no_grad()
def test_mixed_precision():
    backbone = build(TINY)
    images = torch.rand(1, 3, 64, 64)
    expected = backbone(images)
    with torch.autocast('cpu', torch.bfloat16):
        outs = backbone(images)
    for out, exact in zip(outs, expected):
        assert (out - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.parametrize('kwargs, message', [
    (dict(arch='b7'), "no arch='b7'. Take one of b0, b2, b4, b5"),
    (dict(arch='b0', out_indices=(2, 4)), r'\(2, 4\), but the stages are 0 to'
     ' 3'),
])
def test_unknown_architecture_or_stage(kwargs, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type='HGNetV2', **kwargs))


# --- Pretrained weights ------------------------------------------------------


def test_pretrained_weights(tmp_path):
    source = build(TINY)
    weights = source.state_dict()
    # As the files of D-FINE may have them; frozen norms do not.
    weights['stem.stem1.bn.num_batches_tracked'] = torch.tensor(7)
    torch.save(weights, tmp_path / 'backbone.pth')
    whole = {f'backbone.{name}': value for name, value in weights.items()}
    whole['head.weight'] = torch.ones(1)
    torch.save(dict(state_dict=whole), tmp_path / 'model.pth')
    for file, prefix in (('backbone.pth', None), ('model.pth', 'backbone.')):
        checkpoint = str(tmp_path / file)
        backbone = MODELS.build(
            dict(
                type='HGNetV2',
                arch=TINY,
                out_indices=(2, ),
                init_cfg=dict(
                    type='Pretrained', checkpoint=checkpoint, prefix=prefix)))
        backbone.init_weights()
        for name, value in backbone.state_dict().items():
            assert torch.equal(value, weights[name]), name


@pytest.mark.parametrize('norm', ['BN', 'FrozenBatchNorm2d'])
def test_pretrained_weights_go_to_any_norm(norm, tmp_path):
    weights = build(TINY).state_dict()
    torch.save(weights, tmp_path / 'weights.pth')
    backbone = MODELS.build(
        dict(
            type='HGNetV2',
            arch=TINY,
            out_indices=(2, ),
            norm_cfg=dict(type=norm),
            init_cfg=dict(
                type='Pretrained', checkpoint=str(tmp_path / 'weights.pth'))))
    backbone.init_weights()
    own = backbone.state_dict()
    assert all(torch.equal(own[name], weights[name]) for name in weights)


@pytest.mark.parametrize('name, value, message', [
    ('stem.stem4.conv.weight', None, 'missing in the checkpoint'),
    ('stem.stem4.conv.weight', torch.ones(8, 8, 3, 3), 'shape'),
    ('stem.stem5.conv.weight', torch.ones(1), 'unknown to the model'),
])
def test_pretrained_weights_that_do_not_fit(name, value, message, tmp_path):
    weights = build(TINY).state_dict()
    weights[name] = value
    if value is None:
        del weights[name]
    path = tmp_path / 'weights.pth'
    torch.save(weights, path)
    backbone = MODELS.build(
        dict(
            type='HGNetV2',
            arch=TINY,
            out_indices=(2, ),
            init_cfg=dict(type='Pretrained', checkpoint=str(path))))
    with pytest.raises(ValueError, match=rf'weights.pth.*{name}: {message}'):
        backbone.init_weights()
