"""Names and layout of the official programs' weights, and ours."""
import re
from typing import Dict, Iterable, List, Tuple

import torch
from torch import Tensor

from .safe_unpickler import load_from_file, load_weights

# What DETRPose's published models take: squares of so many pixels.
DETRPOSE_SIDE = 640

# Prefixes of official names and ours, in the order in which they are tried,
# whichever way. `#` stands for a number that both names hold.
GROUP_POSE = (
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
DETRPOSE = (
    ('backbone.', 'backbone.'),
    ('encoder.encoder.0.layers.0.', 'neck.encoder.'),
    ('encoder.downsample_convs.#.0.', 'neck.downsample_convs.#.'),
    ('encoder.', 'neck.'),
    ('transformer.up', 'head.decoder.distribution.up'),
    ('transformer.reg_scale', 'head.decoder.distribution.reg_scale'),
    ('transformer.enc_output.', 'head.query_selection.output.'),
    ('transformer.enc_output_norm.', 'head.query_selection.norm.'),
    ('transformer.enc_out_class_embed.', 'head.query_selection.class_embed.'),
    ('transformer.enc_pose_embed.', 'head.query_selection.pose_embed.'),
    ('transformer.tgt_embed.', 'head.query_selection.content.'),
    ('transformer.label_enc.',
     'head.training_queries.denoising.label_embedding.'),
    ('transformer.pose_enc.',
     'head.training_queries.denoising.pose_embedding.'),
    ('transformer.decoder.half_pose_ref_point_head.',
     'head.decoder.ref_point_head.'),
    ('transformer.decoder.layers.#.norm2.', 'head.decoder.layers.#.ffn_norm.'),
    ('transformer.decoder.layers.#.', 'head.decoder.layers.#.'),
    ('transformer.class_embed.#.', 'head.decoder.class_embeds.#.'),
    ('transformer.pose_embed.#.', 'head.decoder.pose_embeds.#.'),
    ('transformer.lqe_embed.#.', 'head.decoder.quality.#.'),
    ('transformer.', 'head.decoder.'),
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
        path (str): File written by an official program, or a bare state dict
            of its model. Where there are averaged weights (EMA), which
            DETRPose evaluates, these are read.

    Returns:
        dict[str, Tensor]: Weights by official name, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a checkpoint or holds no weights.
    """
    return load_weights(path, 'ema.module', 'model')


def load_ours(path: str) -> Dict[str, Tensor]:
    """Read the weights of a checkpoint of MMPose, executing nothing.

    Args, returns and raises: see :func:`load_official`.
    """
    return load_weights(path, 'state_dict')


def family_of(names: Iterable[str]) -> str:
    """The official program that weights come from or go to.

    Args:
        names (Iterable[str]): Names of weights, official ones or ours.

    Returns:
        str: 'detrpose' or 'grouppose'.
    """
    of_detrpose = ('encoder.', 'transformer.tgt_embed.', 'neck.encoder.',
                   'head.query_selection.content.')
    found = any(name.startswith(of_detrpose) for name in names)
    return 'detrpose' if found else 'grouppose'


def from_official(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Turn official weights into ours.

    Args:
        weights (dict[str, Tensor]): Weights by official name.

    Returns:
        dict[str, Tensor]: Weights by our name. Entries that no rule covers
        keep their name, for ``fit.compare_with_model`` to list.

    Raises:
        ValueError: If an entry that is stored twice holds two values, or one
            that follows from the others holds something else.
    """
    if family_of(weights) == 'detrpose':
        constants = detrpose_constants(weights)
        for name, value in constants.items():
            if name in weights and not torch.allclose(
                    weights[name].double(), value.double(), atol=1e-5):
                raise ValueError(
                    f'{name} is not that of square images of {DETRPOSE_SIDE} '
                    'pixels: this is not a checkpoint of DETRPose with its '
                    'published settings.')
        return {
            _rename(name, _RULES['detrpose'][0]): value
            for name, value in weights.items() if name not in constants
        }
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
        ours[_rename(name, _RULES['grouppose'][0])] = value
    return ours


def from_dfine(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Backbone and neck of D-FINE, which DETRPose has, too, by our name.

    Args:
        weights (dict[str, Tensor]): Weights of D-FINE by its names.

    Returns:
        dict[str, Tensor]: Without its decoder, and without counters of
        batches in the backbone, whose norms are frozen in DETRPose.
    """
    return {
        _rename(name, _RULES['detrpose'][0]): value
        for name, value in weights.items()
        if name.startswith('encoder.') or (name.startswith(
            'backbone.') and not name.endswith('.num_batches_tracked'))
    }


def to_official(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Turn our weights into official ones: :func:`from_official` undone.

    Args:
        weights (dict[str, Tensor]): Weights by our name.

    Returns:
        dict[str, Tensor]: Weights by official name, with all that the
        official file holds besides: weights under a second name, and
        entries that follow from the others.
    """
    family = family_of(weights)
    official = {}
    for name, value in weights.items():
        name = _rename(name, _RULES[family][1])
        if PATCH_MERGING.match(name):
            value = _reverse_axes(value, (-1, 2, 2))
        official[name] = value
        if STORED_TWICE.fullmatch(name):
            official[ALIAS_PREFIX + name] = value
    if family == 'detrpose':
        official.update(detrpose_constants(official))
    return official


def take_constants(official: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """The entries of official weights that ours do without."""
    if family_of(official) != 'detrpose':
        return {}
    names = detrpose_constants(official)
    return {name: official[name] for name in names if name in official}


def load_constants(path: str) -> Dict[str, Tensor]:
    """What :func:`take_constants` found before a file was converted, if it
    says so."""
    content = load_from_file(path, 'cpu')
    meta = content.get('meta') if isinstance(content, dict) else None
    kept = meta.get('official_constants') if isinstance(meta, dict) else None
    return kept if isinstance(kept, dict) else {}


def detrpose_constants(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Entries of DETRPose's files that follow from the others.

    Args:
        weights (dict[str, Tensor]): Weights by official name.

    Returns:
        dict[str, Tensor]: Anchors of all tokens as logits (1, S, 2), whether
        they are not usable (1, S, 1), and the wavelengths of the sine
        embedding (C / 2, ).

    Raises:
        ValueError: If they are weights of something else.
    """
    source = 'transformer.instance_embedding.weight'
    if source not in weights:
        raise ValueError(
            f'{source} is missing: this is not a checkpoint of DETRPose. That '
            'of a D-FINE detector is converted by dfine_to_mmpose.py.')
    levels = sum(
        name.startswith('encoder.input_proj.')
        and name.endswith('.conv.weight') for name in weights)
    width = weights[source].shape[1]
    centers = []
    for level in range(levels):
        cells = DETRPOSE_SIDE // 32 * 2**(levels - 1 - level)
        axis = (torch.arange(cells, dtype=torch.float32) + 0.5) / cells
        y, x = torch.meshgrid(axis, axis, indexing='ij')
        centers.append(torch.stack([x, y], -1).view(1, -1, 2))
    anchors = torch.cat(centers, 1)
    usable = ((anchors > 0.01) & (anchors < 0.99)).all(-1, keepdim=True)
    channel = torch.arange(width // 2, dtype=torch.float32)
    return {
        'transformer.anchors': torch.log(anchors / (1 - anchors)),
        'transformer.valid_mask':  # QUIRK: true where not valid
        ~usable,
        'transformer.decoder.dim_t': 10000**(2 * (channel // 2) / (width // 2))
    }


def _compile(pairs) -> List[Tuple[re.Pattern, str]]:
    """Patterns of prefixes and what to put in their place."""
    return [(re.compile(re.escape(source).replace(r'\#', r'(\d+)')), target)
            for source, target in pairs]


# To ours and to the official names, by family.
_RULES = {
    family: (_compile(pairs), _compile(pair[::-1] for pair in pairs))
    for family, pairs in (('grouppose', GROUP_POSE), ('detrpose', DETRPOSE))
}


def _rename(name: str, rules: List[Tuple[re.Pattern, str]]) -> str:
    """A name with its prefix replaced by the first rule that fits."""
    for pattern, target in rules:
        match = pattern.match(name)
        if match:
            for number in match.groups():
                target = target.replace('#', number, 1)
            return target + name[match.end():]
    return name


def _reverse_axes(value: Tensor, axes: Tuple[int, ...]) -> Tensor:
    """Split the last dimension into three axes and reverse their order.

    A tensor that cannot be split is returned as it is: it does not fit the
    model anyway.
    """
    if not value.dim() or value.shape[-1] % 4:
        return value
    return value.unflatten(-1, axes).transpose(-1, -3).flatten(-3)
