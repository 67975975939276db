"""Checkpoint files in all states, on every way that a user brings one: for
inference, to start or resume training from, and to be converted."""
import os
import pickle
import sys
from argparse import Namespace
from collections import OrderedDict

import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from projects.grouppose.checkpoints.fit import check_start, read_run
from projects.grouppose.inference import load_model
from tests.helpers.bad_cases import answer, drawn_checkpoint, table
from tests.helpers.pickles import Made, make_run
from tests.helpers.tool_runs import ROOT, TOOLS, load_tool

__all__ = ['drawn_checkpoint']  # a fixture


@pytest.fixture(scope='module')
def model(drawn_config):
    return MODELS.build(Config.fromfile(drawn_config).model)


class Files:
    """Makes the files of the table.

    Args:
        weights (dict[str, Tensor]): What a file for the model holds.
        harm (Made): Executes something when it is unpickled by the book.
    """

    def __init__(self, weights, harm):
        self.weights = weights
        self.harm = harm

    def run(self, **changes) -> dict:
        """What a training run saves."""
        run = dict(make_run(), state_dict=OrderedDict(self.weights))
        run['meta'].update(iter=3)
        return dict(run, **changes)

    def weights_of(self, **settings) -> dict:
        """Weights of a model with other settings."""
        config = Config.fromfile(ROOT / self.config)
        config.merge_from_dict({'model': settings})
        return dict(state_dict=MODELS.build(config.model).state_dict())

    config = 'configs/body_2d_keypoint/grouppose/drawn/' \
        'grouppose_tiny-res18_1xb8-6e_drawn-128.py'

    def changed(self, change) -> dict:
        """A run whose weights are all changed."""
        weights = {name: change(w) for name, w in self.weights.items()}
        return self.run(state_dict=weights)


def half(weight):
    return weight.half() if weight.is_floating_point() else weight


def nan(weight):
    return weight * float('nan') if weight.is_floating_point() else weight


def five(files):
    codec = dict(type='OKSKeypointCodec', sigmas=[0.1] * 5, _delete_=True)
    return files.weights_of(head=dict(data_decoder=codec))


def deeper(files):
    return files.weights_of(backbone=dict(depth=34))


def official(files):
    return dict(model={'transformer.level_embed': torch.ones(4, 256)})


def around(files):
    return files.run(args=files.harm)


def among(files):
    return files.run(state_dict=dict(files.weights, harm=files.harm))


UNREADABLE = 'not a readable PyTorch checkpoint .*downloaded completely'
UNRESUMABLE = 'cannot be resumed from'
NOT_OURS = 'none of its .* for the model of the config. Give'
# What is in the file: bytes, or what makes an object to save. What is said of
# it for inference, to resume from and to start from; True where it is taken.
FILES = [
    ('a run', Files.run, True, True, True),
    ('weights only', lambda files: files.weights, True,
     f'{UNRESUMABLE}, it has no state_dict of a run.*load_from', True),
    ('converted', lambda files: dict(meta={}, state_dict=files.weights), True,
     f'{UNRESUMABLE}, it has no epoch of a run.*load_from', True),
    ('half precision', lambda files: files.changed(half), True, True, True),
    # no checkpoint
    ('empty', b'', UNREADABLE, UNRESUMABLE, UNREADABLE),
    ('text', b'version https://git-lfs', UNREADABLE, UNRESUMABLE, UNREADABLE),
    ('archive', b'PK\3\4' + bytes(500), UNREADABLE, UNRESUMABLE, UNREADABLE),
    ('half', 0.5, UNREADABLE, UNRESUMABLE, UNREADABLE),
    ('end missing', 0.999, UNREADABLE, UNRESUMABLE, UNREADABLE),
    ('a number', lambda files: 3, 'holds no weights but a int. Give a state',
     f'{UNRESUMABLE}, it has no state_dict', 'holds no weights but a int'),
    # of something else
    ('optimizer only', lambda files: dict(optimizer=dict(state={})),
     'optimizer is not a tensor but a dict of 1 entries. Give a state dict',
     f'{UNRESUMABLE}, it has no state_dict', 'optimizer is not a tensor'),
    ('other K', five, r'not fit .*tiny.py: 3 entries.*\(5, .* has \(17, ',
     f'{UNRESUMABLE}, it has no epoch',
     r'does not fit .*shape \(5, .* has \(17.*; 2 more.*change_keypoints'),
    ('a run with other K',
     lambda files: files.run(state_dict=five(files)['state_dict']),
     'not fit .*tiny.py: 3 entries', r'of another model .*\(5, .* has \(17, ',
     'does not fit .*change_keypoints'),
    ('other backbone', deeper, 'not fit .*tiny.py: .*unknown to the model',
     f'{UNRESUMABLE}, it has no epoch', True),
    ('a run with other backbone',
     lambda files: files.run(state_dict=deeper(files)['state_dict']),
     'not fit .*tiny.py', 'of another model .*unknown to the model', True),
    ('of the official program', official,
     'is a checkpoint of the official .*Convert it first: python tools/',
     f'{UNRESUMABLE}, it has no state_dict', 'Give a state dict'),
    ('nothing in common', lambda files: dict(state_dict=dict(a=torch.ones(1))),
     'not fit .*tiny.py', f'{UNRESUMABLE}, it has no epoch', NOT_OURS),
    ('NaN', lambda files: files.changed(nan),
     'not fit .*holds NaN or infinite values',
     'another model .*holds NaN or infinite', 'fit .*holds NaN or infinite'),
    # that would execute something
    ('harm around the weights', around, True,
     f'{UNRESUMABLE} .*mkdir.*not read any further', True),
    ('harm among the weights', among, 'harm is not a tensor .*mkdir',
     f'{UNRESUMABLE} .*mkdir.*not read any further', 'harm is not a tensor'),
    ('harm only', lambda files: files.harm, 'no weights but made by .*mkdir',
     f'{UNRESUMABLE} .*mkdir', 'no weights but made by .*mkdir'),
    ('a pickle', lambda files: pickle.dumps(files.harm), UNREADABLE,
     UNRESUMABLE, UNREADABLE),
    ('harm as a config', lambda files: files.run(
        meta=dict(epoch=1, iter=3, config='import os; os.mkdir("harm")')),
     True, True, True),
]


