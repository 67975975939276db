"""What Group Pose's decoder can take over from DETRPose's: the quality of
poses in the score, and the refinement of distributions."""
import pytest
import torch
from mmpose.registry import MODELS

from projects.grouppose.inference.speed import prepare_for_inference
from projects.grouppose.model import (DETRPoseDecoder, GroupPoseDecoder,
                                      PoseQuerySelection)
from projects.grouppose.model.decoder_layer import GroupAttentionDecoderLayer
from tests.helpers.models import (build_drawn, build_small_model,
                                  compute_losses, make_batch)

QUALITY = dict(decoder=dict(quality=dict()))
REFINED = dict(decoder=dict(type='DETRPoseDecoder'))


def make_drawn_batch(people):
    return make_batch([(32, 48), (48, 32)], people, num_keypoints=17)


def predict(model, image):
    with torch.no_grad():
        return model.eval().head(model.extract_feat(image))['last']


def test_quality_starts_at_zero():
    plain = build_drawn('grouppose')
    model = build_drawn('grouppose', **QUALITY)
    added = model.state_dict().keys() - plain.state_dict().keys()
    assert added == {
        f'head.decoder.quality.{layer}.reg_conf.layers.{i}.{name}'
        for layer in (0, 1)
        for i in (0, 1)
        for name in ('weight', 'bias')
    }
    assert plain.state_dict().keys() < model.state_dict().keys()
    model.load_state_dict(plain.state_dict(), strict=False)
    image = torch.rand(1, 3, 32, 32)
    expected, found = predict(plain, image), predict(model, image)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    with torch.no_grad():
        model.head.decoder.quality[1].reg_conf.layers[1].bias.fill_(1)
    found = predict(model, image)
    torch.testing.assert_close(found['logits'], expected['logits'] + 1)


@pytest.mark.parametrize('people', [[2, 12], [0, 0]])
@pytest.mark.parametrize('head', [QUALITY, REFINED])
def test_training_step(head, people):
    model = build_drawn('grouppose', **head)
    total, losses = compute_losses(model, make_drawn_batch(people))
    total.backward()
    assert total.isfinite()
    assert ('pre.loss_kpt' in losses) == (head is REFINED)
    for name, parameter in model.named_parameters():
        assert not parameter.requires_grad or parameter.grad is not None, name
    for quality in model.head.decoder.quality:
        assert quality.reg_conf.layers[1].weight.grad.abs().max() > 0


