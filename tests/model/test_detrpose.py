"""What of DETRPose the golden numbers do not cover."""
import pytest
import torch
from mmpose.registry import MODELS

from projects.grouppose.inference.speed import prepare_for_inference
from projects.grouppose.model import DETRPoseDecoder
from projects.grouppose.model.detrpose_layer import ProjectionFreeAttention
from projects.grouppose.model.distribution import (OffsetDistribution,
                                                   PoseQuality)
from projects.grouppose.model.matcher import _unite
from tests.helpers.detrpose import build_small_detrpose
from tests.helpers.models import compute_losses, make_batch

SIZES = [(64, 64), (64, 64)]


@pytest.mark.parametrize('people', [[2, 1], [0, 0], [0, 30]])
@pytest.mark.parametrize('num_keypoints', [1, 5, 133])
def test_any_number_of_keypoints_and_people(num_keypoints, people):
    model = build_small_detrpose(num_keypoints)
    total, losses = compute_losses(model,
                                   make_batch(SIZES, people, num_keypoints))
    total.backward()
    assert total.isfinite()
    assert len(losses) == 27 + bool(sum(people))
    for name, parameter in model.named_parameters():
        assert not parameter.requires_grad or parameter.grad is not None, name


@MODELS.register_module()
class SizeDecoder(DETRPoseDecoder):
    """Predicts one more number per instance."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.size_embed = torch.nn.Linear(self.embed_dims, 1)

    def predict_more(self, layer, query):
        return dict(sizes=self.size_embed(query[:, :, 0]).squeeze(-1))


def test_one_more_output():
    """In the sets of all layers, as in those of Group Pose."""
    model = build_small_detrpose(type='SizeDecoder')
    feats = model.extract_feat(torch.zeros(1, 3, 64, 64))
    outputs = model.head.train()(feats)
    assert {name
            for name, values in outputs.items()
            if 'sizes' in values} == {'d0', 'd1', 'last'}


def test_values_of_the_bins():
    values = OffsetDistribution(reg_scale=4).values * 4
    expected = torch.tensor([0, 0.0759896, 0.1577536, 0.2457309])
    torch.testing.assert_close(values[16:20], expected)
    torch.testing.assert_close(values[-3:],
                               torch.tensor([1.788130, 1.999999, 4.]))
    torch.testing.assert_close(values, -values.flip(0))
    values = OffsetDistribution(reg_scale=8).values * 8
    expected = torch.tensor([0, 0.1132636, 0.2393558])
    torch.testing.assert_close(values[16:19], expected)


def test_expected_offset():
    logits = 0.1 * torch.arange(66.)
    offset = OffsetDistribution(reg_scale=4)(logits)
    torch.testing.assert_close(
        offset * 4, torch.tensor([1.1142, 1.1142]), atol=1e-4, rtol=0)


@pytest.mark.parametrize('points, expected', [
    (4, [[1., 1], [2, 2], [3, 3], [4, 4]]),
    (6, [[0., 0]] * 6),
])
def test_first_sampling_points(points, expected):
    """Of the second head; QUIRK where groups of four do not fit."""
    attention = ProjectionFreeAttention(
        64, 8, num_levels=2, num_points=points, batch_first=True)
    attention.init_weights()
    bias = attention.sampling_offsets.bias.view(8, 2, points, 2)
    torch.testing.assert_close(bias[1, 0], torch.tensor(expected))


def test_quality_of_a_pose_outside_of_the_image():
    """There are zeros."""
    quality = PoseQuality(2)
    finest = torch.randn(1, 8, 4, 4)
    outside = quality(torch.full((1, 3, 2, 2), 1.9), finest)
    expected = quality.reg_conf(torch.zeros(1, 3, 10))
    torch.testing.assert_close(outside, expected)


def test_union_takes_the_most_frequent_pair():
    """The worked example, in one image of three sets of two people."""
    sets = [[(1, 0), (4, 1)], [(1, 0), (5, 1)], [(1, 1), (4, 0)]]
    pairs = torch.tensor([[[0, q, p] for q, p in pairs] for pairs in sets])
    united = _unite(pairs.permute(2, 0, 1).numpy())
    assert {tuple(pair[1:])
            for pair in united.T.tolist()} == {(1, 0), (4, 0), (5, 1)}


def test_prepared_model_predicts_the_same():
    torch.manual_seed(0)
    model = build_small_detrpose().eval()
    data = model.data_preprocessor(make_batch(SIZES, [0, 0]), training=False)

    def predict():
        with torch.no_grad():
            return model.head(model.extract_feat(data['inputs']))['last']

    expected, parameters = predict(), len(list(model.parameters()))
    prepare_for_inference(model)
    found = predict()
    for name in ('logits', 'keypoints'):
        torch.testing.assert_close(
            found[name], expected[name], rtol=1e-4, atol=1e-5)
    # 2 layers' classes (4) and quality (8), and the denoising queries (2)
    assert len(list(model.head.parameters())) <= parameters - 14


def test_the_right_detachment_is_a_switch():
    torch.manual_seed(0)
    model = build_small_detrpose().eval()
    feats = [torch.rand(1, 32, 8 // 2**i, 8 // 2**i) for i in range(3)]
    with torch.no_grad():
        official = model.head(feats)['last']
        model.head.decoder.official_detach = False
        right = model.head(feats)['last']
    assert not torch.allclose(official['keypoints'], right['keypoints'])


def test_registered_names():
    for name in ('DETRPoseDecoder', 'DETRPoseDecoderLayer', 'HGNetV2',
                 'DFineHybridEncoder', 'OKSDenoisingQueries'):
        assert name in MODELS
