"""Time and memory of a training step, forward and backward.

Memory beside the plain implementation (mmcv's path for CPUs in place of ours),
with and without gradient checkpointing in the encoder, the ResNet-50 model:

    python tools/analysis_tools/benchmark_training.py memory --out DIR

Growth with the numbers of queries, keypoints and people and with the size of
the image, the small model of the drawn data set:

    python tools/analysis_tools/benchmark_training.py growth --out DIR

Images and people are random. Memory is the peak that a step adds, in a fresh
process on a CPU. DIR gets training_memory.md or training_growth.md, the same
as .json, and a chart of the growth. Each axis is written when it is done.
"""
import argparse
import sys
from pathlib import Path
from typing import NamedTuple, Tuple
from unittest import mock

import matplotlib
import numpy as np
import torch
from mmcv.ops.multi_scale_deform_attn import \
    multi_scale_deformable_attn_pytorch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor, nn
from tqdm import tqdm

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

# flake8: noqa: E402
import mmpose.models  # noqa: F401  (registers the detector)
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

from projects.grouppose.benchmark import (added_memory, in_fresh_process,
                                          take_turns)
from projects.grouppose.benchmark.tables import Results, spread
from projects.grouppose.codec import OKSKeypointCodec
from projects.grouppose.model import deformable_attention

FOLDER = ROOT / 'configs/body_2d_keypoint/grouppose'
RES50 = FOLDER / 'coco/grouppose_res50_8xb2-60e_coco-800x1333.py'
SMALL = FOLDER / 'drawn/grouppose_tiny-res18_1xb8-6e_drawn-128.py'
# Options of the growth, with the sizes to try.
AXES = {
    'queries': [25, 50, 100, 200, 300],
    'keypoints': [5, 17, 34, 68, 133],
    'people-per-image': [1, 10, 20, 40, 80],
    'sides': [128, 192, 256, 384, 512],
}


class Case(NamedTuple):
    """A training step to measure.

    Attributes:
        config (Path): Config of the model.
        size (tuple[int]): Width and height of the images.
        batch_size (int): Number of images.
        queries (int): Number of instances N.
        keypoints (int): Number of keypoints K.
        people (int): Number of people on each image.
        recompute (bool): Checkpoint gradients of the encoder.
        plain (bool): Sample as mmcv does on CPUs.
        device (str): Where to compute.
    """
    config: Path
    size: Tuple[int, int]
    batch_size: int
    queries: int = 100
    keypoints: int = 17
    people: int = 10
    recompute: bool = False
    plain: bool = False
    device: str = 'cpu'

    def build(self) -> nn.Module:
        """The model with random weights."""
        init_default_scope('mmpose')
        config = Config.fromfile(self.config).model
        config.backbone.init_cfg = None
        head = config.head
        head.num_queries = self.queries
        head.data_decoder = dict(
            type='OKSKeypointCodec', sigmas=[0.05] * self.keypoints)
        head.encoder.layer_cfg.with_cp = self.recompute
        torch.manual_seed(0)
        return MODELS.build(config).to(self.device).train()

    def make_batch(self) -> dict:
        """Random images and people."""
        random = np.random.RandomState(0)
        width, height = self.size
        codec = OKSKeypointCodec()
        samples, images = [], []
        for _ in range(self.batch_size):
            shape = (self.people, self.keypoints, 2)
            targets = codec.encode(
                random.uniform(0, 1, shape) * self.size,
                area=random.uniform(0.02, 0.2, self.people) * width * height,
                img_shape=(height, width))
            sample = PoseDataSample(
                metainfo=dict(
                    img_shape=(height, width), ori_shape=(height, width)))
            sample.gt_instance_labels = InstanceData(
                **{
                    name: torch.from_numpy(value)
                    for name, value in targets.items()
                })
            samples.append(sample)
            images.append(
                torch.from_numpy(
                    random.randint(0, 256,
                                   (3, height, width)).astype(np.uint8)))
        return dict(inputs=images, data_samples=samples)


