"""MMEngine's own reading of checkpoints, for pretrained backbones, `load_from`
and resuming, without executing anything that they say."""
import os
import os.path as osp
from contextlib import contextmanager
from typing import Callable, Iterator, Optional, Union
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, get_rank
from mmengine.runner import checkpoint as mmengines
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from .official_names import compare_with_model
from .safe_unpickler import load_from_file, load_from_run, load_weights

# Collections of published weights: addresses by name.
ZOOS = {
    'torchvision://': mmengines.get_torchvision_models,
    'modelzoo://': mmengines.get_torchvision_models,
    'open-mmlab://': mmengines.get_external_models,
    'openmmlab://': mmengines.get_external_models,
    'mmcls://': mmengines.get_mmcls_models,
}
MapLocation = Union[str, Callable, None]


def fetch(name: str) -> str:
    """Download a checkpoint, unless it was before.

    Args:
        name (str): Address or file.

    Returns:
        str: The file. A name that is neither, such as
        ``torchvision://resnet50`` or one on s3, stays as it is.
    """
    address = urlparse(name)
    if address.scheme not in ('http', 'https', 'file'):
        return name
    folder = osp.join(torch.hub.get_dir(), 'checkpoints')
    path = osp.join(folder, osp.basename(address.path))
    # The first process downloads; others may be on another machine.
    for is_my_turn in (get_rank() == 0, get_rank() != 0):
        if is_my_turn and not osp.exists(path):
            os.makedirs(folder, exist_ok=True)
            torch.hub.download_url_to_file(name, path)
        barrier()
    return path


def load_from_local(path: str, map_location: MapLocation = None) -> dict:
    """Read the weights of a checkpoint, whose path may start with ``~``.

    Args, returns and raises: see :func:`load_from_file`.
    """
    return load_from_file(osp.expanduser(path), map_location)


def load_from_url(url: str, map_location: MapLocation = None) -> dict:
    """Read the weights of a checkpoint on the web.

    Args, returns and raises: see :func:`load_from_file`.
    """
    return load_from_file(fetch(url), map_location)


def load_from_zoo(name: str, map_location: MapLocation = None) -> dict:
    """Read weights that have a name, such as ``torchvision://resnet50``.

    Args, returns and raises: see :func:`load_from_file`.
    """
    zoo, _, key = name.partition('://')
    urls = ZOOS[f'{zoo}://']()
    if 'mmlab' in zoo:
        key = mmengines.get_deprecated_model_names().get(key, key)
    if key not in urls:
        raise ValueError(f'{name}: there are no weights of this name. There '
                         f'are: {", ".join(sorted(urls))}.')
    content = load_from_url(urls[key], map_location)
    if zoo == 'mmcls':  # of the backbone of a classifier
        content = mmengines._process_mmcls_checkpoint(content)
    return content


SAFE = {
    '': load_from_local,
    'http://': load_from_url,
    'https://': load_from_url,
    **dict.fromkeys(ZOOS, load_from_zoo)
}


@contextmanager
def executing_nothing(**loaders: Callable) -> Iterator[None]:
    """Within it, MMEngine executes nothing that a checkpoint says.

    Checkpoints are read for their weights; what surrounds them is lost.
    Clusters' storage (s3, petrel, pavi) stays MMEngine's.

    Args:
        loaders (Callable): ``file`` may be another reader of local files.
    """
    safe = dict(SAFE, **{'': loaders.get('file', load_from_local)})
    find = CheckpointLoader._get_checkpoint_loader
    before = {prefix: find(prefix) for prefix in safe}
    _register(safe)
    try:
        yield
    finally:
        _register(before)


def _register(loaders: dict) -> None:
    for prefix, loader in loaders.items():
        CheckpointLoader.register_scheme(prefix, loader, force=True)


def read_run(path: str,
             model: nn.Module,
             map_location: MapLocation = None) -> dict:
    """Read a checkpoint to go on with its run.

    Args:
        path (str): File that the run has saved.
        model (nn.Module): Its model.
        map_location (str or Callable, optional): As for ``torch.load``.

    Returns:
        dict: What was saved.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read safely, see :func:`load_from_run`,
            holds no state of a run, or that of another model.
    """
    content = load_from_run(path, map_location)
    meta = content.get('meta') if isinstance(content, dict) else None
    missing = [
        field for field, place in (('state_dict', content), ('epoch', meta),
                                   ('iter', meta))
        if not isinstance(place, dict) or field not in place
    ]
    if missing:
        raise ValueError(
            f'{path}: cannot be resumed from, it has no {missing[0]} of a '
            'run. Give a checkpoint that a training run wrote, or start from '
            'the weights of this one: --cfg-options load_from=FILE.')
    problems = compare_with_model(content['state_dict'], model)
    if problems:
        raise ValueError(
            f'{path}: cannot be resumed from, it is of another model '
            f'({_first(problems)}). Give the config of that run.')
    # MMEngine would execute it as a config.
    meta.pop('config', None)
    return content


def check_start(path: str, model: nn.Module) -> None:
    """Refuse weights to start from that MMEngine would pass over.

    It keeps random weights, with a warning, where a checkpoint has none for
    the model. That is meant where another head is trained, but not where both
    have an entry that differs.

    Args:
        path (str): File with the weights.
        model (nn.Module): The model.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, has nothing for the model, or an
            entry of another shape.
    """
    weights = load_weights(path, 'state_dict')
    own = model.state_dict()
    common = {name: weights[name] for name in weights if name in own}
    if not common:
        raise ValueError(
            f'{path}: none of its {len(weights)} entries is for the model of '
            'the config. Give a checkpoint of this project, or convert that '
            'of the official program with official_to_mmpose.py.')
    problems = [(name, what)
                for name, what in compare_with_model(common, model)
                if name in common]
    if problems:
        raise ValueError(
            f'{path}: does not fit the model of the config '
            f'({_first(problems)}). Give a checkpoint of such a model; '
            'change_keypoints.py gives one other keypoints.')


def load_pretrained(module: nn.Module,
                    checkpoint: str,
                    prefix: Optional[str] = None) -> None:
    """Fill a module with weights that fit it exactly.

    MMEngine's initialization by a checkpoint only warns of what does not fit,
    and executes what the checkpoint says.

    Args:
        module (nn.Module): The module.
        checkpoint (str): Address or file.
        prefix (str, optional): Only entries whose names start so are taken,
            without it. Defaults to all.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read or does not fit. Counters of batches,
            which frozen norms do not have, do not matter.
    """
    weights = load_weights(osp.expanduser(fetch(checkpoint)), 'state_dict')
    prefix = prefix or ''
    weights = {
        name[len(prefix):]: value
        for name, value in weights.items() if name.startswith(prefix)
    }
    problems = [(prefix + name, what)
                for name, what in compare_with_model(weights, module)
                if not name.endswith('.num_batches_tracked')]
    if problems:
        raise ValueError(
            f'{checkpoint}: does not fit the {type(module).__name__} of the '
            f'config ({_first(problems)}). Give `init_cfg` weights of the '
            'same architecture.')
    mmengines.load_state_dict(module, weights)


def _first(problems: list) -> str:
    """The first problem, and how many there are."""
    (name, what), *others = problems
    return f'{name}: {what}' + f'; {len(others)} more' * bool(others)
