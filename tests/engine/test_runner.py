"""The runner refuses what cannot come out right, whoever builds it: this
project's tools, MMPose's own, or MMEngine."""
import os
import shutil
import sys
from pathlib import Path

import mmpose
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.runner import EpochBasedTrainLoop, Runner, ValLoop
from mmpose.registry import HOOKS, RUNNERS

from projects.grouppose.checkpoints.safe_unpickler import load_from_run
from projects.grouppose.engine import GradientGuardHook, SafeRunner
from projects.grouppose.engine.runner import heed_runner_type
from tests.helpers.bad_cases import drawn_checkpoint
from tests.helpers.pickles import Made, make_run
from tests.helpers.runs import make_runner
from tests.helpers.tool_runs import load_tool

__all__ = ['drawn_checkpoint']  # a fixture

pytestmark = pytest.mark.usefixtures('unformatted_configs')
MMPOSE_TOOLS = Path(mmpose.__file__).parent / '.mim/tools'


class Stopped(Exception):
    """Instead of a training."""


def stop(loop):
    raise Stopped


@pytest.fixture
def mmpose_tool(drawn_config, tmp_path, monkeypatch):
    """Call MMPose's own train.py or test.py on the tiny model; no training
    gets further than its first step, where the runner is looked at."""
    seen = []

    def watch(loop):
        seen.append(loop.runner)
        raise Stopped

    monkeypatch.setattr(EpochBasedTrainLoop, 'run', watch)
    monkeypatch.setenv('LOCAL_RANK', '0')

    def call(tool, *arguments):
        own = [
            '--work-dir', tmp_path / 'out', '--cfg-options',
            f'experiment_name={tmp_path}', f'visualizer.name={tmp_path}'
        ]
        given = [tool, drawn_config, *arguments, *own]
        # Options may come from both.
        if '--cfg-options' in arguments:
            given = [tool, drawn_config, *own[:2], *arguments, *own[3:]]
        monkeypatch.setattr(sys, 'argv', list(map(str, given)))
        load_tool(tool, MMPOSE_TOOLS).main()

    call.seen = seen
    return call


@pytest.fixture
def harm(tmp_path):
    """An object that makes a folder when it is unpickled by the book."""
    path = tmp_path / 'harm'
    yield Made(os.mkdir, (str(path), ))
    assert not path.exists()


def test_mmpose_train_counts_accumulated_batches(mmpose_tool):
    """3e-4 for 8 images; 4 images a batch, 4 batches an update. And what the
    config says of hooks is there, too."""
    with pytest.raises(Stopped):
        mmpose_tool('train', '--auto-scale-lr', '--cfg-options',
                    'optim_wrapper.accumulative_counts=4')
    runner, = mmpose_tool.seen
    assert isinstance(runner, SafeRunner)
    rates = [
        group['initial_lr']
        for group in runner.optim_wrapper.optimizer.param_groups
    ]
    assert rates[-1] == pytest.approx(6e-4)  # of a part with lr_mult=1
    assert any(isinstance(hook, GradientGuardHook) for hook in runner.hooks)


@pytest.mark.parametrize('arguments, message', [
    (['--cfg-options', 'load_from={}'], 'a is not a tensor but made by .*mkd'),
    (['--resume', '{}'], 'cannot be resumed from .*mkdir'),
    ([
        '--cfg-options', 'model.backbone.init_cfg.type=Pretrained',
        'model.backbone.init_cfg.checkpoint={}'
    ], None),
])
def test_mmpose_train_executes_nothing(mmpose_tool, tmp_path, harm, arguments,
                                       message):
    path = tmp_path / 'a.pth'
    torch.save(dict(make_run(), state_dict=dict(a=harm), x=harm), path)
    arguments = [text.format(path) for text in arguments]
    with pytest.raises(ValueError if message else Stopped, match=message):
        mmpose_tool('train', *arguments)


def other_model(drawn_checkpoint, path) -> str:
    """Write weights one of which has another shape."""
    weights = torch.load(drawn_checkpoint)['state_dict']
    name = 'head.decoder.keypoint_embedding.weight'
    weights[name] = weights[name][:5]
    run = make_run()
    run['meta'].update(iter=3)
    torch.save(dict(run, state_dict=weights), path)
    return str(path)


