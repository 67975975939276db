"""Scores of joints: probabilities, covariances and the OKS that follows."""
import copy
import math

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from projects.grouppose.model import joint_scores
from projects.grouppose.model.flip_test import merge_instances, mirror
from projects.grouppose.model.joint_losses import (JointErrorLoss,
                                                   LabeledJointLoss,
                                                   VisibleJointLoss)
from projects.grouppose.model.joint_scores import (JointScores, covariances,
                                                   estimate_areas,
                                                   expected_oks, joint_fields,
                                                   predict_joints,
                                                   score_joints, tolerances)
from projects.grouppose.model.matcher import Matches
from projects.grouppose.oks import object_keypoint_similarity
from tests.helpers.matching import make_targets
from tests.helpers.models import (build_drawn, build_small_model,
                                  compute_losses, make_batch)

SIZES = [(64, 96), (96, 64)]
# Of three normal distributions; their common covariance is S.
MIXTURE = [[0.6, 0.3, 0.1], [0.5, 1.0, 4.0]]
LOSSES = dict(
    loss_labeled=dict(type='LabeledJointLoss'),
    loss_visible=dict(type='VisibleJointLoss'),
    loss_error=dict(type='JointErrorLoss'))
JOINTS = dict(
    decoder=dict(joint_scores=dict(type='JointScores')),
    criterion=dict(losses=LOSSES))


def with_seen(batch: dict, share: float = 0.5) -> dict:
    """A batch that tells which joints are visible."""
    for sample in batch['data_samples']:
        labels = sample.gt_instance_labels
        weights = labels.keypoint_weights
        labels.seen_labels = weights * (torch.rand(weights.shape) < share)
    return batch


def perturb(model):
    """Move the head of joints away from its initial zeros."""
    with torch.no_grad():
        for parameter in model.head.decoder.joint_scores.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize('terms', [(0.01, 0, 0.01), (1, 0, 1), (4, 1.5, 0.8),
                                   (0.2, -0.3, 30), (100, 99, 100)])
def test_expected_oks_is_the_mean_of_samples(terms):
    """Of errors drawn from the covariance, by the one formula of OKS."""
    xx, xy, yy = map(float, terms)
    errors = torch.distributions.MultivariateNormal(
        torch.zeros(2), torch.tensor([[xx, xy], [xy, yy]])).sample((400000, ))
    area, sigma = 50.0, 0.07
    errors = errors * 2 * sigma * math.sqrt(area)
    oks = object_keypoint_similarity(errors[:, None], torch.zeros(1, 2),
                                     torch.ones(1), torch.tensor(area),
                                     torch.tensor([sigma]))
    found = expected_oks(torch.tensor(terms, dtype=torch.float32))
    assert abs(found - oks.mean()) < 2e-3
    np.testing.assert_allclose(expected_oks(np.float32(terms)), found)


def draw_errors(covariance, mixture, count=400000):
    """Errors of a mixture, (count, 2)."""
    random = np.random.default_rng(0)
    weights, scales = np.array(mixture)
    errors = random.multivariate_normal((0, 0), covariance, count)
    component = random.choice(len(weights), count, p=weights)
    return errors * np.sqrt(scales[component])[:, None]


def test_mixture_of_errors():
    """Of errors with heavy tails, S is the covariance, the expected OKS is
    their mean OKS, and each ellipse holds its share."""
    covariance = np.array([[2.0, 0.5], [0.5, 1.0]])
    errors = draw_errors(covariance, MIXTURE)
    np.testing.assert_allclose(np.cov(errors.T), covariance, rtol=0.02)
    oks = np.exp(-np.square(errors).sum(1) / 2).mean()
    terms = np.float32([2, 0.5, 1])
    assert abs(expected_oks(terms, MIXTURE) - oks) < 2e-3
    assert abs(expected_oks(terms) - oks) > 0.03
    found = expected_oks(torch.from_numpy(terms), torch.tensor(MIXTURE))
    torch.testing.assert_close(float(found), oks, rtol=5e-3, atol=0)
    squares = (errors @ np.linalg.inv(covariance) * errors).sum(1)
    for share in (0.1, 0.5, 0.9, 0.999):
        radius = joint_scores.ellipse_radius(share, MIXTURE)
        assert abs((squares <= radius**2).mean() - share) < 3e-3


