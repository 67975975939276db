"""What enters the decoder: groups of queries, who attends to whom among them,
and, in training, whom they answer for."""
from dataclasses import dataclass, field
from typing import Dict, Optional, Sequence

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
        content (Tensor): What the queries start from, (B, N, K + 1, C).
        references (Tensor): Where, normalized (x, y): slot 0 is the center
            of the pose, (B, N, K + 1, 2).
        sees (Sequence[str]): Other groups that these queries attend to.
            Theirs do not attend to these unless they say so, too.
        mask (Tensor, optional): True where an instance must not attend to
            another of the same group, bool, (N, N).
        matches (Matches, optional): Whom the queries answer for, in every
            output set. Defaults to what the matcher finds.
    """
    content: Tensor
    references: Tensor
    sees: Sequence[str] = ()
    mask: Optional[Tensor] = None
    matches: Optional[Matches] = None


@dataclass(frozen=True, eq=False)
class Queries:
    """All queries of a step, T instances per image.

    Attributes:
        groups (dict[str, QueryGroup]): Groups by name, :data:`MAIN` first.
        outputs (OutputSets): What was predicted on the way here, by name of
            the output set.
    """
    groups: Dict[str, QueryGroup]
    outputs: OutputSets = field(default_factory=dict)

    @property
    def content(self) -> Tensor:
        """Tensor: Content of all groups, (B, T, K + 1, C)."""
        return _join([group.content for group in self.groups.values()])

    @property
    def references(self) -> Tensor:
        """Tensor: References of all groups, (B, T, K + 1, 2)."""
        return _join([group.references for group in self.groups.values()])

    @property
    def matches(self) -> Dict[str, Matches]:
        """dict[str, Matches]: Those that are known, by group."""
        return {
            name: group.matches
            for name, group in self.groups.items() if group.matches is not None
        }

    def attention_mask(self) -> Optional[Tensor]:
        """Which instances must not attend to which.

        Returns:
            Tensor: True where blocked, bool, (T, T), or None if all may
            attend to all.
        """
        if len(self.groups) == 1 and self.groups[MAIN].mask is None:
            return None
        sizes = {
            name: group.content.shape[1]
            for name, group in self.groups.items()
        }
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
            ``'last'``), those of another group behind its name and a dot
            (``'denoising.d0'``); and :attr:`outputs` (``'enc'``).
        """
        sizes = [group.content.shape[1] for group in self.groups.values()]
        named: OutputSets = {}
        for index, group in enumerate(self.groups):
            prefix = '' if group == MAIN else f'{group}.'
            for layer, values in layers.items():
                named[prefix + layer] = {
                    key:
                    value if len(sizes) == 1 else value.split(sizes, 1)[index]
                    for key, value in values.items()
                }
        return {**named, **self.outputs}


def group_of(name: str) -> str:
    """The group of queries whose predictions an output set holds."""
    return name.rpartition('.')[0] or MAIN


def with_center(poses: Tensor) -> Tensor:
    """Put the mean of the K keypoints in front, (..., K + 1, 2)."""
    return torch.cat([poses.mean(-2, keepdim=True), poses], -2)


def _join(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)
