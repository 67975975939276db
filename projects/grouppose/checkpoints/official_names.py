"""Names and layout of the official program's weights, and ours."""
import re
from typing import Dict, List, Tuple

import torch
from torch import Tensor

from .safe_unpickler import load_weights

# Prefixes of official names and ours, in the order in which they are tried,
# whichever way. `#` stands for a number that both names hold.
RENAMED_PREFIXES = (
    # Swin
    ('backbone.0.patch_embed.proj.', 'backbone.patch_embed.projection.'),
    ('backbone.0.patch_embed.', 'backbone.patch_embed.'),
    ('backbone.0.layers.#.blocks.#.attn.',
     'backbone.stages.#.blocks.#.attn.w_msa.'),
    ('backbone.0.layers.#.blocks.#.mlp.fc1.',
     'backbone.stages.#.blocks.#.ffn.layers.0.0.'),
    ('backbone.0.layers.#.blocks.#.mlp.fc2.',
     'backbone.stages.#.blocks.#.ffn.layers.1.'),
    ('backbone.0.layers.#.', 'backbone.stages.#.'),
    ('backbone.0.norm#.', 'backbone.norm#.'),
    # ResNet
    ('backbone.0.body.', 'backbone.'),
    # neck
    ('input_proj.3.0.', 'neck.extra_convs.0.conv.'),
    ('input_proj.3.1.', 'neck.extra_convs.0.gn.'),
    ('input_proj.#.0.', 'neck.convs.#.conv.'),
    ('input_proj.#.1.', 'neck.convs.#.gn.'),
    # head
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
STORED_TWICE = re.compile(r'(?:class|pose)_embed\.\d+\..+')
ALIAS_PREFIX = 'transformer.decoder.'

# Swin's patch merging puts the channels of 2 x 2 pixels into one vector:
# the official program those of a pixel together, column by column; ours,
# which cuts patches with nn.Unfold, those of a channel together, row by row.
# So the axes (column, row, channel) are in reverse order.
PATCH_MERGING = re.compile(r'backbone\.0\.layers\.\d+\.downsample\.')


def load_official(path: str) -> Dict[str, Tensor]:
    """Read the weights of an official checkpoint, executing nothing.

    Args:
        path (str): File written by the official program, or a bare state
            dict of its model.

    Returns:
        dict[str, Tensor]: Weights by official name, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a checkpoint or holds no weights.
    """
    return load_weights(path, entry='model')


def load_ours(path: str) -> Dict[str, Tensor]:
    """Read the weights of a checkpoint of MMPose, executing nothing.

    Args, returns and raises: see :func:`load_official`.
    """
    return load_weights(path, entry='state_dict')


def from_official(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Turn official weights into ours.

    Args:
        weights (dict[str, Tensor]): Weights by official name.

    Returns:
        dict[str, Tensor]: Weights by our name. Entries that no rule covers
        keep their name, for ``fit.compare_with_model`` to list.

    Raises:
        ValueError: If an entry that is stored twice holds two values.
    """
    ours = {}
    for name, value in weights.items():
        alias = name
        name = alias.removeprefix(ALIAS_PREFIX)
        if not STORED_TWICE.fullmatch(name):
            name = alias
        elif not torch.equal(value, weights.get(name, value)):
            raise ValueError(
                f'{alias} and {name} must be the same tensor, but differ: '
                'this is not a checkpoint of Group Pose with its published '
                'settings.')
        if PATCH_MERGING.match(name):
            value = _reverse_axes(value, (2, 2, -1))
        ours[_rename(name, _TO_OURS)] = value
    return ours


def to_official(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Turn our weights into official ones: :func:`from_official` undone.

    Args:
        weights (dict[str, Tensor]): Weights by our name.

    Returns:
        dict[str, Tensor]: Weights by official name, those of the decoder's
        heads under both of their names.
    """
    official = {}
    for name, value in weights.items():
        name = _rename(name, _TO_OFFICIAL)
        if PATCH_MERGING.match(name):
            value = _reverse_axes(value, (-1, 2, 2))
        official[name] = value
        if STORED_TWICE.fullmatch(name):
            official[ALIAS_PREFIX + name] = value
    return official


def _compile(pairs) -> List[Tuple[re.Pattern, str]]:
    """Patterns of prefixes and what to put in their place."""
    return [(re.compile(re.escape(source).replace(r'\#', r'(\d+)')), target)
            for source, target in pairs]


_TO_OURS = _compile(RENAMED_PREFIXES)
_TO_OFFICIAL = _compile(pair[::-1] for pair in RENAMED_PREFIXES)


def _rename(name: str, rules: List[Tuple[re.Pattern, str]]) -> str:
    """A name with its prefix replaced by the first rule that fits."""
    for pattern, target in rules:
        match = pattern.match(name)
        if match:
            for number in match.groups():
                target = target.replace('#', number, 1)
            return target + name[match.end():]
    return name


def _reverse_axes(value: Tensor, axes: Tuple[int]) -> Tensor:
    """Split the last dimension into three axes and reverse their order.

    A tensor that cannot be split is returned as it is: it does not fit the
    model anyway.
    """
    if not value.dim() or value.shape[-1] % 4:
        return value
    return value.unflatten(-1, axes).transpose(-1, -3).flatten(-3)
