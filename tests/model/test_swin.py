"""The Swin backbones compute what the official program computes.

The official forward is written here a second time, in plain PyTorch, on
weights by their official names.
"""
import math

import pytest
import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from mmdet.models.backbones.swin import swin_converter
from mmengine.config import Config
from mmpose.registry import MODELS

from projects.grouppose.checkpoints.fit import compare_with_model
from projects.grouppose.checkpoints.official_names import (from_official,
                                                           to_official)
from tests.helpers.models import CONFIG_DIR, make_batch
from tests.helpers.stand_in import official_state_dict

SWIN_T = CONFIG_DIR + 'coco/grouppose_swin-t_8xb2-60e_coco-800x1333.py'
SWIN_L = CONFIG_DIR + 'coco/grouppose_swin-l_16xb1-60e_coco-800x1333.py'


class PlainSwin:
    """The official Swin, for evaluation.

    Args:
        weights (dict[str, Tensor]): By official name, without prefix.
        depths (tuple[int]): Blocks of each stage.
        num_heads (tuple[int]): Heads of each stage.
        window (int): Side of a window.
    """

    def __init__(self, weights, depths, num_heads, window):
        self.weights = weights
        self.depths = depths
        self.num_heads = num_heads
        self.window = window

    def __call__(self, image: torch.Tensor) -> list:
        """Maps of the stages 1 to 3, (B, C, H, W), of images (B, 3, h, w)."""
        height, width = image.shape[-2:]
        image = F.pad(image, (0, -width % 4, 0, -height % 4))
        x = F.conv2d(
            image,
            self.weights['patch_embed.proj.weight'],
            self.weights['patch_embed.proj.bias'],
            stride=4)
        x = self.norm(x.permute(0, 2, 3, 1), 'patch_embed.norm')
        outputs = []
        for stage, depth in enumerate(self.depths):
            for block in range(depth):
                x = self.block(x, stage, f'layers.{stage}.blocks.{block}',
                               self.window // 2 if block % 2 else 0)
            if stage:
                outputs.append(
                    self.norm(x, f'norm{stage}').permute(0, 3, 1, 2))
            if stage < 3:
                x = self.merge(x, f'layers.{stage}.downsample')
        return outputs

    def linear(self, x, name):
        return F.linear(x, self.weights[f'{name}.weight'],
                        self.weights.get(f'{name}.bias'))

    def norm(self, x, name):
        return F.layer_norm(
            x,
            x.shape[-1:],
            self.weights[f'{name}.weight'],
            self.weights[f'{name}.bias'],
            eps=1e-5)

    def block(self, x, stage, name, shift):
        x = x + self.attend(
            self.norm(x, f'{name}.norm1'), stage, f'{name}.attn', shift)
        hidden = F.gelu(
            self.linear(self.norm(x, f'{name}.norm2'), f'{name}.mlp.fc1'))
        return x + self.linear(hidden, f'{name}.mlp.fc2')

    def attend(self, x, stage, name, shift):
        """One window after the other, padded tokens as good as others."""
        size = self.window
        height, width = x.shape[1:3]
        x = F.pad(x, (0, 0, 0, -width % size, 0, -height % size))
        x = x.roll((-shift, -shift), (1, 2))
        rows, columns = [self.regions(n, shift) for n in x.shape[1:3]]
        region = 3 * rows[:, None] + columns
        out = torch.zeros_like(x)
        for top in range(0, x.shape[1], size):
            for left in range(0, x.shape[2], size):
                here = (slice(top, top + size), slice(left, left + size))
                place = region[here].flatten()
                mask = -100. * (place[:, None] != place)
                tokens = x[(slice(None), *here)].flatten(1, 2)
                tokens = self.attend_window(tokens, stage, name, mask)
                out[(slice(None), *here)] = tokens.unflatten(1, (size, size))
        return out.roll((shift, shift), (1, 2))[:, :height, :width]

    def regions(self, length, shift):
        """What was one piece before the shift: 0, 1 or 2 on each axis."""
        index = torch.arange(length)
        if not shift:
            return torch.zeros_like(index)
        return (index >= length - self.window).long() + (
            index >= length - shift)

    def attend_window(self, x, stage, name, mask):
        heads = self.num_heads[stage]
        q, k, v = self.linear(x, f'{name}.qkv').unflatten(
            -1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        index = self.weights[f'{name}.relative_position_index']
        table = self.weights[f'{name}.relative_position_bias_table']
        bias = table[index].permute(2, 0, 1)
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        out = (scores + bias + mask).softmax(-1) @ v
        return self.linear(out.transpose(1, 2).flatten(2), f'{name}.proj')

    def merge(self, x, name):
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        x = torch.cat(
            [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)],
            -1)
        return self.linear(self.norm(x, f'{name}.norm'), f'{name}.reduction')


@pytest.fixture(scope='module')
def official() -> dict:
    return official_state_dict('official_keys_swint_k17.json')


@pytest.fixture(scope='module')
def model(official):
    """Swin-T with converted stand-in weights."""
    model = MODELS.build(Config.fromfile(SWIN_T).model)
    model.load_state_dict(from_official(official))
    return model.eval()


def backbone_weights(official) -> dict:
    """Official weights of the backbone alone, as in the original files."""
    return {
        name[len('backbone.0.'):]: value
        for name, value in official.items() if name.startswith('backbone.0.')
    }


# The last sizes: smaller than a window from the first stage on, one patch.
@pytest.mark.parametrize('size', [(97, 122), (224, 64), (24, 27), (3, 2)])
def test_outputs_agree(official, model, size):
    image = torch.randn(2, 3, *size)
    plain = PlainSwin(
        backbone_weights(official), (2, 2, 6, 2), (3, 6, 12, 24), 7)
    with torch.no_grad():
        expected = plain(image)
        outputs = model.backbone(image)
    assert len(outputs) == len(expected) == 3
    for output, other, channels in zip(outputs, expected, (192, 384, 768)):
        assert output.shape == other.shape
        assert output.shape[1] == channels
        torch.testing.assert_close(output, other, atol=1e-5, rtol=0)


def test_outputs_agree_with_windows_of_12():
    """The windows of Swin-L in a narrow backbone."""
    cfg = Config.fromfile(SWIN_L).model.backbone
    sizes = dict(depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8))
    backbone = MODELS.build(dict(cfg, embed_dims=24, init_cfg=None, **sizes))
    backbone.eval()
    weights = {f'backbone.{n}': v for n, v in backbone.state_dict().items()}
    image = torch.randn(1, 3, 110, 131)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        plain = PlainSwin(
            backbone_weights(to_official(weights)), window=12, **sizes)
        for output, other in zip(backbone(image), plain(image)):
            torch.testing.assert_close(output, other, atol=1e-5, rtol=0)


