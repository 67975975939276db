"""Programs of tools/ as processes of their own, and a tiny run for them."""
import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Tuple

from projects.grouppose.synthetic import annotation_file, draw_dataset

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / 'tools'
DRAWN_CONFIG = ('configs/body_2d_keypoint/grouppose/drawn/'
                'grouppose_tiny-res18_1xb8-6e_drawn-128.py')
# A few iterations at full learning rate, with a line in the log for each.
CONFIG = """
_base_ = {base!r}

train_cfg = dict(max_epochs=3)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=2, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        T_max=3,
        by_epoch=True,
        convert_to_iter_based=True),
]
default_hooks = dict(logger=dict(interval=1))
data_root = {data_root!r}
train_dataloader = dict(
    batch_size=4, dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(
    batch_size=2, dataset=dict(dataset=dict(data_root=data_root)))
test_dataloader = val_dataloader
val_evaluator = dict(
    ann_file=data_root + 'annotations/person_keypoints_val.json')
test_evaluator = val_evaluator
"""


def write_drawn_config(folder: Path, method: str = 'grouppose') -> Path:
    """Draw a few images and write a config that trains on them.

    Nobody is annotated in the first two of the four images of the
    validation split, which make its first batch.

    Args:
        folder (Path): Where to write.
        method (str): Folder of the config for drawn people that it builds
            on. Defaults to 'grouppose'.

    Returns:
        Path: The config: 3 epochs of 3 iterations.
    """
    data_root = folder / 'data'
    draw_dataset(data_root, 12, 4, long_side=64, num_workers=1)
    ann_file = annotation_file(data_root, 'val')
    content = json.loads(ann_file.read_text())
    content['annotations'] = [
        ann for ann in content['annotations'] if ann['image_id'] > 2
    ]
    ann_file.write_text(json.dumps(content))

    base, = ROOT.glob(f'configs/body_2d_keypoint/{method}/drawn/{method}_*.py')
    config = folder / 'tiny.py'
    config.write_text(CONFIG.format(base=str(base), data_root=f'{data_root}/'))
    return config


def start_tool(tool: str,
               *arguments,
               output: int = subprocess.DEVNULL) -> subprocess.Popen:
    """Start a program of tools/ on the CPU, in a process group of its own.

    Args:
        tool (str): Its path in tools/, e.g. 'train.py'.
        arguments: Arguments of the program.
        output (int): Where its stdout and stderr go to.
    """
    program = 'bash' if tool.endswith('.sh') else sys.executable
    path = os.path.dirname(sys.executable) + os.pathsep + os.environ['PATH']
    return subprocess.Popen(
        [program, ROOT / 'tools' / tool, *map(str, arguments)],
        env=dict(
            os.environ,
            PATH=path,
            CUDA_VISIBLE_DEVICES='',
            OMP_NUM_THREADS='1'),
        stdout=output,
        stderr=output,
        text=True,
        start_new_session=True)


def kill_tool(process: subprocess.Popen) -> None:
    """Kill what :func:`start_tool` started and all its children."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def run_tool(tool: str, *arguments, timeout: int = 60) -> Tuple[int, str, str]:
    """Run a program of tools/ to its end.

    Args:
        tool (str): Its path in tools/, e.g. 'train.py'.
        arguments: Arguments of the program.
        timeout (int): Seconds after which it is killed.

    Returns:
        tuple: Exit code, stdout and stderr.

    Raises:
        subprocess.TimeoutExpired: If it was killed.
    """
    process = start_tool(tool, *arguments, output=subprocess.PIPE)
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    finally:
        kill_tool(process)
    return process.returncode, stdout, stderr


def load_tool(name, folder=TOOLS):
    spec = importlib.util.spec_from_file_location(f'{name}_tool',
                                                  folder / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
