"""Further groups of queries and further tokens in training: who is matched
with whom, what they weigh, and that nothing else changes."""
import pytest
import torch
from mmpose.registry import MODELS

from projects.grouppose.checkpoints.fit import compare_with_model
from projects.grouppose.model.matcher import KeypointQueryMatcher
from projects.grouppose.model.queries import MAIN, Queries, QueryGroup
from tests.helpers.matching import COSTS, make_predictions, make_targets
from tests.helpers.models import (build_drawn, compute_losses, drawn_config,
                                  make_batch)

SIZES = [(64, 64), (64, 64)]
METHODS = ('grouppose', 'detrpose')
SELECTIONS = dict(
    grouppose='PoseQuerySelection', detrpose='LearnedContentSelection')


def parts_for(method: str) -> dict:
    """Configs of all parts: two groups as large as the main one, a
    one-to-many branch, and tokens with heads of their own and without."""
    selection = dict(type=SELECTIONS[method])
    return dict(
        denoising=None,
        groups=dict(
            type='GroupQueries',
            num_queries=10,
            num_groups=2,
            query_selection=selection),
        many=dict(
            type='GroupQueries',
            num_queries=12,
            repeats=3,
            query_selection=selection,
            loss_weight=0.5),
        tokens=dict(type='EncoderSupervision', num_tokens=30, repeats=4),
        shared=dict(
            type='EncoderSupervision',
            num_tokens=20,
            repeats=2,
            auxiliary=False))


def make_drawn_batch(people):
    return make_batch(SIZES, people, num_keypoints=17)


def as_main(selection, model):
    """Give a query selection the weights of the main one."""
    selection.load_state_dict(model.head.query_selection.state_dict())


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('people', [[2, 1], [0, 0], [13, 0]])
def test_training_step(method, people):
    """Also with nobody, and more people than queries."""
    model = build_drawn(method, training_queries=parts_for(method))
    total, losses = compute_losses(model, make_drawn_batch(people))
    total.backward()
    assert total.isfinite()
    layers = ('d0.', '') if method == 'grouppose' else ('pre.', 'd0.', '')
    sets = [group + layer for group in ('', 'groups.', 'many.')
            for layer in (*layers, 'enc.')]  # yapf: disable
    sets += ['tokens.enc.', 'shared.enc.']
    assert {name for name in losses if 'loss' in name} == {
        f'{name}loss_{term}' for name in sets for term in ('cls', 'kpt', 'oks')
    }  # yapf: disable
    for name, parameter in model.named_parameters():
        assert not parameter.requires_grad or parameter.grad is not None, name
        if 'training_queries' in name and 'class_embed' in name:
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize('method', METHODS)
def test_nothing_else_changes(method):
    """Losses of the queries that predict, predictions, and the weights of
    the plain model."""
    plain = build_drawn(method, training_queries=dict(denoising=None))
    model = build_drawn(method, training_queries=parts_for(method))
    model.load_state_dict(plain.state_dict(), strict=False)
    batch = make_drawn_batch([3, 1])
    expected, found = (compute_losses(x, batch)[1] for x in (plain, model))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)

    unknown = compare_with_model(model.state_dict(), plain)
    assert len(unknown) > 20
    for name, what in unknown:
        assert name.startswith('head.training_queries.')
        assert what == 'unknown to the model'
    missing, _ = plain.load_state_dict(model.state_dict(), strict=False)
    assert not missing

    with torch.no_grad():
        inputs = batch['inputs'][0][None] / 255.
        outputs = [
            x.head(x.extract_feat(inputs))
            for x in (plain.eval(), model.eval())
        ]
    torch.testing.assert_close(*outputs, rtol=0, atol=0)
    model.head.switch_to_deploy()
    assert not compare_with_model(model.state_dict(), plain)


@pytest.mark.parametrize('method', METHODS)
def test_groups_that_start_as_the_main_one(method):
    """The mean of their losses is its loss, at a weight of 1."""
    parts = dict(denoising=None, groups=parts_for(method)['groups'])
    model = build_drawn(method, training_queries=parts)
    for selection in model.head.training_queries['groups'].selections:
        as_main(selection, model)
    _, losses = compute_losses(model, make_drawn_batch([3, 2]))
    own = {name: value for name, value in losses.items()
           if 'loss' in name and 'groups.' not in name}  # yapf: disable
    assert len(own) == (9 if method == 'grouppose' else 12)
    for name, value in own.items():
        torch.testing.assert_close(
            losses[f'groups.{name}'], value, rtol=1e-3, atol=1e-5)


