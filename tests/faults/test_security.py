"""Files from outside execute nothing, no shell reads what a user typed, and
nothing is written outside the folder that the user named."""
import ast
import io
import json
import os
import pickle
import re
import sys
import tarfile
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.runner.checkpoint import (CheckpointLoader, load_checkpoint,
                                        load_from_local)
from mmpose.registry import DATASETS

from projects.grouppose.checkpoints import mmengine_loading
from projects.grouppose.checkpoints.fit import read_run
from projects.grouppose.data.metainfo import load_metainfo
from projects.grouppose.describe import describe
from projects.grouppose.engine import SafeRunner
from tests.helpers.bad_cases import (dataset_config, drawn_checkpoint,
                                     image_entry, person)
from tests.helpers.pickles import Made, make_run
from tests.helpers.tool_runs import ROOT, TOOLS, load_tool

__all__ = ['drawn_checkpoint']  # a fixture

# What must not be called, and the only files that may.
FORBIDDEN = {
    'eval': (),
    'exec': (),
    'compile': (),
    'os.system': (),
    'os.popen': (),
    'pickle.load': (),
    'pickle.loads': (),
    'pickle.Unpickler': (),
    'yaml.load': (),
    'joblib.load': (),
    'torch.load': ('projects/grouppose/checkpoints/safe_unpickler.py', ),
    'torch.jit.load': (),
    'torch.hub.load': (),
    'load_checkpoint': (),
    'mmengine.load': (),
}


def sources(suffix: str) -> list:
    return [
        path for folder in ('projects', 'tools', 'benchmarks')
        for path in sorted((ROOT / folder).rglob(f'*{suffix}'))
    ]


