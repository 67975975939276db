"""A hook that makes a resumed run draw the same augmentations."""
import random
from contextlib import contextmanager
from typing import Any, Optional, Tuple

import numpy as np
import torch
from mmengine.dist import broadcast_object_list, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner, set_random_seed
from mmpose.registry import HOOKS
from torch.utils.data import Dataset


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed everything random at the start of every training epoch.

    MMEngine restores weights, optimizer and schedule, but not the state of
    random generators. With this hook a run that was resumed from the end of
    an epoch goes on exactly as if it had not stopped, with a fixed seed or
    without. What data set and pipeline draw from Python's and numpy's
    generators depends on the seed of the run, the epoch and the index of the
    sample: on neither the number of worker processes, nor whether they live
    on between epochs, nor the number of GPUs.

    It works for any data set whose samples are read by their index, e.g.
    MMPose's ``CombinedDataset``. Before the first epoch it puts a
    :class:`SeededDataset` around that of the training data loader.

    Raises:
        ValueError: Before training, if the run does not train by epochs.
    """

    # after the hooks that change the data loader for an epoch
    priority = 'LOW'

    def before_train(self, runner: Runner) -> None:
        """Find the seed of the run, after a checkpoint was loaded."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError(
                f'EpochSeedHook: {type(runner.train_loop).__name__} does not '
                'train by epochs. Set by_epoch=True in train_cfg, or take '
                'the hook out of custom_hooks in the config.')
        # The seed of the first process, should they have different ones.
        seeds = [runner.seed]
        broadcast_object_list(seeds)
        self._seed = seeds[0]

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed the generators of this process, the sampler and the data."""
        self._seed_process(runner)
        loader = runner.train_dataloader
        if not isinstance(loader.dataset, SeededDataset):
            # DataLoader refuses an assignment, for the sake of samplers made
            # for another data set. This one has the same samples.
            vars(loader)['dataset'] = SeededDataset(loader.dataset)
        # A random seed comes from the checkpoint, after the sampler was made.
        samplers: Tuple[Any, ...] = (loader.sampler,
                                     getattr(loader.batch_sampler, 'sampler',
                                             None))
        for sampler in samplers:
            if hasattr(sampler, 'seed'):
                sampler.seed = self._seed
        seed, = np.random.SeedSequence(
            (self._seed, runner.epoch)).generate_state(1).tolist()
        loader.dataset.seed_samples(seed)

    def before_train_iter(self,
                          runner: Runner,
                          batch_idx: int,
                          data_batch: Optional[dict] = None) -> None:
        """Seed this process again for what the model draws.

        Starting worker processes draws from torch's generator, in the first
        epoch of a run only if they live on.
        """
        if batch_idx == 0:
            self._seed_process(runner)

    def _seed_process(self, runner: Runner) -> None:
        """Seed Python's, numpy's and torch's generators, each process
        differently."""
        set_random_seed(self._seed + runner.epoch * get_world_size() +
                        get_rank())


class SeededDataset:
    """A data set whose random numbers depend on a seed and the sample only.

    All else is that of the wrapped data set, whose attributes are read and
    set through it.

    Args:
        dataset (Dataset): Any data set with ``__getitem__`` and ``__len__``.
    """

    def __init__(self, dataset: Dataset):
        # In shared memory: worker processes that live on see it change.
        seed = torch.zeros(1, dtype=torch.long).share_memory_()
        vars(self).update(_dataset=dataset, _seed=seed)

    def seed_samples(self, seed: int) -> None:
        """Set the seed of all samples from now on.

        It holds in worker processes that run already, too. It governs
        Python's and numpy's generators, not torch's.

        Args:
            seed (int): Not negative, below 2**63; another one for every
                epoch.
        """
        self._seed.fill_(seed)

    def __getitem__(self, idx: int):
        with _seeded(self._seed.item(), idx):
            return self._dataset[idx]

    def __len__(self) -> int:
        return len(self._dataset)

    def __getattr__(self, name: str):
        # Not __getitems__, by which torch would read samples past the seed.
        if name.startswith('__'):
            raise AttributeError(name)
        return getattr(self._dataset, name)

    def __setattr__(self, name: str, value) -> None:
        setattr(self._dataset, name, value)


@contextmanager
def _seeded(*entropy: int):
    """Seed Python's and numpy's generators, and restore them afterwards."""
    states = random.getstate(), np.random.get_state()
    seeds = np.random.SeedSequence(entropy).generate_state(2)
    random.seed(int(seeds[0]))
    np.random.seed(seeds[1])
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
