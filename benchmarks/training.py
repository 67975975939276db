"""Time and memory of a training step, forward and backward.

Memory beside the plain implementation (mmcv's path for CPUs in place of ours),
with and without gradient checkpointing in the encoder, the ResNet-50 model:

    python benchmarks/training.py memory --out DIR

Growth with the numbers of queries, keypoints and people and with the size of
the image, the small model of the drawn data set:

    python benchmarks/training.py growth --out DIR

Images and people are random. Memory is the peak that a step adds, in a fresh
process on a CPU. DIR gets training_memory.md or training_growth.md, the same
as .json, and a chart of the growth. Each axis is written when it is done.
"""
import argparse
from contextlib import nullcontext
from pathlib import Path
from typing import Callable, NamedTuple, Tuple

from program import ArgumentParser, positive

from benchmarks.lib.case import Load, TrainingCase
from benchmarks.lib.charts import plt, save, spreads
from benchmarks.lib.method import find_method
from benchmarks.lib.mmcv_path import mmcv_sampling
from benchmarks.lib.results import Results
from benchmarks.lib.variants import COLUMNS, MEMORY, measure_variants

RES50 = 'grouppose-r50'
SMALL = ('configs/body_2d_keypoint/grouppose/drawn/'
         'grouppose_tiny-res18_1xb8-6e_drawn-128.py')
# What grows: its option, with the values to try, and its label in the chart.
AXES = {
    'queries': ('queries', [25, 50, 100, 200, 300], 'queries N'),
    'keypoints': ('keypoints', [5, 17, 34, 68, 133], 'keypoints K'),
    'people': ('people-per-image', [1, 10, 20, 40, 80], 'people per image'),
    'side': ('sides', [128, 192, 256, 384, 512], 'side of the image (pixels)'),
}


class Case(NamedTuple):
    """A training step: config or name of the model, size (W, H) and number of
    images, queries N, keypoints K, people on each image, whether gradients of
    the encoder are recomputed and whether it samples as mmcv does."""
    config: str
    size: Tuple[int, int]
    batch_size: int
    queries: int = 100
    keypoints: int = 17
    people: int = 10
    recompute: bool = False
    plain: bool = False
    device: str = 'cpu'

    def build(self) -> TrainingCase:
        """The model with random weights, and random images and people."""
        sigmas = [0.05] * self.keypoints
        metainfo = dict(
            _delete_=True,
            dataset_name='random',
            keypoint_info={
                i: dict(name=f'{i}', id=i, color=[0] * 3, type='', swap='')
                for i in range(self.keypoints)
            },
            skeleton_info={},
            joint_weights=sigmas,
            sigmas=sigmas)
        codec = dict(_delete_=True, type='OKSKeypointCodec', sigmas=sigmas)
        method = find_method(
            self.config, self.size, **{
                'model.head.num_queries': self.queries,
                'model.head.data_decoder': codec,
                'model.head.encoder.layer_cfg.with_cp': self.recompute,
                'train_dataloader.dataset.metainfo': metainfo
            })
        load = Load(batch_size=self.batch_size, people=self.people)
        return TrainingCase(method, load, self.device)

    def prepare(self) -> Callable[[], None]:
        """The step, without that of the optimizer."""
        training = self.build()

        def step() -> None:
            with mmcv_sampling() if self.plain else nullcontext():
                training.forward_and_backward()

        return step

    def prepare_after_another(self) -> Callable[[], None]:
        """The step, after one with as little memory as can be, for libraries
        and thread pools."""
        Case(SMALL, (64, 64), 1, 5, 3, 1, device=self.device).prepare()()
        return self.prepare()


def make_case(args: argparse.Namespace) -> Case:
    """What is measured beside others."""
    if args.what == 'memory':
        config, size, images = RES50, tuple(args.size), 1
    else:
        config, size, images = SMALL, (256, 256), 2
    return Case(
        SMALL if args.small else config,
        size,
        args.batch_size or images,
        people=args.people,
        device=args.device)


def memory_cases(case: Case, args: argparse.Namespace) -> dict:
    """Both samplings, with and without recomputing."""
    return {
        'step': {
            f'{name}{", checkpointing" if recompute else ""}':
            case._replace(plain=name == 'mmcv', recompute=recompute)
            for recompute in (False, True)
            for name in ('mmcv', 'ours')
        }
    }


def growth_cases(case: Case, args: argparse.Namespace) -> dict:
    """Four axes around the case."""
    cases = {}
    for axis, (option, *_) in AXES.items():
        values = getattr(args, option.replace('-', '_'))
        cases[axis] = {
            value:
            case._replace(size=(value,
                                value)) if axis == 'side' else case._replace(
                                    **{axis: value})
            for value in values
        }
    return cases


def draw(rows: list, path: Path) -> None:
    """Draw time and memory along each axis, each from zero."""
    figure, panels = plt.subplots(1, len(AXES), figsize=(14, 3.2))
    most_ms = 1e3 * max(max(row['seconds']) for row in rows)
    most_memory = max(row['memory_mib'] for row in rows)
    for panel, (axis, (*_, label)) in zip(panels, AXES.items()):
        points = [row for row in rows if row['what'] == axis]
        values = [row['case'] for row in points]
        times = spreads([row['seconds'] for row in points])
        panel.errorbar(values, *times, fmt='o-', color='C0')
        panel.set(xlabel=label, xlim=(0, None), ylim=(0, 1.1 * most_ms))
        other = panel.twinx()
        memory = [row['memory_mib'] for row in points]
        other.plot(values, memory, 's--', color='C1')
        other.set(ylim=(0, 1.1 * most_memory))
    panels[0].set_ylabel('forward and backward (ms)', color='C0')
    other.set_ylabel('peak memory (MiB)', color='C1')
    figure.tight_layout()
    save(figure, path)


def main(argv=None) -> None:
    parser = ArgumentParser(__doc__, repeats=5)
    find_cases = dict(memory=memory_cases, growth=growth_cases)
    parser.add_argument('what', choices=find_cases, help='what to measure')
    parser.add_size((640, 480), 'the images, for memory')
    parser.add_argument(
        '--small', action='store_true', help='the small model, for memory')
    for option, values, label in AXES.values():
        parser.add_numbers(f'--{option}', values, f'{label}, for growth')
    parser.add_argument(
        '--batch-size', type=positive, help='images (memory 1, growth 2)')
    parser.add_number('--people', 10, 'people per image')
    parser.add_device('cpu')
    args = parser.parse_args(argv)
    case = make_case(args)
    results = Results(
        args.out / f'training_{args.what}', f'Training step: {args.what}',
        f'{Path(case.config).stem}, batch of {case.batch_size}, '
        f'{case.size[0]} x {case.size[1]} pixels, {case.queries} queries, '
        f'{case.keypoints} keypoints and {case.people} people per image '
        f'unless the row says otherwise; {case.device}, float32. Forward and '
        f'backward, medians (least to most) of {args.repeats}, rows of the '
        'same kind in turns. Memory that a step adds, gradients of the '
        'weights included, on a CPU in a fresh process.', {
            **COLUMNS,
            **MEMORY
        })
    for what, cases in find_cases[args.what](case, args).items():
        steps = {
            name: one.prepare_after_another
            for name, one in cases.items()
        }
        results.add(*measure_variants(what, steps, args.settings))
    if args.what == 'growth':
        draw(results.content['rows'], args.out / 'training_growth.png')
    print(results.markdown())


if __name__ == '__main__':
    main()
