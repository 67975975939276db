"""Jobs of several processes: same gradients and metrics as one process, and
an end when one of them dies."""
import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from tests.helpers.models import (build_small_model, compute_gradients,
                                  make_batch)
from tests.helpers.tool_runs import TOOLS, kill_tool, load_tool, start_tool

# People in the images of each of four processes.
BATCHES = dict(
    uneven=[[1, 2], [0], [3, 0], [1]],
    nobody_in_most=[[0, 0], [2], [0], [0]],
    nobody_in_all=[[0], [0], [0], [0]])
TIMEOUT = 60  # seconds in which a job ends that cannot go on
PATIENCE = 180  # seconds for what takes a few on a machine with nothing to do


def start(function, arguments, processes):
    """Run a function in several processes: ``function(rank, *arguments)``.

    They are forked from one that has imported what takes time.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['projects.grouppose', 'mmengine.runner'])
    context = mp.start_processes(
        function, arguments, processes, join=False, start_method='forkserver')
    end = time.monotonic() + PATIENCE
    try:
        # Answers False as long as a process is running.
        while not context.join(timeout=1):
            assert time.monotonic() < end, 'the processes hang'
    finally:
        for process in context.processes:
            process.kill()


def make_case(name):
    """A model and the images of all processes, the same in all of them."""
    torch.manual_seed(0)
    people = sum(BATCHES[name], [])
    return build_small_model().train(), make_batch([(64, 96)] * len(people),
                                                   people)


def compute_gradients_of_rank(rank, folder):
    """One of four processes: saves what it computes for every case."""
    torch.set_num_threads(1)
    init_default_scope('mmpose')
    dist.init_process_group(
        'gloo',
        f'file://{folder}/rendezvous',
        timedelta(seconds=PATIENCE / 2),
        world_size=4,
        rank=rank)
    for name, people in BATCHES.items():
        model, batch = make_case(name)
        # As tools/launch.py has it.
        model = MMDistributedDataParallel(
            model,
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=False)
        first = sum(map(len, people[:rank]))
        own = slice(first, first + len(people[rank]))
        batch = {key: value[own] for key, value in batch.items()}
        torch.save(
            compute_gradients(model, batch), f'{folder}/{name}_{rank}.pth')
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def gradients(tmp_path_factory):
    """Folder with the losses and gradients of four processes."""
    folder = tmp_path_factory.mktemp('ranks')
    start(compute_gradients_of_rank, (str(folder), ), 4)
    return folder


@pytest.mark.parametrize('name', BATCHES)
def test_four_processes_do_the_same_as_one(gradients, name):
    """With batches of different sizes."""
    total, expected = compute_gradients(*make_case(name))
    # At least one person is counted for each process, which matters only if
    # there are fewer people than processes.
    counted = max(1, sum(map(sum, BATCHES[name])))
    factor = counted / max(4, counted)
    ranks = [torch.load(gradients / f'{name}_{i}.pth') for i in range(4)]
    mean = sum(total_of_rank for total_of_rank, _ in ranks) / 4
    assert mean.item() == pytest.approx(factor * total.item(), rel=1e-5)
    for _, of_rank in ranks:
        torch.testing.assert_close(
            of_rank, {
                key: factor * value
                for key, value in expected.items()
            },
            rtol=1e-4,
            atol=1e-6)


def evaluate(rank, folder, config, processes, port):
    """One process of ``tools/test.py``."""
    torch.set_num_threads(1)
    sys.path.insert(0, str(TOOLS))
    if processes > 1:
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(processes),
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT=str(port))
    out = f'{folder}/{processes}'
    load_tool('test').main([
        str(config), f'{folder}/model.pth', '--work-dir', out, '--out',
        f'{out}.json', '--launcher', 'pytorch' if processes > 1 else 'none',
        '--cfg-options', 'test_dataloader.batch_size=1',
        f'test_evaluator.outfile_prefix={out}'
    ])


def test_three_processes_evaluate_like_one(drawn_config, tmp_path):
    """Four images: two of the three get one a second time."""
    model = MODELS.build(Config.fromfile(drawn_config).model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    metrics, detections = [], []
    for processes in (1, 3):
        start(evaluate, (str(tmp_path), drawn_config, processes, port),
              processes)
        metrics.append(
            json.loads((tmp_path / f'{processes}.json').read_text()))
        file = tmp_path / f'{processes}.keypoints.json'
        detections.append(
            sorted(
                json.loads(file.read_text()),
                key=lambda entry: (entry['image_id'], -entry['score'])))
    assert metrics[0] == metrics[1]
    assert detections[0] == detections[1]
    # Each of the model's ten instances once.
    images = [entry['image_id'] for entry in detections[1]]
    assert sorted(set(images)) == [1, 2, 3, 4]
    assert all(images.count(i) <= 10 for i in images)


def find_ranks(work_dir) -> dict:
    """Process ids of a training that torchrun has started, by rank. They may
    be in sessions of their own."""
    found = {}
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            command, environ = [(folder / name).read_bytes().split(b'\0')
                                for name in ('cmdline', 'environ')]
        except OSError:
            continue
        ranks = [x for x in environ if x.startswith(b'RANK=')]
        if ranks and str(work_dir).encode() in command:
            found[int(ranks[0][5:])] = int(folder.name)
    return found


@pytest.mark.skipif(not os.path.exists('/proc'), reason='needs /proc')
def test_a_rank_that_dies_ends_the_job(drawn_config, tmp_path):
    """In the middle of training, while the other waits for its gradients."""
    job = start_tool('dist_train.sh', drawn_config, 2, '--work-dir', tmp_path,
                     '--no-validate', '--cfg-options',
                     'train_cfg.max_epochs=1000', 'param_scheduler=None')
    try:
        end = time.monotonic() + PATIENCE
        while not list(tmp_path.glob('epoch_1.pth')):
            assert job.poll() is None, 'training ended early'
            assert time.monotonic() < end, 'training does not start'
            time.sleep(0.05)
        os.kill(find_ranks(tmp_path)[1], signal.SIGKILL)
        killed = time.monotonic()
        assert job.wait(timeout=TIMEOUT) != 0
        print(f'ended after {time.monotonic() - killed:.1f} s')
        assert not find_ranks(tmp_path)
    finally:
        kill_tool(job)
        for process in find_ranks(tmp_path).values():
            os.kill(process, signal.SIGKILL)