@pytest.mark.parametrize('arguments, message', [
    (['--cfg-options', 'load_from={}'], 'does not fit the model of the conf'),
    (['--resume', '{}'], 'cannot be resumed from, it is of another model'),
])
def test_mmpose_train_refuses_other_models(mmpose_tool, drawn_checkpoint,
                                           tmp_path, arguments, message):
    path = other_model(drawn_checkpoint, tmp_path / 'other.pth')
    arguments = [text.format(path) for text in arguments]
    with pytest.raises(ValueError, match=f'(?s){path}.*{message}'):
        mmpose_tool('train', *arguments)


def test_mmpose_train_refuses_a_set_without_a_batch(mmpose_tool, drawn_config):
    message = (f'{drawn_config}: nothing can be trained: the training set has '
               '12 images, a batch takes 13, and drop_last leaves out what '
               'fills none. Set train_dataloader.batch_size to 12 or less')
    with pytest.raises(ValueError, match=message):
        mmpose_tool('train', '--cfg-options', 'train_dataloader.batch_size=13')


def test_mmpose_test(mmpose_tool, drawn_config, drawn_checkpoint, tmp_path,
                     harm):
    """Weights that fit are evaluated, whatever is beside them; not those that
    fill a part of the model only."""
    weights = torch.load(drawn_checkpoint)['state_dict']
    path = tmp_path / 'a.pth'
    out = tmp_path / 'metrics.json'
    torch.save(dict(state_dict=weights, x=harm), path)
    mmpose_tool('test', path, '--out', out)
    assert 'coco/AP' in out.read_text()

    weights.popitem()
    torch.save(dict(state_dict=weights), path)
    message = f'(?s){path} does not fit {drawn_config}: 1 entries.*missing in'
    with pytest.raises(ValueError, match=message):
        mmpose_tool('test', path)


def test_evaluation_on_other_keypoints(drawn_config, tmp_path):
    """They are counted before weights are read; val() does as test()."""
    codec = dict(type='OKSKeypointCodec', sigmas=[0.1] * 14, _delete_=True)
    runner = make_runner(
        drawn_config,
        tmp_path,
        validate=True,
        load_from='none.pth',
        model=dict(head=dict(data_decoder=codec)))
    message = 'tiny.py: the head predicts 14 keypoints, .* describes 17'
    for evaluate in (runner.val, runner.test):
        with pytest.raises(ValueError, match=message):
            evaluate()


def make_config(drawn_config, tmp_path, **changes) -> Config:
    cfg = Config.fromfile(drawn_config)
    cfg.merge_from_dict(dict(changes, work_dir=str(tmp_path)))
    cfg.experiment_name = cfg.visualizer.name = str(tmp_path)
    return cfg


def test_the_config_says_which_runner(drawn_config, tmp_path):
    cfg = make_config(drawn_config, tmp_path)
    runners = [
        Runner.from_cfg(cfg),
        RUNNERS.build(cfg),
        MMENGINE_RUNNERS.build(cfg),
    ]
    assert {type(runner) for runner in runners} == {SafeRunner}
    heed_runner_type()  # imported a second time, under whatever name
    for plain in ('Runner', 'mmengine.Runner', Runner, None):
        cfg.runner_type = plain
        assert type(Runner.from_cfg(cfg)) is Runner


def test_subclasses_build_themselves(drawn_config, tmp_path):

    class Own(Runner):
        pass

    cfg = make_config(drawn_config, tmp_path)
    assert type(Own.from_cfg(cfg)) is Own


def test_errors_name_the_config(drawn_config, tmp_path):
    cfg = make_config(
        drawn_config, tmp_path, model=dict(head=dict(num_queries=-1)))
    with pytest.raises(ValueError, match=f'^{drawn_config}: '):
        Runner.from_cfg(cfg)
    # A dict has no file.
    with pytest.raises(Exception, match='^(?!.*tiny.py)'):
        SafeRunner.from_cfg(cfg.to_dict())