def test_quality_looks_at_the_place_of_the_image():
    """Whether or not the batch is padded on the right."""
    torch.manual_seed(0)
    head = build_small_model(decoder=dict(quality=dict())).head
    head.decoder.quality[2].reg_conf.layers[1].weight.data.normal_()
    maps = [torch.rand(1, 32, 8 // 2**i, 8 // 2**i) for i in range(3)]
    padded = [torch.cat([x, torch.zeros_like(x)], 3) for x in maps]
    masks = [torch.zeros(x.shape[0], *x.shape[2:]).bool() for x in padded]
    for mask in masks:
        mask[..., mask.shape[-1] // 2:] = True
    query, poses = torch.randn(1, 4, 6, 32), torch.rand(1, 4, 5, 2)
    alone = head.decoder.score(2, query, poses, head.pre_transformer(maps))
    found = head.decoder.score(2, query, poses,
                               head.pre_transformer(padded, masks))
    torch.testing.assert_close(found, alone)
    plain = head.decoder.class_embeds[2](query[:, :, 0])
    assert (alone - plain).abs().max() > 0.01


def test_no_quality_for_detrpose():
    model = build_drawn('detrpose', decoder=dict(quality=None))
    assert not any('quality' in name for name in model.state_dict())
    total, _ = compute_losses(model, make_batch([(32, 32)], [2], 17))
    assert total.isfinite()
    model.head.switch_to_deploy()


@pytest.mark.parametrize('head', [QUALITY, REFINED])
def test_deployed_model_predicts_the_same(head):
    model = build_drawn('grouppose', **head)
    with torch.no_grad():
        for quality in model.head.decoder.quality:
            quality.reg_conf.layers[1].weight.normal_()
    image = torch.rand(1, 3, 32, 32)
    expected = predict(model, image)
    prepare_for_inference(model)
    assert not list(model.head.decoder.quality[0].parameters())
    found = predict(model, image)
    for name in ('logits', 'keypoints'):
        torch.testing.assert_close(
            found[name], expected[name], rtol=1e-4, atol=1e-4)


def test_refinement_of_distributions():
    """One word in the config gives Group Pose the decoder of DETRPose with
    the layers, the encoder and the query selection of Group Pose."""
    head = build_drawn('grouppose', **REFINED).head
    assert type(head.decoder) is DETRPoseDecoder
    assert type(head.query_selection) is PoseQuerySelection
    for layer in head.decoder.layers:
        assert type(layer) is GroupAttentionDecoderLayer
    assert head.encoder is not None
    outputs = head.train()([torch.rand(1, 64, 8 // i, 8 // i) for i in (1, 2)])
    assert outputs['last']['corners'].shape == (1, 10, 17, 2 * 33)
    torch.testing.assert_close(
        outputs['last']['keypoints'] - outputs['d0']['keypoints'],
        head.decoder.distribution(outputs['last']['corners']) -
        head.decoder.distribution(outputs['d0']['corners']),
        rtol=0,
        atol=1e-5)


def test_registered_names():
    for name in ('PoseQuality', 'DistributionDistillationLoss'):
        assert name in MODELS
    assert issubclass(DETRPoseDecoder, GroupPoseDecoder)


@pytest.mark.parametrize('kind', ['grouppose', 'detrpose'])
def test_predicted_oks_is_a_factor_of_scores(kind):
    """One half of both, as it starts; poses and training scores stay."""
    plain = build_drawn(kind)
    model = build_drawn(kind, decoder=dict(predicted_oks=True))
    model.load_state_dict(plain.state_dict(), strict=False)
    image = torch.rand(1, 3, 32, 32)
    expected, found = predict(plain, image), predict(model, image)
    torch.testing.assert_close(found['keypoints'], expected['keypoints'])
    torch.testing.assert_close(found['logits'].sigmoid(),
                               expected['logits'].sigmoid() / 2)
    assert found.keys() == expected.keys()
    model.head.switch_to_deploy()
    torch.testing.assert_close(predict(model, image), found)


@pytest.mark.parametrize('kind', ['grouppose', 'detrpose'])
@pytest.mark.parametrize('people', [[2, 12], [0, 0]])
def test_predicted_oks_is_learned(kind, people):
    model = build_drawn(
        kind,
        decoder=dict(predicted_oks=True),
        criterion=dict(losses=dict(loss_oks=dict(type='PredictedOKSLoss'))))
    total, losses = compute_losses(
        model, make_batch([(32, 48), (32, 48)], people, num_keypoints=17))
    assert {'d0.loss_oks', 'loss_oks'} <= losses.keys()
    assert 'enc.loss_oks' not in losses
    total.backward()
    for head in model.head.decoder.oks_embeds:
        assert head.layers[1].weight.grad is not None
        if any(people):
            assert head.layers[1].weight.grad.abs().max() > 0


def test_instances_start_from_their_token():
    decoder = build_small_model(decoder=dict(
        instance_content=True)).head.decoder
    content = torch.randn(1, 3, 32)
    queries = decoder.initial_queries(content, torch.rand(1, 3, 5, 2)).content
    torch.testing.assert_close(queries[:, :, 0],
                               content + decoder.instance_embedding.weight)
    plain = build_small_model().head.decoder
    queries = plain.initial_queries(content, torch.rand(1, 3, 5, 2)).content
    torch.testing.assert_close(
        queries[:, :, 0], plain.instance_embedding.weight.expand(1, 3, -1))
