"""Read a checkpoint without executing anything that the file says.

A checkpoint is a pickle, which may name any function of any module to be
called. Here a few harmless ones that rebuild tensors are resolved. To get at
weights, all others become :class:`Foreign`, so that what surrounds the weights
(arguments, optimizers, log buffers) neither runs nor keeps them from being
read. To resume a run, which needs all of its state, what MMEngine writes is
resolved, too, and a file that names anything else is refused.
"""
import pickle
from collections import Counter, OrderedDict
from types import SimpleNamespace
from typing import Callable, Dict, Union

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.utils import digit_version
from torch import Tensor

ALLOWED = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('torch', 'Size'): torch.Size,
    ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
    ('torch._utils', '_rebuild_parameter'): torch._utils._rebuild_parameter,
}


def _statistic(owner: type, name: str) -> Callable:
    """Stands for ``getattr``, with which a log buffer names its methods."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean',
                                                  'current'):
        raise pickle.UnpicklingError(f'it asks for {name} of {owner}')
    return getattr(HistoryBuffer, name)


def _encode_bytes(text: str, encoding: str) -> bytes:
    """Stands for ``codecs.encode``, with which old pickles write bytes."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'it encodes bytes as {encoding}')
    return text.encode('latin1')


def _no_bytes() -> bytes:
    """Stands for ``bytes``, with which old pickles write an empty array, such
    as the colors of a skeleton without links."""
    return b''


