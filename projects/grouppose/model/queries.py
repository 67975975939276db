"""Input of the decoder: groups of queries, the attention mask between them,
and, in training, how each group is matched."""
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Sequence, Union

import torch
from torch import Tensor

from .matcher import Matches

# The group that predicts; all others exist in training only.
MAIN = 'main'
# Predictions for each of a number of queries by name, and these by the name
# of the output set, see :meth:`Queries.name_sets`.
OutputSet = Dict[str, Tensor]
OutputSets = Dict[str, OutputSet]


@dataclass(frozen=True, eq=False)
class QueryGroup:
    """The queries of N instances.

    Slot 0 of an instance is its instance query, slots 1 to K are its keypoint
    queries.

    Attributes:
        content (Tensor): Initial content of the queries, (B, N, K + 1, C).
        references (Tensor): Initial reference points, normalized (x, y); slot
            0 is the center of the pose, (B, N, K + 1, 2).
        sees (Sequence[str]): Names of other groups that these queries attend
            to. The queries of the other group attend to these only if that
            group says so itself.
        mask (Tensor, optional): True where an instance must not attend to
            another of the same group, bool, (N, N).
        matches (Matches, optional): Which query is matched with which
            person, in every output set. Defaults to the result of the
            matcher.
        fixed (Tensor, optional): True for keypoints that stay at their
            reference point in every layer, bool, (B, N, K). Defaults to none.
        repeats (int): Number of queries that the matcher gives each person.
            Defaults to 1.
        loss_weight (float): Weight of the group's losses. Defaults to 1.
        outputs (OutputSets): Output sets of the group that were predicted
            before the decoder, by name (``'enc'``). A group of no queries
            that has some gets none from the decoder.
    """
    content: Tensor
    references: Tensor
    sees: Sequence[str] = ()
    mask: Optional[Tensor] = None
    fixed: Optional[Tensor] = None
    matches: Optional[Matches] = None
    repeats: int = 1
    loss_weight: float = 1.0
    outputs: OutputSets = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Queries:
    """All groups of queries of a batch, T instances per image in total.

    Attributes:
        groups (dict[str, QueryGroup]): Groups by name, :data:`MAIN` first.
        outputs (OutputSets): Output sets that were predicted before the
            decoder, by name (``'enc'``, ``'GROUP.enc'``).
        select (callable, optional): The head's query selection, and
        start (callable, optional): the decoder's ``initial_queries``: for
            groups that are made as the main one is.
    """
    groups: Dict[str, QueryGroup]
    outputs: OutputSets = field(default_factory=dict)
    select: Optional[Callable] = None
    start: Optional[Callable[[Tensor, Tensor], QueryGroup]] = None

    def add(self, name: str, made: Union[QueryGroup,
                                         List[QueryGroup]]) -> None:
        """Add what a part for training has made.

        Args:
            name (str): Name of the part.
            made (QueryGroup | list[QueryGroup]): One group, which gets this
                name, or several, which get it with a number
                (``'NAME.0'``).
        """
        named = {
            name: made
        } if isinstance(made, QueryGroup) else {
            f'{name}.{index}': group
            for index, group in enumerate(made)
        }
        for name, group in named.items():
            self.groups[name] = group
            for set_name, values in group.outputs.items():
                self.outputs[f'{name}.{set_name}'] = values

    @property
    def content(self) -> Tensor:
        """Tensor: Content of all groups, (B, T, K + 1, C)."""
        return _join([group.content for group in self.groups.values()])

    @property
    def references(self) -> Tensor:
        """Tensor: References of all groups, (B, T, K + 1, 2)."""
        return _join([group.references for group in self.groups.values()])

    @property
    def fixed(self) -> Optional[Tensor]:
        """Tensor, optional: Which keypoints of all groups are fixed,
        (B, T, K), or None if no group has any."""
        groups = self.groups.values()
        if all(group.fixed is None for group in groups):
            return None
        return _join([
            torch.zeros_like(group.references[:, :, 1:, 0], dtype=torch.bool)
            if group.fixed is None else group.fixed for group in groups
        ])

    def attention_mask(self) -> Optional[Tensor]:
        """Make the attention mask between all instances.

        Returns:
            Tensor: True where blocked, bool, (T, T), or None if all may
            attend to all.
        """
        sizes = {
            name: group.content.shape[1]
            for name, group in self.groups.items()
        }
        if self.groups[MAIN].mask is None and not any(
                size for name, size in sizes.items() if name != MAIN):
            return None
        device = self.groups[MAIN].content.device
        rows = []
        for name, group in self.groups.items():
            blocks = []
            for other, size in sizes.items():
                if other == name and group.mask is not None:
                    blocks.append(group.mask)
                else:
                    blocked = other != name and other not in group.sees
                    blocks.append(
                        torch.full((sizes[name], size), blocked,
                                   device=device))
            rows.append(torch.cat(blocks, 1))
        return torch.cat(rows)

    def name_sets(self, layers: OutputSets) -> OutputSets:
        """Split the decoder's output sets by group.

        Args:
            layers (OutputSets): Predictions of all queries, (B, T, ...), by
                the decoder's name for the set.

        Returns:
            OutputSets: Predictions (B, N, ...) of each group: those of
            :data:`MAIN` under the decoder's names (``'d0'``, ``'d1'``, ...,
            ``'last'``), those of another group with its name as prefix
            (``'denoising.d0'``); and :attr:`outputs` (``'enc'``).
        """
        sizes = [group.content.shape[1] for group in self.groups.values()]
        named: OutputSets = {}
        for index, (name, group) in enumerate(self.groups.items()):
            if group.outputs and not sizes[index]:
                continue
            prefix = '' if name == MAIN else f'{name}.'
            for layer, values in layers.items():
                named[prefix + layer] = {
                    key:
                    value if len(sizes) == 1 else value.split(sizes, 1)[index]
                    for key, value in values.items()
                }
        return {**named, **self.outputs}


def group_of(name: str) -> str:
    """Name of the group of queries that an output set is predicted from."""
    return name.rpartition('.')[0] or MAIN


def with_center(poses: Tensor) -> Tensor:
    """Prepend the mean of the K keypoints of each pose, (..., K + 1, 2)."""
    return torch.cat([poses.mean(-2, keepdim=True), poses], -2)


def move(poses: Tensor, moved: Tensor, fixed: Optional[Tensor]) -> Tensor:
    """Move poses, but for fixed keypoints, which stay exactly where they are.

    Args:
        poses (Tensor): Where keypoints are, (..., K, 2).
        moved (Tensor): Where they would go, (..., K, 2).
        fixed (Tensor, optional): True where they stay, bool, (..., K). None
            fixes none.

    Returns:
        Tensor: Where they are then, (..., K, 2).
    """
    return moved if fixed is None else poses.where(fixed[..., None], moved)


def _join(parts: List[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)
