"""Checkpoints of the official program: read them safely and rename their
entries to ours."""
import pickle
import re
from argparse import Namespace
from collections import OrderedDict
from types import SimpleNamespace
from typing import Dict, List, Tuple

import torch
from torch import Tensor

# Prefixes of official names and ours, in the order in which they are tried.
# `#` stands for a number that both names hold.
RENAMED_PREFIXES = (
    ('backbone.0.body.', 'backbone.'),
    ('input_proj.3.0.', 'neck.extra_convs.0.conv.'),
    ('input_proj.3.1.', 'neck.extra_convs.0.gn.'),
    ('input_proj.#.0.', 'neck.convs.#.conv.'),
    ('input_proj.#.1.', 'neck.convs.#.gn.'),
    ('transformer.level_embed', 'head.level_embed'),
    ('transformer.encoder.layers.#.norm1.', 'head.encoder.layers.#.norms.0.'),
    ('transformer.encoder.layers.#.norm2.', 'head.encoder.layers.#.norms.1.'),
    ('transformer.encoder.layers.#.linear1.',
     'head.encoder.layers.#.ffn.layers.0.0.'),
    ('transformer.encoder.layers.#.linear2.',
     'head.encoder.layers.#.ffn.layers.1.'),
    ('transformer.encoder.layers.#.self_attn.',
     'head.encoder.layers.#.self_attn.'),
    ('transformer.enc_output.', 'head.query_selection.output.'),
    ('transformer.enc_output_norm.', 'head.query_selection.norm.'),
    ('transformer.enc_out_class_embed.', 'head.query_selection.class_embed.'),
    ('transformer.enc_pose_embed.', 'head.query_selection.pose_embed.'),
    ('transformer.instance_embedding.', 'head.decoder.instance_embedding.'),
    ('transformer.keypoint_embedding.', 'head.decoder.keypoint_embedding.'),
    ('transformer.decoder.half_pose_ref_point_head.',
     'head.decoder.ref_point_head.'),
    ('transformer.decoder.layers.#.norm1.',
     'head.decoder.layers.#.cross_norm.'),
    ('transformer.decoder.layers.#.norm2.', 'head.decoder.layers.#.ffn_norm.'),
    ('transformer.decoder.layers.#.', 'head.decoder.layers.#.'),
    ('class_embed.#.', 'head.decoder.class_embeds.#.'),
    ('pose_embed.#.', 'head.decoder.pose_embeds.#.'),
)

# The official file stores the heads of the decoder twice.
ALIAS = re.compile(r'transformer\.decoder\.((?:class|pose)_embed\..+)')


def load_official(path: str) -> Dict[str, Tensor]:
    """Read the weights of an official checkpoint without running its code.

    The file holds a dict with ``model`` and, among others, the program's
    ``argparse.Namespace``, which ``torch.load(weights_only=True)`` refuses.
    Here it is read with the few globals that tensors need, that one and no
    other. A bare state dict is accepted too, and names that start with
    ``module.``.

    Args:
        path (str): File written by the official program.

    Returns:
        dict[str, Tensor]: Weights by official name, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a checkpoint, or wants anything else
            to be imported.
    """
    try:
        content = torch.load(
            path,
            map_location='cpu',
            pickle_module=_restricted_pickle,
            weights_only=False)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(
            f'{path}: not a readable PyTorch checkpoint ({error}). Give the '
            'file that the official program wrote, downloaded completely.'
        ) from error
    weights = content
    if isinstance(content, dict) and 'model' in content:
        weights = content['model']
    if not isinstance(weights, dict) or not weights or not all(
            isinstance(value, Tensor) for value in weights.values()):
        raise ValueError(
            f'{path}: holds neither a state dict nor one under `model`. Give '
            'the checkpoint that the official program wrote.')
    return {
        re.sub(r'^module\.', '', name): value
        for name, value in weights.items()
    }


def from_official(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Rename official weights to ours.

    Args:
        weights (dict[str, Tensor]): Weights by official name.

    Returns:
        dict[str, Tensor]: Weights by our name. Entries that no rule covers
        keep their name, for :func:`compare_with_model` to list.

    Raises:
        ValueError: If an entry that is stored twice holds two values.
    """
    renamed = OrderedDict()
    for name, value in weights.items():
        alias = ALIAS.fullmatch(name)
        if alias:
            name = alias[1]
            if name in weights and not torch.equal(value, weights[name]):
                raise ValueError(
                    f'{alias[0]} and {name} must be the same tensor, but '
                    'differ: this is not a checkpoint of Group Pose with '
                    'its published settings.')
        renamed[_rename(name)] = value
    return renamed


def compare_with_model(weights: Dict[str, Tensor],
                       model: torch.nn.Module) -> List[Tuple[str, str]]:
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
    return problems


def _rename(name: str) -> str:
    """Our name of an official entry."""
    for official, ours in RENAMED_PREFIXES:
        pattern = re.escape(official).replace(r'\#', r'(\d+)')
        match = re.match(pattern, name)
        if match:
            for number in match.groups():
                ours = ours.replace('#', number)
            return ours + name[match.end():]
    return name


class _RestrictedUnpickler(pickle.Unpickler):
    """Resolves the globals of a state dict and a Namespace, no others."""

    allowed = {
        ('collections', 'OrderedDict'): OrderedDict,
        ('argparse', 'Namespace'): Namespace,
        ('torch', 'Size'): torch.Size,
        ('torch._utils', '_rebuild_tensor_v2'):
        torch._utils._rebuild_tensor_v2,
        ('torch._utils', '_rebuild_parameter'):
        torch._utils._rebuild_parameter,
    }

    def find_class(self, module: str, name: str):
        """Return an allowed global or refuse the file."""
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(
                f'it asks to import {module}.{name}, which no weights need')
        return self.allowed[module, name]


def _restricted_load(file, **kwargs):
    return _RestrictedUnpickler(file, **kwargs).load()


# What torch.load wants of its `pickle_module`.
_restricted_pickle = SimpleNamespace(
    Unpickler=_RestrictedUnpickler,
    load=_restricted_load,
    __name__='restricted_pickle')
