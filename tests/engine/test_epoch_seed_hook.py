"""What is random in training depends on the run's seed, the epoch and the
sample only, for data sets of all classes."""
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.runner import (EpochBasedTrainLoop, IterBasedTrainLoop, Runner,
                             get_priority)
from mmpose.registry import DATASETS, HOOKS, TRANSFORMS
from torch.utils.data import DataLoader

from projects.grouppose.engine.epoch_seed_hook import (EpochSeedHook,
                                                       SeededDataset)

pytestmark = pytest.mark.usefixtures('unformatted_configs')


@TRANSFORMS.register_module()
class DrawNumber:
    """Draw from both generators."""

    def __init__(self, tag=''):
        self.tag = tag

    def __call__(self, results):
        results['drawn'] = (self.tag, np.random.rand(), random.random())
        return results


@TRANSFORMS.register_module()
class RefuseSometimes:
    """Have MMEngine draw another sample instead."""

    def __call__(self, results):
        return results if np.random.rand() < 0.5 else None


@DATASETS.register_module()
class NumbersDataset(BaseDataset):
    """What every data set of MMEngine does, without files."""
    METAINFO = dict(dataset_name='numbers')

    def load_data_list(self):
        return [dict(number=i) for i in range(10)]


PART = dict(type='NumbersDataset', pipeline=[dict(type='DrawNumber')])
COCO = dict(from_file='configs/_base_/datasets/coco.py')
KINDS = dict(
    single=PART,
    refetched=dict(
        PART, pipeline=[*PART['pipeline'],
                        dict(type='RefuseSometimes')]),
    concatenated=dict(type='ConcatDataset', datasets=[PART, PART]),
    repeated=dict(type='RepeatDataset', dataset=PART, times=2),
    combined=dict(
        type='CombinedDataset',
        metainfo=COCO,
        datasets=[PART, PART],
        sample_ratio_factor=[1, 0.5],
        pipeline=[]))


def collate(samples: list) -> list:
    return [(sample['number'], *sample['drawn']) for sample in samples]


def make_loader(dataset, num_workers=0) -> DataLoader:
    return DataLoader(
        dataset,
        batch_size=2,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        collate_fn=collate)


def make_runner(loader, loop=EpochBasedTrainLoop, seed=3):
    """What the hook needs of a runner."""
    return SimpleNamespace(
        train_loop=object.__new__(loop),
        train_dataloader=loader,
        seed=seed,
        epoch=0)


def draw_epochs(loader, epochs=range(3), seed=3) -> list:
    """All samples of each epoch, as a run draws them."""
    runner, hook = make_runner(loader, seed=seed), EpochSeedHook()
    hook.before_train(runner)
    drawn = []
    for runner.epoch in epochs:
        hook.before_train_epoch(runner)
        drawn.append([sample for batch in loader for sample in batch])
    return drawn


@pytest.mark.parametrize('kind', KINDS)
def test_samples_of_a_resumed_run(kind):
    """The same ones, with other workers and after other random numbers."""
    unbroken = draw_epochs(make_loader(DATASETS.build(KINDS[kind])))
    np.random.rand(3), random.random()
    dataset = DATASETS.build(KINDS[kind])
    resumed = draw_epochs(make_loader(dataset, num_workers=2), range(1, 3))
    assert resumed == unbroken[1:]
    # All numbers differ, of samples, epochs and seeds.
    others = draw_epochs(make_loader(dataset), seed=4)
    numbers = [sample[2] for epoch in unbroken + others for sample in epoch]
    assert len(set(numbers)) == len(numbers) == 6 * len(dataset)


def test_numbers_stay_what_they_were():
    """Runs of earlier versions are repeated by the same seed."""
    loader = make_loader(SeededDataset(DATASETS.build(PART)))
    before = random.getstate(), np.random.get_state()
    loader.dataset.seed_samples(1)
    drawn = [sample for batch in loader for sample in batch]
    np.testing.assert_equal((random.getstate(), np.random.get_state()), before)
    assert [sample[2] for sample in drawn[:2]] \
        == [0.07531376195590056, 0.010266380727775304]


def test_generators_of_the_process():
    """torch's too, other ones for every epoch and seed."""
    loader = make_loader(DATASETS.build(PART))
    runner, hook = make_runner(loader), EpochSeedHook()
    numbers = []
    for runner.seed, runner.epoch in ((3, 0), (3, 1), (9, 0), (3, 0)):
        hook.before_train(runner)
        hook.before_train_epoch(runner)
        numbers.append((torch.rand(1).item(), np.random.rand()))
    assert numbers[0] == numbers[3]
    assert len(set(numbers)) == 3


