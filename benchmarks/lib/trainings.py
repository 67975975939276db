"""Trainings that are to be compared: each a process of its own, begun again
where it was cut, with what it learned on the way."""
import json
import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from tqdm import tqdm

from projects.grouppose.synthetic import annotation_file

from .configs import build_model, evaluators_of, read_config
from .machine import ROOT
from .tools import run_tool


class Training(NamedTuple):
    """One run of ``tools/train.py``: the name of what is compared, a complete
    config, work dir and seed."""
    name: str
    config: Config
    folder: Path
    seed: int = 0

    @property
    def config_file(self) -> Path:
        """Where the config is. Not in the folder itself, where the run
        writes what it makes of it, under the same name."""
        return self.folder / 'given' / 'config.py'

    @property
    def checkpoint(self) -> Path:
        """The weights at its end."""
        loop = self.config.train_cfg
        by_epoch = loop.get('by_epoch', loop.get('type') is None)
        return self.folder / (f'epoch_{loop.max_epochs}.pth'
                              if by_epoch else f'iter_{loop.max_iters}.pth')

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        mark = self.folder / 'last_checkpoint'
        return (mark.is_file() and self.checkpoint.is_file() and Path(
            mark.read_text().strip()).name == self.checkpoint.name)

    def run(self, threads: int) -> Optional[str]:
        """Train, unless it is finished; return what went wrong."""
        if self.finished:
            return None
        arguments = [self.config_file, '--work-dir', self.folder]
        # Resuming nothing, MMEngine would leave load_from out, too.
        if (self.folder / 'last_checkpoint').is_file():
            arguments.append('--resume')
        try:
            run_tool('train.py', arguments, self.folder / 'train.log', threads)
        except RuntimeError as error:
            return str(error)

    def curve(self, metric: str) -> List[Tuple[int, float]]:
        """Epochs or iterations, and a metric then, e.g. 'coco/AP'."""
        points = {}
        for log in sorted(self.folder.glob('*/vis_data/scalars.json')):
            for row in map(json.loads, log.read_text().splitlines()):
                if metric in row and row.get('step'):
                    points[row['step']] = row[metric]
        return sorted(points.items())

    def seconds_per_step(self) -> float:
        """Mean time of an iteration by the log, with what else the machine
        was doing; not for comparisons."""
        times = [
            row['time']
            for log in sorted(self.folder.glob('*/vis_data/scalars.json'))
            for row in map(json.loads,
                           log.read_text().splitlines())
            if 'loss' in row and 'time' in row
        ]
        return statistics.mean(times) if times else float('nan')

    def count_parameters(self) -> int:
        """Numbers in the model that can be learned, not its buffers."""
        init_default_scope(self.config.default_scope)
        model = build_model(self.config)
        return sum(parameter.numel() for parameter in model.parameters())

    def write_config(self) -> None:
        """Write the config into the folder, or find it there."""
        path, text = self.config_file, self.config.pretty_text
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif path.read_text() != text:
            raise ValueError(f'{path}: another training is in this folder. '
                             'Choose another folder for the results, or '
                             'remove this one')


def read_training_config(name: str, out: Path, **length: int) -> Config:
    """Read a config of ``benchmarks/configs`` and let it use the drawn data
    of a folder of results, for ``max_epochs`` or ``max_iters``."""
    config = read_config(str(ROOT / 'benchmarks/configs' / name))
    use_drawn_data(config, out)
    config.train_cfg.update(length)
    end, = length.values()
    config.param_scheduler[1].update(end=end, T_max=end)
    return config


def use_drawn_data(config: Config, out: Path) -> None:
    """Let a config use the drawn data of a folder of results."""
    data = out.resolve() / 'data'
    for split in ('train', 'val', 'test'):
        dataset = config[f'{split}_dataloader'].dataset
        dataset.get('dataset', dataset).data_root = f'{data}/'
        for evaluator in evaluators_of(config, split):
            evaluator.ann_file = str(annotation_file(data, 'val'))


def find_failure(training: Training, failures: dict,
                 iterations: int) -> Optional[str]:
    """Why a training has no last evaluation, None if it has one."""
    steps = [step for step, _ in training.curve('coco/AP')]
    if training.folder in failures or iterations in steps:
        return failures.get(training.folder)
    return ('cut in its last evaluation: remove '
            f'{training.folder} and start again')


def train_all(trainings: Sequence[Training], jobs: int) -> Dict[Path, str]:
    """Run trainings, some at a time, which share the CPU threads, and say when
    each has ended; return why any failed, by its folder.

    What an earlier call has finished is not done again; what was cut goes on
    from its last checkpoint.
    """
    for training in trainings:
        training.write_config()
    threads = max(torch.get_num_threads() // jobs, 1)
    bar = tqdm(total=len(trainings), unit='training', smoothing=0)

    def run(training: Training) -> Tuple[Path, Optional[str]]:
        failure = training.run(threads)
        metric = training.config.default_hooks.checkpoint.save_best
        *_, last = training.curve(metric) or [(0, float('nan'))]
        bar.write(f'{training.name}, seed {training.seed}: ' +
                  (failure or f'{metric} {last[1]:.3f}'))
        bar.update()
        return training.folder, failure

    with ThreadPoolExecutor(jobs) as pool:
        failures = dict(pool.map(run, trainings))
    bar.close()
    return {folder: why for folder, why in failures.items() if why}
