"""Twenty kills, and memory over a thousand steps and images: what takes too
long for every run of the tests (``bash tools/run_slow_tests.sh``)."""
import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from projects.grouppose.checkpoints.safe_unpickler import load_from_run
from projects.grouppose.inference import load_model, predict
from tests.helpers.runs import make_runner
from tests.helpers.tool_runs import kill_tool, run_tool, start_tool

SHARE = float(os.environ.get('SLOW_TESTS', 0))
pytestmark = [
    pytest.mark.usefixtures('unformatted_configs'),
    pytest.mark.skipif(
        not SHARE, reason='takes minutes: bash tools/run_slow_tests.sh'),
    pytest.mark.skipif(not os.path.exists('/proc'), reason='needs /proc')
]
KILLS = max(2, round(20 * SHARE))
STEPS = max(60, round(1000 * SHARE))
WARM_UP = 200  # steps until memory has found its size
# More than are trained between all kills.
EPOCHS = 6 * KILLS
# Growth over all steps that is still called none, in MB.
MAX_GROWTH = 8


def report(capsys, text):
    """Print a figure, whether or not pytest captures output."""
    with capsys.disabled():
        print(f'\n{text}')


def read_weights(work_dir):
    path = work_dir / f'epoch_{EPOCHS}.pth'
    return load_from_run(str(path), 'cpu')['state_dict']


def wait_for_moment(process, work_dir, generator):
    """Wait for a random moment after training has begun, every second time
    for one at which a checkpoint is being written."""
    latest = work_dir / 'last_checkpoint'
    before = latest.stat().st_mtime_ns if latest.exists() else 0
    while not latest.exists() or latest.stat().st_mtime_ns == before:
        assert process.poll() is None, 'training ended early'
        time.sleep(0.001)
    if generator.random() < 0.5:
        time.sleep(generator.random())
    else:
        while not list(work_dir.glob('*.part')):
            assert process.poll() is None, 'training ended early'
            time.sleep(0.0005)


def test_kills(drawn_config, tmp_path, capsys):
    """However often and whenever a run is killed, all that has a checkpoint's
    name can be resumed, and the weights at the end are those of an unbroken
    run, bit for bit."""
    generator = random.Random(0)
    broken, unbroken = tmp_path / 'broken', tmp_path / 'unbroken'
    broken.mkdir()
    options = ('--cfg-options', f'train_cfg.max_epochs={EPOCHS}',
               f'param_scheduler.1.T_max={EPOCHS}')
    started = time.monotonic()
    halves = 0
    for _ in range(KILLS):
        process = start_tool('train.py', drawn_config, '--work-dir', broken,
                             '--resume', *options)
        try:
            wait_for_moment(process, broken, generator)
        finally:
            kill_tool(process)
        halves += bool(list(broken.glob('*.part')))
        found = list(broken.glob('*.pth'))
        assert (broken / 'last_checkpoint').read_text() in map(str, found)
        for path in found:
            assert load_from_run(str(path), 'cpu')['state_dict']
    epochs = max(
        int(path.stem.split('_')[1]) for path in broken.glob('epoch_*.pth'))
    for work_dir in (broken, unbroken):
        code, _, stderr = run_tool(
            'train.py',
            drawn_config,
            '--work-dir',
            work_dir,
            '--resume',
            *options,
            timeout=900)
        assert code == 0, stderr
    torch.testing.assert_close(
        read_weights(broken), read_weights(unbroken), rtol=0, atol=0)
    assert halves, 'no kill hit a checkpoint that was being written'
    report(
        capsys, f'{KILLS} kills within {epochs} of {EPOCHS} epochs, {halves} '
        'of them while a checkpoint was written: all checkpoints whole, '
        'weights at the end bit-identical to those of an unbroken run '
        f'({time.monotonic() - started:.0f} s)')


class Memory(Hook):
    """Notes how much memory the process has in use, in MB, after each step
    but the first."""

    def __init__(self):
        self.used, self.step = [], 0

    def note(self):
        self.step += 1
        if self.step > WARM_UP:
            pages = int(Path('/proc/self/statm').read_text().split()[1])
            self.used.append(pages * os.sysconf('SC_PAGE_SIZE') / 1e6)

    def after_train_iter(self, runner, *args, **kwargs):
        self.note()

    def check(self, capsys, what):
        """Fit a line and report it."""
        steps = np.arange(len(self.used))
        slope, first = np.polyfit(steps, self.used, 1)
        report(
            capsys, f'memory over {len(steps)} {what} after {WARM_UP} to '
            f'warm up: {first:.1f} MB, slope {1000 * slope:+.2f} kB for each '
            f'(least {min(self.used):.1f} MB, most {max(self.used):.1f} MB)')
        assert slope * len(steps) < MAX_GROWTH


def test_memory_of_training(drawn_config, tmp_path, capsys):
    """With validation and checkpoints in between."""
    runner = make_runner(
        drawn_config,
        tmp_path,
        validate=True,
        **{
            'train_cfg.max_epochs': -(-(STEPS + WARM_UP) // 3),
            'train_cfg.val_interval': 20,
            'default_hooks.checkpoint.interval': 20,
            'default_hooks.logger.interval': 50,
            'param_scheduler': None,
        })
    memory = Memory()
    runner.register_hook(memory)
    runner.train()
    memory.check(capsys, 'training steps')


def test_memory_of_inference(drawn_config, tmp_path, capsys):
    """On images of ten sizes: oneDNN keeps what it compiles for a size, up to
    a limit (docs/reliability.md)."""
    runner = make_runner(drawn_config, tmp_path)
    torch.save(
        dict(state_dict=runner.model.state_dict()), tmp_path / 'model.pth')
    model = load_model(
        Config.fromfile(drawn_config), str(tmp_path / 'model.pth'), 'cpu')
    memory = Memory()
    sizes = np.random.randint(40, 400, (10, 2))
    for i in range(STEPS + WARM_UP):
        height, width = sizes[i % len(sizes)]
        image = np.random.randint(0, 256, (height, width, 3), dtype=np.uint8)
        predict(model, [image])
        memory.note()
    memory.check(capsys, 'images')
