"""A tiny DETRPose trains with all that is in the recipe: on one and two
processes, resumed to the same numbers, and in mixed precision."""
import json

import pytest
import torch
from mmengine.hooks import Hook

from projects.grouppose.data.schedule import get_switch
from tests.helpers.runs import make_runner
from tests.helpers.tool_runs import run_tool, write_drawn_config

# On top of the config for drawn people: what the large ones have, too.
RECIPE = """
train_cfg.update(val_interval=3)
default_hooks.update(
    augmentation=dict(mosaic=(1, 2), zoom_out=(1, 3), multi_scale=(0, 2)))
model = dict(
    data_preprocessor=dict(
        batch_augments=[
            dict(
                type='BatchRandomResize',
                sizes=[48, 64],
                schedule='multi_scale')
        ]))
load_pipeline = [dict(type='LoadPoseImage'), dict(type='PoseInstanceFilter')]
train_dataloader.update(num_workers=2, persistent_workers=True)
train_dataloader['dataset'].update(
    pipeline=[
        *load_pipeline,
        dict(
            type='ScheduledTransforms',
            schedule='mosaic',
            prob=0.5,
            transforms=[
                dict(
                    type='PoseMosaic',
                    short_side=32,
                    pre_transform=load_pipeline)
            ],
            otherwise=[
                dict(
                    type='ScheduledTransforms',
                    schedule='zoom_out',
                    transforms=[dict(type='PoseZoomOut')])
            ]),
        dict(type='PoseRandomFlip'),
        dict(type='PoseColorJitter'),
        dict(type='PoseFixedResize', size=64),
        dict(type='GenerateTarget', encoder=dict(type='OKSKeypointCodec')),
        dict(type='PackPoseInputs'),
    ])
"""


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    """Path of a config: 3 epochs of 3 iterations, 12 images."""
    path = write_drawn_config(tmp_path_factory.mktemp('drawn'), 'detrpose')
    path.write_text(path.read_text() + RECIPE)
    return path


@pytest.fixture(scope='module')
def trained(config, tmp_path_factory):
    """Work dir of a whole run."""
    work_dir = tmp_path_factory.mktemp('trained')
    code, _, stderr = run_tool('train.py', config, '--work-dir', work_dir)
    assert code == 0, stderr
    return work_dir


def read_rows(work_dir):
    log, = work_dir.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    return ([row for row in rows
             if 'loss' in row], [row for row in rows if 'coco/AP' in row])


def read(work_dir, epoch):
    return torch.load(work_dir / f'epoch_{epoch}.pth', map_location='cpu')


def test_log(trained):
    training, validation = read_rows(trained)
    sets = ('', 'd0.', 'pre.', 'enc.', 'denoising.', 'denoising.d0.',
            'denoising.pre.')
    terms = {f'{name}loss_{x}' for name in sets for x in ('cls', 'kpt', 'oks')}
    assert [row['step'] for row in training] == list(range(1, 10))
    for row in training:
        assert {key for key in row if 'loss_' in key} == terms
        assert row['loss'] == pytest.approx(sum(row[key] for key in terms))
    assert [row['step'] for row in validation] == [3]


def test_averaged_weights_are_saved_as_those_of_the_model(trained):
    checkpoint = read(trained, 3)
    averages, weights = checkpoint['state_dict'], checkpoint['ema_state_dict']
    assert weights['steps'] == 9
    name = 'backbone.stem.stem1.bn.running_mean'
    assert not torch.equal(averages[name], weights[f'module.{name}'])


class Watch(Hook):
    """Notes in every iteration which augmentations are on."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append(
            (runner.epoch,
             *(get_switch(name).is_on
               for name in ('mosaic', 'zoom_out', 'multi_scale'))))


def test_resume(config, trained, tmp_path):
    """Weights and averages at the end are bit-identical to those of the
    unbroken run."""
    code, _, stderr = run_tool('train.py', config, '--work-dir', tmp_path,
                               '--resume', trained / 'epoch_1.pth')
    assert code == 0, stderr
    for field in ('state_dict', 'ema_state_dict'):
        torch.testing.assert_close(
            read(tmp_path, 3)[field], read(trained, 3)[field], rtol=0, atol=0)


def test_augmentations_of_a_resumed_run(config, trained, tmp_path,
                                        unformatted_configs):
    """They are those of the epoch."""
    runner = make_runner(
        config, tmp_path, resume=True, load_from=str(trained / 'epoch_1.pth'))
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    assert watch.seen == 3 * [(1, True, True, True)] + \
        3 * [(2, False, True, False)]


def test_two_processes_in_bfloat16(config, tmp_path):
    code, stdout, stderr = run_tool(
        'dist_train.sh', config, 2, '--work-dir', tmp_path, '--amp',
        '--amp-dtype', 'bfloat16', '--cfg-options', 'train_cfg.max_epochs=1',
        'train_dataloader.batch_size=3', 'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False')
    assert code == 0, stderr
    assert 'Batch norms see the images of each process only' in stdout
    assert len(read_rows(tmp_path)[0]) == 2
    assert (tmp_path / 'epoch_1.pth').exists()