def calls(path: Path):
    """All calls of a Python file: what is called, and its arguments."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.keywords


def test_no_call_that_executes_files_or_text():
    found = []
    for path in sources('.py'):
        name = str(path.relative_to(ROOT))
        for called, keywords in calls(path):
            if name not in FORBIDDEN.get(called, (name, )):
                found.append(f'{name}: {called}')
            for keyword in keywords:
                if keyword.arg in ('shell', 'allow_pickle'):
                    found.append(f'{name}: {called}({keyword.arg}=')
    assert not found


def test_no_shell_script_evaluates_text():
    for path in sources('.sh'):
        code = re.sub(r'(?m)^\s*#.*', '', path.read_text())
        assert 'set -euo pipefail' in code or 'launch.sh' in code, path
        assert not re.search(r'(?m)(^|[;&|(])\s*eval\s', code), path
        assert not re.search(r'\b(ba)?sh -c\b', code), path


HOSTILE = [
    '$(touch harm)', '`touch harm`', '; touch harm', '| touch harm',
    '&& touch harm', '> harm', "'; touch harm; '", '*', '-c'
]


@pytest.mark.parametrize('script, own', [
    ('dist_train.sh', ['c.py', '2']),
    ('dist_test.sh', ['c.py', 'm.pth', '2']),
    ('slurm_train.sh', ['part', 'job', 'c.py', 'out']),
    ('slurm_test.sh', ['part', 'job', 'c.py', 'm.pth']),
])
def test_scripts_pass_arguments_on_as_they_are(shell, tmp_path, script, own):
    before = set(os.listdir(tmp_path))
    answer = shell(
        script, *own, *HOSTILE, SRUN_ARGS='$(touch harm) ; touch harm')
    assert answer.returncode == 0
    lines = answer.stdout.split('\n')
    start = lines.index(HOSTILE[0])
    assert lines[start:start + len(HOSTILE)] == HOSTILE
    for position, argument in enumerate(own):
        if argument != '2':
            hostile = list(own)
            hostile[position] = HOSTILE[0]
            assert HOSTILE[0] in shell(script, *hostile).stdout
    assert set(os.listdir(tmp_path)) == before


@pytest.fixture
def harm(tmp_path):
    """An object that makes a folder when it is unpickled by the book."""
    path = tmp_path / 'harm'
    yield Made(os.mkdir, (str(path), ))
    assert not path.exists()


@pytest.mark.parametrize(
    'name', ['a.pkl', 'a.pickle', 'a.yaml', 'a.yml', 'a.json', 'a.py'])
def test_annotation_files_execute_nothing(tmp_path, harm, name):
    """Whatever they contain and are called."""
    config = dataset_config(tmp_path, ann_file=name)
    for content in (pickle.dumps(harm),
                    b'!!python/object/apply:os.mkdir ["%s/harm"]' %
                    str(tmp_path).encode()):
        (tmp_path / name).write_bytes(content)
        for act in (lambda: DATASETS.build(config),
                    lambda: describe(tmp_path / name, tmp_path / 'out')):
            with pytest.raises(ValueError, match=f'{name}: not valid JSON'):
                act()


@pytest.mark.parametrize('name', [
    'nose\n__import__("os").mkdir("harm")\n',
    'nose\r__import__("os").mkdir("harm")\r',
    '\'"),\n__import__("os").mkdir("harm")',
    '"{{X:\\\'+open(chr(104),chr(119))#}}',
    '{{ fileDirname }}',
    '{{ _base_.metainfo }}',
    '\ud800',
])
def test_names_of_keypoints_are_no_code(tmp_path, monkeypatch, name):
    """metainfo.py, which is written from them, is executed later."""
    monkeypatch.chdir(tmp_path)
    people = [person(i, image_id=1 + i % 2) for i in range(4)]
    for ann in people:
        ann['keypoints'] = [10, 20, 2, 30, 20, 2]
    dataset_config(tmp_path, people)
    content = json.loads((tmp_path / 'ann.json').read_text())
    content['categories'][0]['keypoints'] = [name, 'other']
    content['categories'][0]['skeleton'] = [[1, 2]]
    (tmp_path / 'ann.json').write_text(json.dumps(content))
    out = tmp_path / 'out'
    result = describe('ann.json', out)
    assert result.ready
    before = set(os.listdir(tmp_path)) | {'out'}
    result.write(out)
    metainfo = load_metainfo(dict(from_file=str(out / 'metainfo.py')))
    assert metainfo['keypoint_id2name'][0] == name
    assert set(os.listdir(tmp_path)) == before


def test_all_that_mmengine_loads_is_read_safely(tmp_path, harm, monkeypatch):
    """Pretrained backbones, `load_from`, files on the web and in zoos."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    model = torch.nn.Linear(2, 2)
    weights = dict(weight=torch.ones(2, 2), bias=torch.ones(2))
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=weights, args=harm), path)
    url = path.as_uri()
    monkeypatch.setitem(mmengine_loading.ZOOS, 'torchvision://',
                        lambda: dict(net=url))
    classifier = {f'backbone.{name}': w for name, w in weights.items()}
    torch.save(dict(state_dict=classifier, args=harm), tmp_path / 'b.pth')
    monkeypatch.setitem(mmengine_loading.ZOOS, 'mmcls://',
                        lambda: dict(net=(tmp_path / 'b.pth').as_uri()))
    monkeypatch.setenv('HOME', str(tmp_path))
    find = CheckpointLoader._get_checkpoint_loader
    with mmengine_loading.executing_nothing():
        for name in (str(path), '~/a.pth', 'torchvision://net', 'mmcls://net'):
            torch.nn.init.zeros_(model.weight)
            load_checkpoint(model, name)
            assert (model.weight == 1).all()
        for prefix in ('http', 'https'):
            assert find(f'{prefix}://a.pth') is mmengine_loading.load_from_url
        with pytest.raises(ValueError, match='other: .* There are: net'):
            load_checkpoint(model, 'torchvision://other')
    assert find('a.pth') is load_from_local
    for name in ('torchvision://net', 's3://bucket/a.pth', str(path)):
        assert mmengine_loading.fetch(name) == name  # left to who knows it
    loaded = mmengine_loading.load_from_url(url)
    assert loaded['state_dict'].keys() == weights.keys()
    assert (tmp_path / 'cache/hub/checkpoints/a.pth').exists()


def write_tar(path: Path, harm) -> None:
    """The oldest format of torch.save, which torch.load still reads."""
    with tarfile.open(path, 'w') as tar:
        for name in ('sys_info', 'storages', 'tensors', 'pickle'):
            content = pickle.dumps(harm)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    'load',
    [mmengine_loading.load_from_file, lambda path: read_run(path, None)])
def test_the_oldest_format(tmp_path, harm, load):
    write_tar(tmp_path / 'a.pth', harm)
    with pytest.raises(ValueError, match='a.pth'):
        load(str(tmp_path / 'a.pth'))


@pytest.fixture
def tool(monkeypatch):
    """Load a program of tools/ as a module."""
    for folder in ('', 'analysis_tools', 'deployment'):
        monkeypatch.syspath_prepend(str(TOOLS / folder))
    monkeypatch.delitem(sys.modules, 'launch', raising=False)
    return lambda name, folder='': load_tool(name, TOOLS / folder)


