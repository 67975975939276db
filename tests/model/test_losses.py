"""The criterion: values, gradients, and batches at the edge."""
from collections import Counter

import pytest
import torch
from mmpose.registry import MODELS
from torch.overrides import TorchFunctionMode

from projects.grouppose.model.losses import KeypointL1Loss, KeypointOKSLoss
from projects.grouppose.model.matcher import Matches
from projects.grouppose.model.targets import stack_targets
from projects.grouppose.oks import object_keypoint_similarity
from tests.helpers.matching import make_targets
from tests.helpers.models import (build_small_model, compute_losses,
                                  make_batch, make_sample, small_config)

# Calls that read a tensor of a device on the host, or wait for its size.
READS = {
    '__array__', '__bool__', '__contains__', '__float__', '__index__',
    '__int__', '__iter__', 'argwhere', 'bincount', 'equal', 'item',
    'masked_select', 'nonzero', 'numpy', 'tolist', 'unique'
}
# Calls that fill a tensor of a device with what the host has.
WRITES = {'as_tensor', 'new_tensor', 'tensor'}
SIZES = [(64, 96), (96, 64)]


def test_pose_losses():
    """Each pair by itself: three people, two output sets."""
    targets = make_targets([3])
    keypoints = torch.rand(2, 1, 6, 4, 2)
    queries, people = torch.tensor([[4, 0, 5], [1, 2, 3]]), torch.arange(3)
    matches = Matches(torch.zeros(3).long(), queries, people.expand(2, -1), 3)
    outputs = dict(keypoints=keypoints)
    l1 = KeypointL1Loss(loss_weight=10.0)(outputs, targets, matches)
    oks = KeypointOKSLoss(loss_weight=4.0)(outputs, targets, matches)
    for i in range(2):
        pred = keypoints[i, 0, queries[i]]
        distance = (pred - targets.keypoints[0]).abs().sum(-1)
        expected = (targets.visible[0] * distance).sum()
        assert l1[i].item() == pytest.approx(10 * expected.item(), rel=1e-5)
        expected = 1 - object_keypoint_similarity(
            pred, targets.keypoints[0], targets.visible[0], targets.areas[0],
            targets.sigmas)
        assert oks[i].item() == pytest.approx(
            4 * expected.sum().item(), rel=1e-5)


@pytest.mark.parametrize('logit, target, expected', [
    (1., 1., 0.0056645),
    (1., 0., 0.5264013),
    (0., 0., 0.1299651),
])
def test_focal_loss_of_the_config(logit, target, expected):
    """The config's loss, without its weight of 2."""
    loss = MODELS.build(small_config().head.criterion.losses.loss_cls)
    people = int(target)
    index = torch.zeros(people).long()
    value = loss(
        dict(logits=torch.full((1, 1, 1, 1), logit)),
        make_targets([1])._replace(labels=torch.zeros(1, 1).long()),
        Matches(index, index[None], index[None], people))
    assert value.item() == pytest.approx(2 * expected, rel=1e-4)


class CopyCounter(TorchFunctionMode):
    """Counts the copies there would be if tensors were on a GPU.

    What :func:`on_host_only` marks is on the host, every other tensor on the
    device.
    """

    def __init__(self):
        super().__init__()
        self.to_host, self.to_device, self.calls = 0, 0, Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = func.__name__
        self.calls[name] += 1
        on_host = any(getattr(arg, 'on_host', False) for arg in args)
        if name == 'cpu' or (name in READS and not on_host):
            self.to_host += 1
        if name in WRITES or (name == 'to' and on_host):
            self.to_device += 1
        result = func(*args, **(kwargs or {}))
        if name == 'cpu':
            return on_host_only(result)
        return result.clone() if name == 'to' and on_host else result


def on_host_only(tensor):
    """A tensor that :class:`CopyCounter` knows to be on the host."""
    tensor = tensor.clone()
    tensor.on_host = True
    return tensor


def count_copies(people, monkeypatch) -> CopyCounter:
    """Copies and calls of targets, matching and losses."""
    criterion = build_small_model().head.criterion
    samples = [make_sample((64, 96), count) for count in people]
    outputs = {
        name:
        dict(
            logits=torch.randn(len(people), 12, 2),
            keypoints=torch.rand(len(people), 12, 5, 2))
        for name in ('d0', 'd1', 'last', 'enc')
    }
    sigmas = torch.full((5, ), 0.1)
    from_numpy = torch.from_numpy
    with CopyCounter() as counter, monkeypatch.context() as patch:
        patch.setattr(torch, 'from_numpy',
                      lambda array: on_host_only(from_numpy(array)))
        losses = criterion(outputs, stack_targets(samples, sigmas))
    assert len(losses) == 13
    return counter


