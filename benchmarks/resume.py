"""A training that is killed and resumed does the same steps again.

    python benchmarks/resume.py --out DIR

Trains the small Group Pose of drawn people by tools/train.py,
kills it with SIGKILL some iterations after a checkpoint, and resumes. The
iterations between checkpoint and kill are done twice: the losses of both times
are compared. DIR gets resume.md and resume.json, and the run.
"""
import argparse
import json
import time
from pathlib import Path
from typing import Dict, List

from mmengine.config import Config
from program import ROOT, ArgumentParser

from benchmarks.lib.gpu_tables import RESUME
from benchmarks.lib.results import Results
from benchmarks.lib.tools import kill_program, last_line, start_program
from projects.grouppose.synthetic import annotation_file, draw_dataset

CONFIG = ('configs/body_2d_keypoint/grouppose/drawn/'
          'grouppose_tiny-res18_1xb8-6e_drawn-128.py')


def make_config(args: argparse.Namespace, data: Path) -> Config:
    """A line in the log for every iteration, with its own loss."""
    config = Config.fromfile(ROOT / CONFIG)
    config.train_dataloader.dataset.dataset.data_root = f'{data.resolve()}/'
    config.train_dataloader.batch_size = args.batch_size
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    config.test_cfg = config.test_dataloader = config.test_evaluator = None
    config.default_hooks.checkpoint.save_best = None
    config.default_hooks.logger.interval = 1
    config.log_processor.window_size = 1
    config.train_cfg.max_epochs = args.epochs
    config.param_scheduler[1].update(end=args.epochs, T_max=args.epochs)
    return config


def read_losses(folder: Path) -> List[Dict[int, float]]:
    """The loss of each iteration, of each start of the run."""
    runs = []
    for log in sorted(folder.glob('*/vis_data/scalars.json')):
        lines = [x for x in log.read_text().split('\n')[:-1] if x]
        rows = map(json.loads, lines)
        runs.append({row['step']: row['loss'] for row in rows})
    return runs


def train(folder: Path, device: str, *arguments):
    """Start tools/train.py."""
    return start_program([
        ROOT / 'tools/train.py', folder / 'config.py', '--work-dir', folder,
        *arguments
    ],
                         folder / 'train.log',
                         device=device)


def kill_after_checkpoint(args: argparse.Namespace, folder: Path) -> None:
    """Train until some iterations after the first checkpoint.

    Raises:
        RuntimeError: If training ends before, with its last line.
    """
    process = train(folder, args.device)
    try:
        while process.poll() is None:
            runs = read_losses(folder)
            checkpoint = folder / 'epoch_1.pth'
            iterations = args.images // args.batch_size + args.twice
            if checkpoint.exists() and runs and max(
                    runs[0], default=0) >= iterations:
                return
            time.sleep(0.01)
        raise RuntimeError('training ended before it could be killed: ' +
                           last_line(folder / 'train.log'))
    finally:
        kill_program(process)


def resume(args: argparse.Namespace, folder: Path) -> dict:
    """Kill, resume and compare.

    Raises:
        RuntimeError: If the run does not come to its end, or iterations are
            missing.
    """
    kill_after_checkpoint(args, folder)
    mark = (folder / 'last_checkpoint').read_text()
    resumed = int(Path(mark).stem.split('_')[1])
    process = train(folder, args.device, '--resume')
    try:
        code = process.wait()
    finally:
        kill_program(process)
    if code:
        raise RuntimeError('resumed training failed: ' +
                           last_line(folder / 'train.log'))
    first, second = read_losses(folder)
    per_epoch = args.images // args.batch_size
    expected = range(resumed * per_epoch + 1, args.epochs * per_epoch + 1)
    if list(second) != list(expected):
        raise RuntimeError(f'iterations {min(second)} to {max(second)} after '
                           f'resuming, not {expected[0]} to {expected[-1]}')
    twice = sorted(first.keys() & second.keys())
    return dict(
        iterations=args.epochs * per_epoch,
        killed=max(first),
        resumed=resumed * per_epoch,
        twice=len(twice),
        difference=max(abs(second[i] / first[i] - 1) for i in twice))


def main(argv=None) -> None:
    parser = ArgumentParser(__doc__)
    parser.add_number('--images', 128, 'images to train on')
    parser.add_number('--batch-size', 8, 'of them in a step')
    parser.add_number('--epochs', 4, 'epochs')
    parser.add_number('--twice', 5, 'iterations from checkpoint to kill')
    parser.add_number('--image-size', 128, 'longer side of the images')
    parser.add_device()
    args = parser.parse_args(argv)
    data, folder = args.out / 'data', args.out / 'run'
    draw_dataset(data, args.images, 1, args.image_size, num_workers=1)
    assert annotation_file(data, 'train').is_file()
    folder.mkdir(exist_ok=True)
    make_config(args, data).dump(str(folder / 'config.py'))
    results = Results(
        args.out / 'resume', 'Resumed after SIGKILL',
        f'{CONFIG}, {args.device}. Losses of iterations that were done before '
        'the kill and again after it.', RESUME)
    results.add(resume(args, folder))
    print(results.markdown())


if __name__ == '__main__':
    main()
