"""Running programs as processes of their own."""
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Dict, Optional, Sequence

import torch
from mmengine.config import Config

from .machine import ROOT


def start_program(command: Sequence,
                  log: Path,
                  threads: Optional[int] = None,
                  device: Optional[str] = None,
                  **variables: str) -> subprocess.Popen:
    """Start Python with some arguments in the root of the repository, in a
    process group of its own, with its output added to a log, and as many
    threads as this process by default. The device 'cpu' hides the GPU from
    it."""
    threads = threads or torch.get_num_threads()
    environment = dict(
        os.environ, OMP_NUM_THREADS=str(threads), PYTHONUNBUFFERED='1')
    environment.update(variables)
    if device == 'cpu':
        environment['CUDA_VISIBLE_DEVICES'] = ''
    given = [str(x.resolve() if isinstance(x, Path) else x) for x in command]
    with log.open('a') as file:
        return subprocess.Popen([sys.executable, '-W', 'ignore', *given],
                                cwd=ROOT,
                                env=environment,
                                stdout=file,
                                stderr=subprocess.STDOUT,
                                start_new_session=True)


def kill_program(process: subprocess.Popen) -> None:
    """Kill what :func:`start_program` started and all its children."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def last_line(log: Path) -> str:
    """Of what a program wrote, in short."""
    lines = log.read_text(errors='replace').strip().splitlines()
    return lines[-1][:120] if lines else ''


def run_tool(tool: str,
             arguments: Sequence,
             log: Path,
             threads: Optional[int] = None,
             device: Optional[str] = None) -> None:
    """Run a program of ``tools/`` as :func:`start_program` starts it.

    Raises:
        RuntimeError: If it fails, with the last line and the path of the log.
    """
    process = start_program([ROOT / 'tools' / tool, *arguments], log, threads,
                            device)
    try:
        code = process.wait()
    finally:
        kill_program(process)
    if code:
        raise RuntimeError(
            f'{tool} failed: {last_line(log) or "killed"} (see {log})')


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