# Array and number, rebuilt. Not imported by name: NumPy 2 has another one,
# and each reads what the other has written.
_rebuild_array = np.empty(0).__reduce__()[0]
_rebuild_number = np.float64().__reduce__()[0]
ALLOWED_IN_RUNS = {
    **ALLOWED,
    ('collections', 'Counter'): Counter,  # milestones of MultiStepLR
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy', 'dtype'): np.dtype,
    ('numpy.core.multiarray', '_reconstruct'): _rebuild_array,
    ('numpy._core.multiarray', '_reconstruct'): _rebuild_array,
    ('numpy.core.multiarray', 'scalar'): _rebuild_number,
    ('numpy._core.multiarray', 'scalar'): _rebuild_number,
    ('mmengine.logging.history_buffer', 'HistoryBuffer'): HistoryBuffer,
    ('__builtin__', 'getattr'): _statistic,
    ('__builtin__', 'bytes'): _no_bytes,
    ('_codecs', 'encode'): _encode_bytes,
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


class _RunUnpickler(pickle.Unpickler):
    """Unpickles what MMEngine writes about a run, and nothing else."""

    def find_class(self, module: str, name: str):
        """Return an allowed global."""
        if (module, name) in ALLOWED_IN_RUNS:
            return ALLOWED_IN_RUNS[module, name]
        raise pickle.UnpicklingError(f'it names {module}.{name}')


def _pickle_module(unpickler: type) -> SimpleNamespace:
    """What torch.load wants of its ``pickle_module``."""
    return SimpleNamespace(
        Unpickler=unpickler,
        load=lambda file, **kwargs: unpickler(file, **kwargs).load(),
        __name__=unpickler.__name__)


def load_from_file(path: str, map_location: Union[str, Callable, None] = None):
    """Read a checkpoint for its weights.

    Made to be a loader of MMEngine's ``CheckpointLoader``, which wants
    ``load_from_`` in the name.

    Args:
        path (str): File written by ``torch.save``, or in the format of
            ``.safetensors``, which holds tensors only.
        map_location (str or Callable, optional): As for ``torch.load``.
            Tensors of ``.safetensors`` are on the CPU.

    Returns:
        What was saved; all but numbers, text, containers and tensors have
        become :class:`Foreign`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a checkpoint.
    """
    if str(path).endswith('.safetensors'):
        return _read_safetensors(path)
    try:
        return _read(path, _InertUnpickler, map_location)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(
            f'{path}: not a readable PyTorch checkpoint ({error}). Give the '
            'file that the training program wrote, downloaded completely.'
        ) from error


def load_weights(path: str, *entries: str) -> Dict[str, Tensor]:
    """Read the weights of a checkpoint.

    Args:
        path (str): File written by ``torch.save``, or ``.safetensors``.
        entries (str): Where the file's dict has its weights: keys, joined by
            dots, of which the first that is there counts. A file that is
            nothing but a state dict is accepted too.

    Returns:
        dict[str, Tensor]: Weights by name, on the CPU. ``module.``, with
        which names of distributed training start, is removed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a checkpoint or has no weights there,
            or if anything but tensors is among them.
    """
    places = ' or '.join(f'`{entry}`' for entry in entries[::-1])
    remedy = f'Give a state dict, or a checkpoint with one under {places}.'
    content = load_from_file(path, 'cpu')
    weights = content
    for entry in entries:
        found = content
        for key in entry.split('.'):
            found = found.get(key) if isinstance(found, dict) else None
        if found is not None:
            weights = found
            break
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


def load_from_run(path: str,
                  map_location: Union[str, Callable, None] = None) -> dict:
    """Read all of a checkpoint of MMEngine, to go on with its run.

    Args:
        path (str): File that a run has saved.
        map_location (str or Callable, optional): As for ``torch.load``.

    Returns:
        dict: What was saved.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a checkpoint, or if it holds anything
            but numbers, text, containers, arrays, tensors and log buffers.
    """
    try:
        return _read(path, _RunUnpickler, map_location)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(
            f'{path}: cannot be resumed from ({error}). It was not read any '
            'further, as a checkpoint may execute whatever it names. Give the '
            'complete file that a training run wrote; hooks of your own must '
            'save numbers, text, arrays or tensors, not objects.') from error


def allow_runs() -> None:
    """Let PyTorch's own safe reading take checkpoints of runs.

    From PyTorch 2.6 on it is the default, and MMEngine 0.10 writes what it
    refuses. Does nothing before.
    """
    if digit_version(torch.__version__) < digit_version('2.6.0'):
        return
    named = {
        f'{module}.{name}'.replace('__builtin__', 'builtins'): allowed
        for (module, name), allowed in ALLOWED_IN_RUNS.items()
        if (module, name) not in ALLOWED and module != '_codecs'
    }
    for code in np.typecodes['AllInteger'] + np.typecodes['Float'] + '?':
        number_type = type(np.dtype(code))
        named[f'numpy.dtypes.{number_type.__name__}'] = number_type
    # All with their names, also where the name is that of the object: others
    # allow some of these objects for a moment and then take them out again.
    torch.serialization.add_safe_globals(  # type: ignore[attr-defined]
        [(allowed, name) for name, allowed in named.items()])


def _read_safetensors(path: str) -> Dict[str, Tensor]:
    """Read a file of tensors by name."""
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise ValueError(f'{path}: reading it takes the package safetensors: '
                         'pip install safetensors') from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f'{path}: not readable as safetensors ({error}). Give the file '
            'that was written, downloaded completely.') from error


def _read(path: str, unpickler: type, map_location):
    """Read a file of torch.save with an unpickler of this module."""
    if _is_program(path):
        raise ValueError('it holds a TorchScript program, not a checkpoint')
    return torch.load(
        path,
        map_location=map_location,
        pickle_module=_pickle_module(unpickler),
        weights_only=False)


def _is_program(path: str) -> bool:
    """Whether torch.load would run the file as TorchScript."""
    with open(path, 'rb') as file:
        if file.read(4) != b'PK\x03\x04':
            return False
    reader = torch._C.PyTorchFileReader(str(path))
    records = reader.get_all_records()  # type: ignore[attr-defined]
    return 'constants.pkl' in records


def _describe(value) -> str:
    """What was found in place of weights."""
    if isinstance(value, Foreign):
        return f'made by {value.origin}, which is not read'
    if isinstance(value, dict):
        return f'a dict of {len(value)} entries'
    return f'a {type(value).__name__}'
