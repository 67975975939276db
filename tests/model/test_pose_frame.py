"""Decoders that work in the frame of each pose."""
import math

import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from projects.grouppose.model.pose_frame import (LEAST_SIZE, pose_embedding,
                                                 pose_size, wave_embedding)
from tests.helpers.models import build_small_model, compute_losses, make_batch

BOTH = dict(relative_positions=True, relative_offsets=True)
TINY_DETRPOSE = 'configs/body_2d_keypoint/detrpose/drawn/' \
    'detrpose_tiny-hgnetv2_1xb8-6e_drawn-128.py'


def test_size_is_that_of_the_keypoints_and_no_line():
    poses = torch.tensor([[[0.2, 0.1], [0.6, 0.9], [0.3, 0.4]],
                          [[0.5, 0.1], [0.5, 0.9], [0.5, 0.4]],
                          [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]])
    poses.requires_grad_()
    size = pose_size(poses)
    assert not size.requires_grad
    torch.testing.assert_close(
        size[:, 0],
        torch.tensor([[0.4, 0.8], [0.4, 0.8], [LEAST_SIZE, LEAST_SIZE]]))


def test_waves_are_as_long_as_they_say():
    points = torch.tensor([[0.25, 0.5]])
    waves = wave_embedding(points, 8, 1, 1 / 8)[0]
    torch.testing.assert_close(
        waves, torch.tensor([1., 0, 0, 1, 0, 0, -1, 1]), atol=1e-5, rtol=0)
    assert wave_embedding(points, 4, 1, 1 / 8)[0, 2] == pytest.approx(
        math.sin(math.pi), abs=1e-6)


def test_embedding_knows_a_pose_wherever_and_however_large_it_is():
    """The second half does not change, the first does."""
    pose = 0.3 * torch.rand(1, 7, 2)
    moved = 1.7 * pose + torch.tensor([0.2, 0.3])
    one, other = pose_embedding(pose, 16), pose_embedding(moved, 16)
    torch.testing.assert_close(
        one[..., 16:], other[..., 16:], atol=1e-4, rtol=0)
    assert (one[..., :16] - other[..., :16]).abs().max() > 0.1


def test_steps_and_windows_grow_with_the_pose():
    decoder = build_small_model(decoder=BOTH).head.decoder
    small = 0.4 + 0.15 * torch.rand(1, 1, 5, 2)
    center = small.mean(-2, keepdim=True)
    large = center + 2 * (small - center)
    offsets = torch.randn(1, 1, 5, 2)
    torch.testing.assert_close(
        decoder.refine(large, offsets) - large,
        2 * (decoder.refine(small, offsets) - small))
    plain = build_small_model().head.decoder
    assert (plain.refine(large, offsets) -
            large).abs().max() < 1.7 * (plain.refine(small, offsets) -
                                        small).abs().max()


def test_keypoints_sample_half_the_window_of_the_instance():
    model = build_small_model(decoder=BOTH)
    seen = []
    model.head.decoder.layers[0].register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs['reference_points']),
        with_kwargs=True)
    compute_losses(model, make_batch([(64, 96), (64, 96)], [2, 1]))
    frames, = seen
    assert frames.shape[-1] == 4
    torch.testing.assert_close(
        frames[:, :, 1:, :, 2:] * 2, frames[:, :, :1, :,
                                            2:].expand(-1, -1, 5, -1, -1))
    ratios = frames[0, 0, 0, 0, 2:] / pose_size(frames[:1, :1, 1:,
                                                       0, :2])[0, 0, 0]
    torch.testing.assert_close(ratios, torch.ones(2), atol=1e-4, rtol=0)


@pytest.mark.parametrize('switches', [
    dict(relative_positions=True),
    dict(relative_offsets=True),
    BOTH,
])
def test_both_methods_train_and_predict(switches):
    small = build_small_model(decoder=switches)
    config = Config.fromfile(TINY_DETRPOSE)
    config.merge_from_dict(dict(model=dict(head=dict(decoder=switches))))
    tiny = MODELS.build(config.model)
    tiny.init_weights()
    for model, count in ((small, 5), (tiny, 17)):
        batch = make_batch([(64, 96), (64, 96)], [2, 0], count)
        total, _ = compute_losses(model, batch)
        total.backward()
        for name, parameter in model.head.decoder.named_parameters():
            if name.startswith('ref_point_head'):
                assert parameter.grad.abs().sum() > 0, name
        model.eval()
        data = model.data_preprocessor(batch, training=False)
        with torch.no_grad():
            outputs = model.head(
                model.extract_feat(data['inputs']), data['data_samples'])
        assert outputs['last']['keypoints'].isfinite().all()
