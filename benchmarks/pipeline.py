"""Images per second and core of the training pipeline, beside MMPose's
ED-Pose.

Both read the same images, in turns, with one thread and no worker process:

    python benchmarks/pipeline.py --out DIR \\
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
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Dict, List

import cv2
import mmpose.datasets  # noqa: F401  (registers its transforms)
import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS
from program import ArgumentParser
from tqdm import tqdm

from benchmarks.lib.method import find_method
from benchmarks.lib.results import Results, milliseconds
from projects.grouppose.synthetic import draw_dataset

WAYS = ('resize', 'resize, crop, resize')
COLUMNS = {
    'augmentation': 'way',
    'pipeline': 'pipeline',
    'images/s of one core':
    lambda row: f'{len(row["seconds"]) / sum(row["seconds"]):.0f}',
    'one image (ms)': milliseconds(),
    'cannot make': 'cannot',
    'steps (ms)': 'steps',
}


def edpose_pipeline() -> List[list]:
    """The two ways of MMPose's ED-Pose config, which does not load itself."""
    final = dict(
        scales=[(side, 1333) for side in range(480, 801, 32)], keep_ratio=True)
    first = dict(
        scales=[(side, 4200) for side in (400, 500, 600)], keep_ratio=True)
    crop = dict(
        type='BottomupRandomCrop',
        crop_type='absolute_range',
        crop_size=(384, 600),
        allow_negative_crop=True)
    ways = ([dict(type='RandomChoiceResize', **final)], [
        dict(type='BottomupRandomChoiceResize', **first), crop,
        dict(type='BottomupRandomChoiceResize', **final)
    ])
    return [[
        dict(type='LoadImage'),
        dict(type='RandomFlip', direction='horizontal'), *way,
        dict(type='PackPoseInputs')
    ] for way in ways]


def our_pipeline(dataset: Config) -> List[list]:
    """The two ways of the published config."""
    transforms = dataset.pipeline
    i = [transform.type for transform in transforms].index('RandomChoice')
    return [[*transforms[:i], *way, *transforms[i + 1:]]
            for way in transforms[i].transforms]


def build_datasets(args: argparse.Namespace) -> Dict[tuple, object]:
    """A data set for each pipeline and way, by their names."""
    init_default_scope('mmpose')
    config = find_method('grouppose-r50').read().train_dataloader.dataset
    source = dict(
        type='CocoDataset',
        data_mode='bottomup',
        data_root=str(args.data),
        ann_file=args.ann_file,
        data_prefix=dict(img=args.images))
    ours = dict(
        type='PoseImageDataset', metainfo=config.metainfo, dataset=source)
    datasets = {}
    for way, their_way, our_way in zip(WAYS, edpose_pipeline(),
                                       our_pipeline(config)):
        for name, dataset, pipeline in (('ED-Pose', source, their_way),
                                        ('ours', ours, our_way)):
            datasets[name,
                     way] = DATASETS.build(dict(dataset, pipeline=pipeline))
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
        name: indices[img_id]
        for name, indices in by_id.items()
    } for img_id in shared[:limit]]


def time_sample(dataset, index: int) -> Dict[str, float]:
    """Seconds of each step in making a sample."""
    start = time.perf_counter()
    results = dataset.get_data_info(index)
    seconds = Counter(annotations=time.perf_counter() - start)
    for step in getattr(dataset, 'dataset', dataset).pipeline.transforms:
        start = time.perf_counter()
        results = step(results)
        seconds[type(step).__name__] += time.perf_counter() - start
    return dict(seconds)


def measure(datasets: Dict[tuple, object], images: List[dict]) -> dict:
    """Samples and errors of each data set, which take turns."""
    outcomes = {name: ([], Counter()) for name in datasets}
    for i, indices in enumerate(tqdm(images, mininterval=2)):
        for name, dataset in datasets.items():
            samples, errors = outcomes[name]
            np.random.seed(i)
            try:
                samples.append(time_sample(dataset, indices[name]))
            except Exception as error:  # of transforms that are not ours
                errors[f'{type(error).__name__}: {error}'] += 1
    return outcomes


def make_row(name: tuple, samples: List[dict], errors: Counter) -> dict:
    """The outcome of a data set."""
    pipeline, way = name
    row = dict(pipeline=pipeline, way=way, errors=dict(errors), cannot='')
    if errors:
        failed = sum(errors.values())
        row['cannot'] = '; '.join(
            [f'{failed} of {len(samples) + failed}', *errors])
    if samples:
        row['seconds'] = [sum(sample.values()) for sample in samples]
        medians = {
            step: 1e3 * statistics.median(sample[step] for sample in samples)
            for step in samples[0]
        }
        row['steps'] = ', '.join(f'{step} {ms:.1f}'
                                 for step, ms in medians.items())
    return row


def main(argv=None) -> None:
    parser = ArgumentParser(__doc__)
    parser.set_defaults(threads=1)
    parser.add_argument('--data', type=Path, help='folder of a data set')
    parser.add_argument(
        '--ann-file',
        default='annotations/person_keypoints_train.json',
        help='annotations in COCO format, within the folder')
    parser.add_argument(
        '--images', default='train', help='images, within the folder')
    parser.add_number('--num-images', 100, 'images at most')
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        if args.data is None:
            args.data = Path(folder)
            draw_dataset(
                args.data, args.num_images, 1, long_side=640, num_workers=1)
        datasets = build_datasets(args)
        images = image_indices(datasets, args.num_images)
        measure(datasets, images[:2])  # warms up
        outcomes = measure(datasets, images)
    results = Results(
        args.out / 'pipeline', 'Training pipelines',
        f'{len(images)} images, one thread, no worker process, pipelines in '
        'turns. Times are medians (least to most) of the samples that a '
        'pipeline made; steps are medians. ED-Pose is the pipeline of '
        "MMPose's config edpose_res50_8xb2-50e_coco-800x1333: it makes no "
        'targets, and the first of its ways does not resize keypoints.',
        COLUMNS)
    results.add(*[make_row(name, *found) for name, found in outcomes.items()])
    print(results.markdown())


if __name__ == '__main__':
    main()
