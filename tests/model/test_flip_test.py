"""Flip test: exact under padding, and poses are paired sensibly."""
import copy

import numpy as np
import pytest
import torch
from mmpose.structures import PoseDataSample

from projects.grouppose.model.flip_test import (merge_instances, mirror,
                                                pose_areas, predict_both_ways)
from tests.helpers.instances import make_instances
from tests.helpers.models import build_small_model, make_batch

SIGMAS = torch.full((5, ), 0.08)
FLIP_INDICES = [0, 2, 1, 4, 3]
SHAPE = (60, 120)


def person(x, y=20, size=20) -> np.ndarray:
    """Five keypoints in a box."""
    shape = np.float32([[.5, 0], [0, .4], [1, .5], [.1, 1], [.9, .9]])
    return shape * size + (x, y)


def padded_batch() -> dict:
    """A narrow, a low and a large image, resized by various factors."""
    batch = make_batch([(64, 48), (32, 96), (64, 96)], [0, 0, 0])
    for sample, factor in zip(batch['data_samples'], (1, 2, 0.5)):
        sample.set_metainfo(
            dict(
                flip_indices=FLIP_INDICES,
                input_scale=sample.input_size * factor,
                input_center=sample.input_size * factor / 2))
    return batch


class SeesBlobs:
    """Stands in for the network: finds what is drawn, wherever it is.

    The maps are the images themselves. A pixel of 10 * i + k + 1 is keypoint
    k of person i; an upright and a mirrored image differ in which is left.
    """

    def __init__(self, model):
        model.extract_feat = lambda inputs: inputs
        model.head.forward = self.forward
        self.calls = 0
        self.score = (3., 1.)

    def forward(self, feats, samples):
        order = [range(5), FLIP_INDICES][self.calls % 2]
        score = self.score[self.calls % 2]
        self.calls += 1
        keypoints = torch.zeros(len(samples), 2, 5, 2)
        for image, sample, poses in zip(feats, samples, keypoints):
            height, width = sample.img_shape
            assert height <= image.shape[1] and width <= image.shape[2]
            original = sample.input_scale[0] / sample.input_size[0]
            for i in range(2):
                for k in range(5):
                    (y, x), = (image[0] == 10 * i + k + 1).nonzero().tolist()
                    # An annotation at pixel x is x * factor after a resize.
                    # Of pixels of the original, w - 1 - x is the mirror
                    # image of x; here a pixel is one of the input.
                    x += (1 - 1 / original) * (self.calls % 2 == 0)
                    poses[i, order[k]] = torch.tensor([x / width, y / height])
        logits = torch.tensor([[-9., score], [-9., score - 1]])
        last = dict(
            logits=logits.expand(len(samples), 2, 2), keypoints=keypoints)
        return dict(last=last)


@pytest.fixture
def drawn():
    """A batch with two people in each image, as the network gets it."""
    model = build_small_model()
    batch = model.data_preprocessor(padded_batch(), training=False)
    truth = []
    batch['inputs'] = torch.zeros_like(batch['inputs'])
    for image, sample in zip(batch['inputs'], batch['data_samples']):
        places = np.stack([person(3, 2, 20), person(25, 5, 22)]).astype(int)
        truth.append(places / (sample.input_size / sample.input_scale))
        for i, pose in enumerate(places):
            for k, (x, y) in enumerate(pose):
                image[:, y, x] = 10 * i + k + 1
    return model, batch, truth


def test_mirror_images_agree_exactly(drawn):
    """Coordinates return to the pixel under any padding and resize."""
    model, batch, truth = drawn
    SeesBlobs(model)
    model.test_cfg = dict(flip_test=True)
    results = model.predict(**batch)
    for sample, poses in zip(results, truth):
        found = sample.pred_instances
        np.testing.assert_allclose(found.keypoints, poses, atol=1e-4)
        expected = (torch.tensor([3., 2.]).sigmoid() +
                    torch.tensor([1., 0.]).sigmoid()) / 2
        np.testing.assert_allclose(found.bbox_scores, expected, rtol=1e-5)
        np.testing.assert_array_equal(found.keypoint_scores,
                                      found.bbox_scores[:, None].repeat(5, 1))


def test_mirror_is_the_flip_of_training():
    """In pixels of the original image, x becomes w - 1 - x."""
    meta = dict(
        img_shape=(40, 60),
        flip_indices=FLIP_INDICES,
        input_size=np.float32((60, 40)),
        input_scale=np.float32((120, 80)))
    poses = make_instances([person(10)], [0.5])
    mirrored = mirror(poses, meta)
    original = poses.keypoints[0, 1] * 2
    np.testing.assert_allclose(mirrored.keypoints[0, 2] * 2,
                               (119 - original[0], original[1]))
    np.testing.assert_allclose(
        mirror(mirrored, meta).keypoints, poses.keypoints, atol=1e-5)


def test_merged_poses():
    """Partners are averaged; who has none stays."""
    ours = make_instances([person(0), person(50), person(90)], [.9, .5, .3])
    others = make_instances([person(51), person(200), person(1)], [.9, .8, .7])
    merged = merge_instances(ours, others, SIGMAS, SHAPE)
    np.testing.assert_allclose(merged.bbox_scores, [.8, .7, .3])
    np.testing.assert_allclose(
        merged.keypoints,
        [person(.5), person(50.5), person(90)], atol=1e-5)


def test_the_order_follows_the_merged_scores():
    ours = make_instances([person(0), person(50)], [.9, .8])
    others = make_instances([person(0), person(50)], [.1, .8])
    merged = merge_instances(ours, others, SIGMAS, SHAPE)
    np.testing.assert_allclose(merged.bbox_scores, [.8, .5])
    np.testing.assert_allclose(merged.keypoints[0], person(50))