@pytest.mark.parametrize('share', [1e-6, 0.5, 0.9, 1 - 1e-9])
def test_radius_without_tails(share):
    expected = math.sqrt(-2 * math.log(1 - share))
    for mixture in ((), ([[1, 0, 0], [1, 1, 1]], )):
        found = joint_scores.ellipse_radius(share, *mixture)
        assert abs(found - expected) < 1e-4


def test_no_covariance_is_singular():
    part = JointScores(4)
    part.embed = torch.nn.Identity()
    raw = 1e4 * torch.randn(1000, 5).sign()
    values = part(raw)
    assert values.isfinite().all()
    xx, xy, yy = covariances(values).unbind(-1)
    assert (xx * yy - xy * xy > 0.01 * xx * yy).all()
    oks = expected_oks(covariances(values))
    assert ((oks > 0) & (oks < 1)).all()


def matched(num_keypoints=4):
    """Two sets, three people in two images, and their queries."""
    torch.manual_seed(3)
    targets = make_targets([2, 1], num_keypoints)
    targets.visible[..., 0] = 1
    seen = targets.visible * (torch.rand(targets.visible.shape) > 0.4)
    targets = targets._replace(seen=seen)
    matches = Matches(
        torch.tensor([0, 0, 1]), torch.tensor([[4, 0, 2], [1, 3, 0]]),
        torch.tensor([[1, 0, 0], [0, 1, 0]]), 3)
    outputs = dict(
        joints=torch.randn(2, 2, 5, num_keypoints, 5),
        keypoints=torch.rand(2, 2, 5, num_keypoints, 2))
    outputs['joints'][..., 4].tanh_()
    return outputs, targets, matches


def pairs(matches):
    """Set, image, query and person of each pair."""
    for o in range(2):
        for p, image in enumerate(matches.images.tolist()):
            yield (o, image, int(matches.queries[o,
                                                 p]), int(matches.people[o,
                                                                         p]))


def test_probabilities_are_trained():
    outputs, targets, matches = matched()
    labeled, visible = torch.zeros(2), torch.zeros(2)
    for o, image, query, person in pairs(matches):
        first, second = outputs['joints'][o, image, query, :, :2].unbind(-1)
        truth = targets.visible[image, person]
        entropy = torch.nn.functional.binary_cross_entropy
        labeled[o] += entropy(first.sigmoid(), truth)
        visible[o] += entropy(second.sigmoid()[truth > 0],
                              targets.seen[image, person][truth > 0])
    found = LabeledJointLoss(2.0)(outputs, targets, matches)
    torch.testing.assert_close(found, 2 * labeled)
    found = VisibleJointLoss(3.0)(outputs, targets, matches)
    torch.testing.assert_close(found, 3 * visible)


def test_errors_are_gaussian():
    """The loss is the likelihood of what is predicted in the end, of the
    whole covariance, in units of the tolerance of each joint."""
    outputs, targets, matches = matched()
    joints, poses = outputs['joints'], outputs['keypoints']
    predicted = predict_joints(joints, poses, targets.sigmas)
    units = tolerances(poses, targets.sigmas)
    expected = torch.zeros(2)
    for o, image, query, person in pairs(matches):
        xx, xy, yy = predicted[o, image, query, :, 2:].unbind(-1)
        gaussian = torch.distributions.MultivariateNormal(
            poses[o, image, query],
            torch.stack([xx, xy, xy, yy], -1).unflatten(-1, (2, 2)))
        terms = -gaussian.log_prob(targets.keypoints[image, person])
        terms -= math.log(2 * math.pi) + 2 * units[o, image, query].log()
        expected[o] += terms[targets.visible[image, person] > 0].mean()
    found = JointErrorLoss()(outputs, targets, matches)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_predicted_values():
    """Probabilities, and a covariance in units of 2 sigma sqrt(area)."""
    joints = torch.tensor([[[[0., 0, 0, 0, 0], [1, -1, math.log(2), 0, .5]]]])
    poses = torch.tensor([[[[.1, .2], [.5, .7]]]])  # 0.4 x 0.5
    found = predict_joints(joints, poses, torch.tensor([.05, .1]))[0, 0]
    scale = 0.2 * torch.tensor([.1**2, .2**2])
    torch.testing.assert_close(
        found[0],
        torch.tensor([.5, .25, 1, 0, 1]) *
        torch.tensor([1, 1, *3 * [scale[0]]]))
    first, second = torch.tensor([1., -1]).sigmoid()
    torch.testing.assert_close(
        found[1],
        torch.stack(
            [first, first * second, 4 * scale[1], 1 * scale[1], 1 * scale[1]]))