def stop(runner):
    raise ValueError('the weights of the backbone were read')


@pytest.mark.parametrize('way, message', [
    ('load_from', 'a is not a tensor'),
    ('resume', 'cannot be resumed from .*mkdir'),
    ('pretrained', 'the weights of the backbone were read'),
])
def test_training_executes_nothing(drawn_config, tmp_path, harm, monkeypatch,
                                   way, message):
    path = tmp_path / 'a.pth'
    config = Config.fromfile(drawn_config)
    torch.save(dict(make_run(), state_dict=dict(a=harm), x=harm), path)
    changes = dict(load_from=str(path), resume=way == 'resume')
    if way == 'pretrained':
        monkeypatch.setattr(SafeRunner, 'load_or_resume', stop)
        init = dict(type='Pretrained', checkpoint=str(path))
        changes = dict(model=dict(backbone=dict(init_cfg=init)))
    config.merge_from_dict(
        dict(
            changes,
            work_dir=str(tmp_path / 'out'),
            log_level='CRITICAL',
            experiment_name=tmp_path.name))
    runner = Runner.from_cfg(config)
    with pytest.raises(ValueError, match=message):
        runner.train()


def test_evaluation_executes_nothing(tool, drawn_config, drawn_checkpoint,
                                     tmp_path, harm, capsys):
    """Weights that fit are evaluated, whatever is beside them."""
    test = tool('test')
    path = tmp_path / 'a.pth'
    weights = torch.load(drawn_checkpoint)['state_dict']
    torch.save(dict(state_dict=weights, x=harm), path)
    test.main([
        str(drawn_config),
        str(path), '--work-dir',
        str(tmp_path / 'out'), '--out',
        str(tmp_path / 'metrics.json'), '--cfg-options', 'log_level=CRITICAL',
        f'experiment_name={tmp_path.name}'
    ])
    assert 'coco/AP' in json.loads((tmp_path / 'metrics.json').read_text())


def outside(folder: Path) -> dict:
    """All files that are not below `out`, with their content."""
    return {
        path: path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file() and folder / 'out' not in path.parents
    }


NAMES = [
    '../../up.png', 'deep/in/it.png', '/absolute.png', 'sub/../../up.png',
    '$(touch harm).png', '; touch harm #.png', 'a\nb.png'
]


@pytest.mark.parametrize('name', NAMES)
def test_output_of_data_sets_stays(tool, drawn_config, tmp_path, monkeypatch,
                                   name):
    """Whatever `file_name` says: pictures of browse_dataset.py, the split of
    describe_dataset.py."""
    work = tmp_path / 'a/b'
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    if name.startswith('/'):
        name = f'{tmp_path}{name}'
    images = [image_entry(1, file_name=name), image_entry(2)]
    people = [person(1), person(2, image_id=2)]
    config = dataset_config(work, people, images)
    (work / name).parent.mkdir(parents=True, exist_ok=True)
    (work / '1.png').rename(work / name)
    Config(dict(train_dataloader=dict(dataset=config))).dump('config.py')
    before = outside(work.parent.parent)

    arguments = ['', 'config.py', '--out', 'out/pictures']
    monkeypatch.setattr(sys, 'argv', arguments)
    tool('browse_dataset', 'analysis_tools').main()
    describe('ann.json', 'out').write(Path('out'))
    assert len(list((work / 'out/pictures').iterdir())) == 2
    moved = outside(tmp_path)
    assert {path: moved[path] for path in before} == before
    assert {path
            for path in moved
            if work / 'out' not in path.parents} == set(before)


@pytest.mark.parametrize('name', NAMES)
def test_output_of_inference_stays(tool, drawn_config, drawn_checkpoint,
                                   tmp_path, monkeypatch, name):
    work = tmp_path / 'a/b'
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    if name.startswith('/'):
        name = f'{tmp_path}{name}'
    dataset_config(work)
    path = work / name
    path.parent.mkdir(parents=True, exist_ok=True)
    (work / '1.png').rename(path)
    before = set(tmp_path.rglob('*'))
    code = tool('infer').main([
        name, '--config',
        str(drawn_config), '--checkpoint',
        str(drawn_checkpoint), '--out', 'out', '--device', 'cpu'
    ])
    assert code == 0
    written = {
        str(path.relative_to(work / 'out'))
        for path in set(tmp_path.rglob('*')) - before if path.is_file()
    }
    assert written == {'predictions.json', f'visualizations/{path.name}'}