def test_share_of_a_process_that_makes_no_batch(drawn_config, tmp_path,
                                                monkeypatch):
    """12 images for 2 processes are 6 for each, of which 8 want 8."""
    monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda:
                        (0, 2))
    runner = make_runner(drawn_config, tmp_path,
                         **{'train_dataloader.batch_size': 8})
    runner._world_size = 2
    with pytest.raises(
            ValueError,
            match='12 images, 6 for each of 2 processes, a batch takes 8, .*'
            'batch_size to 6 or less'):
        runner.train()
    assert not list(tmp_path.glob('*.pth'))


@pytest.mark.parametrize('options', [
    {
        'train_dataloader.drop_last': False
    },
    {
        'train_cfg': dict(
            _delete_=True, type='IterBasedTrainLoop', max_iters=1),
        'train_dataloader.sampler.type': 'InfiniteSampler',
        'custom_hooks': [],
        'param_scheduler': [],
    },
])
def test_batches_that_are_never_full(drawn_config, tmp_path, monkeypatch,
                                     options):
    """Without drop_last, and from a sampler without an end, there are some."""
    runner = make_runner(drawn_config, tmp_path, **{
        'train_dataloader.batch_size': 13,
        **options
    })
    monkeypatch.setattr(type(runner.train_loop), 'run', stop)
    with pytest.raises(Stopped):
        runner.train()


@pytest.fixture
def no_steps(monkeypatch):
    """Epochs without computation: each saves a checkpoint."""

    def count(loop, *args):
        loop._iter += 1

    monkeypatch.setattr(EpochBasedTrainLoop, 'run_iter', count)
    monkeypatch.setattr(ValLoop, 'run_iter', lambda *_: None)


class Watch(Hook):
    """Notes what the run started from."""

    def before_train(self, runner):
        self.iter = runner.iter


def test_a_moved_work_dir_is_resumed(drawn_config, tmp_path, no_steps):
    old, new = tmp_path / 'old', tmp_path / 'new'
    make_runner(drawn_config, old, **{'train_cfg.max_epochs': 1}).train()
    old.rename(new)
    assert (new / 'last_checkpoint').read_text() == f'{old}/epoch_1.pth'

    runner = make_runner(
        drawn_config, new, resume=True, **{'train_cfg.max_epochs': 2})
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    assert (watch.iter, runner.iter) == (3, 6)
    assert (new / 'last_checkpoint').read_text() == f'{new}/epoch_2.pth'
    log = sorted(new.glob('*/*.log'))[-1].read_text()
    assert f'{old}/epoch_1.pth is not there: resuming from {new}/epoch' in log

    (new / 'epoch_2.pth').unlink()
    runner = make_runner(drawn_config, new, resume=True)
    with pytest.raises(FileNotFoundError, match='new/last_checkpoint names'):
        runner.train()


def test_a_copied_work_dir_leaves_the_original_alone(drawn_config, tmp_path,
                                                     no_steps):
    """The best checkpoint that a better one replaces is the copy's."""
    old, new = tmp_path / 'old', tmp_path / 'new'
    best = 'best_coco_AP_epoch_{}.pth'.format
    scores = iter([0.1, 0.2])

    def train(work_dir, epochs, **options):
        runner = make_runner(
            drawn_config,
            work_dir,
            validate=True,
            **{'train_cfg.max_epochs': epochs},
            **options)
        runner.build_train_loop(runner._train_loop)
        runner.val_loop.evaluator.evaluate = \
            lambda size: {'coco/AP': next(scores)}
        runner.train()

    train(old, 1)
    shutil.copytree(old, new)
    train(new, 2, resume=True)
    assert (old / best(1)).exists()
    assert not (new / best(1)).exists()
    hub = load_from_run(str(new / 'epoch_2.pth'))['message_hub']
    assert hub['runtime_info']['best_ckpt'] == str(new / best(2))


def test_the_hook_has_its_former_name():
    assert HOOKS.get('WholeCheckpointHook') is HOOKS.get(
        'AtomicCheckpointHook')
