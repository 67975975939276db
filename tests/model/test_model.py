"""Decoder, query selection and head on inputs of every kind."""
import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from projects.grouppose.model.decoder import sine_embedding
from projects.grouppose.model.decoder_layer import GroupAttentionDecoderLayer
from projects.grouppose.model.queries import with_center
from projects.grouppose.model.query_selection import PoseQuerySelection
from projects.grouppose.model.tokens import (flatten_maps, padding_masks,
                                             sampled_masks)
from tests.helpers.models import (build_small_model, compute_losses,
                                  make_batch, stack_sets)


def forward(model, batch):
    """Output sets of the head for a batch, stacked."""
    data = model.data_preprocessor(batch, training=False)
    feats = model.extract_feat(data['inputs'])
    return stack_sets(model.head(feats, data['data_samples']))


def predict(model, batch):
    model.eval()
    with torch.no_grad():
        data = model.data_preprocessor(batch, training=False)
        samples = model(**data, mode='predict')
    return [sample.pred_instances for sample in samples]


def test_sine_embedding():
    embedding = sine_embedding(torch.tensor([0.25, 0.6]), 256)
    torch.testing.assert_close(
        embedding[:4],
        torch.tensor([-0.5877855, -0.8090168, -0.1227064, -0.9924430]),
        atol=1e-6,
        rtol=0)
    torch.testing.assert_close(
        embedding[128:132],
        torch.tensor([1.0, -4.4e-8, 0.9779177, 0.2089906]),
        atol=1e-6,
        rtol=0)


def test_padding_mask_is_sampled_like_the_official_one():
    """Rows and columns of a worked example."""
    _, data = compute_batch_of_masks()
    rows = [int((~mask[0, :, 0]).sum()) for mask in data]
    columns = [int((~mask[0, 0]).sum()) for mask in data]
    assert rows == [13, 7, 4, 3]
    assert columns == [16, 8, 4, 3]


def compute_batch_of_masks():
    batch = make_batch([(97, 121)], [0])
    batch['data_samples'][0].set_metainfo(
        dict(batch_input_shape=(130, 160), img_shape=(97, 121)))
    sizes = [(17, 20), (9, 10), (5, 5), (3, 3)]
    feats = [torch.zeros(1, 1, *size) for size in sizes]
    return sizes, padding_masks(feats, batch['data_samples'])


def token_anchors(mask):
    """Of a level of which a part (1, H, W) is padding."""
    maps = torch.zeros(1, 1, *mask.shape[1:])
    return PoseQuerySelection.token_anchors(
        flatten_maps([maps], [mask], torch.float32))


def test_token_anchors():
    """A worked example: 2 x 3 tokens, the last column padding."""
    mask = torch.tensor([[[0, 0, 1], [0, 0, 1]]]).bool()
    anchors, usable = token_anchors(mask)
    z, inf = 1.0986123, float('inf')
    expected = torch.tensor([[-z, -z], [z, -z], [inf, inf], [-z, z], [z, z],
                             [inf, inf]])
    torch.testing.assert_close(anchors[0], expected)
    assert torch.equal(usable, ~mask.flatten(1))
    # A center of exactly 0.01 is too close to the border.
    _, usable = token_anchors(torch.zeros(1, 1, 50).bool())
    assert usable[0].tolist() == [False] + [True] * 48 + [False]


def test_center_is_the_mean_of_the_keypoints():
    points = with_center(torch.tensor([[0., 0.2], [0.4, 0.6]]))
    torch.testing.assert_close(points[0], torch.tensor([0.2, 0.4]))
    assert points.shape == (3, 2)


@pytest.mark.parametrize('num_keypoints', [1, 2, 17, 133])
def test_any_number_of_keypoints(num_keypoints):
    model = build_small_model(num_keypoints)
    batch = make_batch([(64, 64)], [2], num_keypoints)
    total, _ = compute_losses(model, batch)
    total.backward()
    result, = predict(model, batch)
    assert result.keypoints.shape[1:] == (num_keypoints, 2)


