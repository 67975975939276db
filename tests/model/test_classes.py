"""Several classes in codec and head, of both families of models."""
import copy

import numpy as np
import pytest
import torch
from mmpose.registry import MODELS

from projects.grouppose.codec import OKSKeypointCodec
from projects.grouppose.model.flip_test import merge_instances
from tests.helpers.classes import metainfo, set_classes, toy_metainfo
from tests.helpers.detrpose import small_detrpose
from tests.helpers.instances import make_instances
from tests.helpers.models import compute_losses, make_batch, small_config


def build(family: str, num_classes: int):
    config = small_config() if family == 'grouppose' else small_detrpose()
    set_classes(config, num_classes)
    model = MODELS.build(config)
    model.init_weights()
    return model


def make_class_batch(num_classes, people=(3, 2)):
    """A batch in which the classes of people take turns."""
    batch = make_batch([(64, 64), (64, 64)], people)
    for sample in batch['data_samples']:
        labels = sample.gt_instance_labels
        labels.labels = torch.arange(len(labels)) % num_classes
    return batch


def test_encode_takes_the_labels():
    """Those of the people that are left; the pipeline's codec knows no
    classes."""
    for codec in (OKSKeypointCodec(), OKSKeypointCodec(metainfo())):
        encoded = codec.encode(
            np.ones((3, 17, 2)),
            np.array([[2] * 17, [0] * 17, [1] * 17]),
            area=np.ones(3),
            img_shape=(8, 8),
            class_label=np.array([1, 0, 0]))
        assert encoded['labels'].dtype == np.int64
        assert encoded['labels'].tolist() == [1, 0]


@pytest.mark.parametrize('num_classes', [1, 2, 3])
def test_decode_keeps_the_best_pairs(num_classes):
    """Of instances and classes, in the order of their scores."""
    codec = OKSKeypointCodec(toy_metainfo(num_classes), max_per_img=4)
    logits = torch.randn(6, num_classes)
    keypoints = torch.rand(6, 5, 2)
    poses, _, scores, labels = codec.decode(logits, keypoints, (1, 1))
    ranked = sorted(((float(logits[i, c].sigmoid()), i, c) for i in range(6)
                     for c in range(num_classes)),
                    reverse=True)[:4]
    np.testing.assert_allclose(scores, [score for score, _, _ in ranked])
    assert labels.tolist() == [c for _, _, c in ranked]
    np.testing.assert_allclose(poses, keypoints[[i for _, i, _ in ranked]])
    assert codec.classes == {
        7 * (c + 1): f'class {c}'
        for c in range(num_classes)
    }


def test_an_instance_may_be_of_two_classes():
    codec = OKSKeypointCodec(toy_metainfo(2))
    poses, _, scores, labels = codec.decode(
        torch.tensor([[1., 2.]]), torch.rand(1, 5, 2), (9, 9))
    assert labels.tolist() == [1, 0]
    np.testing.assert_array_equal(poses[0], poses[1])


def test_logits_of_a_person_without_classes():
    """Label 0, whatever the logit; those of the other logit are no people."""
    codec = OKSKeypointCodec(sigmas=[.1], person_label=1)
    *_, scores, labels = codec.decode(
        torch.tensor([[5., 1.]]), torch.rand(1, 1, 2), (9, 9))
    assert labels.tolist() == [0]
    np.testing.assert_allclose(scores, torch.tensor([1.]).sigmoid())


@pytest.mark.parametrize('num_classes', [2, 3])
@pytest.mark.parametrize('family', ['grouppose', 'detrpose'])
def test_training_step(family, num_classes):
    model = build(family, num_classes)
    batch = make_class_batch(num_classes)
    total, losses = compute_losses(model, batch)
    total.backward()
    assert total.isfinite()
    for name, parameter in model.named_parameters():
        assert not parameter.requires_grad or parameter.grad is not None, name
    # A gradient of its own for each class.
    rows = model.head.decoder.class_embeds[-1].weight.grad
    assert rows.shape[0] == num_classes
    assert (rows.abs().sum(1) > 0).all()
    other = copy.deepcopy(batch)
    for sample in other['data_samples']:
        labels = sample.gt_instance_labels
        labels.labels = (labels.labels + 1) % num_classes
    torch.manual_seed(1)
    first = compute_losses(model, batch)[1]
    torch.manual_seed(1)
    second = compute_losses(model, other)[1]
    assert first['loss_cls'] != second['loss_cls']


