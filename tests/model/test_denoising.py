"""Denoising queries: what they start from, whom they see and answer for."""
import pytest
import torch
from mmpose.registry import MODELS

from projects.grouppose.model.queries import MAIN, Queries, QueryGroup
from projects.grouppose.oks import object_keypoint_similarity
from tests.helpers.matching import make_targets
from tests.helpers.models import (build_drawn, build_small_model,
                                  compute_losses, make_batch)

BANDS = ((0.5, 1.0), (0.1, 0.5))


def make_part(num_keypoints, kind='OKSDenoisingQueries', **kwargs):
    part = MODELS.build(
        dict(
            type=kind,
            num_keypoints=num_keypoints,
            num_classes=2,
            embed_dims=8,
            **kwargs))
    part.init_weights()
    return part


def add_noise(part, targets, groups):
    batch, people = targets.labels.shape
    shape = (batch, groups, len(part.bands), people)
    return part.add_noise(targets, shape)[1]


@pytest.mark.parametrize('num_keypoints', [1, 5, 17, 133])
def test_noise_is_centered_and_in_the_band(num_keypoints):
    """Its mean is zero, it is alike in both directions, and the OKS of every
    keypoint, and so of the pose, is in the band."""
    part = make_part(num_keypoints)
    targets = make_targets([3, 1], num_keypoints)
    targets.visible[:] = 1
    groups = 4000 // num_keypoints
    poses = add_noise(part, targets, groups)[..., 1:, :]
    truth = targets.keypoints[:, None, None]
    noise = poses - truth
    for band, (low, high) in enumerate(BANDS):
        moves = noise[:, :, band] / targets.areas[:, None, :, None,
                                                  None].sqrt()
        spread = moves.std()
        count = moves[..., 0].numel()
        assert (moves.flatten(0, -2).mean(0).abs()
                < 4 * spread / count**0.5).all()
        x, y = moves.flatten(0, -2).unbind(-1)
        assert x.std() == pytest.approx(y.std().item(), rel=0.06)
        assert abs((x * y).mean()) < 0.06 * spread**2
        oks = object_keypoint_similarity(poses[:, :,
                                               band], targets.keypoints[:,
                                                                        None],
                                         targets.visible[:, None],
                                         targets.areas[:,
                                                       None], targets.sigmas)
        assert oks.min() > low - 1e-4 and oks.max() < high + 1e-4
        assert oks.mean() == pytest.approx((low + high) / 2, abs=0.01)


def test_what_is_not_labeled_starts_in_the_center():
    part = make_part(5)
    targets = make_targets([2], 5)
    targets.visible[0, 0] = torch.tensor([1., 0, 1, 0, 0])
    references = add_noise(part, targets, 3)
    center = targets.keypoints[0, 0, [0, 2]].mean(0)
    for k in (1, 3, 4):
        torch.testing.assert_close(references[0, :, :, 0, 1 + k],
                                   center.expand(3, 2, 2))
    torch.testing.assert_close(references[..., 0, :],
                               references[..., 1:, :].mean(-2))


@pytest.mark.parametrize('kind',
                         ['OKSDenoisingQueries', 'ReleasedDenoisingQueries'])
def test_groups(kind):
    """Each person once per group and band; groups do not see each other."""
    part = make_part(5, kind, num_queries=7)
    targets = make_targets([3, 0, 1], 5)._replace(boxes=torch.rand(3, 3, 4))
    main = QueryGroup(torch.zeros(3, 4, 6, 8), torch.zeros(3, 4, 6, 2))
    group = part(Queries({MAIN: main}), None, targets)
    # 7 // 3 groups of 3 positive and 3 negative ones
    assert group.content.shape == (3, 12, 6, 8)
    assert group.references.shape == (3, 12, 6, 2)
    matches = group.matches
    found = set(
        zip(matches.images.tolist(), matches.queries[0].tolist(),
            matches.people[0].tolist()))
    assert found == {(0, 0, 0), (0, 1, 1), (0, 2, 2), (0, 6, 0), (0, 7, 1),
                     (0, 8, 2), (2, 0, 0), (2, 6, 0)}
    assert matches.count == 8
    empty = (group.content == 0).flatten(2).all(-1)
    real = torch.tensor([1, 1, 1] * 4 + [0, 0, 0] * 4 + [1, 0, 0] * 4).view(
        3, 12).bool()
    assert torch.equal(empty, ~real)
    if kind == 'OKSDenoisingQueries':
        assert torch.equal(matches.ignored, ~real)
    else:
        assert not matches.ignored.any()
    mask = Queries({MAIN: main, 'denoising': group}).attention_mask()
    assert mask[:4, 4:].all() and not mask[:, :4].any()
    assert not mask[4:10, 4:10].any() and mask[4:10, 10:].all()