@pytest.fixture
def files(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = str(tmp_path / 'harm')
    yield Files(model.state_dict(), Made(os.mkdir, (path, )))
    assert not os.path.exists(path)


@table('content, inferred, resumed, started', FILES)
def test_files(drawn_config, model, files, tmp_path, content, inferred,
               resumed, started):
    path = str(tmp_path / 'file.pth')
    if callable(content):
        content = content(files)
    share = content if isinstance(content, float) else 1
    if isinstance(content, float):
        content = files.run()
    if not isinstance(content, bytes):
        torch.save(content, path)
        with open(path, 'rb') as file:
            content = file.read()
    with open(path, 'wb') as file:
        file.write(content[:int(share * len(content))])

    config = Config.fromfile(drawn_config)
    for act, expected in ((lambda: load_model(config, path, 'cpu'),
                           inferred), (lambda: read_run(path, model), resumed),
                          (lambda: check_start(path, model), started)):
        if isinstance(expected, str):
            expected = '(?s)file.pth.*' + expected
        answer(act, expected)
    if resumed is True:
        assert 'config' not in read_run(path, model)['meta']


def test_files_that_are_not_there(drawn_config, model, tmp_path):
    path = str(tmp_path / 'none.pth')
    for act in (lambda: load_model(str(drawn_config), path, 'cpu'),
                lambda: read_run(path, model),
                lambda: check_start(path, model)):
        answer(act, 'none.pth')


@pytest.fixture
def tools(monkeypatch):
    for folder in (TOOLS, TOOLS / 'model_converters'):
        monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, 'launch', raising=False)


# What is in the file and what is said of it by both converters and by the
# tool that changes keypoints.
CONVERSIONS = [
    ('empty', lambda files: b'', UNREADABLE, UNREADABLE),
    ('half', lambda files: b'PK\3\4' + bytes(99), UNREADABLE, UNREADABLE),
    ('a pickle', lambda files: pickle.dumps(files.harm), UNREADABLE,
     UNREADABLE),
    ('harm only', lambda files: files.harm, 'no weights but made by .*mkdir',
     'no weights but made by .*mkdir'),
    ('harm among the weights', lambda files: dict(
        model=dict(a=files.harm), state_dict=dict(a=files.harm)),
     'a is not a tensor but made by .*mkdir',
     'a is not a tensor but made by .*mkdir'),
    ('optimizer only', lambda files: dict(optimizer=dict(state={})),
     'optimizer is not a tensor', 'optimizer is not a tensor'),
    ('of something else', lambda files: dict(a=torch.ones(1)),
     'no published config has its backbone', 'not weights of this project'),
    ('other K', five, 'state_dict is not a tensor|no published config',
     'it is for 5 keypoints, .*coco.py has 17'),
]


@table('content, converted, changed', CONVERSIONS)
def test_conversions(tools, files, tmp_path, monkeypatch, content, converted,
                     changed):
    path, out = str(tmp_path / 'file.pth'), tmp_path / 'out.pth'
    content = content(files)
    if isinstance(content, bytes):
        (tmp_path / 'file.pth').write_bytes(content)
    else:
        torch.save(content, path)
    folder = TOOLS / 'model_converters'
    for name in ('official_to_mmpose', 'mmpose_to_official'):
        tool = load_tool(name, folder)
        answer(lambda: tool.convert(path, str(out), None),
               'file.pth: .*' + converted)
    tool = load_tool('change_keypoints', folder)
    args = Namespace(
        src=path,
        dst=str(out),
        from_metainfo='configs/_base_/datasets/coco.py',
        to_metainfo='configs/_base_/datasets/crowdpose.py',
        alias=[],
        num_queries=None)
    answer(lambda: tool.convert(args), 'file.pth: .*' + changed)
    assert not out.exists()
