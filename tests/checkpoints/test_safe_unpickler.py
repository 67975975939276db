"""Checkpoints are read without executing what they say."""
import argparse
import builtins
import collections
import copyreg
import operator
import os
import pickle
import re
import sys
import types
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader
from mmengine.utils import digit_version

from projects.grouppose.checkpoints import official_names
from projects.grouppose.checkpoints.safe_unpickler import load_from_run
from projects.grouppose.engine import SafeRunner
from tests.helpers.pickles import WEIGHTS, Made, make_run


@pytest.fixture
def harm(tmp_path):
    """An object that makes a folder when it is unpickled by the book."""
    path = str(tmp_path / 'harm')
    yield Made(os.mkdir, (path, ))
    assert not os.path.exists(path)


LEGACY = pytest.mark.parametrize('legacy', [False, True])


def load(path, content, legacy=False, **kwargs) -> dict:
    torch.save(
        content, path, _use_new_zipfile_serialization=not legacy, **kwargs)
    return official_names.load_official(str(path))


def is_read(path, content, **kwargs) -> bool:
    loaded = load(path, dict(content, model=WEIGHTS), **kwargs)
    return loaded.keys() == WEIGHTS.keys() and all(
        torch.equal(loaded[name], WEIGHTS[name]) for name in WEIGHTS)


def test_the_harm_would_be_done(tmp_path):
    path = tmp_path / 'harm'
    torch.save(Made(os.mkdir, (str(path), )), tmp_path / 'a.pth')
    torch.load(tmp_path / 'a.pth', weights_only=False)
    assert path.exists()


@LEGACY
def test_nothing_around_the_weights_is_executed(tmp_path, harm, legacy):
    content = dict(args=harm, lists=[harm, (harm, )], keys={harm: harm})
    assert is_read(tmp_path / 'a.pth', content, legacy=legacy)


@LEGACY
def test_nothing_among_the_weights_is_executed(tmp_path, harm, legacy):
    for weights in (dict(WEIGHTS, scale=harm), harm, dict(WEIGHTS, x=[harm])):
        with pytest.raises(ValueError, match=r'a\.pth: .*Give a state dict'):
            load(tmp_path / 'a.pth', dict(model=weights), legacy)
    with pytest.raises(ValueError, match=r'scale is not.*mkdir'):
        load(tmp_path / 'a.pth', dict(WEIGHTS, scale=harm), legacy)


@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
def test_foreign_objects_take_all_that_is_done_to_them(tmp_path, harm,
                                                       protocol):
    make = collections.deque
    ways = [
        Made(make, ([harm], ), dict(state=harm)),
        Made(make, (), (dict(a=1), dict(slot=harm))),
        Made(make, (), None, iter([harm, 2])),
        Made(make, (), None, None, iter([(harm, 2), (3, harm)])),
        Made(copyreg.__newobj__, (Made, harm)),
        Made(copyreg.__newobj_ex__, (Made, (harm, ), dict(a=harm))),
        Made(Made(operator.methodcaller, ('mkdir', 'harm')), (harm, )),
        {1, (harm, )},
        collections.defaultdict(list, a=[harm]),
        complex(1, 2),
        b'bytes',
        bytearray(b'bytes'),
        slice(harm),
        argparse.Namespace(lr=harm),
    ]
    for way in ways:
        assert is_read(
            tmp_path / 'a.pth', dict(x=way), pickle_protocol=protocol), way


def test_nothing_is_imported(tmp_path, monkeypatch):

    class Config:
        lr = 1

    module = types.ModuleType('program_that_is_not_here')
    Config.__module__, Config.__qualname__ = module.__name__, 'Config'
    module.Config = Config
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        torch.save(dict(model=WEIGHTS, cfg=Config()), tmp_path / 'a.pth')
    assert official_names.load_official(tmp_path / 'a.pth').keys() \
        == WEIGHTS.keys()
    assert module.__name__ not in sys.modules


def test_checkpoints_of_mmengine_are_read(tmp_path):
    content = dict(
        meta=dict(epoch=1, dataset_meta=dict(sigmas=np.ones(17))),
        message_hub=dict(log_scalars=dict(loss=HistoryBuffer([1, 2], [1, 1]))),
        optimizer=dict(state={0: dict(exp_avg=torch.ones(2))}),
        state_dict=collections.OrderedDict(WEIGHTS))
    torch.save(content, tmp_path / 'a.pth')
    assert official_names.load_ours(tmp_path /
                                    'a.pth').keys() == WEIGHTS.keys()
    with pytest.raises(ValueError, match='dict of 2 entries.*under `model`'):
        official_names.load_official(tmp_path / 'a.pth')


def test_parameters_and_bare_state_dicts_are_read(tmp_path):
    weights = {'module.bias': torch.nn.Parameter(torch.ones(2))}
    for content in (weights, dict(model=weights)):
        assert list(load(tmp_path / 'a.pth', content)) == ['bias']


