"""A hook that makes a resumed run draw the same augmentations."""
from typing import List

import numpy as np
from mmengine.dist import broadcast_object_list, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner, set_random_seed
from mmpose.registry import HOOKS
from torch.utils.data import ConcatDataset


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed everything random at the start of every training epoch.

    MMEngine restores weights, optimizer and schedule, but not the state of
    random generators. With this hook a run that was resumed from the end of
    an epoch goes on exactly as if it had not stopped, with a fixed seed or
    without. What the pipeline draws depends on the seed of the run, the epoch
    and the image: on neither the number of worker processes, nor whether they
    live on between epochs, nor the number of GPUs.

    It needs training by epochs on :class:`PoseImageDataset`, or several of
    them in a ``ConcatDataset``.

    Raises:
        ValueError: Before training, if it is used for something else.
    """

    def before_train(self, runner: Runner) -> None:
        """Find out what is to be seeded, after a checkpoint was loaded."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError(
                f'EpochSeedHook: {type(runner.train_loop).__name__} does not '
                'train by epochs. Set by_epoch=True in train_cfg, or take '
                'the hook out of custom_hooks in the config.')
        self._datasets = _find_datasets(runner.train_dataloader.dataset)
        # The seed of the first process, should they have different ones.
        seeds = [runner.seed]
        broadcast_object_list(seeds)
        self._seed = seeds[0]
        # A random seed comes from the checkpoint, after the sampler was made.
        loader = runner.train_dataloader
        for sampler in (loader.sampler,
                        getattr(loader.batch_sampler, 'sampler', None)):
            if hasattr(sampler, 'seed'):
                sampler.seed = self._seed

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed the generators of this process and the pipelines."""
        set_random_seed(self._seed + runner.epoch * get_world_size() +
                        get_rank())
        seeds = np.random.SeedSequence(
            (self._seed, runner.epoch)).generate_state(len(self._datasets))
        for dataset, seed in zip(self._datasets, seeds.tolist()):
            dataset.seed_pipeline(seed)


def _find_datasets(dataset) -> List:
    """The data sets that draw random numbers for a training set."""
    # Not by type: MMEngine limits the batches of an epoch by a proxy.
    if hasattr(dataset, 'seed_pipeline'):
        return [dataset]
    if isinstance(dataset, ConcatDataset):
        return sum(map(_find_datasets, dataset.datasets), [])
    raise ValueError(
        f'EpochSeedHook: cannot seed the pipeline of {type(dataset).__name__}.'
        ' It needs PoseImageDataset, or several of them in a ConcatDataset '
        '(train for more epochs instead of repeating one). Otherwise take the '
        'hook out of custom_hooks in the config; a resumed run then draws '
        'other augmentations than an unbroken one.')
