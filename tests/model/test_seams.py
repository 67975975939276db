"""New parts plug in from outside of the package: an encoder, queries, a loss,
an output. Each is registered here and named in a config."""
import pytest
import torch
from mmpose.registry import MODELS
from torch import nn

from projects.grouppose.model import GroupPoseDecoder
from projects.grouppose.model.losses import SetLoss
from projects.grouppose.model.matcher import Matches
from projects.grouppose.model.queries import MAIN, QueryGroup
from tests.helpers.models import build_small_model, compute_losses, make_batch

SIZES = [(64, 96), (96, 64)]


@MODELS.register_module()
class PointwiseEncoder(nn.Module):
    """Without attention."""
    embed_dims, num_levels = 32, 3

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(32, 32)

    def forward(self, tokens, positions):
        return self.linear(tokens.features + positions)


@MODELS.register_module()
class TruePoses(nn.Module):
    """One query per person, which starts at the true pose."""

    def __init__(self, num_keypoints, num_classes, embed_dims):
        super().__init__()
        self.embedding = nn.Embedding(num_keypoints + 1, embed_dims)

    def forward(self, queries, memory, targets):
        poses = targets.keypoints
        center = poses.mean(2, keepdim=True)
        batch, people = poses.shape[:2]
        images = torch.arange(batch).repeat_interleave(
            torch.tensor(targets.counts))
        index = torch.cat([torch.arange(count) for count in targets.counts])
        return QueryGroup(
            content=self.embedding.weight.expand(batch, people, -1, -1),
            references=torch.cat([center, poses], 2),
            matches=Matches(images, index[None], index[None], len(index)))


@MODELS.register_module()
class SharpScoreLoss(SetLoss):
    """Scores should be 0 or 1."""
    keys = ('logits', )

    def forward(self, outputs, targets, matches):
        scores = outputs['logits'].sigmoid()
        return self.loss_weight * (scores * (1 - scores)).flatten(1).sum(1)


@MODELS.register_module()
class VisibilityDecoder(GroupPoseDecoder):
    """Predicts whether each keypoint is labeled, too."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.visibility_embed = nn.Linear(self.embed_dims, 1)

    def predict_more(self, layer, query):
        return dict(
            visibility=self.visibility_embed(query[:, :, 1:]).squeeze(-1))


@MODELS.register_module()
class VisibilityLoss(SetLoss):
    keys = ('visibility', )

    def forward(self, outputs, targets, matches):
        sets = torch.arange(len(outputs['visibility']))[:, None]
        logits = outputs['visibility'][sets, matches.images, matches.queries]
        labeled = targets.visible[matches.images, matches.people]
        loss = nn.functional.binary_cross_entropy_with_logits(
            logits, labeled, reduction='none')
        return self.loss_weight * loss.sum((1, 2))


def gradients(model, batch) -> dict:
    total, losses = compute_losses(model, batch)
    total.backward()
    for name, parameter in model.head.named_parameters():
        assert parameter.grad is not None, name
    return losses


def test_encoder_without_attention():
    model = build_small_model(
        encoder=dict(_delete_=True, type='PointwiseEncoder'))
    losses = gradients(model, make_batch(SIZES, [2, 1]))
    assert 'enc.loss_oks' in losses
    assert model.head.encoder.linear.weight.grad.abs().max() > 0


def test_no_encoder():
    """The neck does the work; nothing is added to its maps."""
    model = build_small_model(encoder=None, positional_encoding=None)
    assert not hasattr(model.head, 'level_embed')
    gradients(model, make_batch(SIZES, [2, 1]))


def test_another_width_is_refused():
    with pytest.raises(
            ValueError, match='width of encoder is 32.*decoder.*48'):
        build_small_model(
            encoder=dict(_delete_=True, type='PointwiseEncoder'),
            decoder=dict(layer_cfg=dict(embed_dims=48)))


def test_more_queries_in_training():
    """They are matched by construction, seen by nobody, and leave what is
    predicted of the others as it is."""
    torch.manual_seed(1)
    plain = build_small_model()
    torch.manual_seed(1)
    model = build_small_model(
        training_queries=dict(true=dict(type='TruePoses')))
    model.load_state_dict(plain.state_dict(), strict=False)
    batch = make_batch(SIZES, [3, 1])
    losses = gradients(model, batch)
    expected = compute_losses(plain, batch)[1]
    names = [name for name in losses if not name.startswith('true.')]
    assert names == list(expected)
    for name in names:
        torch.testing.assert_close(
            losses[name], expected[name], rtol=1e-4, atol=1e-5)
    assert {name
            for name in losses if name.startswith('true.')} == {
                f'true.{layer}{term}'
                for layer in ('d0.', 'd1.', '')
                for term in ('loss_cls', 'loss_kpt', 'loss_oks')
            }
    # They start where they should end.
    assert losses['true.d0.loss_kpt'] < losses['d0.loss_kpt']


def test_who_sees_whom():
    model = build_small_model(
        training_queries=dict(true=dict(type='TruePoses')))
    data = model.data_preprocessor(make_batch(SIZES, [2, 1]), training=True)
    head, seen = model.head, {}

    def remember(decoder, inputs):
        seen['queries'] = inputs[0]

    head.decoder.register_forward_pre_hook(remember)
    head.loss(model.extract_feat(data['inputs']), data['data_samples'])
    groups = seen['queries'].groups
    mask = seen['queries'].attention_mask()
    first = groups[MAIN].content.shape[1]
    assert mask[:first, first:].all() and mask[first:, :first].all()
    assert not mask[:first, :first].any() and not mask[first:, first:].any()


def test_one_more_loss():
    model = build_small_model(
        criterion=dict(losses=dict(loss_sharp=dict(type='SharpScoreLoss'))))
    losses = gradients(model, make_batch(SIZES, [2, 1]))
    for name in ('loss_sharp', 'd1.loss_sharp', 'enc.loss_sharp'):
        assert losses[name] > 0


def test_a_loss_that_nothing_is_predicted_for():
    model = build_small_model(
        criterion=dict(losses=dict(loss_vis=dict(type='VisibilityLoss'))))
    with pytest.raises(
            ValueError, match='loss_vis: no output set has visibility'):
        gradients(model, make_batch(SIZES, [2, 1]))


@pytest.mark.parametrize('people', [[2, 1], [0, 0]])
def test_one_more_output(people):
    """The output set of the encoder lacks it, and its loss."""
    model = build_small_model(
        decoder=dict(type='VisibilityDecoder'),
        criterion=dict(
            losses=dict(loss_vis=dict(type='VisibilityLoss', loss_weight=2))))
    losses = gradients(model, make_batch(SIZES, people))
    assert (losses['loss_vis'] > 0) == (losses['d0.loss_vis'] > 0) == bool(
        sum(people))
    assert 'enc.loss_vis' not in losses
    assert 'enc.loss_oks' in losses
    model.eval()
    data = model.data_preprocessor(make_batch(SIZES, people), training=False)
    outputs = model.head(model.extract_feat(data['inputs']))
    assert outputs['last']['visibility'].shape == (2, 12, 5)
