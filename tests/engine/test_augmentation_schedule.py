"""Augmentations by epoch: in processes that live on, and after a resume."""
import copy
import pickle
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.registry import HOOKS, MODELS, TRANSFORMS
from torch.utils.data import DataLoader, Dataset

from projects.grouppose.data.schedule import SWITCHES, get_switch
from tests.helpers.runs import make_runner

pytestmark = pytest.mark.usefixtures('unformatted_configs')
CONFIG = 'configs/body_2d_keypoint/detrpose/coco/' \
    'detrpose_hgnetv2-s_4xb4-100e_coco-640.py'


@TRANSFORMS.register_module()
class Note:
    """Notes that it was applied."""

    def __init__(self, word):
        self.word = word

    def __call__(self, results):
        return dict(results, notes=results['notes'] + [self.word])


@pytest.fixture(autouse=True)
def leave_switches_on():
    yield
    assert all(switch.is_on for switch in SWITCHES.values())


def make_transforms():
    """The augmentations of the recipe, which only take notes."""
    pipeline = Config.fromfile(CONFIG).train_pipeline
    scheduled, = [t for t in pipeline if t.type == 'ScheduledTransforms']
    scheduled.transforms = [dict(type='Note', word='mosaic')]
    scheduled.otherwise[0].transforms = [dict(type='Note', word='zoom_out')]
    return TRANSFORMS.build(scheduled)


class Notes(Dataset):
    """What the augmentations do to each of 200 images."""

    def __init__(self):
        self.transforms = make_transforms()

    def __len__(self):
        return 200

    def __getitem__(self, index):
        return ' '.join(self.transforms(dict(notes=[]))['notes'])


def count(loader):
    """How often each combination of augmentations occurs."""
    values = [note for batch in loader for note in batch]
    return {value: values.count(value) for value in sorted(set(values))}


class Epoch:
    """As much of a runner as the hook looks at."""

    class logger:
        info = print

    def __init__(self, epoch):
        self.epoch = epoch


def make_hook():
    """The schedule of DETRPose-S."""
    hook = HOOKS.build(Config.fromfile(CONFIG).default_hooks.augmentation)
    for name in hook.schedules:
        get_switch(name)
    return hook


def states(hook, epoch):
    hook.before_train_epoch(Epoch(epoch))
    return [
        get_switch(name).is_on
        for name in ('mosaic', 'zoom_out', 'multi_scale')
    ]


def test_epochs():
    hook = make_hook()
    assert states(hook, 0) == states(hook, 4) == [False, False, True]
    assert states(hook, 5) == states(hook, 52) == [True, True, True]
    assert states(hook, 53) == states(hook, 95) == [False, True, True]
    assert states(hook, 96) == states(hook, 99) == [False, False, False]
    # A resumed run comes to any epoch first.
    assert states(hook, 60) == [False, True, True]
    hook.after_train(None)


@pytest.mark.parametrize('num_workers', [0, 1])
def test_processes_that_live_on_are_told(num_workers):
    torch.manual_seed(0)
    loader = DataLoader(
        Notes(),
        batch_size=50,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        worker_init_fn=_seed)
    np.random.seed(0)
    hook = make_hook()
    found = {}
    for epoch in (0, 5, 53, 96):
        hook.before_train_epoch(Epoch(epoch))
        found[epoch] = count(loader)
    hook.after_train(None)
    assert found[0] == found[96] == {'': 200}
    # A half, and of the rest a half; never both.
    assert set(found[5]) == {'', 'mosaic', 'zoom_out'}
    assert found[5]['mosaic'] == pytest.approx(100, abs=25)
    assert found[5]['zoom_out'] == pytest.approx(50, abs=22)
    assert set(found[53]) == {'', 'zoom_out'}
    assert found[53]['zoom_out'] == pytest.approx(100, abs=25)


def _seed(_):
    np.random.seed(0)


def test_batch_augmentation_has_a_schedule():
    resize = MODELS.build(
        dict(type='BatchRandomResize', sizes=[16], schedule='multi_scale'))
    images = torch.zeros(1, 3, 32, 32)
    hook = make_hook()
    hook.before_train_epoch(Epoch(96))
    assert resize(images, [])[0] is images
    hook.before_train_epoch(Epoch(0))
    assert resize(images, [])[0].shape[-1] == 16
    hook.after_train(None)


def test_without_the_hook_all_is_on():
    assert get_switch('some schedule').is_on


def test_copies_of_a_switch_are_the_same():
    switch = get_switch('mosaic')
    assert copy.deepcopy(switch) is switch
    # As it travels to a process that is started anew ('spawn').
    other = pickle.loads(ForkingPickler.dumps(switch))
    switch.turn(False)
    assert not other.is_on
    other.turn(True)
    assert switch.is_on


@pytest.mark.parametrize('hook, options, message', [
    (dict(nothing=(0, 1)), {}, 'nothing has the schedule nothing.* drawn'),
    (dict(drawn=(2, 1)), {}, r'drawn=\(2, 1\) must be the first epoch'),
    (dict(drawn=(0, 1)), {
        'train_cfg': dict(by_epoch=False, max_iters=1, _delete_=True)
    }, 'IterBasedTrainLoop does not train by epochs'),
])
def test_schedules_that_cannot_be(drawn_config, tmp_path, hook, options,
                                  message):
    get_switch('drawn')
    hook = dict(hook, type='AugmentationScheduleHook')
    options = {'default_hooks.augmentation': hook, **options}
    with pytest.raises(ValueError, match=message):
        make_runner(drawn_config, tmp_path, custom_hooks=[], **options).train()
