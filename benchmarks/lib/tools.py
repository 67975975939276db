"""Running tools/train.py and tools/test.py as processes of their own."""
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, Optional, Sequence

import torch
from mmengine.config import Config

from .machine import ROOT


def run_tool(tool: str,
             arguments: Sequence,
             log: Path,
             threads: Optional[int] = None,
             device: Optional[str] = None) -> None:
    """Run a program of ``tools/`` in the root of the repository, with its
    output added to a log, and as many threads as this process by default. The
    device 'cpu' hides the GPU from it.

    Raises:
        RuntimeError: If it fails, with the last line and the path of the log.
    """
    threads = threads or torch.get_num_threads()
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    if device == 'cpu':
        environment['CUDA_VISIBLE_DEVICES'] = ''
    given = [str(x.resolve() if isinstance(x, Path) else x) for x in arguments]
    with log.open('a') as file:
        process = subprocess.run(
            [sys.executable, '-W', 'ignore', ROOT / 'tools' / tool, *given],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT)
    if process.returncode:
        *_, last = log.read_text().strip().splitlines() or ['killed']
        raise RuntimeError(f'{tool} failed: {last[:120]} (see {log})')


def run_test(config: Config,
             checkpoint: Path,
             folder: Path,
             device: Optional[str] = None) -> Dict[str, float]:
    """Metrics by name of a checkpoint, by tools/test.py. The folder gets
    config.py, test.log and metrics.json."""
    folder.mkdir(parents=True, exist_ok=True)
    config_file, out = folder / 'config.py', folder / 'metrics.json'
    config.dump(str(config_file))
    run_tool(
        'test.py',
        [config_file, checkpoint, '--work-dir', folder, '--out', out],
        folder / 'test.log',
        device=device)
    return json.loads(out.read_text())
