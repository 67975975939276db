"""Input of the decoder: groups of queries, the attention mask between them,
and, in training, the matches that are known beforehand."""
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence

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
    """
    content: Tensor
    references: Tensor
    sees: Sequence[str] = ()
    mask: Optional[Tensor] = None
    matches: Optional[Matches] = None


@dataclass(frozen=True, eq=False)
class Queries:
    """All groups of queries of a batch, T instances per image in total.

    Attributes:
        groups (dict[str, QueryGroup]): Groups by name, :data:`MAIN` first.
        outputs (OutputSets): Output sets that were predicted before the
            decoder, by name (``'enc'``).
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
        """dict[str, Matches]: The matches that groups bring, by group."""
        return {
            name: group.matches
            for name, group in self.groups.items() if group.matches is not None
        }

    def attention_mask(self) -> Optional[Tensor]:
        """Make the attention mask between all instances.

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
            ``'last'``), those of another group with its name as prefix
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
    """Name of the group of queries that an output set is predicted from."""
    return name.rpartition('.')[0] or MAIN


def with_center(poses: Tensor) -> Tensor:
    """Prepend the mean of the K keypoints of each pose, (..., K + 1, 2)."""
    return torch.cat([poses.mean(-2, keepdim=True), poses], -2)


def _join(parts: List[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)
