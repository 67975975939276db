"""Trainings that are to be compared: each a process of its own, begun again
where it was cut, with what it learned on the way."""
import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from tqdm import tqdm

from ..benchmark.methods import build_model

ROOT = Path(__file__).resolve().parents[3]


class Training(NamedTuple):
    """One run of ``tools/train.py``.

    Attributes:
        name (str): Of what is compared: a method, a scheme.
        config (Config): What to train, complete.
        folder (Path): Its work dir.
        seed (int): Seed of weights and data.
    """
    name: str
    config: Config
    folder: Path
    seed: int = 0

    @property
    def checkpoint(self) -> Path:
        """The weights at its end."""
        loop = self.config.train_cfg
        by_epoch = loop.get('by_epoch', loop.get('type') is None)
        name = (f'epoch_{loop.max_epochs}'
                if by_epoch else f'iter_{loop.max_iters}')
        return self.folder / f'{name}.pth'

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        mark = self.folder / 'last_checkpoint'
        return (mark.is_file() and self.checkpoint.is_file() and Path(
            mark.read_text().strip()).name == self.checkpoint.name)


def add_arguments(parser: argparse.ArgumentParser, out: str,
                  images: int) -> None:
    """Add what programs have in common that draw images and train.

    Args:
        parser (ArgumentParser): Of the program.
        out (str): Default of ``--out``.
        images (int): Default of ``--images``.
    """
    parser.add_argument(
        '--out',
        type=Path,
        default=Path(out),
        help='folder for data, trainings and results (default: %(default)s)')
    parser.add_argument(
        '--images',
        type=int,
        default=images,
        help='images to train on (default: %(default)s)')
    parser.add_argument(
        '--val-images',
        type=int,
        default=300,
        help='images to evaluate on (default: %(default)s)')
    parser.add_argument(
        '--jobs',
        type=int,
        default=1,
        help='trainings at a time (default: %(default)s); small networks '
        'train fastest with one for each CPU')


def train_all(trainings: Sequence[Training], jobs: int) -> Dict[str, str]:
    """Run trainings, some at a time, and say when each has ended.

    What an earlier call has finished is not done again; what was cut goes on
    from its last checkpoint.

    Args:
        trainings (Sequence[Training]): What to run.
        jobs (int): How many at a time. They share the CPU threads.

    Returns:
        dict: By the folder of a training that failed, why.

    Raises:
        ValueError: If a folder holds a training with another config.
    """
    for training in trainings:
        _write_config(training)
    threads = max(torch.get_num_threads() // jobs, 1)
    bar = tqdm(total=len(trainings), unit='training', smoothing=0)

    def run(training: Training) -> Optional[str]:
        failure = None
        if not training.finished:
            folder = training.folder
            arguments = [folder / 'config.py', '--work-dir', folder]
            # Resuming nothing, MMEngine would leave load_from out, too.
            if (folder / 'last_checkpoint').is_file():
                arguments.append('--resume')
            failure = run_tool('train.py', arguments, folder / 'train.log',
                               threads)
        last = _last_metric(training)
        bar.write(f'{training.name}, seed {training.seed}: ' +
                  (failure or f'{last[0]} {last[1]:.3f}'))
        bar.update()
        return failure

    with ThreadPoolExecutor(jobs) as pool:
        failures = list(pool.map(run, trainings))
    bar.close()
    return {
        str(training.folder): failure
        for training, failure in zip(trainings, failures) if failure
    }


def evaluate(training: Training,
             name: str,
             change: Callable[[Config], None] = lambda config: None) -> dict:
    """Evaluate the weights that a training ended with.

    Args:
        training (Training): A finished one.
        name (str): Of the evaluation, for its folder and log.
        change (Callable): Changes a copy of the config.

    Returns:
        dict[str, float]: Metrics by name.

    Raises:
        RuntimeError: If ``tools/test.py`` fails.
    """
    config = training.config.copy()
    change(config)
    folder = training.folder / name
    out = folder / 'metrics.json'
    folder.mkdir(parents=True, exist_ok=True)
    config.dump(str(folder / 'config.py'))
    failure = run_tool('test.py', [
        folder / 'config.py', training.checkpoint, '--work-dir', folder,
        '--out', out
    ], folder / 'test.log', torch.get_num_threads())
    if failure:
        raise RuntimeError(failure)
    return json.loads(out.read_text())


def count_parameters(training: Training) -> int:
    """Numbers in the model that can be learned, not its buffers."""
    config = training.config
    init_default_scope(config.default_scope)
    model = build_model(config, training.name, None, 'cpu')
    return sum(parameter.numel() for parameter in model.parameters())


def run_tool(tool: str, arguments: Sequence, log: Path,
             threads: int) -> Optional[str]:
    """Run a program of ``tools/`` with its output in a log.

    Args:
        tool (str): Its file name.
        arguments (Sequence): Its arguments. Paths may be relative to the
            current folder; it runs in the root of the repository.
        log (Path): Where its output is added.
        threads (int): CPU threads.

    Returns:
        str, optional: What went wrong, with the path of the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    given = [str(x.resolve() if isinstance(x, Path) else x) for x in arguments]
    with log.open('a') as file:
        code = subprocess.run(
            [sys.executable, '-W', 'ignore', ROOT / 'tools' / tool, *given],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT).returncode
    if not code:
        return None
    *_, last = log.read_text().strip().splitlines() or ['']
    return f'tools/{tool} failed ({last[:120]}); see {log}'


def read_curve(folder: Path, metric: str) -> List[Tuple[int, float]]:
    """What a training reached on the way.

    Args:
        folder (Path): Work dir.
        metric (str): Name in the log, e.g. 'coco/AP'.

    Returns:
        list[tuple]: Epoch or iteration, and the metric then.
    """
    points = {}
    for log in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in log.read_text().splitlines():
            row = json.loads(line)
            if metric in row and row.get('step'):
                points[row['step']] = row[metric]
    return sorted(points.items())


def _write_config(training: Training) -> None:
    """Write the config into the folder of a training, or find it there."""
    path = training.folder / 'config.py'
    text = training.config.pretty_text
    if not path.is_file():
        training.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    elif path.read_text() != text:
        raise ValueError(f'{path}: another training is in this folder. '
                         'Choose another folder for the results, or remove '
                         'this one')


def _last_metric(training: Training) -> Tuple[str, float]:
    """Name and value of the metric that a config selects checkpoints by."""
    name = training.config.default_hooks.checkpoint.save_best
    curve = read_curve(training.folder, name)
    return name, curve[-1][1] if curve else float('nan')