def test_positive_ones_alone():
    part = make_part(5, negative=None, num_queries=2)
    targets = make_targets([2], 5)
    main = QueryGroup(torch.zeros(1, 4, 6, 8), torch.zeros(1, 4, 6, 2))
    assert part(Queries({MAIN: main}), None,
                targets).content.shape == (1, 2, 6, 8)


def test_nobody():
    part = make_part(5)
    targets = make_targets([0, 0], 5)
    main = QueryGroup(torch.zeros(2, 4, 6, 8), torch.zeros(2, 4, 6, 2))
    group = part(Queries({MAIN: main}), None, targets)
    assert group.content.shape == (2, 0, 6, 8)
    assert group.matches.count == 0


def test_released_noise_is_not_what_it_says():
    """The defect that the switch is for: "positives" with an OKS near 0."""
    part = make_part(17, 'ReleasedDenoisingQueries')
    targets = make_targets([4], 17)._replace(boxes=torch.rand(1, 4, 4))
    poses = add_noise(part, targets, 50)[:, :, 0, :, 1:]
    oks = object_keypoint_similarity(poses, targets.keypoints[:, None],
                                     targets.visible[:, None],
                                     targets.areas[:, None], targets.sigmas)
    assert oks.mean() < 0.1
    with pytest.raises(ValueError, match='boxes of people.*bbox'):
        add_noise(part, targets._replace(boxes=None), 1)


def test_replaced_labels_have_an_embedding():
    """Any number of them; the last is for padding."""
    part = make_part(5, 'ReleasedDenoisingQueries', num_labels=4)
    targets = make_targets([4], 5)._replace(boxes=torch.rand(1, 4, 4))
    labels, _ = part.add_noise(targets, (1, 50, 2, 4))
    assert set(labels.unique().tolist()) == {0, 1, 2}


@pytest.mark.parametrize('kind',
                         ['OKSDenoisingQueries', 'ReleasedDenoisingQueries'])
def test_content_of_zeros(kind):
    """Queries start as those of the decoder from tokens without features;
    padding stays empty."""
    decoder = build_small_model(decoder=dict(num_layers=1)).head.decoder
    part = MODELS.build(
        dict(
            type=kind,
            num_keypoints=5,
            num_classes=2,
            embed_dims=32,
            num_queries=3,
            content='zero'))
    part.init_weights()
    assert not list(part.parameters())
    targets = make_targets([3, 1], 5)._replace(boxes=torch.rand(2, 3, 4))
    main = QueryGroup(torch.zeros(2, 4, 6, 32), torch.zeros(2, 4, 6, 2))
    queries = Queries({MAIN: main}, start=decoder.initial_queries)
    content = part(queries, None, targets).content
    assert content.shape == (2, 6, 6, 32)
    weights = torch.cat(
        [decoder.instance_embedding.weight, decoder.keypoint_embedding.weight])
    assert torch.equal(content[0], weights.expand(6, -1, -1))
    assert torch.equal(content[1, [0, 3]], weights.expand(2, -1, -1))
    assert not content[1, [1, 2, 4, 5]].any()


@pytest.mark.parametrize('content', ['label', 'zero'])
@pytest.mark.parametrize('kind',
                         ['OKSDenoisingQueries', 'ReleasedDenoisingQueries'])
def test_training_step_of_group_pose(kind, content):
    """Every parameter learns, with nobody in the batch, too."""
    part = dict(type=kind, content=content, num_queries=4)
    model = build_drawn('grouppose', training_queries=dict(denoising=part))
    for people in ([2, 1], [0, 0]):
        batch = make_batch([(32, 32)] * 2, people, num_keypoints=17)
        for sample in batch['data_samples']:
            labels = sample.gt_instance_labels
            labels.box_labels = torch.full((len(labels), 4), 0.4)
        model.zero_grad()
        total, losses = compute_losses(model, batch)
        total.backward()
        assert total.isfinite()
        assert {name
                for name in losses if name.startswith('denoising.')} == {
                    f'denoising.{layer}loss_{term}'
                    for layer in ('d0.', '')
                    for term in ('cls', 'kpt', 'oks')
                }
        for name, parameter in model.named_parameters():
            assert not parameter.requires_grad or \
                parameter.grad is not None, name


def test_unknown_content():
    with pytest.raises(ValueError, match="content='noise'.*'label' or"):
        make_part(5, content='noise')


def test_band_out_of_range():
    with pytest.raises(ValueError, match='OKS from 0.5 to 1.2'):
        make_part(5, positive=(0.5, 1.2))