def test_backbone_is_set_up_as_published(model):
    cfg = Config.fromfile(SWIN_T).model.backbone
    backbone = MODELS.build(dict(cfg, init_cfg=None))
    rates = [
        block.attn.drop.drop_prob for stage in backbone.stages
        for block in stage.blocks
    ]
    torch.testing.assert_close(torch.tensor(rates), torch.linspace(0, 0.2, 12))
    assert rates == [
        block.ffn.dropout_layer.drop_prob for stage in backbone.stages
        for block in stage.blocks
    ]
    assert sum(isinstance(m, DropPath) for m in backbone.modules()) == 24
    backbone.train()
    assert all(p.requires_grad for p in backbone.parameters())
    assert all(m.training for m in backbone.modules())
    assert not any(stage.blocks[0].with_cp for stage in backbone.stages)
    for i in (1, 2, 3):
        norm = getattr(backbone, f'norm{i}')
        assert norm.eps == 1e-5
        assert (norm.weight == 1).all() and (norm.bias == 0).all()


def test_conversion_is_that_of_mmdet(official):
    """Renaming and the order of merged patches."""
    ours = from_official(official)
    theirs = swin_converter(backbone_weights(official))
    assert theirs.keys() == {n for n in ours if n.startswith('backbone.')}
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_index_of_another_window_is_refused(official, model):
    changed = dict(official)
    for name in official:
        if name.endswith('blocks.0.attn.relative_position_index'):
            changed[name] = official[name].T
    problems = compare_with_model(from_official(changed), model)
    assert len(problems) == 4
    assert all('window size' in what for _, what in problems)


def test_whole_model_predicts(model):
    data = model.data_preprocessor(make_batch([(64, 90), (70, 64)], [0, 0]))
    with torch.no_grad():
        results = model(**data, mode='predict')
    for result in results:
        poses = result.pred_instances
        assert poses.keypoints.shape[1:] == (17, 2)
        assert torch.from_numpy(poses.keypoints).isfinite().all()
        assert torch.from_numpy(poses.bbox_scores).isfinite().all()


@pytest.mark.parametrize('wrapped', [True, False])
def test_pretrained_file_is_loaded(tmp_path, official, wrapped):
    """A file in the layout of the original Swin repository."""
    weights = {
        name: value
        for name, value in backbone_weights(official).items()
        if not name.startswith('norm')  # unknown to classification
    }
    others = {
        'norm.weight': torch.ones(768),
        'norm.bias': torch.ones(768),
        'head.weight': torch.ones(1000, 768),
        'head.bias': torch.ones(1000),
        'layers.0.blocks.1.attn_mask': torch.zeros(64, 49, 49)
    }
    content = dict(weights, **others)
    path = str(tmp_path / 'swin.pth')
    torch.save(dict(model=content) if wrapped else content, path)

    config = Config.fromfile(SWIN_T)
    config.merge_from_dict({'model.backbone.init_cfg.checkpoint': path})
    model = MODELS.build(config.model)
    model.init_weights()
    expected = from_official({
        f'backbone.0.{name}': value
        for name, value in weights.items()
    })
    state = model.state_dict()
    fresh = {
        f'backbone.norm{i}.{name}'
        for i in (1, 2, 3)
        for name in ('weight', 'bias')
    }
    assert {n for n in state if n.startswith('backbone.')} \
        == expected.keys() | fresh
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    for name in fresh:
        assert (state[name] == ('weight' in name)).all()
