"""What a number was measured on, and how fast that machine can be."""
import datetime
import os
import platform
import re
import shlex
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Dict

import torch
from torch import nn

from projects.grouppose.inference.speed import OneDNNLinear
from projects.grouppose.version import __version__

from .turns import time_once

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ('torch', 'mmengine', 'mmcv', 'mmdet', 'mmpose', 'numpy')


def describe_machine() -> Dict[str, str]:
    """Say how and where this process runs.

    Returns:
        dict[str, str]: command, date (UTC), CPU, threads, GPU, versions,
        commit.
    """
    gpu = 'none'
    if torch.cuda.is_available():
        tf32 = [
            'on' if backend.allow_tf32 else 'off'
            for backend in (torch.backends.cuda.matmul, torch.backends.cudnn)
        ]
        gpu = (f'{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, '
               f'cuDNN {torch.backends.cudnn.version()}, TF32 for matrix '
               f'products {tf32[0]}, for convolutions {tf32[1]}')
    versions = [f'Python {platform.python_version()}']
    for name in PACKAGES:
        versions.append(f'{name} {import_module(name).__version__}')
    now = datetime.datetime.now(datetime.timezone.utc)
    return dict(
        command=_command(),
        date=f'{now:%Y-%m-%d %H:%M} UTC',
        CPU=_cpu_name(),
        threads=str(torch.get_num_threads()),
        GPU=gpu,
        versions=', '.join(versions),
        commit=_commit())


def gemm_rate(dtype: torch.dtype, device: str, repeats: int = 5) -> float:
    """FLOPs per second of the best of some large matrix products.

    For float32 on a CPU, oneDNN's count, too, see :class:`OneDNNLinear`.
    """
    side = 8192 if device == 'cuda' else 2048
    linear = nn.Linear(side, side, False, device=device, dtype=dtype)
    products = [linear]
    if device == 'cpu':
        products.append(OneDNNLinear(linear))
    matrix = torch.randn(side, side, device=device).to(dtype)
    with torch.no_grad():
        seconds = [
            time_once(partial(product, matrix)) for product in products
            for _ in range(repeats + 1)
        ]
    return 2 * side**3 / min(seconds)


def copy_bandwidth(device: str, repeats: int = 5) -> float:
    """Bytes per second, read and written, of the best of some copies."""
    mebibytes = 1024 if device == 'cuda' else 128
    source = torch.ones(mebibytes * 2**18, device=device)
    target = torch.empty_like(source)
    seconds = [
        time_once(lambda: target.copy_(source)) for _ in range(repeats + 1)
    ]
    return 2 * mebibytes * 2**20 / min(seconds)


def _command() -> str:
    """The command line, from the root of the repository."""
    program = Path(sys.argv[0])
    if program.is_absolute() and ROOT in program.parents:
        program = program.relative_to(ROOT)
    return shlex.join(['python', str(program), *sys.argv[1:]])


def _cpu_name() -> str:
    info = Path('/proc/cpuinfo')
    text = info.read_text() if info.is_file() else ''
    found = re.search(r'model name\s*:\s*(.+)', text)
    name = found[1] if found else platform.processor() or platform.machine()
    return f'{name}, {os.cpu_count()} cores'


def _commit() -> str:
    """The commit of the repository, or the version without one."""
    try:
        revision, changes = [
            subprocess.run(['git', '-C', str(ROOT), *arguments],
                           capture_output=True,
                           text=True,
                           check=True).stdout.strip()
            for arguments in (['rev-parse', '--short', 'HEAD'],
                              ['status', '--porcelain', '-uno'])
        ]
    except (OSError, subprocess.CalledProcessError):
        return f'version {__version__}'
    return f'{revision}, with uncommitted changes' if changes else revision
