"""Whether a checkpoint, or a data set, is of a model: to start training from,
to resume, to evaluate and to predict with."""
import os.path as osp
from typing import Callable, Dict, List, Optional, Tuple, Union

import torch
from mmengine.runner.checkpoint import load_state_dict
from torch import Tensor, nn

from ..codec import OKSKeypointCodec
from ..data.metainfo import classes_of
from .mmengine_loading import fetch
from .safe_unpickler import load_from_run, load_weights

# Buffers that are a function of the window size.
INDEX_SUFFIX = '.relative_position_index'

CONVERTER = 'tools/model_converters/official_to_mmpose.py'


def compare_with_model(weights: Dict[str, Tensor],
                       model: nn.Module) -> List[Tuple[str, str]]:
    """Find what keeps weights from filling a model exactly.

    Args:
        weights (dict[str, Tensor]): Weights by our name.
        model (nn.Module): The model that they are meant for.

    Returns:
        list[tuple[str]]: Name and what is wrong with it, empty if every
        entry of both sides has its counterpart.
    """
    own = model.state_dict()
    problems = [(name, 'missing in the checkpoint') for name in own
                if name not in weights]
    for name, value in weights.items():
        if name not in own:
            problems.append((name, 'unknown to the model'))
        elif value.shape != own[name].shape:
            problems.append((name, f'shape {tuple(value.shape)}, the model '
                             f'has {tuple(own[name].shape)}'))
        elif name.endswith(INDEX_SUFFIX) and not torch.equal(
                value, own[name].cpu()):
            problems.append((name, 'values differ from those that follow '
                             'from the window size'))
        elif not value.isfinite().all():
            problems.append((name, 'holds NaN or infinite values'))
    return problems


def read_fitting_weights(checkpoint: str, model: nn.Module,
                         name: str) -> Dict[str, Tensor]:
    """Read weights that fill a model exactly.

    Args:
        checkpoint (str): File with the weights.
        model (nn.Module): The model.
        name (str): Its config, for the message.

    Returns:
        dict[str, Tensor]: Weights by name, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read or does not fit the model.
    """
    weights = _read_weights(checkpoint)
    problems = compare_with_model(weights, model)
    if problems:
        lines = [f'  {entry}: {what}' for entry, what in problems[:8]]
        raise ValueError('\n'.join([
            f'{checkpoint} does not fit {name}: {len(problems)} entries '
            f'differ, the model has {len(model.state_dict())}.', *lines,
            '  ...' if len(problems) > len(lines) else '',
            'Give the config that the checkpoint was trained with.'
        ]))
    return weights


def read_run(path: str,
             model: nn.Module,
             map_location: Union[str, Callable, None] = None) -> dict:
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
    content['meta'].pop('config', None)
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


def check_keypoints(model: nn.Module, dataset_meta: dict) -> None:
    """Refuse a data set of other keypoints or classes than a model predicts.

    Args:
        model (nn.Module): The model.
        dataset_meta (dict): Metainfo of the data set.

    Raises:
        ValueError: If their numbers, or the classes, differ.
    """
    codec = getattr(getattr(model, 'head', None), 'codec', None)
    if not isinstance(codec, OKSKeypointCodec):
        return
    described = dataset_meta['num_keypoints']
    if codec.num_keypoints != described:
        raise ValueError(
            f'the head predicts {codec.num_keypoints} keypoints, but '
            f'`metainfo` of the data set describes {described}. Give '
            'model.head.data_decoder and the data set the same metainfo.')
    check_classes(codec, dataset_meta)


def check_classes(codec: OKSKeypointCodec, dataset_meta: dict) -> None:
    """Refuse a data set of other classes than a model tells apart.

    Args:
        codec (OKSKeypointCodec): Of the model.
        dataset_meta (dict): Metainfo of the data set.

    Raises:
        ValueError: If they differ.
    """
    classes = classes_of(dataset_meta)
    if codec.classes != classes:
        raise ValueError(
            f'the head tells apart the classes {codec.classes}, but '
            f'`metainfo` of the data set has {classes}. Give '
            'model.head.data_decoder and the data set the same metainfo.')


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
    load_state_dict(module, weights)


def _first(problems: list) -> str:
    """The first problem, and how many there are."""
    (name, what), *others = problems
    return f'{name}: {what}' + f'; {len(others)} more' * bool(others)


def _read_weights(checkpoint: str) -> Dict[str, Tensor]:
    """Weights by name; an official checkpoint is sent to the converter."""
    try:
        weights = load_weights(checkpoint, 'state_dict')
    except ValueError:
        try:
            weights = load_weights(checkpoint, 'model')
        except ValueError:
            weights = {}
        if not _is_official(weights):
            raise
    if _is_official(weights):
        raise ValueError(
            f'{checkpoint} is a checkpoint of the official program. Convert '
            f'it first: python {CONVERTER} {checkpoint} CONVERTED.pth')
    return weights


def _is_official(weights: Dict[str, Tensor]) -> bool:
    return any(name.startswith('transformer.') for name in weights)
