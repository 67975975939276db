"""What holds for any batch in the network, the matching and the losses."""
import itertools
import math
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from mmpose.registry import TASK_UTILS

from projects.grouppose.model.targets import PoseTargets
from projects.grouppose.model.tokens import sampled_masks
from tests.helpers.matching import COSTS, make_predictions, make_targets
from tests.helpers.models import build_small_model, make_batch, make_sample

SIGMAS = torch.full((4, ), 0.1)
STRIDES = (8, 16, 32)
seeds = st.integers(0, 2**32 - 1)


def properties(max_examples):
    """The same examples in every run."""
    return settings(
        deadline=None,
        derandomize=True,
        database=None,
        max_examples=max_examples,
        suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return build_small_model().eval()


@pytest.fixture(scope='module')
def criterion(model):
    return model.head.criterion


def match(logits, keypoints, targets):
    matcher = TASK_UTILS.build(dict(type='KeypointQueryMatcher', costs=COSTS))
    return matcher(dict(logits=logits, keypoints=keypoints), targets)


def name_sets(logits, keypoints) -> dict:
    """Output sets of three stacked ones."""
    return {
        name: dict(logits=logits[i], keypoints=keypoints[i])
        for i, name in enumerate(('d0', 'last', 'enc'))
    }


def select_people(targets: PoseTargets, order) -> PoseTargets:
    """The people of a batch of one image, in another order."""
    return targets._replace(
        counts=[len(order)],
        **{
            key: getattr(targets, key)[:, order]
            for key in ('labels', 'keypoints', 'visible', 'areas')
        })


@properties(100)
@given(seeds, st.integers(1, 5), st.integers(0, 5))
def test_matching_is_one_to_one_at_least_cost(seed, queries, people):
    """No other assignment costs less, by trying all of them."""
    torch.manual_seed(seed)
    logits, keypoints = make_predictions(1, 1, queries)
    targets = make_targets([people])
    matches = match(logits, keypoints, targets)
    found = matches.queries[0], matches.people[0]
    for indices in found:
        assert len(indices.unique()) == min(queries, people)
    cost = sum(
        TASK_UTILS.build(term)(logits, keypoints, targets)
        for term in COSTS)[0, 0].numpy()
    if queries < people:
        cost = cost.T
    least = min(
        cost[list(rows), range(cost.shape[1])].sum()
        for rows in itertools.permutations(range(len(cost)), cost.shape[1]))
    paired = cost.T if queries < people else cost
    assert paired[found].sum() == pytest.approx(least, rel=1e-5, abs=1e-5)


@properties(100)
@given(seeds, st.integers(1, 12), st.data())
def test_matching_does_not_depend_on_the_order_of_people(seed, people, data):
    torch.manual_seed(seed)
    logits, keypoints = make_predictions(2, 1, 8)
    targets = make_targets([people])
    order = data.draw(st.permutations(range(people)))
    matches = match(logits, keypoints, targets)
    shuffled = match(logits, keypoints, select_people(targets, order))
    for i in range(2):
        pairs = zip(matches.queries[i].tolist(), matches.people[i].tolist())
        others = zip(shuffled.queries[i].tolist(),
                     [order[j] for j in shuffled.people[i]])
        assert set(pairs) == set(others)


corner_values = st.sampled_from([0., 1e-38, 1e-12, 1e-6, 0.5, 1., 4.])


@properties(150)
@given(seeds, st.lists(st.integers(0, 4), min_size=1, max_size=3),
       corner_values, st.sampled_from([0., 1e-6, 0.3, 1., 30., 1e4]),
       st.floats(0, 1))
def test_losses_and_gradients_are_finite(criterion, seed, counts, area, scale,
                                         labeled):
    """Whatever finite numbers come in: areas of nothing, nobody labeled,
    certain scores, poses far outside or exactly right."""
    torch.manual_seed(seed)
    targets = make_targets(counts)._replace(
        areas=torch.full((len(counts), max(counts)), area))
    targets = targets._replace(
        visible=(torch.rand(targets.visible.shape) < labeled).float())
    logits, keypoints = make_predictions(3, len(counts), 6)
    logits *= scale
    keypoints *= scale
    people = min(6, max(counts))
    if seed % 2:
        keypoints[:, :, :people] = targets.keypoints[None, :, :people]
    logits.requires_grad_()
    keypoints.requires_grad_()
    losses = criterion(name_sets(logits, keypoints), targets)
    for name, value in losses.items():
        assert value.isfinite() and value >= 0, name
    for name in ('loss_kpt', 'loss_oks'):
        if not sum(counts):
            assert losses[name] == losses[f'enc.{name}'] == 0
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert logits.grad.isfinite().all() and keypoints.grad.isfinite().all()


@properties(50)
@given(seeds, st.integers(1, 5))
def test_losses_vanish_for_perfect_predictions(criterion, seed, people):
    torch.manual_seed(seed)
    targets = make_targets([people])
    targets.visible[..., 0] = 1
    logits, keypoints = make_predictions(3, 1, 6)
    order = torch.randperm(6)[:people]
    keypoints[:, 0, order] = targets.keypoints[0]
    logits[:] = -40
    logits[:, 0, order, 1] = 40
    losses = criterion(name_sets(logits, keypoints), targets)
    assert losses['matched_oks'] == pytest.approx(1, abs=1e-5)
    for name, value in losses.items():
        if 'loss' in name:
            # The official 1e-6 in OKS, times the weight of the loss.
            assert value == pytest.approx(0, abs=1e-5), name


@properties(100)
@given(seeds, st.integers(0, 3), st.data())
def test_a_query_far_away_leaves_other_matches_alone(seed, people, data):
    """A person added in a place of its own, found by a query of its own,
    does not change who is matched to whom."""
    torch.manual_seed(seed)
    logits, keypoints = make_predictions(1, 1, 5)
    targets = make_targets([people + 1])
    targets.visible[:] = 1
    targets.keypoints[:, -1] += 20
    query = data.draw(st.integers(0, 4))
    keypoints[:, :, query] += 20
    others = [i for i in range(5) if i != query]
    before = match(logits[:, :, others], keypoints[:, :, others],
                   select_people(targets, list(range(people))))
    after = match(logits, keypoints, targets)
    pairs = {
        (others[q], p)
        for q, p in zip(before.queries[0].tolist(), before.people[0].tolist())
    }
    assert pairs | {(query, people)} == set(
        zip(after.queries[0].tolist(), after.people[0].tolist()))


@st.composite
def padded_sizes(draw):
    """Sizes (h, w) of an image and of the batch that it is padded to."""
    size = [draw(st.integers(33, 130)) for _ in range(2)]
    return size, [side + draw(st.integers(0, 90)) for side in size]


def make_feats(batch_shape):
    """Maps as a backbone and neck make them."""
    return [
        torch.randn(1, 32, *[math.ceil(side / stride) for side in batch_shape])
        for stride in STRIDES
    ]


def padded_sample(size, batch_shape):
    sample = make_sample(size, 0)
    sample.set_metainfo(dict(batch_input_shape=tuple(batch_shape)))
    return sample


@properties(200)
@given(padded_sizes())
def test_masks_are_off_by_less_than_a_cell(sizes):
    """The quantisation: a cell belongs to the image if its first pixel
    does."""
    size, batch_shape = sizes
    feats = make_feats(batch_shape)
    masks = sampled_masks(feats, batch_shape, torch.tensor([size]))
    for feat, mask in zip(feats, masks):
        valid = ~mask[0]
        for axis in range(2):
            cells = feat.shape[2 + axis] * size[axis] / batch_shape[axis]
            counted = valid.any(1 - axis).sum().item()
            assert -1e-4 < counted - cells < 1
        # It is a rectangle at the top left.
        height, width = valid.any(1).sum(), valid.any(0).sum()
        assert valid[:height, :width].all()
        assert valid.sum() == height * width


@properties(40)
@given(seeds, padded_sizes())
def test_padding_changes_nothing_but_the_masks(model, seed, sizes):
    """Maps with anything in the padding give what the valid cells alone
    give, but for the frame of the decoder's positional term."""
    torch.manual_seed(seed)
    size, batch_shape = sizes
    feats = make_feats(batch_shape)
    samples = [padded_sample(size, batch_shape)]
    cropped = []
    masks = sampled_masks(feats, batch_shape, torch.tensor([size]))
    for feat, mask in zip(feats, masks):
        valid = ~mask[0]
        cropped.append(feat[..., :valid.any(1).sum(), :valid.any(0).sum()])
    head = model.head
    term = head.decoder.positional_term
    # QUIRK: it is in the frame of the padded map.
    own_frame = patch.object(
        head.decoder, 'positional_term', lambda poses, memory: term(
            poses / memory.valid_ratios[:, None, None, 0], memory))
    with own_frame, torch.no_grad():
        # QUIRK: cells that cannot be an instance compete, all with this
        # score. There are more of them in a padded map.
        norm = head.query_selection.norm
        blank = head.query_selection.class_embed(
            norm(head.query_selection.output(torch.zeros(32)))).max()
        alone = head(cropped)['last']
        tokens = head.pre_transformer(cropped)
        selected = head.query_selection(head.forward_encoder(tokens))
        chosen = selected.outputs['logits']
        assume(chosen.shape[1] == 12 and chosen.max(-1).values.min() > blank)
        padded = head(feats, samples)['last']
    for name in ('logits', 'keypoints'):
        torch.testing.assert_close(
            padded[name], alone[name], rtol=1e-3, atol=1e-4)


@properties(15)
@given(seeds, st.permutations(range(3)), st.booleans())
def test_order_of_images(model, seed, order, training):
    """Predictions and losses of an image do not depend on its place in the
    batch, those of different sizes too."""
    torch.manual_seed(seed)
    batch = make_batch([(64, 96), (96, 64), (40, 70)], [2, 0, 3])
    data = model.data_preprocessor(batch, training=False)
    shuffled = dict(
        inputs=data['inputs'][list(order)],
        data_samples=[data['data_samples'][i] for i in order])
    model.train(training)
    with torch.no_grad():
        if training:
            losses = model(**data, mode='loss')
            others = model(**shuffled, mode='loss')
            assert losses.keys() == others.keys()
            for name, value in losses.items():
                assert others[name].item() == pytest.approx(
                    value.item(), rel=1e-4), name
            return
        found = model(**data, mode='predict')
        found = [sample.pred_instances.clone() for sample in found]
        others = model(**shuffled, mode='predict')
    for i, other in zip(order, others):
        for key in ('keypoints', 'bbox_scores'):
            np.testing.assert_allclose(
                other.pred_instances[key], found[i][key], rtol=1e-3, atol=1e-3)
