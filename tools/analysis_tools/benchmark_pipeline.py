"""Images a second and core of the training pipeline, beside MMPose's ED-Pose.

Both read the same images, in turns, with one thread and no worker process:

    python tools/analysis_tools/benchmark_pipeline.py --out DIR \\
        [--data data/coco --ann-file annotations/person_keypoints_val2017.json
         --images val2017]

Without ``--data``, images are drawn, 640 pixels wide or high as COCO's. Each
of the two ways of augmentation (resize; resize, crop, resize) is timed by
itself, transform by transform. Only samples that a pipeline can make are
timed; how many it cannot make, and its error, are in the table. DIR gets
pipeline.md and pipeline.json.
"""
import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Dict, List

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import mmpose.datasets  # noqa: E402, F401  (registers its transforms)
from mmpose.registry import DATASETS  # noqa: E402

from projects.grouppose.benchmark.tables import Results, spread  # noqa: E402
from projects.grouppose.synthetic import draw_dataset  # noqa: E402

CONFIG = ROOT / ('configs/body_2d_keypoint/grouppose/coco/'
                 'grouppose_res50_8xb2-60e_coco-800x1333.py')
WAYS = ('resize', 'resize, crop, resize')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--out', type=Path, required=True, help='folder for the results')
    parser.add_argument('--data', type=Path, help='folder of a data set')
    parser.add_argument(
        '--ann-file',
        default='annotations/person_keypoints_train.json',
        help='annotations in COCO format, within the folder')
    parser.add_argument(
        '--images', default='train', help='images, within the folder')
    parser.add_argument(
        '--num-images', type=int, default=100, help='at most (100)')
    return parser.parse_args()


def edpose_pipeline() -> List[list]:
    """The two ways of MMPose's ED-Pose config, which does not load itself."""
    sides = list(range(480, 801, 32))
    final = dict(scales=[(side, 1333) for side in sides], keep_ratio=True)
    first = dict(scales=[(side, 4200) for side in (400, 500, 600)])
    load = [
        dict(type='LoadImage'),
        dict(type='RandomFlip', direction='horizontal')
    ]
    crop = [
        dict(type='BottomupRandomChoiceResize', keep_ratio=True, **first),
        dict(
            type='BottomupRandomCrop',
            crop_type='absolute_range',
            crop_size=(384, 600),
            allow_negative_crop=True),
        dict(type='BottomupRandomChoiceResize', **final),
    ]
    pack = [dict(type='PackPoseInputs')]
    return [[*load, dict(type='RandomChoiceResize', **final), *pack],
            [*load, *crop, *pack]]


def our_pipeline(dataset: Config) -> List[list]:
    """The two ways of the published config."""
    before, after, ways = [], [], None
    for transform in dataset.pipeline:
        if transform.type == 'RandomChoice':
            ways = transform.transforms
        else:
            (before if ways is None else after).append(transform)
    return [[*before, *way, *after] for way in ways]


def build_datasets(args: argparse.Namespace) -> Dict[tuple, object]:
    """A data set for each pipeline and way, by their names."""
    init_default_scope('mmpose')
    config = Config.fromfile(CONFIG).train_dataloader.dataset
    source = dict(
        type='CocoDataset',
        data_mode='bottomup',
        data_root=str(args.data),
        ann_file=args.ann_file,
        data_prefix=dict(img=args.images))
    datasets = {}
    for way, theirs, ours in zip(WAYS, edpose_pipeline(),
                                 our_pipeline(config)):
        datasets['ED-Pose',
                 way] = DATASETS.build(dict(source, pipeline=theirs))
        datasets['ours', way] = DATASETS.build(
            dict(
                type='PoseImageDataset',
                metainfo=config.metainfo,
                pipeline=ours,
                dataset=source))
    return datasets


def image_indices(datasets: Dict[tuple, object], limit: int) -> List[dict]:
    """For each image that all data sets use, its index in each."""
    by_id = {
        name: {
            dataset.get_data_info(i)['img_id']: i
            for i in range(len(dataset))
        }
        for name, dataset in datasets.items()
    }
    shared = sorted(set.intersection(*map(set, by_id.values())))
    return [{
        name: by_id[name][img_id]
        for name in datasets
    } for img_id in shared[:limit]]


def time_sample(dataset, index: int) -> Dict[str, float]:
    """Seconds of each step in making a sample."""
    seconds = Counter()
    start = time.perf_counter()
    results = dataset.get_data_info(index)
    inner = getattr(dataset, 'dataset', dataset)
    steps = [('annotations', None)]
    steps += [(type(step).__name__, step)
              for step in inner.pipeline.transforms]
    for name, step in steps:
        if step is not None:
            results = step(results)
        end = time.perf_counter()
        seconds[name] += end - start
        start = end
    return dict(seconds)


def measure(datasets: Dict[tuple, object], images: List[dict]) -> dict:
    """Samples and errors of each data set, which take turns."""
    outcomes = {name: ([], Counter()) for name in datasets}
    for i, indices in enumerate(tqdm(images, mininterval=2)):
        for name, dataset in datasets.items():
            samples, errors = outcomes[name]
            np.random.seed(i)
            try:
                sample = time_sample(dataset, indices[name])
            except Exception as error:  # of transforms that are not ours
                errors[f'{type(error).__name__}: {error}'] += 1
            else:
                samples.append(sample)
    return outcomes


def main() -> None:
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        if args.data is None:
            args.data = Path(folder) / 'drawn'
            draw_dataset(
                args.data, args.num_images, 1, long_side=640, num_workers=1)
        datasets = build_datasets(args)
        images = image_indices(datasets, args.num_images)
        measure(datasets, images[:2])  # warms up
        outcomes = measure(datasets, images)
    results = Results(
        'Training pipelines',
        f'{len(images)} images, one thread, no worker process, pipelines in '
        'turns. Times are medians (least to most) of the samples that a '
        'pipeline made; steps are medians. ED-Pose is the pipeline of '
        "MMPose's config edpose_res50_8xb2-50e_coco-800x1333: it makes no "
        'targets, and the first of its ways does not resize keypoints.', {
            'augmentation': lambda row: row['way'],
            'pipeline': lambda row: row['pipeline'],
            'images/s of one core': lambda row: row['per_second'],
            'one image (ms)': lambda row: row['text'],
            'cannot make': lambda row: row['failed'],
            'steps (ms)': lambda row: row['steps'],
        }, args.out / 'pipeline')
    for name, (samples, errors) in outcomes.items():
        add_row(results, name, samples, errors)
    print(results.markdown())


def add_row(results: Results, name: tuple, samples: List[dict],
            errors: Counter) -> None:
    """Add the outcome of a data set."""
    pipeline, way = name
    totals = [sum(sample.values()) for sample in samples]
    steps = {
        step: 1e3 * statistics.median(sample[step] for sample in samples)
        for step in (samples[0] if samples else ())
    }
    count = len(samples) + sum(errors.values())
    results.add(
        pipeline=pipeline,
        way=way,
        seconds=totals,
        per_second=f'{len(totals) / sum(totals):.0f}' if totals else '',
        text=spread(totals, 1e3) if totals else '',
        failed='; '.join([f'{sum(errors.values())} of {count}'] *
                         bool(errors) + list(errors)),
        errors=dict(errors),
        steps=', '.join(f'{step} {ms:.1f}' for step, ms in steps.items()))


if __name__ == '__main__':
    main()
