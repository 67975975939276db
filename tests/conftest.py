"""Fixtures of all tests."""
import os
import subprocess

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

import projects.grouppose  # noqa: F401  (registers the modules)
from tests.helpers.tool_runs import TOOLS, write_drawn_config


def pytest_addoption(parser):
    parser.addoption(
        '--device',
        default='cpu',
        help='where golden numbers are computed (cpu)')


def pytest_runtest_setup(item):
    if item.get_closest_marker('gpu') and not torch.cuda.is_available():
        pytest.skip('needs a GPU')


@pytest.fixture(scope='session')
def device(request):
    """Where golden numbers are computed, in full precision there."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return request.config.getoption('--device')


@pytest.fixture(scope='session', autouse=True)
def first_scope():
    """Fixtures that are made before a test need the scope, too."""
    init_default_scope('mmpose')


@pytest.fixture(autouse=True)
def mmpose_scope():
    """Modules are looked up as MMPose's runner does."""
    init_default_scope('mmpose')
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture(scope='session')
def drawn_config(tmp_path_factory):
    """Path of a config that trains a small model on a few drawn images."""
    return write_drawn_config(tmp_path_factory.mktemp('drawn'))


@pytest.fixture
def unformatted_configs(monkeypatch):
    """The runner formats its config several times: most of the time of a
    short run."""
    # The forks of MMEngine import it anew every time.
    for module in ('mmengine.config.config', 'yapf.yapflib.yapf_api'):
        monkeypatch.setattr(
            f'{module}.FormatCode',
            lambda text, **kwargs: (text, True),
            raising=False)


@pytest.fixture
def shell(tmp_path):
    """Run a launch script with programs that only print their arguments."""
    for name in ('python', 'srun'):
        program = tmp_path / name
        program.write_text('#!/bin/sh\n'
                           'case "$2" in\n'
                           '    *find_spec*) exit ;;\n'
                           '    *socket*) echo 4321; exit ;;\n'
                           'esac\n'
                           'for argument; do echo "$argument"; done\n'
                           'echo "PYTHONPATH=$PYTHONPATH"\n')
        program.chmod(0o755)

    def call(script, *arguments, **variables):
        path = f'{tmp_path}{os.pathsep}{os.environ["PATH"]}'
        env = {
            key: value
            for key, value in os.environ.items()
            if key not in ('PORT', 'NNODES', 'NODE_RANK', 'MASTER_ADDR',
                           'GPUS', 'GPUS_PER_NODE', 'SRUN_ARGS')
        }
        return subprocess.run(['bash', str(TOOLS / script), *arguments],
                              env=dict(env, PATH=path, **variables),
                              stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE,
                              cwd=tmp_path,
                              text=True)

    return call