def test_missing_visibility_is_refused():
    outputs, targets, matches = matched()
    with pytest.raises(ValueError, match='seen_labels.*OKSKeypointCodec'):
        VisibleJointLoss()(outputs, targets._replace(seen=None), matches)


@pytest.mark.parametrize('method', ['grouppose', 'detrpose'])
def test_poses_and_their_training_stay(method):
    """With the head, outputs, losses and gradients of all else are the same;
    queries of training teach it nothing."""
    plain, model = build_drawn(method), build_drawn(method, **JOINTS)
    result = model.load_state_dict(plain.state_dict(), strict=False)
    assert not result.unexpected_keys
    assert all('joint_scores' in name for name in result.missing_keys)
    assert not any('joint' in name for name in plain.state_dict())
    batch = with_seen(make_batch([(96, 128), (128, 96)], [2, 1], 17))
    found = []
    for one in (plain, perturb(model)):
        torch.manual_seed(5)
        np.random.seed(5)
        total, losses = compute_losses(one, batch)
        total.backward()
        found.append(losses)
    expected, losses = found
    assert set(losses) - set(expected) == set(LOSSES)
    for name, value in expected.items():
        assert torch.equal(losses[name], value), name
    gradients = dict(plain.named_parameters())
    for name, parameter in model.named_parameters():
        if 'joint_scores' in name:
            assert parameter.grad.abs().max() > 0
        elif parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, gradients[name].grad)


def test_queries_learn_on_request():
    joints = dict(type='JointScores', detach=False)
    model = perturb(
        build_small_model(
            decoder=dict(joint_scores=joints),
            criterion=dict(
                losses=dict(
                    LOSSES, loss_cls=None, loss_kpt=None, loss_oks=None))))
    batch = with_seen(make_batch(SIZES, [2, 1]))
    compute_losses(model, batch)[0].backward()
    layer = model.head.decoder.layers[0]
    assert any(parameter.grad.abs().max() > 0
               for parameter in layer.parameters()
               if parameter.grad is not None)


@pytest.mark.parametrize('people', [[0, 0], [2, 0]])
@pytest.mark.parametrize('num_keypoints', [1, 5])
@pytest.mark.parametrize('half', [False, True])
def test_any_batch(people, num_keypoints, half):
    """Nobody, one keypoint, padded images, mixed precision: everything has a
    gradient, and it is finite."""
    model = build_small_model(num_keypoints, **JOINTS)
    batch = with_seen(make_batch(SIZES, people, num_keypoints))
    with torch.autocast('cpu', torch.bfloat16, enabled=half):
        total, losses = compute_losses(model, batch)
    total.backward()
    for name in LOSSES:
        assert losses[name].isfinite() and losses[name].dtype == torch.float32
        if not any(people):
            assert losses[name] == 0
    for name, parameter in model.head.named_parameters():
        assert parameter.grad.isfinite().all(), name


def predicted(model, batch) -> list:
    """Instances of each image."""
    with torch.no_grad():
        return [
            sample.pred_instances
            for sample in model.eval().test_step(copy.deepcopy(batch))
        ]


