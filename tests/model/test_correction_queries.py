"""Correction queries: errors of the stated kinds and shares, keypoints
that are fixed at their true place, and nobody attends to anybody else."""
import pytest
import torch
from mmpose.registry import MODELS

from projects.grouppose.model.correction_queries import RATES, SIMILARITY
from projects.grouppose.model.queries import MAIN, Queries
from tests.helpers.matching import make_targets
from tests.helpers.models import build_drawn, compute_losses, make_batch

COCO = dict(from_file='configs/_base_/datasets/coco.py')


def metainfo(num_keypoints):
    """Keypoint 0 has no partner, 1 and 2 are partners, and so on."""
    names = [f'k{i}' for i in range(num_keypoints)]
    partner = [
        min(i + 1 if i % 2 else i - 1, num_keypoints - 1) if i else 0
        for i in range(num_keypoints)
    ]
    return dict(
        dataset_name='made up',
        keypoint_info={
            i:
            dict(
                name=name,
                id=i,
                color=[0, 0, 0],
                type='',
                swap=names[partner[i]] if partner[i] != i else '')
            for i, name in enumerate(names)
        },
        skeleton_info={},
        joint_weights=[1.] * num_keypoints,
        sigmas=[0.1] * num_keypoints)


def make_part(num_keypoints, **kwargs):
    kwargs.setdefault('metainfo', metainfo(num_keypoints))
    return MODELS.build(
        dict(
            type='CorrectionQueries',
            num_keypoints=num_keypoints,
            num_classes=2,
            embed_dims=8,
            **kwargs))


def all_labeled(counts, num_keypoints):
    targets = make_targets(counts, num_keypoints)
    for image, count in enumerate(counts):
        targets.visible[image] = 0  # padding
        targets.visible[image, :count] = 1
    return targets


def only(kind):
    """Rates with one kind of errors."""
    return {**dict.fromkeys(RATES, 0.), kind: 0.5}


def similarity(poses, places, targets):
    """Terms of OKS, (B, G, T, K)."""
    squares = (poses - places).square().sum(-1)
    spread = 2 * targets.areas[:, None, :, None] * (2 * targets.sigmas)**2
    return (-squares / spread).exp()


