"""The hybrid encoder computes what the official program computes."""
import copy
import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmpose.registry import MODELS
from torch import nn

from projects.grouppose.inference.speed import prepare_for_inference
from projects.grouppose.model.hybrid_encoder import RepVGGBlock, SplitConv
from tests.helpers.detrpose import (SIZES, build_maps, detrpose_state_dict,
                                    golden_file, golden_maps, official_rows,
                                    our_name)
from tests.helpers.models import compute_losses, make_batch, small_config

CHANNELS = (8, 12, 20)
WIDTH, NUM_BLOCKS, HEADS = 16, 2, 4


def build(**kwargs):
    """A small neck whose norms are not the identity."""
    kwargs = dict(
        dict(
            in_channels=CHANNELS,
            embed_dims=WIDTH,
            num_heads=HEADS,
            feedforward_channels=24,
            block_channels=6,
            num_blocks=NUM_BLOCKS), **kwargs)
    neck = MODELS.build(dict(type='DFineHybridEncoder', **kwargs))
    for name, value in neck.state_dict().items():
        if 'running_var' in name:
            value.uniform_(0.5, 1.5)
        elif value.dim() == 1:
            value.add_(0.2 * torch.randn_like(value))
    return neck.eval()


def make_maps(size=(4, 6), batch_size=2, channels=CHANNELS):
    """Maps of which the coarsest has the given height and width."""
    return [
        torch.randn(batch_size, width,
                    *(side * 2**(len(channels) - 1 - i) for side in size))
        for i, width in enumerate(channels)
    ]


# --- The network in other words ---------------------------------------------


class Expected:
    """Recomputes a neck from its weights.

    Args:
        weights (dict): State dict of the neck.
        training (bool): Norms take the statistics of the batch.
    """

    def __init__(self, weights, training):
        self.weights = weights
        self.training = training

    def conv(self, name, maps, stride=1, depthwise=False, act=True):
        kernel = self.weights[f'{name}.conv.weight']
        maps = F.conv2d(
            maps,
            kernel,
            stride=stride,
            padding=(kernel.shape[-1] - 1) // 2,
            groups=len(kernel) if depthwise else 1)
        gain, shift, mean, var = (
            self.weights[f'{name}.norm.{leaf}'][:, None, None]
            for leaf in ('weight', 'bias', 'running_mean', 'running_var'))
        if self.training:
            mean = maps.mean((0, 2, 3), keepdim=True)
            var = maps.var((0, 2, 3), unbiased=False, keepdim=True)
        maps = gain * (maps - mean) / (var + 1e-5)**0.5 + shift
        return maps * maps.sigmoid() if act else maps

    def csp(self, name, maps):
        out = self.conv(f'{name}.conv1', maps)
        for i in range(NUM_BLOCKS):
            block = f'{name}.bottlenecks.{i}'
            out = self.conv(
                f'{block}.conv1', out, act=False) + self.conv(
                    f'{block}.conv2', out, act=False)
            out = out * out.sigmoid()
        return out + self.conv(f'{name}.conv2', maps)

    def fuse(self, name, *maps):
        a, b = self.conv(f'{name}.cv1', torch.cat(maps, 1)).split(WIDTH, 1)
        c = self.conv(f'{name}.cv2.1', self.csp(f'{name}.cv2.0', b))
        d = self.conv(f'{name}.cv3.1', self.csp(f'{name}.cv3.0', c))
        return self.conv(f'{name}.cv4', torch.cat([a, b, c, d], 1))

    def linear(self, name, x):
        return x @ self.weights[f'{name}.weight'].T + self.weights[
            f'{name}.bias']

    def layer_norm(self, name, x):
        centered = x - x.mean(-1, keepdim=True)
        var = (centered**2).mean(-1, keepdim=True)
        normed = centered / (var + 1e-5)**0.5
        return normed * self.weights[f'{name}.weight'] + self.weights[
            f'{name}.bias']

    def attend(self, maps):
        height, width = maps.shape[2:]
        x = torch.stack([
            maps[:, :, row, column] for row in range(height)
            for column in range(width)
        ], 1)
        placed = x + expected_position(height, width, WIDTH)
        projected = [
            part @ w.T + b for part, w, b in
            zip((placed, placed,
                 x), self.weights['encoder.self_attn.in_proj_weight'].chunk(3),
                self.weights['encoder.self_attn.in_proj_bias'].chunk(3))
        ]
        outs = []
        for q, k, v in zip(*(p.chunk(HEADS, -1) for p in projected)):
            scores = q @ k.transpose(1, 2) / math.sqrt(WIDTH / HEADS)
            outs.append(scores.softmax(-1) @ v)
        attended = self.linear('encoder.self_attn.out_proj',
                               torch.cat(outs, -1))
        x = self.layer_norm('encoder.norm1', x + attended)
        inner = self.linear('encoder.linear1', x)
        inner = inner * (1 + torch.erf(inner / math.sqrt(2))) / 2
        x = self.layer_norm('encoder.norm2',
                            x + self.linear('encoder.linear2', inner))
        return x.transpose(1, 2).reshape(maps.shape)

    def __call__(self, feats):
        p3, p4, p5 = (self.conv(f'input_proj.{i}', level, act=False)
                      for i, level in enumerate(feats))
        p5 = self.conv('lateral_convs.0', self.attend(p5))
        p4 = self.fuse('fpn_blocks.0', twice(p5), p4)
        p4 = self.conv('lateral_convs.1', p4)
        n3 = self.fuse('fpn_blocks.1', twice(p4), p3)
        n4 = self.fuse('pan_blocks.0', self.half(0, n3), p4)
        n5 = self.fuse('pan_blocks.1', self.half(1, n4), p5)
        return n3, n4, n5

    def half(self, index, maps):
        name = f'downsample_convs.{index}'
        maps = self.conv(f'{name}.cv1', maps, act=False)
        return self.conv(f'{name}.cv2', maps, 2, True, False)