def test_one_copy_in_each_direction(monkeypatch):
    """Costs to the host, and all pairs to the device."""
    counter = count_copies([2, 0, 3], monkeypatch)
    assert counter.to_host == 1
    assert counter.to_device == 1


def test_no_loop_over_images(monkeypatch):
    """torch is called as often for many images as for few."""
    few = count_copies([3, 1], monkeypatch)
    many = count_copies([3, 1, 0, 2, 4, 1, 2, 3], monkeypatch)
    per_image = {'__get__', '__len__', 'size'}
    for name in few.calls.keys() | many.calls.keys():
        if name not in per_image:
            assert few.calls[name] == many.calls[name], name


def test_names_and_number_of_losses():
    _, losses = compute_losses(build_small_model(), make_batch(SIZES, [2, 1]))
    terms = {'loss_cls', 'loss_kpt', 'loss_oks'}
    expected = {
        prefix + term
        for prefix in ('d0.', 'd1.', '', 'enc.')
        for term in terms
    }
    assert set(losses) == expected | {'matched_oks'}
    assert 0 <= losses['matched_oks'] <= 1


def test_nobody_in_the_batch_trains_every_parameter():
    model = build_small_model()
    total, losses = compute_losses(model, make_batch(SIZES, [0, 0]))
    total.backward()
    for name, value in losses.items():
        assert (value > 0) == ('loss_cls' in name), name
    assert 'matched_oks' not in losses
    without = [
        name for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    assert not without


def test_more_people_than_queries():
    total, _ = compute_losses(build_small_model(), make_batch(SIZES, [20, 1]))
    assert torch.isfinite(total)


@pytest.mark.parametrize('part', [
    'decoder.class_embeds.2.bias', 'decoder.pose_embeds.1.layers.2.bias',
    'query_selection.class_embed.bias', 'level_embed'
])
@pytest.mark.parametrize('people', [[1, 1], [0, 0]])
def test_non_finite_predictions_stay_in_the_loss(part, people):
    """Whether or not a person is matched to them."""
    model = build_small_model()
    with torch.no_grad():
        model.head.get_parameter(part).view(-1)[0] = float('nan')
    total, _ = compute_losses(model, make_batch(SIZES, people))
    assert not torch.isfinite(total)


def test_other_number_of_keypoints_than_the_head():
    with pytest.raises(ValueError, match='7 keypoints per person.*predicts 5'):
        compute_losses(build_small_model(5), make_batch(SIZES, [1, 1], 7))


def test_missing_targets():
    batch = make_batch(SIZES, [1, 1])
    del batch['data_samples'][1].gt_instance_labels.keypoint_labels
    with pytest.raises(ValueError, match='GenerateTarget'):
        compute_losses(build_small_model(), batch)


def test_unknown_loss():
    with pytest.raises(
            KeyError,
            match='criterion.losses.loss_kpt: .*NoSuchLoss.*custom_imports'):
        losses = dict(loss_kpt=dict(type='NoSuchLoss'))
        build_small_model(criterion=dict(losses=losses))


def test_name_of_a_loss_that_would_not_train():
    with pytest.raises(ValueError, match='losses.kpt: .*loss_kpt'):
        build_small_model(
            criterion=dict(losses=dict(kpt=dict(type='KeypointL1Loss'))))


def test_a_loss_can_be_taken_out():
    model = build_small_model(criterion=dict(losses=dict(loss_oks=None)))
    _, losses = compute_losses(model, make_batch(SIZES, [2, 1]))
    assert not any('loss_oks' in name for name in losses)
    assert 'd0.loss_kpt' in losses


def test_label_that_the_head_does_not_have():
    """The codec of the pipeline may be another one than the head's."""
    model = build_small_model(num_classes=1, data_decoder=dict(person_label=0))
    with pytest.raises(ValueError, match='label 1.*num_classes=1.*codec'):
        compute_losses(model, make_batch(SIZES, [0, 2]))