def test_torchscript_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.jit, 'load', None)  # must not be reached
    path = str(tmp_path / 'a.pth')
    torch.jit.script(torch.nn.Linear(2, 2)).save(path)
    with pytest.raises(ValueError, match='TorchScript'):
        official_names.load_official(path)


@pytest.mark.parametrize('content',
                         [b'', b'no checkpoint', b'PK\x03\x04 truncated'])
def test_unreadable_files(tmp_path, content):
    path = tmp_path / 'a.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='a.pth.*readable'):
        official_names.load_official(path)
    with pytest.raises(ValueError, match='a.pth: cannot be resumed from'):
        load_from_run(path)


@pytest.mark.parametrize('read', [official_names.load_official, load_from_run])
def test_missing_files(tmp_path, read):
    with pytest.raises(FileNotFoundError, match='a.pth'):
        read(tmp_path / 'a.pth')


def read_safely(path):
    return torch.load(path, weights_only=True)


# Older ones cannot be told what is safe; nor do they read so by default.
READERS = pytest.mark.parametrize('read', [
    load_from_run,
    pytest.param(
        read_safely,
        marks=pytest.mark.skipif(
            digit_version(torch.__version__) < digit_version('2.6.0'),
            reason='PyTorch before 2.6'))
])


@LEGACY
@READERS
def test_runs_are_read(tmp_path, read, legacy):
    path, run = tmp_path / 'a.pth', make_run()
    torch.save(run, path, _use_new_zipfile_serialization=not legacy)
    back = read(path)
    np.testing.assert_equal(back['meta'], run['meta'])
    for name, array in run['meta']['dataset_meta'].items():
        assert type(back['meta']['dataset_meta'][name]) is type(array)
    assert back['message_hub']['runtime_info'] == dict(best=0.5, step=3)
    losses = back['message_hub']['log_scalars']['loss']
    assert losses.statistics('mean', 1) == 0.75
    assert losses.statistics('min') == 1.5 and losses.current() == 1.5
    torch.testing.assert_close(back['optimizer'], run['optimizer'])
    assert back['param_schedulers'] == run['param_schedulers']
    torch.testing.assert_close(back['state_dict'], run['state_dict'])


@pytest.mark.parametrize('core', ['numpy.core', 'numpy._core'])
@READERS
def test_runs_of_any_numpy_are_read(tmp_path, read, core):
    """NumPy 2 has moved what arrays and numbers are made with."""
    content = dict(array=np.arange(3), number=np.float64(0.5))
    torch.save(content, tmp_path / 'own.pth')
    with zipfile.ZipFile(tmp_path / 'own.pth') as own, \
            zipfile.ZipFile(tmp_path / 'a.pth', 'w') as other:
        for name in own.namelist():
            content = own.read(name)
            if name.endswith('data.pkl'):
                content, count = re.subn(rb'numpy\._?core', core.encode(),
                                         content)
                assert count == 2
            other.writestr(name, content)
    back = read(tmp_path / 'a.pth')
    np.testing.assert_equal(back['array'], np.arange(3))
    assert back['number'] == 0.5


@LEGACY
@READERS
def test_runs_that_would_execute_something_are_refused(tmp_path, harm, read,
                                                       legacy):
    attribute = Made(builtins.getattr, (HistoryBuffer.min, '__globals__'))
    for content in (harm, dict(make_run(), x=harm), attribute,
                    dict(make_run(), x=attribute),
                    dict(make_run(), x=argparse.Namespace(lr=harm))):
        torch.save(
            content,
            tmp_path / 'a.pth',
            _use_new_zipfile_serialization=not legacy)
        with pytest.raises((ValueError, pickle.UnpicklingError)):
            read(tmp_path / 'a.pth')


def test_what_was_refused_is_named(tmp_path, harm):
    torch.save(dict(make_run(), x=harm), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'a\.pth: .*mkdir.*Give the compl'):
        load_from_run(tmp_path / 'a.pth')


def test_resuming_executes_nothing(tmp_path, harm):
    """Whatever PyTorch and MMEngine do; afterwards all is as before."""
    loader = CheckpointLoader._get_checkpoint_loader('a.pth')
    torch.save(dict(make_run(), x=harm), tmp_path / 'a.pth')
    runner = object.__new__(SafeRunner)
    runner.model = None
    with pytest.raises(ValueError, match='cannot be resumed from'):
        runner.resume(str(tmp_path / 'a.pth'), map_location='cpu')
    assert CheckpointLoader._get_checkpoint_loader('a.pth') is loader


@pytest.mark.parametrize('content', [
    dict(), [1], 3,
    dict(model=dict()),
    dict(optimizer=dict(lr=1)),
    dict(model=dict(a=1))
])
def test_files_without_weights(tmp_path, content):
    with pytest.raises(ValueError, match='a.pth.*one under `model`'):
        load(tmp_path / 'a.pth', content)
