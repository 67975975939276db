"""Training criterion: matches the output sets of a step with the people of the
batch, and computes their losses."""
from dataclasses import replace
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, cast

import torch
from mmengine.config import ConfigDict
from mmengine.dist import all_reduce
from mmpose.registry import MODELS, TASK_UTILS
from torch import Tensor, nn

from .losses import SetLoss
from .matcher import Matches, build_named
from .queries import MAIN, OutputSets, QueryGroup, group_of
from .targets import PoseTargets


@MODELS.register_module()
class SetCriterion(nn.Module):
    """Training criterion: matches the output sets of a training step with the
    people of the batch, and computes their losses.

    Args:
        matcher (dict): Config of the matcher, from ``TASK_UTILS``, see
            :class:`KeypointQueryMatcher`.
        losses (dict[str, dict]): Configs of the losses, from ``MODELS``, by
            their name in the log, see :class:`SetLoss`. A name must contain
            "loss". None removes a loss of the base config.

    Raises:
        ValueError: If the name of a loss does not contain "loss": MMEngine
            would log it and not train with it.
    """

    def __init__(self, matcher: ConfigDict, losses: Dict[str, ConfigDict]):
        super().__init__()
        self.matcher = TASK_UTILS.build(matcher)
        self.losses = nn.ModuleDict()
        for name, loss in losses.items():
            field = f'model.head.criterion.losses.{name}'
            if 'loss' not in name:
                raise ValueError(
                    f'{field}: the name must contain "loss", or nothing is '
                    f'trained with it. Call it loss_{name}.')
            if loss is not None:
                self.losses[name] = build_named(MODELS, loss, field)

    def forward(
            self,
            outputs: OutputSets,
            targets: PoseTargets,
            groups: Optional[Dict[str,
                                  QueryGroup]] = None) -> Dict[str, Tensor]:
        """Match the output sets and compute their losses.

        Args:
            outputs (OutputSets): Output sets by name, float32.
            targets (PoseTargets): The people of the batch.
            groups (dict[str, QueryGroup], optional): The groups of queries
                by name: their matches, where they bring their own, how often
                the matcher is to match each person otherwise, and the
                weights of their losses. Defaults to groups that are matched
                one to one.

        Returns:
            dict[str, Tensor]: Weighted scalar losses of each output set:
            those of the last decoder layer under their own name
            (``loss_cls``), the others with the name of the set as prefix
            (``d0.loss_cls``, ``enc.loss_cls``), summed over the groups of a
            part; and ``matched_oks``, the mean OKS of the last layer's
            matched pairs, if there are any.

        Raises:
            ValueError: If a loss finds its entries in no output set.
        """
        losses: Dict[str, Dict[str, Tensor]] = {name: {} for name in outputs}
        matched_oks = {}
        set_losses = cast(Dict[str, SetLoss], self.losses)
        for stack in _stack_sets(outputs, groups or {}):
            if stack.matches is None:
                _, values, _ = stack.view(('logits', 'keypoints'))
                stack.matches = self.matcher(
                    values, targets, repeats=stack.repeats)
            stack.matches = _average_counts(stack.matches, targets.areas)
            for loss_name, loss in set_losses.items():
                if loss.of_main and not stack.is_main:
                    continue
                names, values, pairs = stack.view(loss.keys)
                if not names:
                    continue
                pairs = pairs.for_poses if loss.of_poses else pairs
                terms = loss(values, targets, pairs) / pairs.count
                for name, term in zip(names, terms):
                    losses[name][loss_name] = stack.loss_weight * term
            if 'last' in stack.names and len(stack.matches.images):
                names, values, pairs = stack.view(('keypoints', ))
                oks = pairs.poses(values, targets).oks.detach()
                matched_oks['matched_oks'] = oks[names.index('last')].mean()
        _check_all_used(set_losses, losses)
        named: Dict[str, Tensor] = {}
        for name, of_set in losses.items():
            for loss_name, term in of_set.items():
                log_name = _log_name(name, loss_name)
                if log_name in named:
                    term = named[log_name] + term
                named[log_name] = term
        return {**named, **matched_oks}


class _Stack:
    """Output sets of the same queries, stacked when a loss needs them, in
    their order: those of the decoder's layers from the first to the last."""

    def __init__(self, outputs: OutputSets, names: Sequence[str],
                 group: Optional[QueryGroup]):
        self.names = names
        self.is_main = group_of(names[0]) == MAIN
        self.matches = group.matches if group else None
        self.repeats = group.repeats if group else 1
        self.loss_weight = group.loss_weight if group else 1.0
        self._sets = [outputs[name] for name in names]
        self._views: Dict[tuple, Tuple[Dict[str, Tensor],
                                       Optional[Matches]]] = {}

    def view(
            self, keys: Sequence[str]
    ) -> Tuple[List[str], Dict[str, Tensor], Matches]:
        """Stack some entries of the output sets that have them all.

        Args:
            keys (Sequence[str]): The entries.

        Returns:
            tuple: Names of the sets, their entries stacked, (O, B, N, ...),
            and their matches.
        """
        index = tuple(i for i, values in enumerate(self._sets)
                      if all(key in values for key in keys))
        stacked, pairs = self._views.get(index, ({}, None))
        if pairs is None and self.matches is not None:
            pairs = self.matches.of_sets(index)
        for key in keys:
            if index and key not in stacked:
                stacked[key] = torch.stack([self._sets[i][key] for i in index])
        self._views[index] = stacked, pairs
        # None for the matcher only, which does not look at it.
        pairs = cast(Matches, pairs)
        return [self.names[i] for i in index], stacked, pairs


def _stack_sets(outputs: OutputSets,
                groups: Dict[str, QueryGroup]) -> Iterator[_Stack]:
    """Put together the output sets that share a matching: those of a group of
    queries with the same number of queries."""
    stacks: Dict[tuple, List[str]] = {}
    for name, values in outputs.items():
        queries = next(iter(values.values())).shape[1]
        stacks.setdefault((group_of(name), queries), []).append(name)
    for (group, _), names in stacks.items():
        yield _Stack(outputs, names, groups.get(group))


def _check_all_used(losses: Dict[str, SetLoss],
                    terms: Dict[str, Dict[str, Tensor]]) -> None:
    """Refuse a loss that was computed for no output set."""
    for name, loss in losses.items():
        if not any(name in of_set for of_set in terms.values()):
            raise ValueError(
                f'model.head.criterion.losses.{name}: no output set has '
                f'{", ".join(loss.keys)}, which {type(loss).__name__} needs. '
                'Let the decoder predict it, or set the loss to None.')


def _log_name(set_name: str, loss_name: str) -> str:
    """Name of a loss of an output set in the log."""
    group, _, layer = set_name.rpartition('.')
    name, _, _ = group.partition('.')  # without the number of the group
    parts = [name, '' if layer == 'last' else layer, loss_name]
    return '.'.join(part for part in parts if part)


def _average_counts(matches: Matches, like: Tensor) -> Matches:
    """Replace the count of matches by its mean over the processes of a job,
    at least one."""
    if matches.pose_pairs is not None:
        matches = replace(
            matches, pose_pairs=_average_counts(matches.pose_pairs, like))
    # Filled there, not copied.
    total = like.new_full((), matches.count)  # type: ignore[arg-type]
    all_reduce(total, op='mean')
    return replace(matches, count=total.clamp(min=1))
