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
from typing import Dict, Optional, Union

import torch
from torch import nn

from ..inference.speed import OneDNNLinear
from ..version import __version__
from .timing import time_once

PACKAGES = ('torch', 'mmengine', 'mmcv', 'mmdet', 'mmpose', 'numpy')


def describe_machine() -> Dict[str, str]:
    """Say how and where this process runs.

    Returns:
        dict[str, str]: command, date (UTC), CPU, threads, GPU, versions,
        commit.
    """
    gpu = 'none'
    if torch.cuda.is_available():
        gpu = (f'{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, '
               f'cuDNN {torch.backends.cudnn.version()}, TF32 for matrix '
               f'products {_on(torch.backends.cuda.matmul.allow_tf32)}, for '
               f'convolutions {_on(torch.backends.cudnn.allow_tf32)}')
    versions = [f'Python {platform.python_version()}']
    for name in PACKAGES:
        versions.append(f'{name} {import_module(name).__version__}')
    return dict(
        command=_command(),
        date=f'{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M}'
        ' UTC',
        CPU=_cpu_name(),
        threads=str(torch.get_num_threads()),
        GPU=gpu,
        versions=', '.join(versions),
        commit=_commit())


def markdown_header(description: Dict[str, str]) -> str:
    """Lines in Markdown of what :func:`describe_machine` says."""
    command = description['command']
    others = [(name, text) for name, text in description.items()
              if name != 'command']
    lines = [f'- {name}: {text}' for name, text in others]
    return '\n'.join(['```shell', command, '```', '', *lines]) + '\n'


def gemm_rate(dtype: torch.dtype,
              device: Union[str, torch.device],
              repeats: int = 5) -> float:
    """FLOPs a second of the best of some large matrix products.

    For float32 on a CPU, oneDNN's count, too, see :class:`OneDNNLinear`.
    """
    side = 8192 if torch.device(device).type == 'cuda' else 2048
    linear = nn.Linear(side, side, False, device=device, dtype=dtype)
    products = [linear]
    if torch.device(device).type == 'cpu':
        products.append(OneDNNLinear(linear))
    matrix = torch.randn(side, side, device=device).to(dtype)
    with torch.no_grad():
        seconds = [
            time_once(partial(product, matrix)) for product in products
            for _ in range(repeats + 1)
        ]
    return 2 * side**3 / min(seconds)


def copy_bandwidth(device: Union[str, torch.device],
                   repeats: int = 5) -> float:
    """Bytes a second, read and written, of the best of some copies."""
    mebibytes = 1024 if torch.device(device).type == 'cuda' else 128
    source = torch.ones(mebibytes * 2**18, device=device)
    target = torch.empty_like(source)
    seconds = [
        time_once(lambda: target.copy_(source)) for _ in range(repeats + 1)
    ]
    return 2 * mebibytes * 2**20 / min(seconds)


def _on(switch: bool) -> str:
    return 'on' if switch else 'off'


def _command() -> str:
    """The command line, from the root of the repository."""
    program = Path(sys.argv[0])
    root = Path(__file__).resolve().parents[3]
    if program.is_absolute() and root in program.parents:
        program = program.relative_to(root)
    return shlex.join(['python', str(program), *sys.argv[1:]])


def _cpu_name() -> str:
    name: Optional[str] = None
    if Path('/proc/cpuinfo').is_file():
        text = Path('/proc/cpuinfo').read_text()
        found = re.search(r'model name\s*:\s*(.+)', text)
        name = found and found[1]
    name = name or platform.processor() or platform.machine()
    return f'{name}, {os.cpu_count()} cores'


def _commit() -> str:
    """The commit of the repository, or the version without one."""
    root = Path(__file__).resolve().parents[3]
    try:
        revision, changes = [
            subprocess.run(['git', '-C', str(root), *arguments],
                           capture_output=True,
                           text=True,
                           check=True).stdout.strip()
            for arguments in (['rev-parse', '--short', 'HEAD'],
                              ['status', '--porcelain', '-uno'])
        ]
    except (OSError, subprocess.CalledProcessError):
        return f'version {__version__}'
    return f'{revision}, with uncommitted changes' if changes else revision
