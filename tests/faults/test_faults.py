"""What a run leaves behind when the disk is full, when it is killed while it
saves, and when numbers stop being numbers."""
import errno
import multiprocessing
import os
import random
import stat
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmpose.registry import HOOKS, OPTIM_WRAPPERS

from projects.grouppose.checkpoints.mmengine_loading import executing_nothing
from projects.grouppose.checkpoints.safe_unpickler import load_from_run
from projects.grouppose.engine.atomic_checkpoint_hook import WholeFileBackend
from tests.helpers.runs import make_runner

pytestmark = pytest.mark.usefixtures('unformatted_configs')
needs_full_device = pytest.mark.skipif(
    not os.path.exists('/dev/full'), reason='needs a device that is full')


def checkpoints(work_dir) -> list:
    """Names of all that may be taken for a checkpoint."""
    return sorted(path.name for path in Path(work_dir).glob('*.pth*'))


def read_mark(work_dir) -> str:
    return Path((work_dir / 'last_checkpoint').read_text()).name


class WatchFolder(Hook):
    """Notes which checkpoints there are just before another is written."""

    def __init__(self, folder):
        self.folder = folder
        self.seen = []

    def before_save_checkpoint(self, runner, checkpoint):
        self.seen.append(checkpoints(self.folder))


def test_the_old_checkpoint_goes_last(drawn_config, tmp_path):
    runner = make_runner(
        drawn_config, tmp_path, **{
            'default_hooks.checkpoint.max_keep_ckpts': 1,
            'default_hooks.logger.interval': 50
        })
    watch = WatchFolder(tmp_path)
    runner.register_hook(watch)
    runner.train()
    assert watch.seen == [[], ['epoch_1.pth'], ['epoch_2.pth']]
    assert checkpoints(tmp_path) == ['epoch_3.pth']
    assert read_mark(tmp_path) == 'epoch_3.pth'


def test_the_old_best_checkpoint_goes_last(drawn_config, tmp_path):
    runner = make_runner(
        drawn_config, tmp_path, validate=True, **{'train_cfg.max_epochs': 2})
    watch = WatchFolder(tmp_path)
    runner.register_hook(watch)
    # Better every time.
    scores = iter([0.1, 0.2])
    runner.build_train_loop(runner._train_loop)
    runner.val_loop.evaluator.evaluate = \
        lambda size: {'coco/AP': next(scores)}
    runner.train()
    best = 'best_coco_AP_epoch_{}.pth'.format
    first, second = 'epoch_1.pth', 'epoch_2.pth'
    assert watch.seen == [
        [],  # epoch, best, and the epoch again, with the score
        [first],
        [best(1), first],
        [best(1), first],
        [best(1), first, second],
        [best(1), best(2), first, second],
    ]
    assert checkpoints(tmp_path) == [best(2), first, second]
    hub = load_from_run(str(tmp_path / second), 'cpu')['message_hub']
    assert hub['runtime_info']['best_score'] == 0.2


def test_publishing(drawn_config, tmp_path):
    """What is published has all that was asked for."""
    runner = make_runner(
        drawn_config, tmp_path, **{
            'train_cfg.max_epochs': 1,
            'default_hooks.checkpoint.published_keys': ['meta', 'state_dict']
        })
    with executing_nothing():  # as in tools/train.py
        runner.train()
    saved = load_from_run(str(tmp_path / 'epoch_1.pth'), 'cpu')
    path, = tmp_path.glob('epoch_1-*.pth')
    published = load_from_run(str(path), 'cpu')
    assert published.keys() == {'meta', 'state_dict'}
    np.testing.assert_equal(published['meta'], saved['meta'])


@needs_full_device
def test_full_disk(drawn_config, tmp_path):
    """The error says so, and the run goes on once there is room."""
    options = {'default_hooks.checkpoint.max_keep_ckpts': 1}
    (tmp_path / 'epoch_2.pth.part').symlink_to('/dev/full')
    with pytest.raises(OSError, match='No space left') as error:
        make_runner(drawn_config, tmp_path, **options).train()
    message = str(error.value)
    assert f'{tmp_path}/epoch_2.pth: cannot be written' in message
    assert ' MB are free' in message and '--resume' in message
    assert checkpoints(tmp_path) == ['epoch_1.pth']
    assert read_mark(tmp_path) == 'epoch_1.pth'

    runner = make_runner(drawn_config, tmp_path, resume=True, **options)
    runner.train()
    assert runner.iter == 9
    assert checkpoints(tmp_path) == ['epoch_3.pth']


