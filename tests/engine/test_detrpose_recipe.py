"""What the recipe of DETRPose does to weights: averages, accumulated batches,
batch norms of several processes."""
import copy
import math
import os
import sys
from glob import glob

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.optim import build_optim_wrapper
from mmpose.registry import HOOKS, MODELS
from torch import nn

from tests.helpers.detrpose import DETRPOSE_DIR
from tests.helpers.models import compute_losses, make_batch
from tests.helpers.tool_runs import TOOLS, load_tool

COCO_S = DETRPOSE_DIR + 'coco/detrpose_hgnetv2-s_4xb4-100e_coco-640.py'
COCO_L = DETRPOSE_DIR + 'coco/detrpose_hgnetv2-l_4xb2-accum2-52e_coco-640.py'


class Loop:
    """As much of a runner as averaging looks at."""

    def __init__(self, model, counts=1):
        self.model = model
        self.iter = 0
        self.optim_wrapper = build_optim_wrapper(
            model,
            dict(
                optimizer=dict(type='SGD', lr=0.1),
                accumulative_counts=counts))

    def run(self, hook, iterations):
        for _ in range(iterations):
            loss = self.model(torch.rand(4, 3)).exp().mean()
            self.optim_wrapper.update_params(loss)
            hook.after_train_iter(self, self.iter)
            self.iter += 1


def make_hook():
    return HOOKS.build(Config.fromfile(COCO_S).default_hooks.ema)


@pytest.mark.parametrize('counts', [1, 2])
def test_averages_follow_the_official_formula(counts):
    """After update t, d = 0.9999 * (1 - exp(-t / 2000)) of the average is
    kept; floating-point buffers are averaged, too."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    loop, hook = Loop(model, counts), make_hook()
    hook.before_run(loop)
    expected = {k: v.double() for k, v in model.state_dict().items()}
    for t in range(1, 41):
        loop.run(hook, counts)
        kept = 0.9999 * (1 - math.exp(-t / 2000))
        for name, value in model.state_dict().items():
            expected[name] = kept * expected[name] + (1 - kept) * value
        if t < 3:
            continue  # MMEngine takes over the first weights as they are
        averages = hook.ema_model.module.state_dict()
        for name, value in averages.items():
            if value.is_floating_point():
                torch.testing.assert_close(
                    value.double(), expected[name], rtol=0, atol=1e-6)
    assert isinstance(hook, EMAHook)
    assert hook.ema_model.steps == 40
    assert not torch.equal(averages['0.weight'], model[0].weight)


def test_averages_late_in_training():
    hook, model = make_hook(), nn.Linear(3, 1)
    loop = Loop(model)
    hook.before_run(loop)
    hook.ema_model.steps.fill_(9999)
    before = hook.ema_model.module.bias.item()
    loop.run(hook, 1)
    after = hook.ema_model.module.bias.item()
    kept = 0.9999 * (1 - math.exp(-5))
    assert after - before == pytest.approx(
        (1 - kept) * (model.bias.item() - before), rel=1e-3)


def test_two_batches_are_added_up():
    """The official program adds the gradients of both halves of a batch,
    clips at 0.1 and lets AdamW go; MMEngine's mean comes to the same."""
    torch.manual_seed(0)
    official = nn.Linear(8, 4).double()
    ours = copy.deepcopy(official)
    cfg = Config.fromfile(COCO_L).optim_wrapper
    published = Config.fromfile(COCO_S).optim_wrapper
    optimizer = torch.optim.AdamW(
        official.parameters(),
        lr=published.optimizer.lr,
        weight_decay=published.optimizer.weight_decay)
    del cfg.paramwise_cfg
    wrapper = build_optim_wrapper(ours, cfg)
    assert cfg.accumulative_counts == 2
    # Gradients of the size of `eps`, and on both sides of the limit.
    for size in (1e-8, 1e-8, 0.02, 0.03, 1.0, 0.01):
        optimizer.zero_grad()
        for half in size * torch.rand(2, 8).double():
            official(half).sum().mul(size).backward()
            wrapper.update_params(ours(half).sum().mul(size))
        nn.utils.clip_grad_norm_(official.parameters(),
                                 published.clip_grad.max_norm)
        optimizer.step()
        torch.testing.assert_close(
            ours.weight, official.weight, rtol=0, atol=1e-9)


@pytest.fixture
def launch(monkeypatch):
    """tools/launch.py, in the first of two processes on a CPU."""
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.delitem(sys.modules, 'launch', raising=False)
    module = load_tool('train').launch
    monkeypatch.setitem(os.environ, 'RANK', '0')
    monkeypatch.setitem(os.environ, 'LOCAL_RANK', '0')
    monkeypatch.setattr(torch.distributed, 'init_process_group',
                        lambda *args, **kwargs: None)
    return module


@pytest.mark.parametrize('device, sync_bn', [('cuda', 'torch'), ('cpu', None)])
def test_batch_norms_of_several_processes(launch, monkeypatch, capsys, device,
                                          sync_bn):
    """PyTorch knows none on CPUs that is synchronized."""
    monkeypatch.setattr(launch, 'get_device', lambda: device)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    cfg = Config.fromfile(COCO_S)
    cfg.launcher = 'pytorch'
    launch.prepare_processes(None, cfg)
    assert cfg.sync_bn == sync_bn
    assert ('each process' in capsys.readouterr().out) == (sync_bn is None)


@pytest.mark.parametrize('denoising',
                         ['OKSDenoisingQueries', 'ReleasedDenoisingQueries'])
def test_where_unlabeled_keypoints_lie_does_not_matter(denoising):
    """The official program moves them to the corner, ours leaves them where
    flips and mosaics have brought them."""
    path, = glob(DETRPOSE_DIR + 'drawn/*.py')
    cfg = Config.fromfile(path).model
    cfg.head.training_queries.denoising.update(type=denoising, num_labels=81)
    torch.manual_seed(0)
    model = MODELS.build(cfg).train()
    batch = make_batch([(64, 64)] * 2, [2, 1], num_keypoints=17)
    found = []
    for place in (0, 0.7):
        for sample in batch['data_samples']:
            labels = sample.gt_instance_labels
            labels.box_labels = torch.full((len(labels), 4), 0.4)
            labels.keypoint_labels[labels.keypoint_weights == 0] = place
        torch.manual_seed(1)  # the same noise
        found.append(compute_losses(model, batch)[1])
    assert (labels.keypoint_weights == 0).any()
    torch.testing.assert_close(*found, rtol=0, atol=0)