def test_predictions_are_of_the_original_image():
    """Half as wide, and a third as high, as the image in the file."""
    model = perturb(build_small_model(**JOINTS))
    batch = make_batch(SIZES, [0, 0])
    straight = predicted(model, batch)
    for sample in batch['data_samples']:
        scale = sample.input_size * np.float32([2, 3])
        sample.set_metainfo(dict(input_scale=scale, input_center=scale / 2))
    resized = predicted(model, batch)
    for one, other, sample in zip(straight, resized, batch['data_samples']):
        ratio = np.float32([2, 3])
        np.testing.assert_allclose(
            other.keypoints, one.keypoints * ratio, rtol=1e-4)
        np.testing.assert_allclose(
            other.covariances, one.covariances * [[4, 6], [6, 9]], rtol=1e-5)
        for key in ('labeled_probabilities', 'visible_probabilities'):
            np.testing.assert_array_equal(one[key], other[key])
            assert one[key].shape == (12, 5)
        assert (one.visible_probabilities < one.labeled_probabilities).all()
        areas = estimate_areas(other.keypoints, sample.input_scale)
        unit = areas[:, None, None, None] * (2 * 0.08)**2
        oks = np.linalg.det(np.eye(2) + other.covariances / unit)**-0.5
        np.testing.assert_allclose(
            other.keypoint_scores,
            oks * other.labeled_probabilities,
            rtol=1e-4)
        assert np.ptp(other.keypoint_scores) > 0.01


def test_covariances_are_in_the_frame_of_keypoints():
    """The normalized covariance times width and height of the image."""
    model = perturb(build_small_model(**JOINTS))
    batch = model.data_preprocessor(make_batch([(64, 96)], [0]))
    with torch.no_grad():
        model.eval()
        feats = model.extract_feat(batch['inputs'])
        outputs = model.head(feats, batch['data_samples'])['last']
        found, = model.head.predict(feats, batch['data_samples'])
    best = outputs['logits'][0, :, 1].argmax()
    terms = predict_joints(outputs['joints'], outputs['keypoints'],
                           model.head.sigmas)[0, best, :, 2:]
    torch.testing.assert_close(
        torch.from_numpy(found.covariances[0].reshape(5, 4)[:, [0, 1, 3]]),
        terms * torch.tensor([96. * 96, 96 * 64, 64 * 64]))
    assert model.head.decoder.joint_scores.full_precision == ('', )


def test_areas_are_those_of_annotations():
    """A box of 20 x 40 pixels and its margins; one place in an image."""
    poses = np.float32([[[10, 20], [30, 60]], [[5, 5], [6, 5]]])
    np.testing.assert_allclose(
        estimate_areas(poses, (600, 480)), [.53 * 30 * 50, .53 * 80 * 80],
        rtol=1e-6)


def test_mirror_image():
    joints = np.random.rand(2, 3, 5).astype(np.float32)
    poses = InstanceData(
        keypoints=np.random.rand(2, 3, 2),
        keypoint_scores=np.random.rand(2, 3),
        bbox_scores=np.ones(2),
        labels=np.zeros(2, int),
        **joint_fields(joints))
    meta = dict(
        flip_indices=[1, 0, 2],
        input_size=(40, 30),
        input_scale=(40, 30),
        img_shape=(30, 40))
    found = mirror(poses, meta)
    np.testing.assert_array_equal(found.labeled_probabilities,
                                  joints[:, [1, 0, 2], 0])
    np.testing.assert_array_equal(found.visible_probabilities,
                                  joints[:, [1, 0, 2], 1])
    expected = poses.covariances[:, [1, 0, 2]]
    matrix = np.diag([-1, 1])
    np.testing.assert_allclose(found.covariances, matrix @ expected @ matrix)


def make_instances(joints):
    """One pose of three joints."""
    return InstanceData(
        keypoints=np.float32([[[10, 20], [30, 60], [15, 40]]]),
        keypoint_scores=np.full((1, 3), 0.5, np.float32),
        bbox_scores=np.ones(1, np.float32),
        labels=np.zeros(1, int),
        **joint_fields(joints))


