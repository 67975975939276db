"""A runner that checks what it is given before it runs."""
import functools
import os.path as osp
from typing import Any, Optional, cast

import mmengine.runner
from mmengine.dataset import InfiniteSampler
from mmengine.runner import find_latest_checkpoint
from mmpose.registry import RUNNERS
from torch import nn

from ..checkpoints import mmengine_loading
from ..checkpoints.fit import check_start, read_fitting_weights, read_run
from ..config_file import errors_name
from ..model import GroupPoseHead
from .fit_check_hook import check_evaluators


@RUNNERS.register_module()
class SafeRunner(mmengine.runner.Runner):
    """MMEngine's runner, which refuses what cannot come out right.

    - Checkpoints are read without executing what they say.
    - Weights of another model are refused: to evaluate, they must fill the
      model exactly; to start training, no entry may differ.
    - A training set that makes no batch is refused.
    - ``auto_scale_lr`` counts the batches that are accumulated for an update.
    - A work dir that was moved can be resumed from.
    - What is wrong with a config is said with the name of its file.

    ``runner_type = 'mmpose.SafeRunner'`` in a config chooses it, in MMPose's
    own tools too, see :func:`heed_runner_type`.

    Args:
        args, kwargs: Arguments of MMEngine's ``Runner``.

    Raises:
        FileNotFoundError: If a checkpoint is not there.
        ValueError: If something does not fit; the message names the file.
    """

    _fitting: Optional[str] = None  # the checkpoint that was found to fit
    # Set by MMEngine.
    model: nn.Module
    _load_from: Optional[str]

    @classmethod
    def from_cfg(cls, cfg) -> 'SafeRunner':
        """Build a runner, see MMEngine."""
        with errors_name(_file_of(cfg)), mmengine_loading.executing_nothing():
            return super().from_cfg(cfg)

    def train(self) -> nn.Module:
        """Train, see MMEngine."""
        with mmengine_loading.executing_nothing():
            self._check_batches()
            return super().train()

    def val(self) -> dict:
        """Evaluate on the validation set, see MMEngine."""
        self.check_evaluation('val')
        with mmengine_loading.executing_nothing():
            return super().val()

    def test(self) -> dict:
        """Evaluate on the test set, see MMEngine."""
        self.check_evaluation('test')
        with mmengine_loading.executing_nothing():
            return super().test()

    def scale_lr(self, optim_wrapper, auto_scale_lr=None) -> None:
        """Scale the learning rate by the number of images of an update."""
        if auto_scale_lr and 'base_batch_size' in auto_scale_lr:
            wrapper = self.cfg.get('optim_wrapper') or {}
            base = auto_scale_lr['base_batch_size'] / wrapper.get(
                'accumulative_counts', 1)
            auto_scale_lr = dict(auto_scale_lr, base_batch_size=base)
        super().scale_lr(optim_wrapper, auto_scale_lr)

    def load_or_resume(self) -> None:
        """Load what the config asks for, after a look at it."""
        if self._has_loaded:
            return
        if self._resume and self._load_from is None:
            self._load_from = self._moved_checkpoint()
        elif not self._resume and self._is_ours() and self._is_unknown_file():
            check_start(cast(str, self._load_from), self._own_model())
        super().load_or_resume()

    def resume(self, filename: str, *args, **kwargs) -> None:
        """Read all of a checkpoint of this model."""

        def load_from_run(path, map_location=None):
            return read_run(path, self._own_model(), map_location)

        with mmengine_loading.executing_nothing(file=load_from_run):
            super().resume(mmengine_loading.fetch(filename), *args, **kwargs)

    def check_evaluation(self, phase: str) -> None:
        """Refuse to evaluate a Group Pose model with weights that do not fill
        it exactly, or on other keypoints than it predicts.

        MMEngine would warn, and evaluate weights that are random in part.

        Args:
            phase (str): 'val' or 'test'.

        Raises:
            FileNotFoundError: If the checkpoint is not there.
            ValueError: If something does not fit.
        """
        model, name = self._own_model(), _file_of(self.cfg)
        with errors_name(name):
            loop = getattr(self, f'{phase}_loop')
            if loop is None or not self._is_ours():
                return
            check_evaluators(model, loop.evaluator)
        if self._is_unknown_file():
            read_fitting_weights(
                cast(str, self._load_from), model, name or 'the model')
            self._fitting = self._load_from

    def _check_batches(self) -> None:
        """Refuse a training set that makes no batch: MMEngine would go
        through epochs without a step, and save what it started from."""
        loader: Any = getattr(self.train_loop, 'dataloader', None)
        batches: Any = getattr(loader, 'batch_sampler', None)
        sampler = getattr(batches, 'sampler', None)
        # An infinite one begins anew before a batch is full.
        if sampler is None or isinstance(sampler,
                                         InfiniteSampler) or len(loader) > 0:
            return
        images, share, size = (len(loader.dataset), len(sampler),
                               batches.batch_size)
        each = f', {share} for each of {self.world_size} processes' * (
            self.world_size > 1)
        remedy = (f'Set train_dataloader.batch_size to {share} or less, '
                  'train_dataloader.drop_last=False, or give more images'
                  if share else 'Check the annotation file and its filters')
        with errors_name(_file_of(self.cfg)):
            raise ValueError(
                'nothing can be trained: the training set has '
                f'{images} images{each}, a batch takes {size}, and drop_last '
                f'leaves out what fills none. {remedy}.')

    def _moved_checkpoint(self) -> Optional[str]:
        """The last checkpoint of a work dir that was moved since, None if it
        was not.

        MMEngine keeps the path that the checkpoint had when it was written.
        """
        last = find_latest_checkpoint(self.work_dir)
        if last is None or '://' in last or osp.exists(last):
            return None
        moved = osp.join(self.work_dir, osp.basename(last))
        if not osp.exists(moved):
            raise FileNotFoundError(
                f'{osp.join(self.work_dir, "last_checkpoint")} names {last}, '
                f'which is not there, and neither is {moved}. Give the '
                'checkpoint to resume from: --resume FILE, or resume=True and '
                'load_from=FILE in the config.')
        self.logger.info(f'{last} is not there: resuming from {moved}, where '
                         'the work dir is now')
        return moved

    def _own_model(self) -> nn.Module:
        """The model without what several processes put around it."""
        return getattr(self.model, 'module', self.model)

    def _is_ours(self) -> bool:
        """Whether the model is Group Pose. What others load is left to
        MMEngine, which warns."""
        return isinstance(
            getattr(self._own_model(), 'head', None), GroupPoseHead)

    def _is_unknown_file(self) -> bool:
        """Whether there is a checkpoint to be looked at before it is loaded;
        one on a cluster's storage is left to MMEngine."""
        if (self._has_loaded or self._load_from is None
                or self._load_from == self._fitting):
            return False
        self._load_from = mmengine_loading.fetch(self._load_from)
        return '://' not in self._load_from


def _file_of(cfg) -> Optional[str]:
    """The file that a config was read from, if any."""
    return getattr(cfg, 'filename', None)


def heed_runner_type() -> None:
    """Let ``mmengine.runner.Runner.from_cfg`` build the ``runner_type`` that
    a config names.

    MMEngine's ``RUNNERS.build`` does so, but MMPose's tools, and so mim, call
    ``from_cfg``, which passes over it: the checks of :class:`SafeRunner`
    would be lost without a word. Nothing changes for a config that names no
    ``runner_type``, nor for subclasses of MMEngine's runner.
    """
    plain = mmengine.runner.Runner
    build = plain.from_cfg.__func__

    @functools.wraps(build)
    def from_cfg(cls, cfg):
        chosen = cfg.get('runner_type') if cls is plain else None
        if isinstance(chosen, str):
            chosen = RUNNERS.get(chosen)
        if chosen is None or chosen is plain:
            return build(cls, cfg)
        return chosen.from_cfg(cfg)

    plain.from_cfg = classmethod(from_cfg)