class Step:
    """Takes the training step of a case, over and over."""

    def __init__(self, case: Case):
        self.case = case
        self.model = case.build()
        self.batch = case.make_batch()

    def __call__(self) -> None:
        sampling = deformable_attention.sample_maps
        if self.case.plain:
            sampling = mmcv_sampling
        with mock.patch.object(deformable_attention, 'sample_maps', sampling):
            data = self.model.data_preprocessor(self.batch, training=True)
            losses = self.model(**data, mode='loss')
            self.model.parse_losses(losses)[0].backward()
        self.model.zero_grad(set_to_none=True)


def mmcv_sampling(value: Tensor, spatial_shapes: Tensor,
                  level_start_index: Tensor, locations: Tensor,
                  weights: Tensor, im2col_step: int) -> Tensor:
    """``sample_maps`` as mmcv does it on a CPU."""
    return multi_scale_deformable_attn_pytorch(value, spatial_shapes,
                                               locations, weights)


def peak_memory(case: Case) -> float:
    """MiB that a step adds to the model and its batch."""
    if case.device != 'cpu':
        return _peak_of_this_process(case)
    return in_fresh_process(_peak_of_this_process, case)


def _peak_of_this_process(case: Case) -> float:
    # Libraries and thread pools, with as little memory as can be.
    Step(Case(SMALL, (64, 64), 1, 5, 3, 1, device=case.device))()
    return added_memory(Step(case), case.device)


def measure_memory(args: argparse.Namespace) -> None:
    """Time and memory with both samplings, with and without recomputing."""
    case = Case(
        RES50,
        tuple(args.size),
        args.batch_size,
        people=args.people,
        device=args.device)
    if args.small:
        case = case._replace(config=SMALL)
    results = Results(
        'Peak memory of a training step',
        f'{case.config.stem}, batch of {case.batch_size} at {case.size[0]} x '
        f'{case.size[1]}, {case.people} people an image, {case.device}, '
        f'{torch.get_num_threads()} threads, float32. Memory that a step '
        'adds, gradients of the weights included, in a fresh process; times '
        'are medians (least to most) of '
        f'{args.repeats} in turns.', {
            'deformable attention': lambda row: row['sampling'],
            'checkpointing': lambda row: 'yes' if row['recompute'] else 'no',
            'peak memory (MiB)': lambda row: f'{row["memory_mib"]:.0f}',
            'forward and backward (s)':
            lambda row: spread(row['seconds'], 1, 2),
        }, args.out / 'training_memory')
    cases = [
        case._replace(plain=plain, recompute=recompute)
        for recompute in (False, True) for plain in (True, False)
    ]
    runs = args.repeats + 1
    with tqdm(total=len(cases) * (1 + runs)) as progress:
        memory = []
        for case in cases:
            memory.append(peak_memory(case))
            progress.update()
        seconds = take_turns({case: Step(case)
                              for case in cases}, args.repeats, 1, progress)
    for case, mebibytes in zip(cases, memory):
        check(seconds[case])
        results.add(
            sampling='mmcv' if case.plain else 'ours',
            recompute=case.recompute,
            memory_mib=mebibytes,
            seconds=seconds[case])
    print(results.markdown())


