"""Train Group Pose, RTMO, RTMPose and ViTPose on the same images, from
scratch, and compare what they learn.

Draws people, trains each network for the same number of epochs, and a
detector, too. Top-down networks are evaluated with true boxes and with the
detector's. What an earlier run has finished is not done again. The defaults
suit two CPU cores; on a GPU, take more, e.g. --images 50000 --epochs 20.
"""
import argparse
import sys
from pathlib import Path

from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

# flake8: noqa: E402
from projects.grouppose.benchmark.tables import Results
from projects.grouppose.comparison.curves import draw_curves
from projects.grouppose.comparison.trainings import (Training, add_arguments,
                                                     count_parameters,
                                                     evaluate, read_curve,
                                                     train_all)
from projects.grouppose.synthetic import annotation_file, draw_dataset

CONFIGS = ROOT / 'configs/comparison/drawn'
METHODS = {
    'Group Pose': 'grouppose_tiny-res18_1xb8-4e_drawn-128.py',
    'RTMO': 'rtmo_tiny_1xb8-4e_drawn-128.py',
    'RTMPose': 'rtmpose_tiny_1xb32-4e_drawn-128x96.py',
    'ViTPose': 'vitpose_tiny_1xb32-4e_drawn-128x96.py',
}
DETECTOR = 'rtmdet_tiny_1xb8-4e_drawn-128.py'
METRICS = ('AP', 'AP .5', 'AP .75', 'AP (M)', 'AR')
EXPLANATION = """
{images} images of 128 pixels with {people} people, {epochs} epochs, batches of
8 images or 32 people, random initialization, no flip test, COCO's metric on
{val_images} other images. Every network sees every image with people, and so
every person, {epochs} times, half of the times mirrored; top-down networks see
them also turned, shifted and scaled. The boxes of RTMDet, trained on the same
images as often, have an AP of {box_ap}. All in percent.
"""


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, 'work_dirs/compare_training', images=4500)
    parser.add_argument(
        '--epochs', type=int, default=4, help='default: %(default)s')
    return parser.parse_args(argv)


def describe_training(name, file_name, args):
    """A training with the data and the epochs of this comparison."""
    config = Config.fromfile(str(CONFIGS / file_name))
    data = f'{args.out.resolve()}/data/'
    for split in ('train', 'val', 'test'):
        dataset = config[f'{split}_dataloader'].dataset
        dataset.get('dataset', dataset).data_root = data
    for split in ('val', 'test'):
        config[f'{split}_evaluator'].ann_file = str(
            annotation_file(Path(data), 'val'))
    share = args.epochs / config.train_cfg.max_epochs
    config.train_cfg.max_epochs = args.epochs
    config.param_scheduler[1].update(end=args.epochs, T_max=args.epochs)
    for hook in config.custom_hooks:
        if 'epoch_attributes' in hook:
            hook.epoch_attributes = {
                round(share * epoch): change
                for epoch, change in hook.epoch_attributes.items()
            }
    folder = args.out / Path(file_name).stem
    return Training(name, config, folder)


def detect(training):
    """Boxes of the trained detector on the images to evaluate on.

    Returns:
        tuple: The path of their file, None if there are none, and their AP.
    """
    prefix = training.folder / 'detections'

    def write_boxes(config):
        config.test_evaluator.outfile_prefix = str(prefix.resolve())

    metrics = evaluate(training, 'test', write_boxes)
    if 'coco/bbox_mAP' not in metrics:  # it found nobody
        return None, 0.0
    return prefix.with_suffix('.bbox.json'), metrics['coco/bbox_mAP']


def measure(training, failures, boxes):
    """Evaluate a method.

    Args:
        training (Training): Of the method.
        failures (dict): From :func:`train_all`.
        boxes (Path, optional): Boxes of the detector.

    Yields:
        dict: The rows of the method.
    """
    row = dict(method=training.name)
    if str(training.folder) in failures:
        yield dict(row, failed=failures[str(training.folder)])
        return
    row['parameters'] = count_parameters(training)
    dataset = training.config.test_dataloader.dataset
    top_down = dataset.get('data_mode') == 'topdown'
    metrics = evaluate(training, 'test')
    yield dict(row, boxes='true' if top_down else 'none', **metrics)
    if top_down and not boxes:
        yield dict(row, failed='the detector found nobody')
    elif top_down:

        def use_boxes(config):
            config.test_dataloader.dataset.bbox_file = str(boxes.resolve())

        metrics = evaluate(training, 'test_detected', use_boxes)
        yield dict(row, boxes='of the detector', **metrics)


def count_people(data):
    """People on the images to train on."""
    from pycocotools.coco import COCO
    return len(COCO(str(annotation_file(data, 'train'))).anns)


def summarize(args, trainings, detector, failures):
    """Evaluate what was trained and write table and curves."""

    def column(metric):
        name = f'coco/{metric}'
        return lambda row: f'{100 * row[name]:.1f}' if name in row else ''

    boxes = box_ap = None
    if str(detector.folder) not in failures:
        boxes, box_ap = detect(detector)
    columns = {
        'method': lambda row: row['method'],
        'boxes': lambda row: row.get('failed') or row['boxes'],
        'parameters': lambda row: row.get('parameters', ''),
        **{
            name: column(name)
            for name in METRICS
        }
    }
    results = Results(
        'Trained side by side',
        EXPLANATION.format(
            people=count_people(args.out / 'data'),
            box_ap='unknown' if box_ap is None else f'{100 * box_ap:.1f}',
            **vars(args)), columns, args.out / 'training')
    for training in trainings:
        for row in measure(training, failures, boxes):
            results.add(**row)
    draw_curves(
        {
            training.name: [read_curve(training.folder, 'coco/AP')]
            for training in trainings if str(training.folder) not in failures
        }, 'epoch (top-down methods: true boxes)', 'AP',
        args.out / 'training.png')
    return results


def main(argv=None):
    args = parse_args(argv)
    try:
        draw_dataset(
            args.out / 'data', args.images, args.val_images, long_side=128)
        trainings = [
            describe_training(name, file_name, args)
            for name, file_name in METHODS.items()
        ]
        detector = describe_training('RTMDet', DETECTOR, args)
        failures = train_all([*trainings, detector], args.jobs)
        results = summarize(args, trainings, detector, failures)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f'compare_training.py: {error}')
    print(results.markdown())
    print(f'{args.out}/training.md, .json and .png written')


if __name__ == '__main__':
    main()