def test_pairs_are_averaged():
    """Probabilities and covariances as well as keypoints."""
    joints = np.random.rand(2, 1, 3, 5).astype(np.float32)
    merged = merge_instances(*map(make_instances, joints),
                             torch.full((3, ), 0.1), (80, 80))
    expected = make_instances(joints.mean(0))
    for key in ('labeled_probabilities', 'visible_probabilities',
                'covariances'):
        np.testing.assert_allclose(merged[key], expected[key], rtol=1e-6)


def test_scores_follow_from_both_flips():
    model = perturb(build_small_model(**JOINTS))
    batch = make_batch([(64, 96)], [0])
    batch['data_samples'][0].set_metainfo(dict(flip_indices=[0, 2, 1, 4, 3]))
    straight, = predicted(model, batch)
    model.test_cfg = dict(flip_test=True)
    found, = predicted(model, batch)
    assert found.covariances.shape == straight.covariances.shape
    oks = expected_oks(
        found.covariances.reshape(-1, 5, 4)[..., [0, 1, 3]] /
        (estimate_areas(found.keypoints,
                        (96, 64)) * (2 * 0.08)**2)[:, None, None])
    np.testing.assert_allclose(
        found.keypoint_scores, oks * found.labeled_probabilities, rtol=1e-4)


def test_temperatures_count_in_evaluation_only():
    part = JointScores(8)
    torch.nn.init.normal_(part.embed.layers[-1].weight)
    queries = torch.randn(1, 2, 3, 8)
    before = part(queries)
    part.temperatures[:] = torch.tensor([2., 4, 9])
    assert torch.equal(part(queries), before)
    after = part.eval()(queries)
    torch.testing.assert_close(after[..., 0], before[..., 0] / 2)
    torch.testing.assert_close(after[..., 1], before[..., 1] / 4)
    torch.testing.assert_close(covariances(after), 9 * covariances(before))
    assert {'temperatures', 'mixture'} < set(part.state_dict())
    part.reset_calibration()
    torch.testing.assert_close(part(queries), before)


def test_instances_are_ranked_by_their_joints():
    """On request, by the mean expected OKS, weighted by what is labeled."""
    model = perturb(build_small_model(**JOINTS)).eval()
    part = model.head.decoder.joint_scores
    part.mixture[:] = torch.tensor(MIXTURE)
    data = model.data_preprocessor(make_batch(SIZES, [0, 0]))
    with torch.no_grad():
        feats = model.extract_feat(data['inputs'])
        outputs = model.head(feats, data['data_samples'])['last']
    plain = model.head.decoded(outputs)
    part.reweight = True
    found = model.head.decoded(outputs)
    assert torch.equal(plain[1], found[1]) and torch.equal(plain[2], found[2])
    labeled = outputs['joints'][..., 0].sigmoid()
    oks = expected_oks(covariances(outputs['joints']), MIXTURE)
    mean = (labeled * oks).sum(-1) / labeled.sum(-1)
    torch.testing.assert_close(found[0].sigmoid(),
                               plain[0].sigmoid() * mean[..., None])
    assert mean.std() > 1e-3


def test_scores_of_joints_without_a_resize():
    """The input image is taken for the original one."""
    joints = np.zeros((1, 2, 5), np.float32)
    joints[..., 0], joints[..., 2], joints[..., 4] = 0.5, 9, 4
    poses = InstanceData(
        keypoints=np.float32([[[10, 20], [30, 60]]]),
        keypoint_scores=np.ones((1, 2)),
        **joint_fields(joints))
    score_joints(poses, dict(img_shape=(480, 600)), [0.1, 0.2])
    tolerance = .53 * 30 * 50 * np.square([.2, .4])
    expected = .5 / np.sqrt((1 + 9 / tolerance) * (1 + 4 / tolerance))
    np.testing.assert_allclose(poses.keypoint_scores, [expected], rtol=1e-6)
    score_joints(poses, dict(img_shape=(480, 600)), [0.1, 0.2], MIXTURE)
    expected = sum(w * .5 / np.sqrt((1 + 9 * s / tolerance) *
                                    (1 + 4 * s / tolerance))
                   for w, s in zip(*MIXTURE))
    np.testing.assert_allclose(poses.keypoint_scores, [expected], rtol=1e-6)
