"""The command line tools: their arguments, launch scripts and pins."""
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.tool_runs import ROOT, TOOLS, load_tool

CONFIG = """
train_cfg = dict(max_epochs=3)
train_dataloader = dict(batch_size=2)
val_cfg = dict()
val_dataloader = dict()
val_evaluator = dict(type='CocoMetric')
test_evaluator = dict(type='CocoMetric')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(lr=0.1))
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(visualization=dict(type='PoseVisualizationHook'))
"""


class RecordingRunner:
    """Stands in for the runner and keeps the config it is given."""

    cfg = None

    @classmethod
    def from_cfg(cls, cfg):
        cls.cfg = cfg
        return cls()

    def train(self):
        pass

    def test(self):
        return {'coco/AP': 0.5}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Call a tool in an empty folder; answer with the config it runs."""
    for name in ('config.py', 'model.pth'):
        (tmp_path / name).write_text(CONFIG if name == 'config.py' else '')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(TOOLS))
    for name in ('LOCAL_RANK', 'RANK'):
        monkeypatch.setenv(name, '')  # so that it is restored afterwards
        monkeypatch.delenv(name)

    def call(tool, *arguments):
        sys.modules.pop('launch', None)  # so that it sees what is patched
        module = load_tool(tool)
        monkeypatch.setattr(module.launch, 'Runner', RecordingRunner)
        RecordingRunner.cfg = None
        module.main(list(arguments))
        return RecordingRunner.cfg

    return call


def test_train_by_default(run):
    cfg = run('train', 'config.py')
    assert cfg.work_dir == os.path.join('work_dirs', 'config')
    assert cfg.launcher == 'none'
    assert cfg.val_evaluator.type == 'CocoMetric'
    assert not cfg.get('resume') and not cfg.auto_scale_lr.get('enable')
    assert not cfg.default_hooks.visualization.get('enable')


def test_train_arguments_reach_the_config(run):
    cfg = run('train', 'config.py', '--work-dir', 'out', '--no-validate',
              '--auto-scale-lr', '--show-dir', 'drawn', '--interval', '7',
              '--cfg-options', 'train_cfg.max_epochs=1', 'work_dir=other')
    assert cfg.work_dir == 'out'  # the argument prevails over the option
    assert cfg.val_cfg is cfg.val_dataloader is cfg.val_evaluator is None
    assert cfg.auto_scale_lr.enable
    hook = cfg.default_hooks.visualization
    assert hook.enable and not hook.show
    assert (hook.out_dir, hook.interval) == (os.path.abspath('drawn'), 7)
    assert cfg.train_cfg.max_epochs == 1


@pytest.mark.parametrize(
    'text, value',
    [
        ("[dict(type='X')]", [dict(type='X')]),
        ("[dict(type='X', end=3), dict(type='mmpose.Y', a=-1e-3)]",
         [dict(type='X', end=3),
          dict(type='mmpose.Y', a=-1e-3)]),
        ('[dict(type=mmpose.X,betas=(0.9,0.99))]',
         [dict(type='mmpose.X', betas=(0.9, 0.99))]),
        ("dict(a=dict(b=[1, {'c': None}]))",
         dict(a=dict(b=[1, dict(c=None)]))),
        ("{'a': 1}", dict(a=1)),
        ('(1, dict(a=2))', (1, dict(a=2))),
        # as MMEngine has it
        ('[a, 2, (3, true)]', ['a', 2, (3, True)]),
        ('a,b', ['a', 'b']),
        ('epoch_{}.pth', 'epoch_{}.pth'),
        ("'(640, 640)'", (640, 640)),
    ])
def test_options_of_the_config(run, text, value):
    cfg = run('train', 'config.py', '--cfg-options', f'param_scheduler={text}')
    assert cfg.to_dict()['param_scheduler'] == value


def test_several_options(run):
    options = ["a=[dict(b='X')]", 'train_cfg.max_epochs=1']
    cfg = run('train', 'config.py', '--cfg-options', *options, '--cfg-options',
              'c=2')
    assert (cfg.a[0].b, cfg.train_cfg.max_epochs, cfg.c) == ('X', 1, 2)


@pytest.mark.parametrize('text', [
    'f(a, b)', '[1, 2', "[dict(type='X']", "dict('X')", 'dict(**a)',
    'dict(a=open(b))', '{**a}', '[dict(a=1 +)]'
])
def test_options_that_cannot_be_read(run, capsys, text):
    with pytest.raises(SystemExit):
        run('train', 'config.py', '--cfg-options', f'a.b={text}')
    error = capsys.readouterr().err
    assert f'--cfg-options: a.b={text}: cannot be read. Write lists' in error
    assert error.count('\n') == 1


def test_pictures_are_where_the_user_said(drawn_config, tmp_path, monkeypatch,
                                          unformatted_configs):
    """A folder below the current one. Validation draws an image of each of
    the two batches, a test all four."""
    monkeypatch.syspath_prepend(str(TOOLS))
    launch = load_tool('launch')
    monkeypatch.chdir(tmp_path)
    for phase, count in (('val', 2), ('test', 4)):
        parser = launch.ArgumentParser('')
        parser.add_argument('config')
        parser.add_shared_arguments()
        args = parser.parse_args([
            str(drawn_config), '--show-dir', f'deep/{phase}', '--work-dir',
            'out', '--cfg-options', f'experiment_name={tmp_path}-{phase}',
            f'visualizer.name={tmp_path}-{phase}'
        ])
        runner = launch.build_runner(launch.load_config(parser, args))
        getattr(runner, phase)()
        assert len(list(Path(f'deep/{phase}').glob('*.*g'))) == count


@pytest.mark.parametrize('backends, kept', [
    ([], []),
    ([dict(type='LocalVisBackend')], []),
    (dict(type='mmengine.LocalVisBackend'), []),
    ([dict(type='LocalVisBackend'),
      dict(type='TensorboardVisBackend')], ['TensorboardVisBackend']),
])
def test_pictures_take_a_backend_with_a_folder(run, backends, kept):
    Path('own.py').write_text(CONFIG + f'visualizer = dict(type="PoseVisuali'
                              f'zer", vis_backends={backends})')
    cfg = run('train', 'own.py', '--show-dir', 'a')
    *others, local = cfg.visualizer.vis_backends
    assert [item.type for item in others] == kept
    assert local.type.endswith('LocalVisBackend')
    assert local.img_save_dir == os.path.abspath('a')


@pytest.mark.parametrize('arguments, load_from',
                         [(['--resume'], None),
                          (['--resume', 'model.pth'], 'model.pth')])
def test_train_resume(run, arguments, load_from):
    cfg = run('train', 'config.py', *arguments)
    assert cfg.resume and cfg.load_from == load_from


def test_train_amp(run, monkeypatch):
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cuda')
    wrapper = run('train', 'config.py', '--amp').optim_wrapper
    assert wrapper.type == 'AmpOptimWrapper'
    assert wrapper.loss_scale == 'dynamic'


def test_test_arguments_reach_the_config(run):
    cfg = run('test', 'config.py', 'model.pth', '--dump', 'poses.pkl', '--out',
              'deep/metrics.json')
    assert cfg.load_from == 'model.pth'
    assert [item.type
            for item in cfg.test_evaluator] == ['CocoMetric', 'DumpResults']
    assert cfg.test_evaluator[1].out_file_path == 'poses.pkl'
    assert '0.5' in Path('deep/metrics.json').read_text()


@pytest.mark.parametrize('tool, arguments, message', [
    ('train', ['none.py'], 'none.py: there is no such config file'),
    ('train', ['config.py', '--resume', 'none.pth'], 'no such file: none.pth'),
    ('train', ['config.py', '--cfg-options', 'load_from=none.pth'
               ], 'load_from: no such file: none.pth'),
    ('train', ['config.py', '--launcher', 'pytorch'], 'dist_train.sh'),
    ('train', [
        'config.py', '--auto-scale-lr', '--cfg-options',
        'auto_scale_lr.base_batch_size=0'
    ], 'base_batch_size'),
    ('train', ['config.py', '--show', '--cfg-options', 'default_hooks=None'
               ], 'PoseVisualizationHook'),
    ('test', ['config.py', 'none.pth'], 'no such file: none.pth'),
    ('test', ['config.py', 'model.pth', '--out', 'm.txt'], 'must end in'),
    ('test', ['config.py'], 'checkpoint'),
])
def test_wrong_input_is_one_line(run, capsys, tool, arguments, message):
    with pytest.raises(SystemExit) as caught:
        run(tool, *arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1


def test_amp_needs_a_gpu(run, capsys, monkeypatch):
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cpu')
    with pytest.raises(SystemExit):
        run('train', 'config.py', '--amp')
    assert '--amp needs a GPU' in capsys.readouterr().err


def test_processes_without_a_gpu_use_gloo(run, monkeypatch):
    started = []
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cpu')
    monkeypatch.setattr('torch.distributed.init_process_group',
                        lambda backend, **_: started.append(backend))
    monkeypatch.setenv('RANK', '0')
    cfg = run('train', 'config.py', '--launcher', 'pytorch')
    assert started == [cfg.env_cfg.dist_cfg.backend] == ['gloo']
    # Else MMEngine would put the model on the CUDA device of its rank.
    assert cfg.model_wrapper_cfg.device_ids is None


@pytest.mark.parametrize('script, own', [('dist_train.sh', ['c.py']),
                                         ('dist_test.sh', ['c.py', 'm.pth'])])
def test_dist_scripts(shell, script, own):
    lines = shell(script, *own, '3', '--work-dir', 'a b').stdout.split('\n')
    tool = script.replace('dist_', '').replace('.sh', '.py')
    after = lines.index(str(TOOLS / tool))
    assert lines[after +
                 1:-2] == [*own, '--work-dir', 'a b', '--launcher', 'pytorch']
    options = ' '.join(lines[:after])
    assert '--nproc_per_node 3' in options
    assert '--nnodes 1' in options and '--master_port 4321' in options
    assert lines[-2].startswith(f'PYTHONPATH={ROOT}')


def test_dist_script_on_several_machines(shell):
    options = ' '.join(
        shell(
            'dist_train.sh',
            'c.py',
            '8',
            NNODES='2',
            NODE_RANK='1',
            MASTER_ADDR='host',
            PORT='77').stdout.split('\n'))
    for part in ('--nnodes 2', '--node_rank 1', '--master_addr host',
                 '--master_port 77'):
        assert part in options
    # Without PORT, all machines must come to the same one.
    assert '--master_port 29500' in shell(
        'dist_train.sh', 'c.py', '8',
        NNODES='2').stdout.replace('port\n', 'port ')


@pytest.mark.parametrize('script, tool, fourth',
                         [('slurm_train.sh', 'train.py', '--work-dir\nout'),
                          ('slurm_test.sh', 'test.py', 'out')])
def test_slurm_scripts(shell, script, tool, fourth):
    output = shell(
        script,
        'part',
        'job',
        'c.py',
        'out',
        '--amp',
        GPUS='4',
        SRUN_ARGS='--quotatype=spot -x node1').stdout
    assert '--gres=gpu:4\n--ntasks=4\n--ntasks-per-node=4\n' in output
    assert '--quotatype=spot\n-x\nnode1\n' in output
    assert f'{TOOLS / tool}\nc.py\n{fourth}\n--amp\n--launcher\nslurm\n' \
        in output


@pytest.mark.parametrize('script',
                         ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh'])
def test_scripts_explain_their_usage(shell, script):
    result = shell(script, 'c.py')
    assert result.returncode == 2
    assert result.stderr.startswith(f'usage: {script} ')


def test_dist_script_wants_a_number_of_processes(shell):
    result = shell('dist_train.sh', 'c.py', '--amp')
    assert result.returncode == 2
    assert 'NUM_PROCESSES must be a positive number' in result.stderr


def test_missing_modules(monkeypatch):
    environment = load_tool('environment', TOOLS / 'misc')
    assert environment.missing() == []
    monkeypatch.setattr(environment, 'MODULES', ('numpy', 'no_such_thing'))
    monkeypatch.setattr('importlib.metadata.version', lambda _: '0.29.0')
    assert environment.missing() == [
        'no_such_thing', 'mmpose 1.x (this one is 0.29.0)'
    ]


def test_unmet_requirements(tmp_path):
    environment = load_tool('environment', TOOLS / 'misc')
    wanted = tmp_path / 'wanted.txt'
    wanted.write_text('# comment\n--no-deps\npytest>=1  # tests\n'
                      'other-place; python_version < "3"\n')
    more = tmp_path / 'more.txt'
    more.write_text('numpy==0.0.1\nno-such-thing\n')
    assert environment.unmet([wanted,
                              more]) == ['numpy==0.0.1', 'no-such-thing']


def test_stack(monkeypatch):
    environment = load_tool('environment', TOOLS / 'misc')
    version = importlib.metadata.version
    forks = {'onedl-mmengine': '0.10.12'}
    monkeypatch.setattr('importlib.metadata.version',
                        lambda name: forks.get(name) or version(name))
    assert environment.stack() == 'modern'

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr('importlib.metadata.version', absent)
    assert environment.stack() == 'classic'


def test_interrupted_installations_are_forgotten(tmp_path, monkeypatch):
    environment = load_tool('environment', TOOLS / 'misc')
    monkeypatch.setattr('site.getsitepackages', lambda: [str(tmp_path)])
    for name in ('whole', 'cut', 'unfinished'):
        info = tmp_path / f'{name}-1.0.dist-info'
        info.mkdir()
        (info / 'RECORD').write_text(f'{name}.py,,\nold/{name}.pyc,,\n')
        if name != 'unfinished':
            (info / 'INSTALLER').write_text('pip')
        if name != 'cut':
            (tmp_path / f'{name}.py').touch()
    assert sorted(
        environment.drop_incomplete()) == ['cut-1.0', 'unfinished-1.0']
    assert [path.stem
            for path in tmp_path.glob('*.dist-info')] == ['whole-1.0']


@pytest.fixture
def install(tmp_path):
    """Run the installer of a clone where nothing can be installed."""
    for name in ('tools/install.sh', 'tools/misc/environment.py'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    environment = tmp_path / 'tools/misc/environment.py'
    mark = subprocess.check_output(
        [sys.executable, environment, 'fingerprint'], text=True).strip()
    # Spares it a look whether this environment works, which takes a while.
    (tmp_path / f'.install/works-{mark}').mkdir(parents=True)

    def call(*arguments, **variables):
        path = os.path.dirname(sys.executable) + os.pathsep
        env = dict(os.environ, PATH=path + os.environ['PATH'], STACK='')
        return subprocess.run(
            ['bash', tmp_path / 'tools/install.sh', *arguments],
            env=dict(env, PYTHON='no-such-python', **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True)

    return call


def test_installer_uses_the_active_environment(install):
    own = load_tool('environment', TOOLS / 'misc').stack()
    for answer in (install(), install('--stack', own), install(STACK=own)):
        assert answer.returncode == 0, answer.stderr
        python = answer.stdout.strip()
        assert Path(python).parent.samefile(os.path.dirname(sys.executable))


def test_installer_of_the_other_stack(install):
    own = load_tool('environment', TOOLS / 'misc').stack()
    other, = {'classic', 'modern'} - {own}
    answer = install('--stack', other, STACK=own)
    assert answer.returncode == 1 and not answer.stdout
    for message in (f'it is not of the {other} stack',
                    f'the {other} stack needs Python 3.11 or 3.1'):
        assert message in answer.stderr


@pytest.mark.parametrize('arguments, message', [
    (['--stack', 'new'], "no stack 'new': it is classic or modern"),
    (['--stack'], '--stack needs classic or modern'),
    (['--prod'], "unknown argument '--prod'"),
])
def test_wrong_arguments_of_the_installer(install, arguments, message):
    answer = install(*arguments)
    assert answer.returncode == 2
    assert answer.stderr == f'install.sh: {message} (see --help)\n'


def test_one_version_of_each_formatter():
    pins = set(
        re.findall(r'\w+==[\d.]+',
                   (ROOT / 'requirements/dev.txt').read_text()))
    hooks = (ROOT / '.pre-commit-config.yaml').read_text()
    assert pins == set(re.findall(r'\w+==[\d.]+', hooks))


def test_one_version_of_the_project():
    version = load_tool('version', ROOT / 'projects/grouppose').__version__
    assert f'\nversion: {version}\n' in (ROOT / 'CITATION.cff').read_text()


@pytest.mark.parametrize('setting, expected', [
    ({}, '1000 None'),
    (dict(GOMP_SPINCOUNT='7'), '7 None'),
    (dict(OMP_WAIT_POLICY='active'), 'None active'),
])
def test_how_threads_wait(setting, expected):
    """Set before PyTorch is loaded, unless the user did."""
    names = ('GOMP_SPINCOUNT', 'OMP_WAIT_POLICY')
    env = {key: value for key, value in os.environ.items() if key not in names}
    code = ('import os, sys, threads; assert "torch" not in sys.modules; '
            f'print(*map(os.environ.get, {names}))')
    found = subprocess.run([sys.executable, '-c', code],
                           cwd=TOOLS,
                           env=dict(env, **setting),
                           stdout=subprocess.PIPE,
                           text=True)
    assert found.stdout.strip() == expected


@pytest.mark.parametrize('tool', ['train', 'test', 'infer'])
def test_threads_are_set_first(tool):
    first = re.search(r'^(?:import|from) (\w+)',
                      (TOOLS / f'{tool}.py').read_text(), re.MULTILINE)
    assert first[1] == 'threads'