def measure_growth(args: argparse.Namespace) -> None:
    """Time and memory along four axes around one case."""
    case = Case(
        SMALL, (256, 256),
        args.batch_size,
        people=args.people,
        device=args.device)
    results = Results(
        'Growth of a training step',
        f'{SMALL.stem}, batch of {case.batch_size}; unless the row says '
        f'otherwise {case.queries} queries, {case.keypoints} keypoints, '
        f'{case.people} people an image, {case.size[0]} x {case.size[1]} '
        f'pixels; {case.device}, {torch.get_num_threads()} threads, float32. '
        'Memory that a step adds, in a fresh process; times are medians '
        f'(least to most) of {args.repeats} of forward and backward, sizes of '
        'an axis in turns.', {
            'what grows': lambda row: row['axis'],
            'to': lambda row: row['value'],
            'time (ms)': lambda row: spread(row['seconds'], 1e3, 0),
            'peak memory (MiB)': lambda row: f'{row["memory_mib"]:.0f}',
        }, args.out / 'training_growth')
    axes = dict(
        queries=args.queries,
        keypoints=args.keypoints,
        people=args.people_per_image,
        side=args.sides)
    points = sum(map(len, axes.values()))
    with tqdm(total=points * (args.repeats + 2)) as progress:
        for axis, values in axes.items():
            cases = {value: grow(case, axis, value) for value in values}
            memory = {}
            for value, grown in cases.items():
                memory[value] = peak_memory(grown)
                progress.update()
            steps = {value: Step(grown) for value, grown in cases.items()}
            timed = take_turns(steps, args.repeats, 1, progress)
            for value, seconds in timed.items():
                check(seconds)
                results.add(
                    axis=axis,
                    value=value,
                    seconds=seconds,
                    memory_mib=memory[value])
    draw(results.rows, args.out / 'training_growth.png')
    print(results.markdown())


def grow(case: Case, axis: str, value: int) -> Case:
    """The case with another size along an axis."""
    if axis == 'side':
        return case._replace(size=(value, value))
    return case._replace(**{axis: value})


def check(seconds) -> None:
    """End with the error of a step that could not be taken."""
    if isinstance(seconds, Exception):
        raise seconds


def draw(rows: list, path: Path) -> None:
    """Draw time and memory along each axis, each from zero."""
    labels = dict(
        queries='queries N',
        keypoints='keypoints K',
        people='people an image',
        side='side of the image (pixels)')
    figure, panels = plt.subplots(1, 4, figsize=(14, 3.2))
    top = [
        1.1 * max(1e3 * max(row['seconds']) for row in rows),
        1.1 * max(row['memory_mib'] for row in rows)
    ]
    for panel, (axis, label) in zip(panels, labels.items()):
        points = [row for row in rows if row['axis'] == axis]
        values = [row['value'] for row in points]
        times = 1e3 * np.array([row['seconds'] for row in points])
        median = np.median(times, axis=1)
        other = panel.twinx()
        panel.errorbar(
            values,
            median, (median - times.min(1), times.max(1) - median),
            fmt='o-',
            color='C0')
        other.plot(
            values, [row['memory_mib'] for row in points], 's--', color='C1')
        panel.set(xlabel=label, xlim=(0, None), ylim=(0, top[0]))
        other.set(ylim=(0, top[1]))
        if panel is panels[0]:
            panel.set_ylabel('forward and backward (ms)', color='C0')
        if panel is panels[-1]:
            other.set_ylabel('peak memory (MiB)', color='C1')
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    memory = commands.add_parser('memory', help='beside plain sampling')
    memory.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=[640, 480],
        metavar=('W', 'H'),
        help='of the images (640 480)')
    memory.add_argument('--small', action='store_true', help='the small model')
    growth = commands.add_parser('growth', help='with sizes of the problem')
    for name, values in AXES.items():
        growth.add_argument(
            f'--{name}',
            type=int,
            nargs='+',
            default=values,
            help=f'sizes to try ({" ".join(map(str, values))})')
    for command, batch_size, repeats in ((memory, 1, 3), (growth, 2, 5)):
        command.add_argument(
            '--out', type=Path, required=True, help='folder for the results')
        command.add_argument('--batch-size', type=int, default=batch_size)
        command.add_argument(
            '--people', type=int, default=10, help='people an image (10)')
        command.add_argument(
            '--repeats',
            type=int,
            default=repeats,
            help=f'timings of each ({repeats})')
        command.add_argument('--device', default='cpu')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    run = dict(memory=measure_memory, growth=measure_growth)[args.command]
    run(args)


if __name__ == '__main__':
    main()
