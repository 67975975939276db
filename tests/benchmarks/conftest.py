"""Fixtures of the tests of ``benchmarks/``."""
import sys

import numpy as np
import pytest

from benchmarks.lib import memory
from benchmarks.lib.inputs import Picture
from tests.helpers.tool_runs import ROOT

# Where a program finds the module that they share, if it is run.
sys.path.append(str(ROOT / 'benchmarks'))


@pytest.fixture
def same_process(monkeypatch):
    """A process for each measurement of memory takes seconds to start."""
    monkeypatch.setattr(memory, 'in_fresh_process', lambda f, *args: f(*args))


@pytest.fixture(scope='session')
def pictures():
    """Two images with one and with two people."""
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    boxes = np.float32([[8, 8, 40, 56], [4, 16, 60, 60]])
    return [Picture(images[0], boxes[:1]), Picture(images[1], boxes)]