def test_duplicates_do_not_take_the_partner_away():
    """Although each one is nearer to the other's duplicate."""
    ours = make_instances([person(0), person(2)], [.9, .05])
    others = make_instances([person(2), person(0)], [.8, .04])
    merged = merge_instances(ours, others, SIGMAS, SHAPE)
    np.testing.assert_allclose(merged.bbox_scores, [.85, .045])


@pytest.mark.parametrize('num_ours, num_others', [(0, 0), (0, 2), (2, 0)])
def test_nobody_to_merge(num_ours, num_others):
    ours, others = (
        make_instances(np.stack([person(0)] * 2)[:count], [.9, .8][:count])
        for count in (num_ours, num_others))
    merged = merge_instances(ours, others, SIGMAS, SHAPE)
    np.testing.assert_array_equal(merged.keypoints, ours.keypoints)


def test_numbers_that_are_none():
    ours = make_instances(
        [person(0), person(np.nan), person(50)], [.9, .8, .3])
    others = make_instances(
        [person(np.nan), person(0), person(50)], [.7, .7, np.nan])
    merged = merge_instances(ours, others, SIGMAS, SHAPE)
    np.testing.assert_allclose(merged.bbox_scores, [.8, .8, .3])


POINT = [[300, 200]]
SPOT = POINT * 5
LINE = [[300, y] for y in (100, 200, 250, 280, 300)]


@pytest.mark.parametrize('pose, shift, merged', [
    (POINT, (25, 0), True),
    (POINT, (0, 40), False),
    (SPOT, (5, 0), True),
    (SPOT, (0, 12), False),
    (LINE, (12, 0), True),
    (LINE, (20, 0), False),
])
def test_poses_without_extent(pose, shift, merged):
    """One keypoint, or all in a place or on a line: a person is larger."""
    sigmas = SIGMAS[:len(pose)]
    ours = make_instances([pose], [.8])
    others = make_instances([pose + np.array(shift)], [.4])
    found = merge_instances(ours, others, sigmas, (480, 640))
    expected = np.array(pose) + np.array(shift) / 2 * merged
    np.testing.assert_allclose(found.keypoints, expected[None])
    np.testing.assert_allclose(found.bbox_scores, .6 if merged else .8)
    np.testing.assert_allclose(found.keypoint_scores, .6 if merged else .8)


def test_areas_of_poses():
    """A side is at least a K-th of 0.3 of that of the image."""
    pose = torch.tensor([[[7., 8.]]])
    assert pose_areas(pose,
                      (480, 640)).item() == pytest.approx(480 * 640 * 0.09)
    line = torch.tensor([[[7., 8.], [7., 308.], [7., 9.]]])
    assert pose_areas(line, (300, 300)).item() == pytest.approx(300 * 30)
    assert not len(pose_areas(line[:0], (300, 300)))

    ordinary = torch.from_numpy(
        np.stack([person(x, size=6 + x) for x in range(99)]))
    sides = ordinary.amax(1) - ordinary.amin(1)
    assert torch.equal(pose_areas(ordinary, (80, 90)), sides.prod(1))


def test_padding_does_not_count():
    """What scale is assumed follows from the image, not from its batch."""
    sample = PoseDataSample(
        metainfo=dict(
            img_shape=(100, 100),
            batch_input_shape=(100, 10000),
            flip_indices=[0],
            input_size=np.float32((100, 100)),
            input_scale=np.float32((100, 100))))
    for shift, score in ((4, .6), (8, .8)):
        answers = iter([
            make_instances([[[50, 50]]], [.8]),
            make_instances([[[9999 - 50 - shift, 50]]], [.4])
        ])
        merged, = predict_both_ways(lambda feats, samples: [next(answers)],
                                    [(), ()], [sample], SIGMAS[:1])
        np.testing.assert_allclose(merged.bbox_scores, score)


def test_the_whole_model():
    """Both passes run, with K = 5, and stay within the images."""
    model = build_small_model().eval()
    batch = padded_batch()
    model.test_cfg = dict(flip_test=True)
    with torch.no_grad():
        results = model.test_step(batch)
    for sample in results:
        scores = sample.pred_instances.bbox_scores
        assert (scores[:-1] >= scores[1:]).all()
        assert sample.pred_instances.keypoints.shape == (len(scores), 5, 2)


def test_least_score():
    model = build_small_model().eval()
    batch = padded_batch()
    with torch.no_grad():
        everything = model.test_step(copy.deepcopy(batch))
        threshold = float(everything[0].pred_instances.bbox_scores[3])
        model.test_cfg = dict(score_thr=threshold)
        results = model.test_step(batch)
    assert len(results[0].pred_instances) == 4
    for sample, whole in zip(results, everything):
        scores = whole.pred_instances.bbox_scores
        np.testing.assert_array_equal(sample.pred_instances.bbox_scores,
                                      scores[scores >= threshold])


def test_flip_test_without_flip_indices():
    model = build_small_model()
    model.test_cfg = dict(flip_test=True)
    with pytest.raises(ValueError, match='made_up.jpg.*flip_indices'):
        model.test_step(make_batch([(64, 64)], [0]))


def test_flip_test_with_other_keypoints():
    batch = make_batch([(64, 64)], [0])
    batch['data_samples'][0].set_metainfo(dict(flip_indices=list(range(9))))
    model = build_small_model().eval()
    model.test_cfg['flip_test'] = True
    with pytest.raises(ValueError, match='9 keypoints.*head predicts 5'):
        model.test_step(batch)
