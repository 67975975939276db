"""Measure how good the scores of joints are, on the images that CONFIG tests.

OUT_DIR gets joints.md, joints.json and joints.png:

- area under the ROC curve, expected calibration error and reliability diagram
  of the probabilities that a joint is labeled, and that a labeled one is
  visible,
- how many joints the ellipses of 50 % and 90 % of the predicted distribution
  hold,
- how the expected OKS of joints is correlated with the true one,
- the metrics of test_evaluator with the scores of instances as they are, and
  multiplied by the OKS that their joints are expected to have,
- time and memory that the head adds.

The joints are those of the people who were found: of the poses of an image,
the best first, each takes the person with the highest OKS that is not taken
yet, if it is at least 0.1. What is said of errors is of their labeled joints.
Calibrate the scores first, on other images: calibrate_joint_scores.py.
"""
import argparse
import copy
import json
import os
import statistics
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Dict, Iterator

import torch
from mmengine.config import Config, DictAction
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpose.structures import PoseDataSample
from torch import nn
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from projects.grouppose.config_file import read_config  # noqa: E402
from projects.grouppose.evaluation import joint_calibration  # noqa: E402
from projects.grouppose.evaluation import joint_report  # noqa: E402
from projects.grouppose.inference import load_model  # noqa: E402
from projects.grouppose.model import joint_scores  # noqa: E402


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of a model with JointScores')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument('out', type=Path, metavar='OUT_DIR')
    parser.add_argument(
        '--timed',
        type=int,
        default=50,
        metavar='N',
        help='time so many images (default: %(default)s)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config')
    args = parser.parse_args(argv)
    if args.timed < 1:
        parser.error(f'--timed must be at least 1, got {args.timed}')
    return args


class Measurement:
    """A model, and the images and the evaluator of its config."""

    def __init__(self, cfg: Config, checkpoint: str, name: str):
        self.evaluator_cfg = cfg.get('test_evaluator')
        if not self.evaluator_cfg:
            raise ValueError(f'{name}: `test_evaluator` is missing. Give the '
                             'config that the model was trained with.')
        self.model = load_model(cfg, checkpoint)
        self.part = joint_scores.find_joint_scores(self.model, name)
        init_default_scope('mmpose')
        loader = dict(
            cfg.test_dataloader, num_workers=0, persistent_workers=False)
        self.loader = Runner.build_dataloader(loader)
        self.metrics: Dict[str, Dict[str, float]] = {}

    def evaluate(self, scores: str) -> Iterator[PoseDataSample]:
        """Predict all images, and note the metrics under a name.

        Args:
            scores (str): 'instances', or 'reweighted' by their joints.

        Yields:
            PoseDataSample: Predictions.
        """
        self.part.reweight = scores == 'reweighted'
        with redirect_stdout(None):  # in which COCO's reader says what it does
            evaluator = Evaluator(self.evaluator_cfg)
            evaluator.dataset_meta = self.loader.dataset.metainfo
        for data in tqdm(self.loader, desc=f'scores of {scores}'):
            samples = self.model.test_step(data)
            evaluator.process(samples, data)
            yield from samples
        with redirect_stdout(None):  # and its table
            found = evaluator.evaluate(len(self.loader.dataset))
        self.metrics[scores] = {k: float(v) for k, v in found.items()}

    def cost(self, count: int) -> Dict[str, float]:
        """Time the model with and without the head in turns, one image at a
        time, and weigh the head."""
        plain = copy.deepcopy(self.model)
        plain.head.decoder.joint_scores = None
        dataset, collate = self.loader.dataset, self.loader.collate_fn
        order = {'without': plain, 'with': self.model}
        times: Dict[str, list] = {name: [] for name in order}
        for turn in tqdm(range(-3, count), desc='timing'):  # 3 to warm up
            data = collate([dataset[turn % len(dataset)]])
            names = sorted(order, reverse=turn % 2 == 0)
            for name in names:
                seconds = _time(order[name], copy.deepcopy(data))
                if turn >= 0:
                    times[name].append(1000 * seconds)
        added = map(float.__sub__, times['with'], times['without'])
        weights = [*self.part.parameters(), *self.part.buffers()]
        return {
            'ms per image without it':
            statistics.median(times['without']),
            'ms per image':
            statistics.median(added),
            'KiB of weights':
            sum(w.nbytes for w in weights) / 1024,
            'KiB of activations per image':
            _activations(self.model, self.part, data) / 1024
        }


def _time(model: nn.Module, data: Any) -> float:
    """Seconds of a prediction."""
    _wait()
    start = time.perf_counter()
    model.test_step(data)
    _wait()
    return time.perf_counter() - start


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _activations(model: nn.Module, part: nn.Module, data: Any) -> int:
    """Bytes of what the layers of a part compute in a prediction."""
    sizes = []
    hooks = [
        module.register_forward_hook(
            lambda module, inputs, output: sizes.append(output.nbytes))
        for module in part.modules() if not [*module.children()]
    ]
    model.test_step(data)
    for hook in hooks:
        hook.remove()
    return sum(sizes)


@torch.no_grad()
def measure(args: argparse.Namespace) -> joint_report.JointReport:
    """Measure everything."""
    cfg = read_config(args.config)
    cfg.merge_from_dict(args.cfg_options)
    measurement = Measurement(cfg, args.checkpoint, args.config)
    try:
        joints = joint_calibration.collect_joints(
            measurement.evaluate('instances'),
            measurement.model.head.codec.sigmas)
    except ValueError as error:
        raise ValueError(f'{args.config}: test_dataloader: {error}') from error
    for _ in measurement.evaluate('reweighted'):
        pass
    measurement.part.reweight = False
    device = next(measurement.model.parameters()).device.type
    people = len(joints.labeled) // len(measurement.model.head.codec.sigmas)
    notes = [
        f'Of {len(measurement.loader.dataset)} images, the joints of the '
        f'{people} people who were found (a pose with an OKS of at least '
        f'{joint_calibration.MIN_OKS:g}).',
        f'Times are of {device}, {torch.get_num_threads()} threads: the '
        f'median of {args.timed} images, with and without the head in turns.'
    ]
    if joints.visible.all() or not joints.visible.any():
        notes.append('The annotations do not tell hidden joints from visible '
                     'ones, so the probability of being visible was not '
                     'judged.')
    return joint_report.JointReport(
        f'Scores of joints of {os.path.basename(args.checkpoint)}', joints,
        measurement.part.mixture.tolist(), measurement.metrics,
        measurement.cost(args.timed), notes)


def main(argv=None) -> None:
    args = parse_args(argv)
    try:
        report = measure(args)
        args.out.mkdir(parents=True, exist_ok=True)
        table = report.to_markdown()
        (args.out / 'joints.md').write_text(table, encoding='utf-8')
        (args.out / 'joints.json').write_text(
            json.dumps(report.to_dict(), indent=1, allow_nan=False) + '\n')
        report.draw(args.out / 'joints.png')
    except (OSError, ValueError) as error:
        sys.exit(f'measure_joint_scores.py: {error}')
    print(table)
    print(f'{args.out}/joints.md, joints.json and joints.png written')


if __name__ == '__main__':
    main()