@pytest.mark.parametrize('width, heads, levels, layers', [
    (32, 4, 3, 1),
    (64, 8, 5, 2),
    (96, 3, 4, 4),
])
def test_any_size(width, heads, levels, layers):
    attention = dict(
        embed_dims=width, num_heads=heads, num_levels=levels, num_points=3)
    model = Config(
        dict(
            num_queries=7,
            positional_encoding=dict(num_pos_feats=width // 2),
            encoder=dict(
                num_layers=layers,
                layer_cfg=dict(
                    self_attn_cfg=attention, ffn_cfg=dict(embed_dims=width))),
            decoder=dict(num_layers=layers, layer_cfg=attention)))
    head = build_small_model(**model).head
    head.train()
    feats = [
        torch.rand(2, width, 16 // 2**i + 1, 12 // 2**i + 1)
        for i in range(levels)
    ]
    outputs = stack_sets(head(feats))
    assert outputs['logits'].shape == (layers + 1, 2, 7, 2)
    assert outputs['keypoints'].shape == (layers + 1, 2, 7, 5, 2)


def test_tensor_mode_is_prediction_without_padding():
    """FLOPs counters and exporters call the model without data samples."""
    model = build_small_model().eval()
    batch = make_batch([(64, 96)], [0])
    inputs = model.data_preprocessor(batch, False)['inputs']
    with torch.no_grad():
        bare = stack_sets(model(inputs, None, mode='tensor'))
    full = forward(model, batch)
    torch.testing.assert_close(bare['keypoints'], full['keypoints'])
    torch.testing.assert_close(bare['logits'], full['logits'])
    assert bare['logits'].shape == (1, 1, 12, 2)


def test_fewer_tokens_than_queries():
    model = build_small_model()
    batch = make_batch([(16, 24)], [3])  # 2 x 3 + 1 x 2 + 1 tokens
    assert forward(model.train(), batch)['logits'].shape == (4, 1, 9, 2)
    total, _ = compute_losses(model, batch)
    assert torch.isfinite(total)
    result, = predict(model, batch)
    assert 0 < len(result.bbox_scores) <= 9


def test_nothing_is_masked_where_nothing_is_padding():
    """With the same result as masks that are False everywhere."""
    head = build_small_model().head.eval()
    batch = make_batch([(64, 40), (64, 40)], [0, 0])
    feats = [torch.rand(2, 32, 64 // s, 40 // s) for s in (8, 16, 32)]
    assert padding_masks(feats, batch['data_samples']) is None
    masks = sampled_masks(feats, (64, 40), torch.tensor([[64, 40]] * 2))
    with torch.no_grad():
        unmasked = head(feats, batch['data_samples'])['last']
        masked = head.run_steps(feats, masks)[0]['last']
    for name in unmasked:
        torch.testing.assert_close(
            unmasked[name], masked[name], rtol=0, atol=0)


def test_padding_has_no_influence():
    """Whatever the maps hold there, outputs stay the same."""
    head = build_small_model().head.eval()
    batch = make_batch([(64, 40)], [0])
    batch['data_samples'][0].set_metainfo(dict(batch_input_shape=(96, 128)))
    feats = [torch.rand(1, 32, 96 // s, 128 // s) for s in (8, 16, 32)]
    masks = padding_masks(feats, batch['data_samples'])
    noisy = [
        torch.where(mask[:, None], 9 * torch.randn_like(x), x)
        for x, mask in zip(feats, masks)
    ]
    with torch.no_grad():
        outputs = head(feats, batch['data_samples'])['last']
        with_noise = head(noisy, batch['data_samples'])['last']
        unmasked = head(noisy)['last']
    for key in outputs:
        torch.testing.assert_close(outputs[key], with_noise[key])
        assert not torch.allclose(outputs[key], unmasked[key], atol=1e-3)


def test_results():
    model = build_small_model()
    results = predict(model, make_batch([(64, 96), (96, 64)], [0, 2]))
    for result in results:
        scores = result.bbox_scores
        assert (scores[:-1] >= scores[1:]).all()
        assert (result.keypoint_scores == scores[:, None]).all()
        assert result.keypoints.shape == (len(scores), 5, 2)


def test_multiscale_test_raises():
    model = build_small_model()
    with pytest.raises(NotImplementedError, match='multiscale_test'):
        model.head.predict((), [], test_cfg=dict(multiscale_test=True))


def test_image_of_another_size_than_noted():
    batch = make_batch([(64, 96)], [0])
    batch['data_samples'][0].set_metainfo(dict(input_size=(48, 32)))
    with pytest.raises(ValueError, match='input_size.*96 x 64.*PoseResize'):
        predict(build_small_model(), batch)


def test_auxiliary_outputs_see_the_next_positional_term():
    """It changes the keypoints of all layers but the last."""
    model = build_small_model().train()
    batch = make_batch([(64, 64)], [0])
    official = forward(model, batch)
    model.head.decoder.official_aux = False
    plain = forward(model, batch)
    torch.testing.assert_close(official['logits'], plain['logits'])
    # The last decoder layer and the encoder.
    torch.testing.assert_close(official['keypoints'][2:],
                               plain['keypoints'][2:])
    for layer in range(2):
        difference = official['keypoints'] - plain['keypoints']
        assert difference[layer].abs().max() > 1e-3


def test_initial_state():
    model = build_small_model(perturb=False)
    head = model.head
    for pose_head in head.decoder.pose_embeds:
        assert (pose_head.layers[-1].weight == 0).all()
        assert torch.equal(pose_head.layers[0].weight,
                           head.decoder.pose_embeds[0].layers[0].weight)
    score = head.query_selection.class_embed.bias.sigmoid()
    torch.testing.assert_close(score, torch.full((2, ), 0.01))
    attention = head.decoder.layers[0].cross_attn
    assert (attention.sampling_offsets.weight == 0).all()
    bias = attention.sampling_offsets.bias.view(4, 3, 2, 2)
    torch.testing.assert_close(bias[1, :, 1], torch.tensor([[0., 2.]] * 3))


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match='embed_dims=30.*num_heads=4'):
        GroupAttentionDecoderLayer(embed_dims=30, num_heads=4)


@pytest.mark.parametrize('head, message', [
    (dict(decoder=dict(layer_cfg=dict(embed_dims=64))),
     'width of encoder is 32, but that of decoder is 64'),
    (dict(encoder=dict(layer_cfg=dict(ffn_cfg=dict(embed_dims=64)))),
     'ffn_cfg.embed_dims is 64, but .*self_attn_cfg.embed_dims is 32'),
    (dict(positional_encoding=dict(num_pos_feats=32)),
     'width of positional_encoding is 64, but .* decoder is 32'),
    (dict(decoder=dict(layer_cfg=dict(embed_dims=30, num_heads=3))),
     'embed_dims is 30, but must be a multiple of 4'),
    (dict(decoder=dict(layer_cfg=dict(num_levels=4))),
     'number of levels of encoder is 3, but that of decoder is 4'),
])
def test_parts_must_fit_together(head, message):
    with pytest.raises(ValueError, match=message):
        build_small_model(**head)


def test_init_cfg_has_the_last_word():
    init_cfg = dict(type='Constant', layer='LayerNorm', val=3.0)
    model = build_small_model(init_cfg=init_cfg)
    assert (model.head.decoder.layers[0].ffn_norm.weight == 3).all()
    assert (model.head.query_selection.norm.weight == 3).all()


def test_person_label_must_be_a_class():
    with pytest.raises(ValueError, match='num_classes=1'):
        build_small_model(num_classes=1)


def test_one_class_works():
    model = build_small_model(num_classes=1, data_decoder=dict(person_label=0))
    batch = make_batch([(64, 64)], [2])
    for label in batch['data_samples']:
        label.gt_instance_labels.labels[:] = 0
    total, _ = compute_losses(model, batch)
    assert torch.isfinite(total)
    assert len(predict(model, batch)[0].bbox_scores) == 12


def test_wrong_number_of_levels():
    head = build_small_model().head
    with pytest.raises(ValueError, match='2 feature maps.*3 levels'):
        head([torch.rand(1, 32, 8, 8)] * 2)


def test_learns_a_batch_by_heart():
    """The whole training signal works: poses converge to the labels."""
    torch.manual_seed(4)
    model = build_small_model(perturb=False).train()
    batch = make_batch([(64, 64), (64, 48)], [1, 2])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(150):
        total, losses = compute_losses(model, batch)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert losses['matched_oks'] > 0.8


def test_registered_names():
    for name in ('GroupPoseHead', 'GroupPoseDecoder',
                 'GroupAttentionDecoderLayer', 'FrozenBatchNorm2d'):
        assert name in MODELS
