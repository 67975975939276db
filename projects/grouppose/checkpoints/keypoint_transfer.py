"""Transfer of weights to other keypoints and classes: both are matched by
name, and the weights that belong to one are moved with it."""
import re
from typing import Dict, List, Optional

import torch
from mmpose.registry import MODELS
from torch import Tensor

from ..describe.names import canonical_names


def match_keypoints(
        source: List[str],
        target: List[str],
        aliases: Optional[Dict[str, str]] = None) -> List[Optional[int]]:
    """Match keypoints by name with those that weights were trained on.

    Case, separators and the spelling of left and right do not matter.

    Args:
        source (list[str]): Names of the keypoints of the weights.
        target (list[str]): Names of the keypoints that are wanted.
        aliases (dict[str, str], optional): Names of source keypoints by
            target keypoint, for names that do not match by themselves.

    Returns:
        list[int | None]: Index of the source of each target keypoint, None
        where there is none.

    Raises:
        ValueError: If an alias names a keypoint that does not exist.
    """
    index: Dict[str, int] = {}
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
    """Adapt weights to another set of keypoints.

    A keypoint without a source gets the mean of the weights of all source
    keypoints, and so starts in the middle of the body. Weights that do not
    belong to single keypoints stay as they are.

    Args:
        weights (dict[str, Tensor]): Weights of a Group Pose model by name.
        matches (list[int | None]): Source of each target keypoint, from
            :func:`match_keypoints`.

    Returns:
        dict[str, Tensor]: Weights for ``len(matches)`` keypoints.

    Raises:
        ValueError: If these are not weights of Group Pose.
    """
    changed = dict(weights)
    for name, (axis, per_keypoint) in _find(weights, 'per_keypoint').items():
        rows = weights[name].unflatten(axis, (-1, per_keypoint))
        changed[name] = _choose(rows, matches, axis).flatten(axis, axis + 1)
    return changed


def change_queries(weights: Dict[str, Tensor],
                   num_queries: int) -> Dict[str, Tensor]:
    """Adapt weights to another number of queries.

    Those of DETRPose depend on it, as the content that queries start with is
    learned by rank: the first ones stay, further ones get the mean of all.

    Args:
        weights (dict[str, Tensor]): Weights of a model by name.
        num_queries (int): Number of queries wanted.

    Returns:
        dict[str, Tensor]: Weights for it; the same where none depend on it.
    """
    changed = dict(weights)
    for name, (axis, _) in _find(weights, 'per_query').items():
        count = weights[name].shape[axis]
        ranks = [i if i < count else None for i in range(num_queries)]
        changed[name] = _choose(weights[name], ranks, axis)
    return changed


def change_classes(weights: Dict[str, Tensor], source: List[str],
                   target: List[str]) -> Dict[str, Tensor]:
    """Adapt weights to another set of classes.

    A class whose name the weights do not know gets the mean of the weights of
    all their classes: that of people, where none are told apart.

    Args:
        weights (dict[str, Tensor]): Weights of a Group Pose model by name.
        source (list[str]): Names of the classes of the weights in the order
            of their labels, or none for a model of people, who have the last
            logit.
        target (list[str]): Names of the classes that are wanted.

    Returns:
        dict[str, Tensor]: Weights for them; without any wanted, the same.
    """
    if not target:
        return weights
    matches = [source.index(x) if x in source else None for x in target]
    found = {name: weights[name] for name in _find(weights, 'per_class')}
    count = min(len(rows) for rows in found.values())
    changed = dict(weights)
    for name, rows in found.items():
        known = rows[:count] if source else rows[count - 1:count]
        chosen = _choose(known, matches, 0)
        # Embeddings may be more than there are classes.
        more = rows[len(chosen):] if len(rows) > count else rows[:0]
        changed[name] = torch.cat([chosen, more])
    return changed


def count_keypoints(weights: Dict[str, Tensor]) -> int:
    """Count the keypoints that weights are for.

    Raises:
        ValueError: If these are not weights of Group Pose.
    """
    lengths = {
        name: weights[name].shape[axis] / per_keypoint
        for name, (axis,
                   per_keypoint) in _find(weights, 'per_keypoint').items()
    }
    if not lengths:
        raise ValueError(
            'no weights of keypoints, such as '
            'head.decoder.keypoint_embedding.weight: these are not weights of '
            'this project\'s models. Convert those of an official program '
            'with official_to_mmpose.py first.')
    if len(set(lengths.values())) > 1:
        listed = ', '.join(f'{name} for {length:g}'
                           for name, length in lengths.items())
        raise ValueError(f'its weights are for different numbers of '
                         f'keypoints: {listed}. Give another checkpoint.')
    return int(lengths.popitem()[1])


def format_matches(source: List[str], target: List[str],
                   matches: List[Optional[int]]) -> str:
    """Format one line per target keypoint with its source, as text."""
    width = max(len(name) for name in target)
    lines = []
    for name, i in zip(target, matches):
        origin = 'new: mean of all' if i is None else source[i]
        lines.append(f'  {name:{width}}  <- {origin}')
    unused = [name for i, name in enumerate(source) if i not in set(matches)]
    if unused:
        lines.append(f'  not used: {", ".join(unused)}')
    return '\n'.join(lines)


def _find(weights: Dict[str, Tensor], attribute: str) -> dict:
    """What registered modules say in an attribute about their weights, by a
    pattern of the name that these have in the module: axis, and entries on it
    per keypoint or query (``per_keypoint``, ``per_query``), or that there is
    a row per class (``per_class``)."""
    found = {}
    for module in MODELS.module_dict.values():
        for pattern, value in getattr(module, attribute, {}).items():
            ends = re.compile(rf'head\.(?:.+\.)?{pattern}')
            found.update(
                {name: value
                 for name in weights if ends.fullmatch(name)})
    return found


def _choose(rows: Tensor, matches: List[Optional[int]], axis: int) -> Tensor:
    """Entries by index, the mean of all for None."""
    mean = rows.mean(axis)
    return torch.stack(
        [mean if i is None else rows.select(axis, i) for i in matches], axis)