def twice(maps):
    return maps.repeat_interleave(2, 2).repeat_interleave(2, 3)


def expected_position(height, width, channels):
    """Term of every cell, row by row, y in the first half of the channels."""
    half = channels // 2
    rows = []
    for y in range(1, height + 1):
        for x in range(1, width + 1):
            waves = []
            for part in (y / (height + 1e-6), x / (width + 1e-6)):
                for i in range(half):
                    angle = 2 * math.pi * part / 20**(i // 2 * 2 / half)
                    waves.append((math.cos if i % 2 else math.sin)(angle))
            rows.append(waves)
    return torch.tensor(rows, dtype=torch.float64)


@torch.no_grad()
@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('size', [(2, 5), (4, 3)])
def test_computes_what_the_specification_says(training, size):
    neck = build().double().train(training)
    maps = [level.double() for level in make_maps(size)]
    expected = Expected(copy.deepcopy(neck.state_dict()), training)(maps)
    for out, other in zip(neck(maps), expected):
        # The neck's positions are of single precision.
        torch.testing.assert_close(out, other, rtol=1e-5, atol=1e-5)
        assert out.std() > 0.1


# --- The official program ----------------------------------------------------


@pytest.mark.parametrize('name', ['n_k17', 's_k14', 'l_k17'])
def test_golden_maps(name):
    maps = golden_maps(name)
    names = [key for key in maps if key.startswith('neck')]
    assert len(names) == (2 if name.startswith('n') else 3)
    for key in names:
        np.testing.assert_allclose(*maps[key], rtol=0, atol=2e-4)


@torch.no_grad()
def test_golden_statistics_of_a_training_step():
    golden = dict(np.load(golden_file('n_k17_train.npz')))
    file = golden_file('n_k17_train.json')
    official = json.loads(file.read_text())['buffers']
    weights = detrpose_state_dict('n', parts=('backbone.', 'encoder.'))
    model = build_maps('n').train()
    model.load_state_dict({our_name(k): v for k, v in weights.items()})
    images = np.stack([golden[f'image{i}'] for i in range(3)])
    images = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    model['neck'](model['backbone'](images))
    buffers = dict(model.named_buffers())
    for name, expected in official.items():
        buffer = buffers[our_name(name)].double()
        np.testing.assert_allclose([buffer.norm(), buffer.sum()],
                                   expected,
                                   rtol=1e-4,
                                   atol=1e-3)


@pytest.mark.parametrize('size, num_parameters', [
    ('n', 703824),
    ('s', 4021504),
    ('m', 7799040),
    ('l', 9343232),
    ('x', 20700032),
])
def test_number_of_parameters(size, num_parameters):
    neck = MODELS.build(dict(SIZES[size]['neck'], type='DFineHybridEncoder'))
    total = sum(parameter.numel() for parameter in neck.parameters())
    assert total == num_parameters


@pytest.mark.parametrize('size', SIZES)
def test_names_are_official_ones_with_another_prefix(size):
    official = {
        our_name(name): row
        for name, row in official_rows(size).items()
        if name.startswith('encoder.')
    }
    ours = {
        f'neck.{name}': (tuple(value.shape), str(value.dtype)[6:])
        for name, value in build_maps(size)['neck'].state_dict().items()
    }
    assert ours == official


def test_position_has_the_official_values():
    neck = build(embed_dims=128, num_heads=8)
    position = neck.positional_encoding(torch.zeros(1, 20, 20).bool())
    position = position.flatten(2)[0].T
    first = [0.3090170, 0.9510565, 0.2821970, 0.9593565]
    expected = {
        0: (first, first),
        25: ([0.5877852, 0.8090170, 0.5414550,
              0.8407297], [0.9510566, -0.3090169, 0.9894039, -0.1451891])
    }
    for token, (y, x) in expected.items():
        for start, values in ((0, y), (64, x)):
            torch.testing.assert_close(
                position[token, start:start + 4],
                torch.tensor(values),
                rtol=0,
                atol=1e-6)


# --- Training and inference --------------------------------------------------


def test_everything_trains():
    neck = build().train()
    before = copy.deepcopy(dict(neck.named_buffers()))
    # Weighted, as the sum of a normalized map does not depend on it.
    sum((out * torch.randn_like(out)).sum()
        for out in neck(make_maps())).backward()
    for name, parameter in neck.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
    for name, buffer in neck.named_buffers():
        assert not torch.equal(buffer, before[name]), name


def test_as_neck_of_a_model():
    config = small_config()
    config.backbone = dict(
        type='HGNetV2',
        arch=dict(
            stem=(8, 8),
            stages=((8, 8, 1), (8, 8, 1), (8, 12, 1), (8, 20, 1)),
            num_layers=1,
            use_lab=True))
    config.neck = dict(
        type='DFineHybridEncoder',
        in_channels=CHANNELS,
        embed_dims=32,
        block_channels=8,
        num_blocks=1)
    model = MODELS.build(config)
    model.init_weights()
    total, _ = compute_losses(model, make_batch([(64, 96), (64, 96)], [1, 0]))
    total.backward()
    for part in (model.backbone, model.neck):
        for name, parameter in part.named_parameters():
            assert parameter.grad.abs().sum() > 0, name
    model.eval()
    images = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        before = model(images, None, mode='tensor')
        outs = prepare_for_inference(model)(images, None, mode='tensor')
    torch.testing.assert_close(
        outs['last']['keypoints'],
        before['last']['keypoints'],
        rtol=0,
        atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize('levels', [1, 2, 3])
def test_images_of_a_batch_do_not_depend_on_each_other(levels):
    neck = build(in_channels=CHANNELS[-levels:])
    maps = make_maps(batch_size=3, channels=CHANNELS[-levels:])
    outs = neck(maps)
    assert isinstance(outs, tuple) and len(outs) == levels
    for i in range(3):
        alone = neck([level[i:i + 1] for level in maps])
        for out, single in zip(outs, alone):
            torch.testing.assert_close(
                out[i:i + 1], single, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('training', [False, True])
def test_mixed_precision(training):
    neck = build().train(training)
    maps = make_maps()
    expected = neck(maps)
    with torch.autocast('cpu', torch.bfloat16):
        outs = neck(maps)
    for out, exact in zip(outs, expected):
        assert (out - exact).abs().max() < 0.1 * exact.abs().max()


@torch.no_grad()
@pytest.mark.parametrize('norm', ['BN', 'FrozenBatchNorm2d'])
def test_deploy_form_computes_the_same(norm):
    neck = build(norm_cfg=dict(type=norm))
    maps = make_maps()
    expected = neck(maps)
    prepared = prepare_for_inference(copy.deepcopy(neck))
    for out, before in zip(prepared(maps), expected):
        assert (out - before).abs().max() < 1e-5 * before.abs().max()

    def num_convs(module):
        return sum(isinstance(m, nn.Conv2d) for m in module.modules())

    blocks = [m for m in neck.modules() if isinstance(m, RepVGGBlock)]
    assert len(blocks) == 8 * NUM_BLOCKS
    # Layers in two, and the projections of all maps but one merged.
    splits = [m for m in prepared.modules() if isinstance(m, SplitConv)]
    assert num_convs(
        prepared) == num_convs(neck) - len(blocks) + len(splits) - 2
    assert not any('norm' in name.split('.')[-2:] and 'encoder' not in name
                   for name in prepared.state_dict())


@torch.no_grad()
def test_deploy_form_twice_and_by_mmpose():
    neck = build()
    block = next(m for m in neck.modules() if isinstance(m, RepVGGBlock))
    maps = torch.randn(2, 6, 5, 7)
    expected = block(maps)
    for _ in range(2):
        block.switch_to_deploy(dict(input_size=(64, 64)))
        torch.testing.assert_close(block(maps), expected, rtol=1e-4, atol=1e-5)
    assert [name for name, _ in block.named_parameters()
            ] == ['conv1.weight', 'conv1.bias']


# --- Errors ------------------------------------------------------------------


def test_sizes_that_do_not_fit():
    neck = build()
    maps = make_maps()
    maps[0] = maps[0][..., :-1]
    message = r'\[\(16, 23\), \(8, 12\), \(4, 6\)\].*pad_size_divisor=32'
    with pytest.raises(ValueError, match=message):
        neck(maps)
    with pytest.raises(ValueError, match='got 2 maps.*is for 3'):
        neck(maps[:2])


@pytest.mark.parametrize('embed_dims, num_heads', [(18, 6), (16, 3)])
def test_widths_that_do_not_fit(embed_dims, num_heads):
    with pytest.raises(ValueError, match=f'embed_dims={embed_dims} must be'):
        build(embed_dims=embed_dims, num_heads=num_heads)
