"""Weights are converted completely, there and back, or not at all."""
import argparse
import os
import sys
import zlib

import pytest
import torch
import torchvision
from mmengine.config import Config
from mmpose.registry import MODELS

from projects.grouppose.checkpoints import official_names
from tests.helpers.models import R50_CONFIG
from tests.helpers.stand_in import cut_keypoints, official_state_dict
from tests.helpers.tool_runs import run_tool

sys.path.append('tools/model_converters')

import conversion  # noqa: E402
import mmpose_to_official  # noqa: E402
import official_to_mmpose  # noqa: E402

TOOL = 'model_converters/official_to_mmpose.py'


@pytest.fixture(scope='module')
def official() -> dict:
    return official_state_dict()


@pytest.fixture(scope='module')
def model():
    return MODELS.build(Config.fromfile(R50_CONFIG).model)


def number(name: str, shape: list) -> torch.Tensor:
    """Weights of no memory: all rows are the same, and the numbers in a row
    tell their place."""
    start = zlib.crc32(name.encode()) % 1000
    return torch.arange(start, start + shape[-1]).float().expand(shape)


def save(path, weights) -> str:
    """Write a file as the official program does."""
    torch.save(
        dict(
            model=weights,
            epoch=59,
            lr_scheduler=dict(last_epoch=59),
            args=argparse.Namespace(lr=1e-4, num_body_points=17)), path)
    return str(path)


@pytest.mark.parametrize('keys, num_keypoints, entries, config', [
    ('r50_k17', 17, 662, 'coco/grouppose_res50_8xb2-60e'),
    ('r50_k17', 14, 662, 'crowdpose/grouppose_res50_8xb2-80e'),
    ('swint_k17', 17, 584, 'coco/grouppose_swin-t_8xb2-60e'),
    ('swinl_k14', 14, 752, 'crowdpose/grouppose_swin-l_16xb1-80e'),
])
def test_the_family_goes_there_and_back(keys, num_keypoints, entries, config):
    official = cut_keypoints(
        official_state_dict(f'official_keys_{keys}.json', number),
        num_keypoints)
    assert len(official) == entries
    weights = official_names.from_official(official)
    assert len(weights) == entries - 48

    path = conversion.choose_config('a.pth', weights)
    assert config in path
    model = MODELS.build(Config.fromfile(path).model)
    assert official_names.compare_with_model(weights, model) == []

    back = official_names.to_official(weights)
    assert back.keys() == official.keys()
    for name, value in official.items():
        assert back[name].dtype == value.dtype, name
        assert torch.equal(back[name], value), name


@pytest.mark.parametrize('num_keypoints', [17, 14])
@pytest.mark.parametrize('backbone', ['res50', 'swin-t', 'swin-l'])
def test_config_is_chosen(backbone, num_keypoints):
    keys = dict(
        zip(('res50', 'swin-t', 'swin-l'),
            ('r50_k17', 'swint_k17', 'swinl_k14')))[backbone]
    weights = official_names.from_official(
        official_state_dict(f'official_keys_{keys}.json', number))
    name = 'head.decoder.keypoint_embedding.weight'
    weights[name] = torch.zeros(num_keypoints, 256)
    path = conversion.choose_config('a.pth', weights)
    assert os.path.exists(path) and f'_{backbone}_' in path
    assert ('_coco-' if num_keypoints == 17 else '_crowdpose-') in path


@pytest.mark.parametrize('weights', [
    {},
    {
        'backbone.layer1.0.conv3.weight': torch.zeros(256, 64, 1, 1)
    },
    {
        'head.decoder.keypoint_embedding.weight': torch.zeros(17, 256)
    },
])
def test_config_of_other_weights_must_be_given(weights):
    with pytest.raises(ValueError, match='a.pth.*--config'):
        conversion.choose_config('a.pth', weights)


def test_official_file_is_read(tmp_path, official):
    few = dict(list(official.items())[:5])
    loaded = official_names.load_official(save(tmp_path / 'a.pth', few))
    assert loaded.keys() == few.keys()
    assert all(torch.equal(loaded[name], few[name]) for name in few)


