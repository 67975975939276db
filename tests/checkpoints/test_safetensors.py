"""Weights in the format of .safetensors, on every way that a user brings
them."""
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.runner.checkpoint import load_checkpoint
from mmpose.registry import MODELS

from projects.grouppose.checkpoints.fit import check_start, read_run
from projects.grouppose.checkpoints.mmengine_loading import executing_nothing
from projects.grouppose.checkpoints.safe_unpickler import load_weights
from projects.grouppose.inference import load_model
from tests.helpers.bad_cases import drawn_checkpoint

__all__ = ['drawn_checkpoint']  # a fixture


@pytest.fixture
def weights(drawn_checkpoint):
    return torch.load(drawn_checkpoint)['state_dict']


@pytest.fixture
def path(weights, tmp_path):
    """A file of the weights of a model."""
    torch_format = pytest.importorskip('safetensors.torch')
    path = tmp_path / 'a.safetensors'
    torch_format.save_file(weights, path)
    return str(path)


def test_weights_are_read(path, weights, drawn_config):
    loaded = load_weights(path, 'state_dict')
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)

    model = load_model(str(drawn_config), path, 'cpu', prepare=False)
    assert all(
        torch.equal(value, weights[name])
        for name, value in model.state_dict().items())


def test_training_starts_from_them(path, weights, drawn_config):
    model = MODELS.build(Config.fromfile(drawn_config).model)
    check_start(path, model)
    with executing_nothing():  # as in training
        load_checkpoint(model, path)
    assert all(
        torch.equal(value, weights[name])
        for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match='a.safetensors: cannot be resumed'):
        read_run(path, model)


def test_files_that_are_none(path, tmp_path):
    content = open(path, 'rb').read()
    for wrong in (b'', b'version https://git-lfs', content[:-1]):
        (tmp_path / 'a.safetensors').write_bytes(wrong)
        with pytest.raises(
                ValueError,
                match='a.safetensors: not readable as safetensors .*Give'):
            load_weights(path, 'state_dict')
    with pytest.raises(FileNotFoundError, match='none.safetensors'):
        load_weights(str(tmp_path / 'none.safetensors'), 'state_dict')


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, 'safetensors', None)
    with pytest.raises(
            ValueError, match='a.safetensors: .* pip install safetensors'):
        load_weights('a.safetensors', 'state_dict')
