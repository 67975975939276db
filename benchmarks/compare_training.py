"""Train Group Pose, RTMO, RTMPose and ViTPose on the same images, from
scratch, and compare what they learn.

    python benchmarks/compare_training.py --out DIR

Draws people, trains each network for the same number of epochs, and a
detector, too. Top-down networks are evaluated with true boxes and with the
detector's. What an earlier run has finished is not done again. DIR gets
training.md, training.json, training.png, the data and the trainings. The
defaults suit two CPU cores; on a GPU, take more, e.g. --images 50000
--epochs 20.
"""
import argparse
import copy
import sys
from pathlib import Path
from typing import List, Optional, Tuple

import torch
from program import ArgumentParser
from pycocotools.coco import COCO

from benchmarks.lib.accuracy import DataSet, measure_accuracy
from benchmarks.lib.charts import draw_curves
from benchmarks.lib.configs import TOP_DOWN
from benchmarks.lib.method import find_method
from benchmarks.lib.results import Results
from benchmarks.lib.tools import run_test
from benchmarks.lib.trainings import Training, read_training_config, train_all
from projects.grouppose.synthetic import annotation_file, draw_dataset

METHODS = {
    'Group Pose': 'grouppose_tiny-res18_1xb8-4e_drawn-128.py',
    'RTMO': 'rtmo_tiny_1xb8-4e_drawn-128.py',
    'RTMPose': 'rtmpose_tiny_1xb32-4e_drawn-128x96.py',
    'ViTPose': 'vitpose_tiny_1xb32-4e_drawn-128x96.py',
    'RTMDet': 'rtmdet_tiny_1xb8-4e_drawn-128.py',  # the detector
}
METRICS = ('AP', 'AP .5', 'AP .75', 'AP (M)', 'AR')
COLUMNS = {
    'method': 'method',
    'boxes': 'boxes',
    'parameters': 'parameters',
    **{
        name: lambda row, name=name: f'{100 * row[name]:.1f}'
        for name in METRICS
    }
}
EXPLANATION = """
{images} images of 128 pixels with {people} people, {epochs} epochs, batches of
8 images or 32 people, random initialization, no flip test, COCO's metric on
{val_images} other images. Every network sees every image with people, and so
every person, {epochs} times, half of the times mirrored; top-down networks see
them also turned, shifted and scaled. The boxes of RTMDet, trained on the same
images as often, have an AP of {box_ap}. All in percent.
"""


def describe_training(name: str, out: Path, epochs: int) -> Training:
    """A training with the data and the epochs of this comparison."""
    config = read_training_config(METHODS[name], out, max_epochs=epochs)
    share = epochs / config.max_epochs
    for hook in config.custom_hooks:
        if 'epoch_attributes' in hook:
            hook.epoch_attributes = {
                round(share * epoch): change
                for epoch, change in hook.epoch_attributes.items()
            }
    return Training(name, config, out / Path(METHODS[name]).stem)


def detect(training: Training) -> Tuple[Optional[Path], float]:
    """File with the boxes that a detector finds on the images to evaluate on,
    None if there are none, and their AP."""
    prefix = training.folder / 'detections'
    config = copy.deepcopy(training.config)
    config.test_evaluator.outfile_prefix = str(prefix.resolve())
    metrics = run_test(config, training.checkpoint, training.folder / 'test')
    if 'coco/bbox_mAP' not in metrics:  # it found nobody
        return None, 0.0
    return prefix.with_suffix('.bbox.json'), metrics['coco/bbox_mAP']


def measure(training: Training, out: Path,
            boxes: Optional[Path]) -> List[dict]:
    """Evaluate a method: rows with true boxes, or none, and with those of
    the detector."""
    method = find_method(
        f'{training.config_file}:{training.checkpoint}', name=training.name)
    data = DataSet(out.resolve() / 'data',
                   'annotations/person_keypoints_val.json', 'val')
    rows = measure_accuracy(method, data, training.folder / 'test', boxes
                            and boxes.resolve(),
                            'cuda' if torch.cuda.is_available() else 'cpu')
    parameters = training.count_parameters()
    for row in rows:
        row.update(row.pop('metrics', {}), parameters=parameters)
        if row['boxes'] == 'given file':
            row['boxes'] = 'of the detector'
    if method.kind == TOP_DOWN and not boxes:
        rows.append(
            dict(method=method.name, failed='the detector found nobody'))
    return rows


def summarize(args: argparse.Namespace, trainings: list,
              failures: dict) -> Results:
    """Evaluate what was trained and write table and curves."""
    *trainings, detector = trainings
    boxes = box_ap = None
    if detector.folder not in failures:
        boxes, box_ap = detect(detector)
    people = len(COCO(annotation_file(args.out / 'data', 'train')).anns)
    box_ap = 'unknown' if box_ap is None else f'{100 * box_ap:.1f}'
    explanation = EXPLANATION.format(
        people=people, box_ap=box_ap, **vars(args))
    results = Results(args.out / 'training', 'Trained side by side',
                      explanation, COLUMNS)
    curves = {}
    for training in trainings:
        failure = failures.get(training.folder)
        if failure:
            results.add(dict(method=training.name, failed=failure))
            continue
        results.add(*measure(training, args.out, boxes))
        curves[training.name] = [training.curve('coco/AP')]
    draw_curves(curves, 'epoch (top-down methods: true boxes)', 'AP',
                args.out / 'training.png')
    return results


def main(argv=None) -> None:
    parser = ArgumentParser(__doc__)
    parser.add_trainings(images=4500)
    parser.add_number('--epochs', 4, 'epochs of each network')
    args = parser.parse_args(argv)
    try:
        draw_dataset(
            args.out / 'data', args.images, args.val_images, long_side=128)
        trainings = [
            describe_training(name, args.out, args.epochs) for name in METHODS
        ]
        results = summarize(args, trainings, train_all(trainings, args.jobs))
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f'compare_training.py: {error}')
    print(results.markdown())


if __name__ == '__main__':
    main()
