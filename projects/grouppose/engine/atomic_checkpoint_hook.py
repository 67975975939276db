"""Checkpoints that are whole or not there, however a run ends."""
import os
import os.path as osp
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Dict, List, Optional, Union

from mmengine.dist import is_main_process
from mmengine.fileio import (BaseStorageBackend, LocalBackend,
                             get_file_backend, register_backend)
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from mmengine.utils import mkdir_or_exist
from mmpose.registry import HOOKS

from ..checkpoints.mmengine_loading import executing_nothing
from ..checkpoints.safe_unpickler import load_from_run

BACKEND = 'local_whole_files'


class WholeFileBackend(LocalBackend):
    """MMEngine's local backend that replaces a file all at once.

    Bytes go to a temporary file beside it (``.part``) and to the disk, which
    then takes the name. Whoever reads that name finds the old file or the new
    one, also after a kill or a loss of power.
    """

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Write bytes to a file.

        Args:
            obj (bytes): The content.
            filepath (str or Path): Its folder is made if need be.

        Raises:
            OSError: If it cannot be written, for instance on a full disk.
                What was there before is still there.
        """
        folder = osp.dirname(osp.abspath(filepath))
        temporary = f'{filepath}.part'
        try:
            mkdir_or_exist(folder)
            with open(temporary, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, filepath)
            _write_back(folder)
        except OSError as error:
            with suppress(OSError):
                os.remove(temporary)
            raise OSError(
                error.errno, f'{filepath}: cannot be written '
                f'({error.strerror}). {_room(folder, len(obj))}Nothing that '
                'was saved before is lost: make room and start again, '
                'training with --resume.') from error


register_backend(BACKEND, WholeFileBackend, force=True)


def _write_back(folder: str) -> None:
    """Call fsync on a directory, so that a rename survives a loss of power.

    Some network file systems do not allow it; the files themselves are
    written anyway.
    """
    if os.name != 'posix':
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _room(folder: str, needed: int) -> str:
    """How much room there is for a file, in words."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return ''
    return (f'It takes {needed / 1e6:.1f} MB, and {free / 1e6:.1f} MB are '
            'free. ')


# The second name is that of configs written for version 0.1.
@HOOKS.register_module(name=['AtomicCheckpointHook', 'WholeCheckpointHook'])
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's hook that never leaves a run without its last checkpoint.

    MMEngine writes straight to the final name, and removes an old checkpoint
    or the best one before the new one is there. A run that ends in between,
    killed or for want of room, then leaves a part of a file that looks like
    a checkpoint, or no best one at all. Here, files appear whole, then
    ``last_checkpoint`` names the new one, and then the outdated one goes. So
    one file more than ``max_keep_ckpts`` and the best exists for a moment.

    Args:
        kwargs: Arguments of MMEngine's ``CheckpointHook``. On storage that is
            not local, writing is left to what is configured.
    """

    # Set by MMEngine.
    file_backend: BaseStorageBackend
    best_ckpt_path: Optional[str]
    best_ckpt_path_dict: Dict[str, Optional[str]]

    def before_train(self, runner: Runner) -> None:
        """Write through :class:`WholeFileBackend`, remove the parts of files
        that a killed run has left, and find the best checkpoint of a work dir
        that was moved."""
        super().before_train(runner)
        if self.file_client_args is None and isinstance(
                self.file_backend, LocalBackend):
            self.backend_args = dict(backend=BACKEND)
            self.file_backend = get_file_backend(
                self.out_dir, backend_args=self.backend_args)
            if is_main_process():
                for path in Path(self.out_dir).glob('*.pth.part'):
                    if path.is_file():
                        path.unlink()
        if self.save_best is not None:
            if len(self.key_indicators) == 1:
                self.best_ckpt_path = self._own(self.best_ckpt_path)
            else:
                self.best_ckpt_path_dict = {
                    key: self._own(path)
                    for key, path in self.best_ckpt_path_dict.items()
                }

    def _save_checkpoint_with_step(self, runner: Runner, step: int,
                                   meta: dict) -> None:
        """Save, then name, then remove; MMEngine removes first."""
        outdated = None
        # It is saved a second time if it turns out to be the best.
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = self._path(self.keep_ckpt_ids.popleft())
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids',
                                           list(self.keep_ckpt_ids))
        self.last_ckpt = self._path(step)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            self.filename_tmpl.format(step),
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args)
        if not is_main_process():
            return
        # MMEngine looks for it in the work dir, wherever checkpoints are.
        WholeFileBackend().put(self.last_ckpt.encode(),
                               osp.join(runner.work_dir, 'last_checkpoint'))
        if outdated is not None and self.file_backend.isfile(outdated):
            self.file_backend.remove(outdated)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Keep the previous best one until the new one is there."""
        if not hasattr(self, 'file_backend'):  # an evaluation on its own
            return
        outdated: List[str] = []
        remove, self.file_backend.remove = (self.file_backend.remove,
                                            outdated.append)
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend.remove = remove
        # It may have been replaced under the same name.
        kept = [
            value for value in runner.message_hub.runtime_info.values()
            if isinstance(value, str)
        ]
        for path in outdated:
            if path not in kept:
                remove(path)

    def after_train(self, runner: Runner) -> None:
        """Publish, see ``published_keys``: all that the run has saved is read
        for that, not only the weights."""
        with executing_nothing(file=load_from_run):
            super().after_train(runner)

    def _own(self, best: Optional[str]) -> Optional[str]:
        """A best checkpoint by its name in the folder of this run, None if it
        is not there.

        MMEngine removes it, once there is a better one, by the path that it
        had when it was written. After a copy of the work dir, or in another
        one, that would be a file of another run.
        """
        if best is None:
            return None
        own = self.file_backend.join_path(self.out_dir, osp.basename(best))
        return own if self.file_backend.isfile(own) else None

    def _path(self, step: int) -> str:
        """Where the checkpoint of an epoch or iteration is."""
        return self.file_backend.join_path(self.out_dir,
                                           self.filename_tmpl.format(step))
