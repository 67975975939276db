"""Start from weights that were trained on other keypoints: joints are found
by their names, and what belongs to a joint goes with it."""
import re
from typing import Dict, List, Optional

import torch
from torch import Tensor

from ..describe.names import canonical_names

# The weights that depend on the number of keypoints: a row for each keypoint,
# and rows for x and y of each keypoint in turn.
EMBEDDING = 'head.decoder.keypoint_embedding.weight'
POSES = re.compile(
    r'head\.query_selection\.pose_embed\.layers\.(\d+)\.(?:weight|bias)')


def match_keypoints(
        source: List[str],
        target: List[str],
        aliases: Optional[Dict[str, str]] = None) -> List[Optional[int]]:
    """Find each keypoint among those that weights were trained on.

    Case, separators and the spelling of left and right do not matter.

    Args:
        source (list[str]): Names of the keypoints of the weights.
        target (list[str]): Names of the keypoints that are wanted.
        aliases (dict[str, str], optional): Names of source keypoints by
            target keypoint, where the names do not tell.

    Returns:
        list[int | None]: Index of the source of each target keypoint, None
        where there is none.

    Raises:
        ValueError: If an alias names a keypoint that does not exist.
    """
    index = {}
    for i, name in enumerate(canonical_names(source)):
        index.setdefault(name, i)
    matches = [index.get(name) for name in canonical_names(target)]
    for new, old in (aliases or {}).items():
        for name, names, kind in ((new, target, 'target'), (old, source,
                                                            'source')):
            if name not in names:
                raise ValueError(f'alias {new}={old}: {name} is no {kind} '
                                 f'keypoint. There are: {", ".join(names)}.')
        matches[target.index(new)] = source.index(old)
    return matches


def change_keypoints(weights: Dict[str, Tensor],
                     matches: List[Optional[int]]) -> Dict[str, Tensor]:
    """Give weights another set of keypoints.

    A keypoint without a source starts as the mean of all source keypoints:
    in the middle of the body. All weights that do not belong to single
    keypoints stay as they are.

    Args:
        weights (dict[str, Tensor]): Weights of a Group Pose model by name.
        matches (list[int | None]): What :func:`match_keypoints` returns.

    Returns:
        dict[str, Tensor]: Weights for ``len(matches)`` keypoints.

    Raises:
        ValueError: If these are not weights of Group Pose.
    """
    num_keypoints = count_keypoints(weights)
    changed = dict(weights)
    changed[EMBEDDING] = _choose(weights[EMBEDDING], matches)
    for name in _pose_outputs(weights):
        value = weights[name]
        if len(value) != 2 * num_keypoints:
            raise ValueError(
                f'{name} has {len(value)} rows, but {EMBEDDING} is for '
                f'{num_keypoints} keypoints, which need two each. Give a '
                'checkpoint of Group Pose.')
        of_points = value.unflatten(0, (num_keypoints, 2))
        changed[name] = _choose(of_points, matches).flatten(0, 1)
    return changed


def count_keypoints(weights: Dict[str, Tensor]) -> int:
    """The number of keypoints that weights are for.

    Raises:
        ValueError: If these are not weights of Group Pose.
    """
    if EMBEDDING not in weights or not _pose_outputs(weights):
        raise ValueError(
            f'no {EMBEDDING} or no head.query_selection.pose_embed: these '
            'are not weights of this project\'s Group Pose. Convert those of '
            'the official program with official_to_mmpose.py first.')
    return len(weights[EMBEDDING])


def format_matches(source: List[str], target: List[str],
                   matches: List[Optional[int]]) -> str:
    """A line for each target keypoint that says where it comes from."""
    width = max(len(name) for name in target)
    lines = []
    for name, i in zip(target, matches):
        origin = 'new: mean of all' if i is None else source[i]
        lines.append(f'  {name:{width}}  <- {origin}')
    unused = [name for i, name in enumerate(source) if i not in set(matches)]
    if unused:
        lines.append(f'  not used: {", ".join(unused)}')
    return '\n'.join(lines)


def _pose_outputs(weights: Dict[str, Tensor]) -> List[str]:
    """Names of weight and bias of the last layer of the first pose head."""
    layers = {name: POSES.fullmatch(name) for name in weights}
    layers = {name: int(match[1]) for name, match in layers.items() if match}
    return [name for name in layers if layers[name] == max(layers.values())]


def _choose(rows: Tensor, matches: List[Optional[int]]) -> Tensor:
    """Rows by index, the mean of all for None."""
    mean = rows.mean(0)
    return torch.stack([mean if i is None else rows[i] for i in matches])
