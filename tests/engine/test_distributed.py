"""Training in two processes does the same as training in one."""
import json
import time
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope
from torch.nn.modules.batchnorm import _BatchNorm

from tests.helpers.models import (build_small_model, compute_gradients,
                                  make_batch)
from tests.helpers.tool_runs import run_tool

# People in the images of both processes, two images for each.
BATCHES = dict(
    equal=[2, 1, 1, 2],
    unequal=[5, 0, 1, 0],
    nobody_in_one=[3, 1, 0, 0],
    nobody_in_all=[0, 0, 0, 0])
TIMEOUT = 60  # seconds; waiting for each other forever is the usual failure


def make_case(name):
    """A model and the batch of both processes, the same in all of them.

    All images have one size, so that each half is padded like the whole.
    """
    torch.manual_seed(0)
    people = BATCHES[name]
    return build_small_model().train(), make_batch([(64, 96)] * 4, people)


def run_rank(rank, folder):
    """One of two processes: saves what it computes for every case."""
    torch.set_num_threads(1)
    init_default_scope('mmpose')
    dist.init_process_group(
        'gloo',
        f'file://{folder}/rendezvous',
        timedelta(seconds=TIMEOUT / 2),
        world_size=2,
        rank=rank)
    half = slice(2 * rank, 2 * rank + 2)
    for name in BATCHES:
        model, batch = make_case(name)
        # As tools/launch.py has it.
        model = MMDistributedDataParallel(
            model,
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=False)
        batch = {key: value[half] for key, value in batch.items()}
        # A parameter without gradient fails in the second step only.
        for _ in range(2):
            model.zero_grad()
            result = compute_gradients(model, batch)
        torch.save(result, f'{folder}/{name}_{rank}.pth')
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Where two processes have saved their results."""
    folder = tmp_path_factory.mktemp('ranks')
    context = mp.spawn(run_rank, (str(folder), ), nprocs=2, join=False)
    end = time.monotonic() + TIMEOUT
    try:
        # Answers False as long as a process is running.
        while not context.join(timeout=1):
            assert time.monotonic() < end, 'the processes hang'
    finally:
        for process in context.processes:
            process.kill()
    return folder


def test_small_model_normalizes_each_image_alone():
    """Else two processes would not do the same as one."""
    model = build_small_model()
    assert not any(isinstance(x, _BatchNorm) for x in model.modules())


@pytest.mark.parametrize('name', BATCHES)
def test_two_processes_do_the_same_as_one(folder, name):
    total, gradients = compute_gradients(*make_case(name))
    if not sum(BATCHES[name]):
        # At least one person is counted for each process, so the mean over
        # two is half of what one process has.
        total, gradients = total / 2, {k: v / 2 for k, v in gradients.items()}
    ranks = [torch.load(folder / f'{name}_{rank}.pth') for rank in range(2)]

    assert ((ranks[0][0] + ranks[1][0]) / 2).item() == pytest.approx(
        total.item(), rel=1e-5)
    for _, of_rank in ranks:
        torch.testing.assert_close(of_rank, gradients, rtol=1e-4, atol=1e-6)


def test_dist_train(drawn_config, tmp_path):
    code, _, stderr = run_tool('dist_train.sh', drawn_config, 2, '--work-dir',
                               tmp_path, '--cfg-options',
                               'train_cfg.max_epochs=1',
                               'train_dataloader.batch_size=3')
    assert code == 0, stderr
    assert (tmp_path / 'epoch_1.pth').exists()
    log, = tmp_path.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    # 12 images: two iterations in each process, then one evaluation.
    assert [row['step'] for row in rows] == [1, 2, 1]
    assert 'coco/AP' in rows[-1]
