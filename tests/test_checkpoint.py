"""Official checkpoints are converted completely, or not at all."""
import argparse
import os
import subprocess
import sys

import pytest
import torch
from conftest import R50_CONFIG
from mmengine.config import Config
from mmpose.registry import MODELS
from stand_in import official_state_dict

from projects.grouppose import checkpoint

TOOL = 'tools/model_converters/official_to_mmpose.py'


@pytest.fixture(scope='module')
def official() -> dict:
    return official_state_dict()


@pytest.fixture(scope='module')
def model():
    return MODELS.build(Config.fromfile(R50_CONFIG).model)


def save(path, weights) -> str:
    """Write a file as the official program does."""
    torch.save(
        dict(
            model=weights,
            epoch=59,
            lr_scheduler=dict(last_epoch=59),
            args=argparse.Namespace(lr=1e-4, num_body_points=17)), path)
    return str(path)


def convert(src, dst):
    return subprocess.run([sys.executable, TOOL,
                           str(src), str(dst)],
                          capture_output=True,
                          text=True)


def test_every_entry_has_its_counterpart(official, model):
    weights = checkpoint.from_official(official)
    assert len(official) == 662
    assert len(weights) == 662 - 48
    assert checkpoint.compare_with_model(weights, model) == []


def test_official_file_is_read_safely(tmp_path, official):
    few = dict(list(official.items())[:5])
    loaded = checkpoint.load_official(save(tmp_path / 'a.pth', few))
    assert loaded.keys() == few.keys()
    assert all(torch.equal(loaded[name], few[name]) for name in few)


def test_bare_and_prefixed_state_dicts_are_read(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save({'module.class_embed.0.bias': torch.ones(2)}, path)
    assert list(checkpoint.load_official(path)) == ['class_embed.0.bias']


class Harmful:
    """Runs a command when it is unpickled by the book."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path, )


@pytest.mark.parametrize('legacy', [False, True])
def test_nothing_in_a_file_is_executed(tmp_path, legacy):
    harm = str(tmp_path / 'harm')
    path = tmp_path / 'a.pth'
    torch.save(
        dict(model=dict(), args=Harmful(harm)),
        path,
        _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match='a.pth.*import.*mkdir'):
        checkpoint.load_official(path)
    assert not os.path.exists(harm)


@pytest.mark.parametrize('content',
                         [b'', b'no checkpoint', b'PK\x03\x04 truncated'])
def test_unreadable_files(tmp_path, content):
    path = tmp_path / 'a.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='a.pth.*readable'):
        checkpoint.load_official(path)


def test_files_without_weights(tmp_path):
    torch.save(dict(optimizer=dict(lr=1)), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='neither a state dict'):
        checkpoint.load_official(tmp_path / 'a.pth')


def test_differing_aliases_are_refused(official):
    name = 'transformer.decoder.class_embed.3.bias'
    changed = dict(official, **{name: official[name] + 1})
    with pytest.raises(ValueError, match='class_embed.3.bias.*differ'):
        checkpoint.from_official(changed)


def test_all_that_does_not_fit_is_listed(official, model):
    changed = dict(official)
    del changed['transformer.level_embed']
    changed['transformer.keypoint_embedding.weight'] = torch.zeros(14, 256)
    changed['label_enc.weight'] = torch.zeros(3)
    problems = dict(
        checkpoint.compare_with_model(
            checkpoint.from_official(changed), model))
    assert problems == {
        'head.level_embed': 'missing in the checkpoint',
        'head.decoder.keypoint_embedding.weight':
        'shape (14, 256), the model has (17, 256)',
        'label_enc.weight': 'unknown to the model',
    }


def test_tool_converts(tmp_path, official, model):
    src = save(tmp_path / 'official.pth', official)
    run = convert(src, tmp_path / 'new' / 'ours.pth')
    assert run.returncode == 0, run.stderr
    assert '662 entries, of which 48 stored twice' in run.stdout
    written = torch.load(tmp_path / 'new' / 'ours.pth', weights_only=True)
    model.load_state_dict(written['state_dict'], strict=True)


def test_tool_refuses_with_a_table(tmp_path, official):
    changed = dict(official)
    del changed['input_proj.2.0.weight']
    run = convert(save(tmp_path / 'official.pth', changed), tmp_path / 'o.pth')
    assert run.returncode == 1
    assert 'neck.convs.2.conv.weight  missing in the checkpoint' in run.stderr
    assert 'Traceback' not in run.stderr
    assert sorted(os.listdir(tmp_path)) == ['official.pth']