@needs_full_device
def test_full_disk_keeps_the_file_of_the_same_name(tmp_path):
    path = tmp_path / 'last_checkpoint'
    backend = WholeFileBackend()
    backend.put(b'old', path)
    Path(f'{path}.part').symlink_to('/dev/full')
    with pytest.raises(OSError, match='No space left'):
        backend.put(b'new', path)
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['last_checkpoint']


def test_folder_that_may_not_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match='file/epoch_1.pth: cannot be written'):
        WholeFileBackend().put(b'', tmp_path / 'file/epoch_1.pth')


def test_disks_that_sync_no_folders(tmp_path, monkeypatch):
    """Some network disks refuse it."""
    sync = os.fsync

    def sync_files(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, 'Invalid argument')
        sync(descriptor)

    monkeypatch.setattr(os, 'fsync', sync_files)
    WholeFileBackend().put(b'new', tmp_path / 'last_checkpoint')
    assert (tmp_path / 'last_checkpoint').read_bytes() == b'new'


def write_forever(path, size):
    """Write files of equal bytes until killed."""
    for i in range(1000000):
        WholeFileBackend().put(bytes([i % 256]) * size, path)


def test_killed_while_writing(tmp_path):
    """Twenty times at a random moment; the file is whole each time."""
    size, path = 4_000_000, tmp_path / 'epoch_1.pth'
    part = Path(f'{path}.part')
    generator = random.Random(0)
    context = multiprocessing.get_context('fork')
    halves = 0
    WholeFileBackend().put(bytes(size), path)
    for _ in range(20):
        process = context.Process(target=write_forever, args=(path, size))
        process.start()
        while not part.exists() and process.is_alive():
            time.sleep(0.0001)
        time.sleep(0.01 * generator.random())
        process.kill()
        process.join()
        content = np.fromfile(path, dtype=np.uint8)
        assert len(content) == size
        assert (content == content[0]).all()
        halves += part.exists()
        part.unlink(missing_ok=True)
    assert halves, 'no kill came while a file was being written'


@HOOKS.register_module(force=True)
class SpoilGradients(Hook):
    """Makes the loss of some iterations NaN.

    Args:
        iterations (Sequence[int]): Which ones, from 0.
        what (str): 'labels' or 'image', of which no value is a number.
    """

    def __init__(self, iterations, what):
        self.iterations = iterations
        self.what = what
        self.images, self.batches = [], []

    def before_train_iter(self, runner, batch_idx, data_batch):
        self.batches.append(
            {sample.img_path
             for sample in data_batch['data_samples']})
        if runner.iter not in self.iterations:
            return
        if self.what == 'image':
            image = data_batch['inputs'][0]
            data_batch['inputs'][0] = image.float() * float('nan')
        else:
            samples = [
                sample for sample in data_batch['data_samples']
                if len(sample.gt_instance_labels.keypoint_labels)
            ]
            labels = samples[0].gt_instance_labels
            labels.keypoint_labels[:] = float('nan')
            labels.keypoint_weights[:] = 1
            self.images.append(samples[0].img_path)


class KeepWeights(Hook):
    """Keeps the weights and Adam's states after each iteration."""

    def __init__(self):
        self.weights, self.steps = [], []

    def after_train_iter(self, runner, *args, **kwargs):
        self.weights.append(
            torch.cat(
                [p.detach().flatten() for p in runner.model.parameters()]))
        self.steps.append([
            float(state['step'])
            for state in runner.optim_wrapper.optimizer.state.values()
        ])


def spoil(config, work_dir, iterations, what='labels', **options):
    """A run with some spoiled iterations, and what watches it."""
    runner = make_runner(config, work_dir, **{
        'train_cfg.max_epochs': 2,
        **options
    })
    hooks = SpoilGradients(iterations, what), KeepWeights()
    for hook in hooks:
        runner.register_hook(hook, priority='HIGHEST')
    return runner, *hooks