@pytest.mark.parametrize('num_workers', [0, 1])
def test_what_the_model_draws(num_workers):
    """The same in an epoch whether or not it starts worker processes."""
    loader = make_loader(DATASETS.build(PART), num_workers)
    runner, hook = make_runner(loader), EpochSeedHook()
    hook.before_train(runner)
    drawn = []
    for runner.epoch in (0, 1):  # the first one starts them
        runner.seed = hook._seed = 3 - runner.epoch  # the sum is the seed
        hook.before_train_epoch(runner)
        numbers = []
        for index, _ in enumerate(loader):
            hook.before_train_iter(runner, index)
            numbers.append(torch.rand(1).item())
        drawn.append(numbers)
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 5


def test_sampler_has_the_seed_of_the_run():
    cfg = dict(
        dataset=PART,
        sampler=dict(type='DefaultSampler', shuffle=True),
        batch_size=2,
        num_workers=0)
    loader = Runner.build_dataloader(cfg, seed=5)
    runner, hook = make_runner(loader), EpochSeedHook()
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    assert loader.sampler.seed == 3


def test_iterations_are_refused():
    loader = make_loader(DATASETS.build(PART))
    with pytest.raises(ValueError, match='EpochSeedHook: Iter.*by_epoch=True'):
        EpochSeedHook().before_train(make_runner(loader, IterBasedTrainLoop))


def test_all_else_is_that_of_the_data_set():
    dataset = DATASETS.build(PART)
    seeded = SeededDataset(dataset)
    assert len(seeded) == 10
    assert seeded.metainfo == dict(dataset_name='numbers')
    seeded.pipeline = [1]
    assert dataset.pipeline == [1]
    # torch would read samples by it, past the seed.
    dataset.__getitems__ = None
    assert not hasattr(seeded, '__getitems__')


def by_priority(*hooks) -> list:
    """The order in which a runner calls hooks."""
    return sorted(hooks, key=lambda hook: get_priority(hook.priority))


def test_hook_that_switches_the_pipeline():
    """mmdet's, for the last epochs."""
    loader = make_loader(DATASETS.build(PART), num_workers=1)
    runner, hook = make_runner(loader), EpochSeedHook()
    runner.logger = SimpleNamespace(info=print)
    switch = HOOKS.build(
        dict(
            type='mmdet.PipelineSwitchHook',
            switch_epoch=1,
            switch_pipeline=[dict(type='mmpose.DrawNumber', tag='last')]))
    tags = []
    hook.before_train(runner)
    for runner.epoch in range(3):
        for each in by_priority(hook, switch):
            each.before_train_epoch(runner)
        tags.append({sample[1] for batch in loader for sample in batch})
    assert tags == [{''}, {'last'}, {'last'}]


class AnotherLoaderHook(Hook):
    """As MMPose's YOLOXPoseModeSwitchHook."""

    def before_train_epoch(self, runner):
        runner.train_dataloader = make_loader(DATASETS.build(PART))


def test_hook_that_makes_another_loader():
    """It is seeded, too, also if that hook was registered later."""
    runner, hook = make_runner(None), EpochSeedHook()
    hook.before_train(runner)
    drawn = []
    for _ in range(2):
        for each in by_priority(hook, AnotherLoaderHook()):
            each.before_train_epoch(runner)
        drawn.append(sum(runner.train_dataloader, []))
    assert drawn[0] == drawn[1]


def mix(cfg) -> None:
    """Train on a data set twice, the second time on half of the images and
    of the keypoints."""
    dataset = cfg.train_dataloader.dataset
    part = dict(type='PoseImageDataset', dataset=dataset.dataset)
    half = dict(
        type='KeypointConverter',
        num_keypoints=17,
        mapping=[(i, i) for i in range(9)])
    cfg.train_dataloader.dataset = dict(
        type='CombinedDataset',
        metainfo=dataset.metainfo,
        datasets=[part, dict(part, pipeline=[half])],
        sample_ratio_factor=[1, 0.5],
        pipeline=dataset.pipeline)


def test_resume_on_mixed_data_sets(drawn_config, tmp_path):
    """Weights come out bit-identical to those of the unbroken run."""
    weights = []
    for name, num_workers in (('unbroken', 0), ('resumed', 2)):
        cfg = Config.fromfile(drawn_config)
        mix(cfg)
        cfg.work_dir = str(tmp_path / name)
        cfg.experiment_name = f'{tmp_path.name}_{name}'
        cfg.train_dataloader.num_workers = num_workers
        cfg.train_cfg.max_epochs = 2
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.default_hooks.checkpoint.save_best = None
        if name == 'resumed':
            cfg.resume = True
            cfg.load_from = str(tmp_path / 'unbroken/epoch_1.pth')
        runner = Runner.from_cfg(cfg)
        runner.train()
        assert runner.iter == 8  # 12 + 6 images, in batches of 4
        weights.append(runner.model.state_dict())
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)
