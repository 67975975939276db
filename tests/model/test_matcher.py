"""Costs, and the one-to-one assignment of least total cost."""
import numpy as np
import pytest
import torch
from mmpose.registry import TASK_UTILS
from scipy.optimize import linear_sum_assignment

from projects.grouppose.codec import OKSKeypointCodec
from projects.grouppose.model.matcher import KeypointQueryMatcher
from projects.grouppose.model.targets import PoseTargets
from tests.helpers.matching import COSTS, make_predictions, make_targets


def as_set(logits, keypoints) -> dict:
    return dict(logits=logits, keypoints=keypoints)


@pytest.mark.parametrize('dataset, kpt, oks, total', [
    ('coco', 1.6, 0.7073468, 17.787918),
    ('crowdpose', 1.3, 0.6124969, 14.408518),
])
def test_costs_of_the_official_program(dataset, kpt, oks, total):
    """A worked example: one query, one person."""
    codec = OKSKeypointCodec(
        dict(from_file=f'configs/_base_/datasets/{dataset}.py'))
    count = codec.num_keypoints
    visible = torch.ones(1, 1, count)
    visible[..., 0] = 0
    targets = PoseTargets(
        labels=torch.ones(1, 1, dtype=torch.long),
        keypoints=torch.full((1, 1, count, 2), 0.55),
        visible=visible,
        areas=torch.tensor([[0.1]]),
        sigmas=torch.from_numpy(codec.sigmas),
        counts=[1])
    logits = torch.tensor([[[[0., 1.]]]])
    keypoints = torch.full((1, 1, 1, count, 2), 0.5)
    costs = [
        TASK_UTILS.build(dict(type=cost['type']))(logits, keypoints, targets)
        for cost in COSTS
    ]
    assert costs[0].item() == pytest.approx(-0.5207367, abs=1e-6)
    assert costs[1].item() == pytest.approx(kpt, abs=1e-5)
    assert costs[2].item() == pytest.approx(oks, abs=1e-6)
    weighted = sum(
        TASK_UTILS.build(cost)(logits, keypoints, targets) for cost in COSTS)
    assert weighted.item() == pytest.approx(total, abs=1e-4)


def test_batch_equals_one_image_and_set_at_a_time():
    targets = make_targets([3, 0, 5])
    logits, keypoints = make_predictions(2, 3, 6)
    matcher = KeypointQueryMatcher(COSTS)
    matches = matcher(as_set(logits, keypoints), targets)
    assert matches.images.tolist() == [0] * 3 + [2] * 5
    assert matches.queries.shape == matches.people.shape == (2, 8)

    for image, count in enumerate(targets.counts):
        of_image = matches.images == image
        alone = targets._replace(
            labels=targets.labels[image:image + 1, :count],
            keypoints=targets.keypoints[image:image + 1, :count],
            visible=targets.visible[image:image + 1, :count],
            areas=targets.areas[image:image + 1, :count],
            counts=[count])
        for i in range(2):
            cost = sum(
                term(logits[i:i + 1, image:image +
                            1], keypoints[i:i + 1, image:image + 1], alone)
                for term in matcher.costs)
            queries, people = linear_sum_assignment(cost[0, 0])
            np.testing.assert_array_equal(matches.queries[i, of_image],
                                          queries)
            np.testing.assert_array_equal(matches.people[i, of_image], people)


def test_more_people_than_queries():
    matches = KeypointQueryMatcher(COSTS)(as_set(*make_predictions(3, 2, 4)),
                                          make_targets([7, 2]))
    assert matches.images.tolist() == [0] * 4 + [1] * 2
    for people in matches.people[:, :4]:
        assert len(set(people.tolist())) == 4


def test_nobody_in_the_batch():
    matches = KeypointQueryMatcher(COSTS)(as_set(*make_predictions(3, 2, 4)),
                                          make_targets([0, 0]))
    assert matches.queries.shape == (3, 0)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_non_finite_predictions_are_assigned(value):
    logits, keypoints = make_predictions(2, 2, 4)
    keypoints[0, 0, 1] = value
    logits[1, 1] = value
    matches = KeypointQueryMatcher(COSTS)(as_set(logits, keypoints),
                                          make_targets([2, 3]))
    for queries in matches.queries:
        assert len(set(queries[:2].tolist())) == 2
        assert len(set(queries[2:].tolist())) == 3


def test_a_user_adds_a_cost():

    class OwnCost:
        """Distance of the mean keypoints."""

        def __call__(self, logits, keypoints, targets):
            pred = keypoints.mean(-2)[:, :, :, None]
            return (pred - targets.keypoints.mean(-2)[:, None]).norm(dim=-1)

    TASK_UTILS.register_module(module=OwnCost, force=True)
    targets = make_targets([3])
    logits, keypoints = make_predictions(1, 1, 5)
    keypoints[0, 0, [4, 0, 2]] = targets.keypoints[0]
    matcher = KeypointQueryMatcher([dict(type='OwnCost')])
    matches = matcher(as_set(logits, keypoints), targets)
    assert matches.queries.tolist() == [[0, 2, 4]]
    assert matches.people.tolist() == [[1, 2, 0]]


def test_unknown_and_missing_costs():
    with pytest.raises(
            KeyError, match='matcher.costs: .*NoSuchCost.*custom_imports'):
        KeypointQueryMatcher([dict(type='NoSuchCost')])
    with pytest.raises(ValueError, match='`costs` is empty'):
        KeypointQueryMatcher([])