@pytest.mark.parametrize('what', ['labels', 'image'])
def test_nan_stops_the_run(drawn_config, tmp_path, what):
    """Before any harm is done, and with the image's name."""
    runner, spoiled, kept = spoil(drawn_config, tmp_path, [4], what)
    with pytest.raises(FloatingPointError) as error:
        runner.train()
    assert 'Epoch 2, iteration 5, images: ' in str(error.value)
    assert all(image in str(error.value) for image in spoiled.batches[4])
    for image in spoiled.images:
        assert f'not finite: {image}.' in str(error.value)
    assert str(error.value).count('.jpg') == 4 + len(spoiled.images)
    assert len(spoiled.images) == (what == 'labels')
    assert torch.equal(
        kept.weights[3],
        torch.cat([p.detach().flatten() for p in runner.model.parameters()]))
    assert checkpoints(tmp_path) == ['epoch_1.pth']


@pytest.mark.parametrize('accumulate', [1, 2])
def test_nan_is_skipped(drawn_config, tmp_path, accumulate):
    """Neither weights nor the optimizer notice; all images of an update are
    named."""
    runner, spoiled, kept = spoil(
        drawn_config, tmp_path, [2], **{
            'default_hooks.gradient_guard.action': 'skip',
            'optim_wrapper.accumulative_counts': accumulate
        })
    runner.train()
    weights = kept.weights
    assert all(values.isfinite().all() for values in weights)
    skipped = 2 if accumulate == 1 else 3
    before = skipped - accumulate
    assert torch.equal(weights[skipped], weights[before])
    assert kept.steps[skipped] == kept.steps[before]
    assert not torch.equal(weights[-1], weights[skipped])
    log, = tmp_path.glob('*/*.log')
    line, = [
        line for line in log.read_text().splitlines()
        if 'Step left out' in line
    ]
    assert f'iteration {skipped + 1}, images: ' in line
    images = set.union(*spoiled.batches[before + 1:skipped + 1])
    named = line.split('images: ')[1].split('. Labels')[0]
    assert set(named.split(', ')) == images
    assert f'not finite: {spoiled.images[0]}.' in line


def test_too_much_nan_stops_the_run(drawn_config, tmp_path):
    runner, _, kept = spoil(
        drawn_config, tmp_path, [0, 2, 3, 4], **{
            'default_hooks.gradient_guard.action': 'skip',
            'default_hooks.gradient_guard.max_skips': 2
        })
    with pytest.raises(FloatingPointError, match='3 steps in a row'):
        runner.train()
    assert len(kept.weights) == 5


@OPTIM_WRAPPERS.register_module(force=True)
class ScalingOptimWrapper(OptimWrapper):
    """Leaves steps out as MMEngine's AmpOptimWrapper does, which needs a
    GPU."""

    scale = 65536

    def step(self, **kwargs):
        self._clip_grad()
        finite = all(parameter.grad.isfinite().all()
                     for parameter in self.optimizer.param_groups[0]['params']
                     if parameter.grad is not None)
        if finite:
            self.optimizer.step(**kwargs)
        else:
            self.scale //= 2


def test_overflow_is_left_to_the_loss_scaler(drawn_config, tmp_path):
    runner, spoiled, kept = spoil(
        drawn_config, tmp_path, [1, 2],
        **{'optim_wrapper.type': 'ScalingOptimWrapper'})
    part = tmp_path / 'epoch_1.pth.part'
    part.touch()  # of a run that was killed
    runner.train()
    assert not part.exists()
    assert runner.optim_wrapper.scale == 16384
    log, = tmp_path.glob('*/*.log')
    left_out = log.read_text().split('left out by the loss scaler')[1:]
    assert len(left_out) == 2
    for text, image in zip(left_out, spoiled.images):
        assert image in text.splitlines()[0]
    assert torch.equal(kept.weights[2], kept.weights[0])
    assert not torch.equal(kept.weights[3], kept.weights[2])


def test_overflow_that_never_ends(drawn_config, tmp_path):
    runner, *_ = spoil(
        drawn_config, tmp_path, range(1, 6), **{
            'optim_wrapper.type': 'ScalingOptimWrapper',
            'default_hooks.gradient_guard.max_skips': 3
        })
    with pytest.raises(FloatingPointError, match='4 steps in a row.*jpg'):
        runner.train()


@pytest.mark.parametrize('arguments', [
    dict(action='ignore'),
    dict(max_skips=0),
])
def test_impossible_guard(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        HOOKS.build(dict(type='GradientGuardHook', **arguments))


def test_several_optimizers():
    runner = SimpleNamespace(optim_wrapper=OptimWrapperDict())
    with pytest.raises(ValueError, match='gradient_guard=None'):
        HOOKS.build(dict(type='GradientGuardHook')).before_train(runner)
