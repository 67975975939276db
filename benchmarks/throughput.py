"""Real training on drawn people: images per second, and where the time goes.

    python benchmarks/throughput.py CONFIG ... --out DIR

Trains each config as tools/train.py does, with its own augmentation, on drawn
images that processes read, for some seconds, without evaluation. DIR gets
throughput.md and throughput.json, and the images.
"""
import argparse
import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Dict

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from program import ArgumentParser

import launch
from benchmarks.lib.case import WRAPPERS
from benchmarks.lib.configs import drop_pretrained
from benchmarks.lib.gpu_tables import PARTS, THROUGHPUT
from benchmarks.lib.method import find_method
from benchmarks.lib.modes import why_not
from benchmarks.lib.parts import Stopwatch, _counted, replaced
from benchmarks.lib.results import Results
from benchmarks.lib.turns import clock, shorten
from projects.grouppose.synthetic import annotation_file, draw_dataset


class EnoughError(Exception):
    """Ends a training whose time is up."""


class Throughput(Hook):
    """Adds up the seconds of each part of the steps after the first ones, and
    ends training after some seconds.

    'data' is the wait for the next batch, the rest is what hooks and loop
    take.
    """
    priority = 'LOWEST'

    def __init__(self, seconds: float, warmup: int):
        self.seconds, self.warmup = seconds, warmup
        self.watch = Stopwatch(clock)
        self.steps, self.waited = -warmup, 0.0

    def before_train(self, runner) -> None:
        """Watch the parts of a step."""
        model, optimizer = runner.model, runner.optim_wrapper
        self.stack = ExitStack()
        for owner, name, part in ((model, 'forward', 'forward'),
                                  (optimizer, 'backward', 'backward'),
                                  (optimizer, 'step', 'optimizer')):
            self.stack.enter_context(
                replaced(owner, name, partial(_counted, self.watch, part)))
        self.last = clock()

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.waited += clock() - self.last

    def after_train_iter(self,
                         runner,
                         batch_idx,
                         data_batch=None,
                         outputs=None) -> None:
        self.last = clock()
        self.steps += 1
        if self.steps == 0:  # from here on it counts
            self.start = self.last
            self.watch.amounts.clear()
            self.waited = 0.0
            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()
        elif self.steps > 0 and self.last - self.start > self.seconds:
            raise EnoughError

    def result(self, batch_size: int) -> dict:
        """Means of a step."""
        self.stack.close()
        total = self.last - self.start
        parts: Dict[str, float] = dict(self.watch.amounts, data=self.waited)
        parts['rest'] = total - sum(parts.values())
        memory = 0.0
        if torch.cuda.is_available():
            memory = torch.cuda.max_memory_allocated() / 2**20
        return dict(
            steps=self.steps,
            images_per_second=self.steps * batch_size / total,
            parts={part: parts[part] / self.steps
                   for part in PARTS},
            memory_mib=memory)


def make_config(name: str, data: Path, args: argparse.Namespace) -> Config:
    """The config on drawn images, without evaluation."""
    config = find_method(name).read()
    drop_pretrained(config.model)
    loader = config.train_dataloader
    loader.update(
        batch_size=args.batch_size,
        num_workers=args.workers,
        persistent_workers=args.workers > 0)
    loader.dataset.dataset.update(
        data_root=f'{data.resolve()}/',
        ann_file=str(annotation_file(data, 'train').relative_to(data)),
        data_prefix=dict(img='train/'))
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    config.test_cfg = config.test_dataloader = config.test_evaluator = None
    config.default_hooks.checkpoint.update(interval=10**6, save_best=None)
    schedule = config.default_hooks.get('augmentation', {})
    for name in ('mosaic', 'zoom_out'):  # from the start
        if name in schedule:
            schedule[name] = (0, schedule[name][1])
    config.train_cfg.max_epochs = 10**6
    config.optim_wrapper.update(WRAPPERS[args.precision])
    config.sync_bn = None
    config.launcher = 'none'
    return config


def train(name: str, data: Path, args: argparse.Namespace) -> dict:
    """A row of the throughput of a config."""
    config = make_config(name, data, args)
    config.work_dir = str(args.out / 'work_dirs' / name.replace('/', '_'))
    config.experiment_name = f'{Path(name).stem}_{os.getpid()}'
    config.visualizer.name = config.experiment_name
    runner = launch.build_runner(config)
    hook = Throughput(args.seconds, args.warmup)
    runner.register_hook(hook, 'LOWEST')
    try:
        runner.train()
    except EnoughError:
        pass
    return hook.result(args.batch_size)


def main(argv=None) -> None:
    parser = ArgumentParser(__doc__)
    parser.add_argument('configs', nargs='+', metavar='CONFIG')
    parser.add_argument(
        '--seconds',
        type=float,
        default=45,
        help='of training of each (%(default)s)')
    parser.add_number('--warmup', 10, 'steps before them')
    parser.add_number('--workers', 16, 'processes that read images', type=int)
    parser.add_number('--batch-size', 8, 'images')
    parser.add_number('--images', 2000, 'drawn images')
    parser.add_number('--image-size', 640, 'their longer side')
    parser.add_argument('--precision', choices=WRAPPERS, default='bf16')
    parser.add_device()
    args = parser.parse_args(argv)
    data = args.out / 'data'
    draw_dataset(
        data,
        args.images,
        1,
        long_side=args.image_size,
        num_workers=max(args.workers, 1))
    results = Results(
        args.out / 'throughput', 'Training on drawn people',
        f'{args.images} drawn images of {args.image_size} pixels, '
        f'{args.device}, {args.seconds:g} s after {args.warmup} steps. Data '
        'is the wait for the next batch.', THROUGHPUT)
    for name in args.configs:
        row = dict(
            model=Path(name).stem,
            precision=args.precision,
            batch_size=args.batch_size,
            workers=args.workers)
        try:
            reason = why_not(args.precision, 'eager', args.device)
            if reason:
                raise RuntimeError(reason)
            row.update(train(name, data, args))
        except Exception as error:  # of any model
            row['failed'] = shorten(error)
        results.add(row)
    print(results.markdown())


if __name__ == '__main__':
    main()
