"""MMEngine's own reading of checkpoints, for pretrained backbones, `load_from`
and resuming, without executing anything that they say."""
import os
import os.path as osp
from contextlib import contextmanager
from typing import Callable, Iterator, Union
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, get_rank
from mmengine.runner import checkpoint as mmengines
from mmengine.runner.checkpoint import CheckpointLoader

from .safe_unpickler import load_from_file

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