def test_differing_aliases_are_refused(official):
    name = 'transformer.decoder.class_embed.3.bias'
    changed = dict(official, **{name: official[name] + 1})
    with pytest.raises(ValueError, match='class_embed.3.bias.*differ'):
        official_names.from_official(changed)


def test_all_that_does_not_fit_is_listed(official, model):
    changed = dict(official)
    del changed['transformer.level_embed']
    changed['transformer.keypoint_embedding.weight'] = torch.zeros(14, 256)
    changed['label_enc.weight'] = torch.zeros(3)
    problems = dict(
        official_names.compare_with_model(
            official_names.from_official(changed), model))
    assert problems == {
        'head.level_embed': 'missing in the checkpoint',
        'head.decoder.keypoint_embedding.weight':
        'shape (14, 256), the model has (17, 256)',
        'label_enc.weight': 'unknown to the model',
    }


def test_pretrained_file_of_torchvision_is_loaded(tmp_path):
    weights = torchvision.models.resnet50().state_dict()
    for name, value in weights.items():
        if name.endswith(('running_mean', 'bn1.bias')):
            value.uniform_()  # all zero in a new model
    path = str(tmp_path / 'resnet50.pth')
    torch.save(weights, path)
    config = Config.fromfile(R50_CONFIG)
    config.merge_from_dict({'model.backbone.init_cfg.checkpoint': path})
    model = MODELS.build(config.model)
    model.init_weights()
    state = model.backbone.state_dict()
    ignored = {'fc.weight', 'fc.bias'} | {
        name
        for name in weights if name.endswith('num_batches_tracked')
    }
    assert state.keys() == weights.keys() - ignored
    assert all(torch.equal(state[name], weights[name]) for name in state)


def test_tools_convert_there_and_back(tmp_path, official, model, capsys):
    src = save(tmp_path / 'official.pth', official)
    ours = tmp_path / 'new' / 'ours.pth'
    code, stdout, stderr = run_tool(TOOL, src, ours)
    assert code == 0, stderr
    assert 'grouppose_res50_8xb2-60e_coco-800x1333.py' in stdout
    assert '662 entries, of which 48 are stored twice' in stdout
    written = torch.load(ours, weights_only=True)
    model.load_state_dict(written['state_dict'], strict=True)

    mmpose_to_official.convert(str(ours), str(tmp_path / 'back.pth'))
    assert '662 entries, of which 48 are stored twice' in capsys.readouterr().out
    back = torch.load(tmp_path / 'back.pth', weights_only=True)
    assert back.keys() == {'model'}
    assert back['model'].keys() == official.keys()
    assert all(
        torch.equal(back['model'][name], official[name]) for name in official)


def test_tool_refuses_with_a_table(tmp_path, official, monkeypatch):
    changed = dict(official)
    del changed['input_proj.2.0.weight']
    src = save(tmp_path / 'official.pth', changed)
    monkeypatch.setattr(sys, 'argv', ['tool', src, str(tmp_path / 'o.pth')])
    with pytest.raises(SystemExit) as error:
        conversion.main('Converts.', official_to_mmpose.convert)
    assert 'tool: ' + src + ' does not fit' in error.value.code
    assert 'neck.convs.2.conv.weight  missing in the checkpoint' \
        in error.value.code
    assert sorted(os.listdir(tmp_path)) == ['official.pth']


def test_reverse_tool_refuses_other_weights(tmp_path, model):
    weights = model.state_dict()
    weights['ema.weight'] = weights.pop('head.level_embed')
    torch.save(dict(state_dict=weights), tmp_path / 'ours.pth')
    with pytest.raises(ValueError) as error:
        mmpose_to_official.convert(tmp_path / 'ours.pth', tmp_path / 'o.pth')
    assert 'head.level_embed  missing' in str(error.value)
    assert 'ema.weight        unknown' in str(error.value)
    assert sorted(os.listdir(tmp_path)) == ['ours.pth']
