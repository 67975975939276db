"""Distinct poses in query selection."""
import pytest
import torch

from projects.grouppose.model.query_selection import PoseQuerySelection
from projects.grouppose.model.tokens import flatten_maps
from tests.helpers.models import build_drawn

CORNERS = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]]) - 0.5


def squares(*centers_and_sizes):
    """Poses (1, n, 4, 2) that are squares."""
    return torch.stack([
        torch.tensor(center) + size * CORNERS
        for center, size in centers_and_sizes
    ])[None]


def test_copies_come_last():
    poses = squares(([0.3, 0.3], 0.2), ([0.31, 0.3], 0.2), ([0.7, 0.7], 0.2),
                    ([0.3, 0.31], 0.2), ([0.7, 0.7], 0.1), ([0.7, 0.69], 0.2))
    chosen = PoseQuerySelection.choose(poses, 3, distinct=0.1)
    assert chosen.tolist() == [[0, 2, 4]]  # the small one is another person
    chosen = PoseQuerySelection.choose(poses, 5, distinct=0.1)
    assert chosen.tolist() == [[0, 2, 4, 1, 3]]


def test_distance_is_in_sizes_of_the_pose():
    for size in (0.1, 0.4):
        poses = squares(([0.3, 0.3], size), ([0.3 + 0.2 * size, 0.3], size),
                        ([0.7, 0.7], size))
        for distinct, second in ((0.19, 1), (0.21, 2)):
            chosen = PoseQuerySelection.choose(poses, 2, distinct)
            assert chosen.tolist() == [[0, second]]


@pytest.mark.parametrize('method, selection',
                         [('grouppose', 'PoseQuerySelection'),
                          ('detrpose', 'LearnedContentSelection')])
def test_only_evaluation_selects_distinct_poses(method, selection):
    cfg = dict(type=selection)
    plain = build_drawn(method, query_selection=cfg).head
    head = build_drawn(method, query_selection=dict(cfg, distinct=1.5)).head
    torch.manual_seed(0)
    maps = [torch.randn(2, 64, side, side) for side in (16, 8)]
    memory = plain.forward_encoder(flatten_maps(maps, None, torch.float32))
    with torch.no_grad():
        before, after = (
            part.query_selection(memory).poses for part in (plain, head))
        assert torch.equal(before, after)
        plain.eval(), head.eval()
        before, after = (
            part.query_selection(memory).poses for part in (plain, head))
    assert not torch.equal(before, after)
    assert torch.equal(before[:, 0], after[:, 0])  # the best one stays
    assert after.shape == before.shape

    def copies(poses):
        order = PoseQuerySelection.choose(poses, poses.shape[1], 1.5)
        return (order != torch.arange(poses.shape[1])).any(-1)

    assert copies(before).any()
    assert not copies(after).any()


@pytest.mark.parametrize('distinct', [0, -0.1])
def test_bad_distance(distinct):
    with pytest.raises(ValueError, match='distinct must be positive'):
        PoseQuerySelection(4, 4, 2, 8, distinct)