@pytest.mark.parametrize('num_keypoints', [1, 5, 14, 17])
def test_shares_of_kinds(num_keypoints):
    """As stated; a person has many of a kind or few."""
    part = make_part(num_keypoints)
    shape = (2, 60000 // num_keypoints, 2, num_keypoints)
    kinds = part.draw_kinds(shape, torch.zeros(()))
    found = torch.bincount(kinds.flatten(), minlength=5) / kinds.numel()
    stated = [*RATES.values(), 1 - sum(RATES.values())]
    assert found.tolist() == pytest.approx(stated, abs=0.01)
    if num_keypoints > 1:
        of_person = (kinds == 0).float().mean(-1)
        alike = (RATES['jitter'] * (1 - RATES['jitter']) / num_keypoints)**0.5
        assert of_person.std() > 1.05 * alike


@pytest.mark.parametrize('kind', ['jitter', 'miss'])
def test_distances(kind):
    """Similarities are in the band, and all directions alike."""
    part = make_part(5, rates=only(kind))
    targets = all_labeled([2], 5)
    poses = part.draw_errors(targets, 3000)
    places = targets.keypoints[:, None]
    values = similarity(poses, places, targets)
    low, high = SIMILARITY[kind]
    hit = values < SIMILARITY['good'][0]
    assert hit.float().mean() == pytest.approx(0.5, abs=0.02)
    assert values[hit].min() > 0.99 * low
    assert values[hit].max() < 1.01 * high
    assert values[hit].log().mean() == pytest.approx(
        (torch.tensor([low, high]).log().mean()).item(), rel=0.03)
    offsets = (poses - places).flatten(0, -2)
    mean = offsets.mean(0).abs() / offsets.std(0)
    assert (mean < 4 / len(offsets)**0.5).all()


def test_inversion():
    """At the place of the partner, if it has one that is labeled."""
    part = make_part(5, rates=only('inversion'))
    targets = all_labeled([1], 5)
    targets.visible[0, 0, 4] = 0
    poses = part.draw_errors(targets, 4000)
    center = targets.keypoints[0, 0, :4].mean(0)
    places = targets.keypoints.clone()
    places[0, 0, 4] = center
    good = SIMILARITY['good'][0]
    for keypoint, partner in ((1, 2), (2, 1)):
        at = places[:, :, partner, None, None]
        values = similarity(poses[..., keypoint, None, :], at[:, :, 0],
                            targets._replace(sigmas=targets.sigmas[:1]))
        inverted = values[..., 0] >= 0.99 * good
        assert inverted.float().mean() == pytest.approx(0.5, abs=0.05)
    for keypoint in (0, 3):  # no partner, and one that is not labeled
        values = similarity(poses, places[:, None], targets)[..., keypoint]
        assert values.min() > 0.99 * good
    assert (poses[..., 4, :] == center).all()


def test_swap():
    """At the same keypoint of the nearest other person."""
    part = make_part(1, rates=only('swap'))
    targets = all_labeled([3, 1], 1)._replace(areas=torch.full((2, 3), 1e-4))
    targets.keypoints[0, :, 0, 0] = torch.tensor([0.1, 0.3, 0.9])
    targets.keypoints[0, :, 0, 1] = 0.5
    poses = part.draw_errors(targets, 2000)
    for person, other in ((0, 1), (1, 0), (2, 1)):
        x = poses[0, :, person, 0, 0]
        near = (x - targets.keypoints[0, other, 0, 0]).abs() < 0.03
        own = (x - targets.keypoints[0, person, 0, 0]).abs() < 0.03
        assert (near ^ own).all()
        assert near.float().mean() == pytest.approx(0.5, abs=0.05)
    alone = poses[1, :, 0, 0] - targets.keypoints[1, 0, 0]
    assert alone.abs().max() < 0.03


@pytest.mark.parametrize('num_keypoints', [1, 5, 17])
def test_fixed_keypoints(num_keypoints):
    """n u^2 of n, rounded down; true, labeled, and any alike."""
    part = make_part(num_keypoints)
    targets = make_targets([3], num_keypoints)
    targets.visible[0, 0] = 1
    poses, fixed = part.draw(targets, 4000)
    places = targets.keypoints[:, None].expand_as(poses)
    assert torch.equal(poses[fixed], places[fixed])
    assert not fixed[(targets.visible == 0)[:, None].expand_as(fixed)].any()
    number = fixed[0, :, 0].sum(-1)
    assert number.max() <= num_keypoints - 1
    for least in {1, num_keypoints // 2} - {0}:
        expected = 1 - min(least / num_keypoints, 1)**0.5
        share = (number >= least).float().mean().item()
        assert share == pytest.approx(expected, abs=0.04)
    share = fixed[0, :, 0].float().mean(0)
    assert share.std(unbiased=False) < 0.02


def test_own_poses():
    """Free keypoints of whom the model has found start where it says; of half
    of these poses, the keypoints that are farthest off are fixed first."""
    part = make_part(5, own=1.0)
    targets = all_labeled([3, 1], 5)
    real = targets.visible[:, None] > 0
    found = targets.keypoints + 0.001
    found[:, :, 2] += 0.01
    nobody = torch.full_like(found[:, :1], 5.)
    poses, fixed = part.draw(targets, 2000, torch.cat([nobody, found], 1))
    expected = torch.where(fixed[..., None], targets.keypoints[:, None],
                           found[:, None])
    assert torch.equal(poses[real.expand_as(fixed)],
                       expected[real.expand_as(fixed)])
    one = fixed[fixed.sum(-1) == 1].float().mean(0)
    assert one.tolist() == pytest.approx([0.1, 0.1, 0.6, 0.1, 0.1], abs=0.06)
    poses, _ = part.draw(targets, 20, nobody)
    assert poses.max() < 3  # an OKS below 0.3 is somebody else


def test_group():
    """Everybody once per group, by themselves, without a class score."""
    decoder = build_drawn('grouppose').head
    part = make_part(17, metainfo=COCO, num_queries=7)
    targets = make_targets([3, 0, 1], 17)
    memory = decoder.pre_transformer(
        [torch.rand(3, 64, 8, 8),
         torch.rand(3, 64, 4, 4)])
    queries = decoder.train().pre_decoder(memory)
    group = part(queries, memory, targets)
    assert group.content.shape == (3, 6, 18, 64)  # 7 // 3 groups of 3
    matches = group.matches
    found = set(
        zip(matches.images.tolist(), matches.queries[0].tolist(),
            matches.people[0].tolist()))
    assert found == {(0, 0, 0), (0, 1, 1), (0, 2, 2), (0, 3, 0), (0, 4, 1),
                     (0, 5, 2), (2, 0, 0), (2, 3, 0)}
    assert matches.ignored.all()
    assert not group.sees
    queries.add('corrections', group)
    mask = queries.attention_mask()
    assert torch.equal(mask[10:, 10:], ~torch.eye(6, dtype=torch.bool))
    assert mask[10:, :10].all() and mask[:10, 10:].all()
    fixed = queries.fixed
    assert not fixed[:, :10].any()
    assert torch.equal(fixed[:, 10:], group.fixed)
    assert Queries({MAIN: queries.groups[MAIN]}).fixed is None


def train_part(method, **decoder):
    return build_drawn(
        method,
        decoder=dict(decoder, fixed_embedding=True),
        training_queries=dict(
            denoising=None,
            corrections=dict(type='CorrectionQueries', metainfo=COCO)))


@pytest.mark.parametrize('method', ['grouppose', 'detrpose'])
def test_training_step(method):
    """Every parameter learns, with nobody in the batch, too, and the losses
    of the queries that predict stay as they are."""
    model = train_part(method)
    plain = build_drawn(method, training_queries=dict(denoising=None))
    plain.load_state_dict(model.state_dict(), strict=False)
    for people in ([2, 1], [0, 0]):
        batch = make_batch([(32, 32)] * 2, people, num_keypoints=17)
        model.zero_grad()
        total, losses = compute_losses(model, batch)
        total.backward()
        assert total.isfinite()
        assert 'corrections.loss_kpt' in losses
        assert not losses['corrections.loss_cls'].any()
        for name, parameter in model.named_parameters():
            assert not parameter.requires_grad or \
                parameter.grad is not None, name
        _, expected = compute_losses(plain, batch)
        for name, loss in expected.items():
            torch.testing.assert_close(losses[name], loss)


@pytest.mark.parametrize('method', ['grouppose', 'detrpose'])
def test_learns_to_refine(method):
    """A few steps on one image: what is fixed helps the rest."""
    torch.manual_seed(0)
    model = train_part(method)
    batch = make_batch([(32, 32)], [2], num_keypoints=17)
    optimizer = torch.optim.AdamW(model.head.decoder.parameters(), lr=2e-3)
    errors = []
    for _ in range(40):
        optimizer.zero_grad()
        total, losses = compute_losses(model, batch)
        total.backward()
        optimizer.step()
        errors.append(float(losses['corrections.loss_oks']))
    assert sum(errors[-10:]) < 0.8 * sum(errors[:10])


@pytest.mark.parametrize('rates', [
    dict(jitter=0.6),
    dict(jitter=-0.1),
    dict(flip=0.1),
])
def test_bad_rates(rates):
    with pytest.raises(ValueError, match='CorrectionQueries: rates=.*jitter'):
        make_part(5, rates=rates)


def test_bad_share():
    with pytest.raises(ValueError, match='own=1.5 must be a share'):
        make_part(5, own=1.5)


def test_other_keypoints():
    with pytest.raises(ValueError, match='describes 17 keypoints, but.* 5'):
        make_part(5, metainfo=COCO)