@pytest.mark.parametrize('num_classes', [2, 3])
@pytest.mark.parametrize('family', ['grouppose', 'detrpose'])
def test_predictions_are_pairs_of_the_logits(family, num_classes):
    model = build(family, num_classes).eval()
    batch = model.data_preprocessor(make_class_batch(num_classes))
    with torch.no_grad():
        for embed in (model.head.decoder.class_embeds[-1],
                      model.head.query_selection.class_embed):
            embed.weight.normal_()
        feats = model.extract_feat(batch['inputs'])
        outputs = model.head.forward(feats, batch['data_samples'])['last']
        predictions = model.head.predict(feats, batch['data_samples'])
    for logits, keypoints, poses in zip(outputs['logits'],
                                        outputs['keypoints'], predictions):
        scores = logits.sigmoid()
        assert len(poses) == scores.numel() == 12 * num_classes
        assert sorted(poses.labels) == sorted([*range(num_classes)] * 12)
        for i in (0, 5, -1):
            rows = (scores[:, poses.labels[i]] == float(
                poses.bbox_scores[i])).nonzero()[0]
            np.testing.assert_allclose(
                poses.keypoints[i], keypoints[rows[0]] * 64, rtol=1e-5)
        assert (np.diff(poses.bbox_scores) <= 0).all()


@pytest.mark.parametrize('family', ['grouppose', 'detrpose'])
def test_flip_test_keeps_labels(family):
    model = build(family, 3)
    model.test_cfg = dict(flip_test=True)
    batch = make_class_batch(3)
    for sample in batch['data_samples']:
        sample.set_metainfo(dict(flip_indices=[*range(5)]))
    model.eval()
    with torch.no_grad():
        for sample in model.test_step(batch):
            poses = sample.pred_instances
            assert len(poses) == len(poses.labels) == 36
            assert set(poses.labels) <= {0, 1, 2}


def test_flip_test_merges_within_a_class():
    pose = np.random.rand(5, 2) * 40 + 10
    ours = make_instances([pose, pose], [.9, .6])
    others = make_instances([pose + 2, pose - 2], [.5, .4])
    ours.labels, others.labels = np.array([1, 0]), np.array([0, 1])
    merged = merge_instances(ours, others, torch.full((5, ), .08), (60, 60))
    assert merged.labels.tolist() == [1, 0]
    np.testing.assert_allclose(
        merged.keypoints, [pose - 1, pose + 1], rtol=1e-5)
    np.testing.assert_allclose(merged.bbox_scores, [.65, .55], rtol=1e-6)
    others.labels = np.array([2, 2])  # nobody agrees
    merged = merge_instances(ours, others, torch.full((5, ), .08), (60, 60))
    np.testing.assert_allclose(merged.bbox_scores, [.9, .6])


def test_too_few_logits():
    config = small_config()
    set_classes(config, 3)
    config.head.num_classes = 2
    with pytest.raises(
            ValueError, match='num_classes=2, .* has 3 `classes`. Make'):
        MODELS.build(config)
    with pytest.raises(ValueError, match='num_classes=1, .* the label 1'):
        MODELS.build(small_config(num_classes=1))


def test_labels_beyond_the_logits():
    model = build('grouppose', 2)
    with pytest.raises(ValueError, match='label 2.*num_classes=2.*`classes`'):
        compute_losses(model, make_class_batch(3))


def test_as_many_embeddings_of_labels_as_classes():
    """Of denoising queries, whose number is that of official checkpoints."""
    config = small_detrpose()
    set_classes(config, 3)
    config.head.training_queries.denoising.num_labels = 2
    part = MODELS.build(config).head.training_queries.denoising
    assert part.label_embedding.num_embeddings == 3
    config.head.training_queries.denoising.num_labels = 81
    part = MODELS.build(config).head.training_queries.denoising
    assert part.label_embedding.num_embeddings == 81
