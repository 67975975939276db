"""The commands of docs/your_own_data.md, as a reader types them."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.pages import DOCS, code_blocks

ROOT = Path(__file__).resolve().parents[2]
PAGE = 'your_own_data.md'
# What the page does in minutes, done in seconds: fewer images, one epoch.
SHORTER = {
    'data/planes 650': 'data/planes 24',
    '--epochs 10': '--epochs 1',
    'epoch_10.pth': 'epoch_1.pth',
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Where the page's program lies and its commands are run."""
    path = tmp_path_factory.mktemp('tutorial')
    for name in ('tools', 'projects', 'configs'):
        (path / name).symlink_to(ROOT / name)
    program, = code_blocks(PAGE, 'python')
    assert '`draw_planes.py`' in (DOCS / PAGE).read_text()
    (path / 'draw_planes.py').write_text(program)
    return path


def test_commands(folder):
    """All of them succeed, in their order, and end with a table of AP."""
    commands = ''.join(code_blocks(PAGE, 'shell'))
    for long, short in SHORTER.items():
        assert long in commands
        commands = commands.replace(long, short)
    path = os.path.dirname(sys.executable) + os.pathsep + os.environ['PATH']
    result = subprocess.run(['bash', '-euo', 'pipefail', '-c', commands],
                            cwd=folder,
                            env=dict(
                                os.environ,
                                PATH=path,
                                CUDA_VISIBLE_DEVICES='',
                                OMP_NUM_THREADS='1'),
                            stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT,
                            text=True,
                            timeout=300)
    assert result.returncode == 0, result.stdout[-3000:]
    assert 'Average Precision  (AP) @[ IoU=0.50:0.95 |' in result.stdout
    assert 'Warnings' not in result.stdout
