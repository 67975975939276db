"""Read the weights of a checkpoint without executing anything that the file
says.

A checkpoint is a pickle, which may name any function of any module to be
called. Here a few harmless ones that rebuild tensors are resolved. All others
become :class:`Foreign`, so that what surrounds the weights (arguments,
optimizers, log buffers) neither runs nor keeps them from being read.
"""
import pickle
from collections import OrderedDict
from types import SimpleNamespace
from typing import Dict

import torch
from torch import Tensor

ALLOWED = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('torch', 'Size'): torch.Size,
    ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
    ('torch._utils', '_rebuild_parameter'): torch._utils._rebuild_parameter,
}


class Foreign:
    """Stands for whatever the file makes with a global that is not allowed.

    It takes everything that unpickling does to an object and forgets it.
    """

    origin = 'unknown'

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def _ignore(self, *args, **kwargs) -> 'Foreign':
        return self

    __call__ = __setstate__ = __setitem__ = append = extend = add = _ignore


class _InertUnpickler(pickle.Unpickler):
    """Unpickles with the allowed globals, never importing any."""

    def find_class(self, module: str, name: str):
        """Return an allowed global, or a class that does nothing."""
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        return type('Foreign', (Foreign, ), dict(origin=f'{module}.{name}'))


def _inert_load(file, **kwargs):
    return _InertUnpickler(file, **kwargs).load()


# What torch.load wants of its `pickle_module`.
_inert_pickle = SimpleNamespace(
    Unpickler=_InertUnpickler, load=_inert_load, __name__='inert_pickle')


def load_weights(path: str, entry: str) -> Dict[str, Tensor]:
    """Read the weights of a checkpoint.

    Args:
        path (str): File written by ``torch.save``.
        entry (str): Where the file's dict has its weights. A file that is
            nothing but a state dict is accepted too.

    Returns:
        dict[str, Tensor]: Weights by name, on the CPU. ``module.``, with
        which names of distributed training start, is removed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a checkpoint or has no weights there,
            or if anything but tensors is among them.
    """
    remedy = f'Give a state dict, or a checkpoint with one under `{entry}`.'
    try:
        if _is_program(path):
            raise ValueError('it holds a TorchScript program, not weights')
        content = torch.load(
            path,
            map_location='cpu',
            pickle_module=_inert_pickle,
            weights_only=False)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(
            f'{path}: not a readable PyTorch checkpoint ({error}). Give the '
            'file that the training program wrote, downloaded completely.'
        ) from error

    nested = isinstance(content, dict) and entry in content
    weights = content[entry] if nested else content
    if not isinstance(weights, dict) or not weights:
        raise ValueError(
            f'{path}: holds no weights but {_describe(weights)}. ' + remedy)
    for name, value in weights.items():
        if not isinstance(value, Tensor):
            raise ValueError(f'{path}: {name} is not a tensor but '
                             f'{_describe(value)}. {remedy}')
    return {
        str(name).removeprefix('module.'): value
        for name, value in weights.items()
    }


def _is_program(path: str) -> bool:
    """Whether torch.load would run the file as TorchScript."""
    with open(path, 'rb') as file:
        if file.read(4) != b'PK\x03\x04':
            return False
    reader = torch._C.PyTorchFileReader(str(path))
    return 'constants.pkl' in reader.get_all_records()


def _describe(value) -> str:
    """What was found in place of weights."""
    if isinstance(value, Foreign):
        return f'made by {value.origin}, which is not read'
    if isinstance(value, dict):
        return f'a dict of {len(value)} entries'
    return f'a {type(value).__name__}'
