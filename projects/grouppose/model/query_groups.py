"""More supervision for what is trained anyway: further groups of queries, and
further tokens of the encoder, in training only."""
from dataclasses import replace
from typing import Callable, List, cast

from mmengine.config import ConfigDict
from mmengine.model import BaseModule, ModuleList
from mmpose.registry import MODELS

from .matcher import build_named
from .queries import Queries, QueryGroup
from .query_selection import PoseQuerySelection
from .targets import PoseTargets
from .tokens import Tokens


@MODELS.register_module()
class GroupQueries(BaseModule):
    """Further groups of queries that the same decoder refines in training.

    With ``repeats=1``, each group is matched with the people of an image one
    to one and by itself (Group DETR,
    `arXiv 2207.13085 <https://arxiv.org/abs/2207.13085>`_): the decoder and
    the encoder learn from G times as many pairs. With ``repeats=k``, each
    person is matched with k queries of a group (the one-to-many branch of
    H-DETR, `arXiv 2207.13080 <https://arxiv.org/abs/2207.13080>`_), whose
    losses are divided by k times the number of people.

    The queries of a group attend to those of their own group only. Each group
    has a query selection of its own, so that the selection of the queries
    that predict does not learn to give two tokens of a person high scores,
    and the tokens of a group are not those that another left over. Its
    output set ``enc`` is what trains it: what it selects goes to the decoder
    without gradients.

    The losses of all layers are summed over the groups, each weighted by
    ``loss_weight / num_groups``: with a weight of 1, the groups together
    weigh as much as the queries that predict.

    Args:
        num_keypoints (int): Number of keypoints K.
        num_classes (int): Number of class logits Q.
        embed_dims (int): Width C.
        num_queries (int): Number of instances of each group.
        num_groups (int): Number of further groups: G - 1 of Group DETR.
            Defaults to 1.
        repeats (int): Number of queries k that each person is matched with.
            Defaults to 1.
        query_selection (dict): Config of the query selections; sizes are
            filled in. Defaults to :class:`PoseQuerySelection`. Give the type
            that the head has.
        loss_weight (float): Weight of the mean loss of the groups. Defaults
            to 1.

    Raises:
        ValueError: If a number is not a positive integer.
    """

    def __init__(self,
                 num_keypoints: int,
                 num_classes: int,
                 embed_dims: int,
                 num_queries: int,
                 num_groups: int = 1,
                 repeats: int = 1,
                 query_selection: ConfigDict = dict(type='PoseQuerySelection'),
                 loss_weight: float = 1.0):
        super().__init__()
        _check_positive(
            self,
            num_queries=num_queries,
            num_groups=num_groups,
            repeats=repeats)
        self.repeats = repeats
        self.loss_weight = loss_weight
        cfg = dict(
            query_selection,
            num_queries=num_queries,
            num_keypoints=num_keypoints,
            num_classes=num_classes,
            embed_dims=embed_dims)
        self.selections = ModuleList([
            build_named(MODELS, cfg,
                        'query_selection of GroupQueries in training_queries')
            for _ in range(num_groups)
        ])

    def init_weights(self) -> None:
        """Each selection by its own method."""
        for selection in self.selections:
            selection.init_weights()

    def forward(self, queries: Queries, memory: Tokens,
                targets: PoseTargets) -> List[QueryGroup]:
        """Select the queries of all groups.

        Args:
            queries (Queries): Those that predict.
            memory (Tokens): The encoder's output.
            targets (PoseTargets): Not used.

        Returns:
            list[QueryGroup]: The groups, with their output sets ``enc``.
        """
        start = cast(Callable, queries.start)
        groups = []
        for selection in self.selections:
            selected = selection(memory)
            groups.append(
                replace(
                    start(selected.content, selected.poses),
                    repeats=self.repeats,
                    loss_weight=self.loss_weight / len(self.selections),
                    outputs=dict(enc=selected.outputs)))
        return groups


@MODELS.register_module()
class EncoderSupervision(BaseModule):
    """One-to-many supervision of the encoder's tokens, without queries.

    The ``num_tokens`` tokens with the best scores predict a class and a pose
    each, and everybody is matched with the ``repeats`` of them that cost
    least in total, by the costs of the criterion (one-to-many matching, as
    in H-DETR, `arXiv 2207.13080 <https://arxiv.org/abs/2207.13080>`_, at the
    encoder). All tokens take part if there are not more. The losses are those
    of an output set ``enc`` of the group, and are divided by ``repeats``
    times the number of people.

    Args:
        num_keypoints (int): Number of keypoints K.
        num_classes (int): Number of class logits Q.
        embed_dims (int): Width C.
        num_tokens (int): Number of tokens of an image. Defaults to 300.
        repeats (int): Number of tokens k that each person is matched with.
            Defaults to 6.
        loss_weight (float): Weight of the losses. Defaults to 1.
        auxiliary (bool): Predict by heads that exist in training only, so
            that the selection of queries is changed through the encoder
            alone. False takes the heads of the head's own query selection,
            whose one-to-one losses then want low scores where these want
            high ones. Defaults to True.

    Raises:
        ValueError: If a number is not a positive integer.
    """

    def __init__(self,
                 num_keypoints: int,
                 num_classes: int,
                 embed_dims: int,
                 num_tokens: int = 300,
                 repeats: int = 6,
                 loss_weight: float = 1.0,
                 auxiliary: bool = True):
        super().__init__()
        _check_positive(self, num_tokens=num_tokens, repeats=repeats)
        self.num_tokens = num_tokens
        self.repeats = repeats
        self.loss_weight = loss_weight
        self.selection = PoseQuerySelection(num_tokens, num_keypoints,
                                            num_classes,
                                            embed_dims) if auxiliary else None

    def forward(self, queries: Queries, memory: Tokens,
                targets: PoseTargets) -> QueryGroup:
        """Predict from the best tokens.

        Args:
            queries (Queries): Those that predict.
            memory (Tokens): The encoder's output.
            targets (PoseTargets): Not used.

        Returns:
            QueryGroup: A group of no queries, with the output set ``enc``.
        """
        select = cast(Callable, self.selection or queries.select)
        start = cast(Callable, queries.start)
        selected = select(memory, self.num_tokens)
        return replace(
            start(selected.content[:, :0], selected.poses[:, :0]),
            repeats=self.repeats,
            loss_weight=self.loss_weight,
            outputs=dict(enc=selected.outputs))


def _check_positive(part: BaseModule, **numbers: int) -> None:
    """Refuse numbers of queries, groups or matches that cannot be."""
    for name, value in numbers.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f'{type(part).__name__}: {name} must be a '
                             f'positive integer, not {value!r}.')