def test_tokens_that_are_the_selected_ones():
    """Matched one to one, their losses are those of the encoder."""
    tokens = dict(type='EncoderSupervision', num_tokens=10, repeats=1)
    for auxiliary in (True, False):
        part = dict(tokens, auxiliary=auxiliary, loss_weight=0.5)
        model = build_drawn('grouppose', training_queries=dict(tokens=part))
        if auxiliary:
            as_main(model.head.training_queries['tokens'].selection, model)
        _, losses = compute_losses(model, make_drawn_batch([3, 2]))
        for term in ('loss_cls', 'loss_kpt', 'loss_oks'):
            torch.testing.assert_close(losses[f'tokens.enc.{term}'],
                                       0.5 * losses[f'enc.{term}'])


@pytest.mark.parametrize('auxiliary', [True, False])
def test_whose_heads_tokens_train(auxiliary):
    """Their own, or those that select the queries."""
    part = dict(type='EncoderSupervision', auxiliary=auxiliary)
    model = build_drawn('grouppose', training_queries=dict(tokens=part))
    _, losses = compute_losses(model, make_drawn_batch([3, 2]))
    losses['tokens.enc.loss_cls'].backward()
    grad = model.head.query_selection.class_embed.weight.grad
    assert (grad is None) == auxiliary
    last = model.head.encoder.layers[-1].ffn.layers[1].weight
    assert last.grad.abs().max() > 0


@pytest.mark.parametrize('method', METHODS)
def test_several_classes(method):
    config = drawn_config(method, training_queries=parts_for(method))
    codec = config.head.data_decoder
    described = MODELS.build(config).head.codec.metainfo
    codec.pop('metainfo')
    codec.update(sigmas=described['sigmas'].tolist(), person_label=2)
    config.head.num_classes = 3
    model = MODELS.build(config)
    batch = make_drawn_batch([3, 3])
    for sample in batch['data_samples']:
        sample.gt_instance_labels.labels = torch.arange(3)
    total, losses = compute_losses(model, batch)
    losses['many.loss_cls'].backward()
    rows = model.head.decoder.class_embeds[-1].weight.grad
    assert total.isfinite()
    assert (rows.abs().sum(1) > 0).all() and len(rows) == 3


@pytest.mark.parametrize('repeats', [1, 2, 3])
def test_one_to_many_matching(repeats):
    """Everybody gets as many queries, all different; a single person those
    that cost least."""
    torch.manual_seed(repeats)
    matcher = KeypointQueryMatcher(COSTS)
    logits, keypoints = make_predictions(2, 3, 9)
    targets = make_targets([1, 0, 3])
    matches = matcher(
        dict(logits=logits, keypoints=keypoints), targets, repeats=repeats)
    assert matches.count == 4 * repeats
    cost = sum(term(logits, keypoints, targets) for term in matcher.costs)
    for queries, people, costs in zip(matches.queries, matches.people, cost):
        alone = matches.images == 0
        best = costs[0, :, 0].topk(repeats, largest=False).indices
        assert set(queries[alone].tolist()) == set(best.tolist())
        crowd = matches.images == 2
        assert people[crowd].bincount().tolist() == [repeats] * 3
        assert len(queries[crowd].unique()) == 3 * repeats


def test_fewer_queries_than_matches():
    logits, keypoints = make_predictions(1, 1, 4)
    matches = KeypointQueryMatcher(COSTS)(
        dict(logits=logits, keypoints=keypoints), make_targets([3]), repeats=2)
    assert sorted(matches.queries[0].tolist()) == [0, 1, 2, 3]
    assert matches.people.max() < 3
    assert matches.count == 6


def test_who_sees_whom():
    """Each group itself, and nobody else."""
    sizes = dict(main=3, many=2)
    groups = {
        name:
        QueryGroup(torch.zeros(1, size, 6, 8), torch.zeros(1, size, 6, 2))
        for name, size in sizes.items()
    }
    queries = Queries({MAIN: groups['main']})
    queries.add('two', [groups['many'], groups['many']])
    assert list(queries.groups) == [MAIN, 'two.0', 'two.1']
    block = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    assert torch.equal(queries.attention_mask(), block[:, None] != block)


def test_numbers_that_cannot_be():
    sizes = dict(num_keypoints=5, num_classes=2, embed_dims=8)
    with pytest.raises(ValueError, match='GroupQueries: repeats.*not 0'):
        MODELS.build(
            dict(type='GroupQueries', num_queries=4, repeats=0, **sizes))
    with pytest.raises(
            ValueError, match='EncoderSupervision: num_tokens.*not 2.5'):
        MODELS.build(dict(type='EncoderSupervision', num_tokens=2.5, **sizes))
