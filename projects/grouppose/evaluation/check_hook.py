"""A hook that compares what will be evaluated with its annotations."""
import logging
import os.path as osp
from typing import Any, Dict, List

from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, Runner
from mmpose.evaluation import CocoMetric
from mmpose.registry import HOOKS
from torch import nn

from ..data.annotations import name_objects
from .coco_eval import COCO_MAX_DETS, count_people
from .metric import RunImagesMixin


@HOOKS.register_module()
class EvaluationCheckHook(Hook):
    """Refuse an evaluation that would crash at its end or mean nothing.

    Data set and metric read annotation files of their own. Before training,
    validation and testing, this hook checks that the metric's file has the
    images of the data set and the fields that the metric needs. It warns if
    images show more people than the metric counts or the model finds, and if
    a metric of MMPose counts images that are not in the data set. Metrics
    other than MMPose's ``CocoMetric`` and what derives from it are not
    checked.

    Raises:
        ValueError: If there is nothing right to evaluate; the message names
            the files, the field and the remedy.
    """

    def __init__(self):
        self._checked: List[BaseLoop] = []

    def before_train(self, runner: Runner) -> None:
        """Check the validation that follows."""
        if runner.val_loop is not None:
            self._check(runner.val_loop, runner.model)

    def before_val(self, runner: Runner) -> None:
        """Check a validation without training."""
        self._check(runner.val_loop, runner.model)

    def before_test(self, runner: Runner) -> None:
        """Check a test."""
        self._check(runner.test_loop, runner.model)

    def _check(self, loop: BaseLoop, model: nn.Module) -> None:
        """Check data set and metrics of a loop, once."""
        if loop in self._checked:
            return
        self._checked.append(loop)
        datasets = _flatten(loop.dataloader.dataset)
        for metric, parts in _pair(loop.evaluator, datasets):
            if not isinstance(metric, CocoMetric) or metric.coco is None:
                continue
            ann_file = metric.ann_file or metric.coco.anno_file[0]
            image_ids = _check_images(metric, ann_file, parts)
            if not metric.format_only:
                _check_fields(metric, ann_file)
                _warn_of_limits(metric, ann_file, image_ids, model)


def _flatten(dataset: Any) -> List[Any]:
    """The data sets that a data set is made of, itself if of none."""
    if hasattr(dataset, 'datasets'):
        return [part for each in dataset.datasets for part in _flatten(each)]
    return [dataset] if hasattr(dataset, 'get_data_info') else []


def _pair(evaluator: Evaluator, datasets: List[Any]) -> List[tuple]:
    """Metrics with the data sets whose samples they get."""
    if not hasattr(evaluator, 'metrics_dict'):
        return [(metric, datasets) for metric in evaluator.metrics]
    by_name: Dict[str, list] = {name: [] for name in evaluator.metrics_dict}
    for dataset in datasets:
        by_name.setdefault(dataset.metainfo['dataset_name'],
                           []).append(dataset)
    unpaired = [
        name for name, parts in by_name.items()
        if not parts or name not in evaluator.metrics_dict
    ]
    if unpaired:
        raise ValueError(
            f'MultiDatasetEvaluator: {", ".join(unpaired)} must be both among '
            'its `datasets` and in the data loader.')
    return [(metric, by_name[name])
            for name, metric in evaluator.metrics_dict.items()]


def _check_images(metric: CocoMetric, ann_file: str,
                  datasets: List[Any]) -> set:
    """Refuse annotations of other images than those of the data sets.

    Returns:
        set[int]: Ids of the images of the data sets.
    """
    remedy = ('Let `ann_file` of the evaluator and of the data set name the '
              'same file.')
    owners: Dict[int, str] = {}
    for dataset in datasets:
        file = getattr(dataset, 'dataset', dataset).ann_file
        refusal = f'{ann_file}: the evaluator cannot evaluate {file}:'
        images = {}
        for i in range(len(dataset)):
            info = dataset.get_data_info(i)
            images[info['img_id']] = info
        missing = [i for i in images if i not in metric.coco.imgs]
        if missing:
            raise ValueError(
                f'{refusal} {len(missing)} of {len(images)} images are not in '
                'its file, the first of them '
                f'{images[missing[0]]["img_path"]} with the `id` '
                f'{missing[0]}. {remedy}')
        for image_id, info in images.items():
            if image_id in owners:
                raise ValueError(
                    f'{file}: image {image_id}: {owners[image_id]} has an '
                    'image with the same `id`, and one evaluator gets both. '
                    'Use MultiDatasetEvaluator with a metric for each, or '
                    'change the `id`.')
            difference = _compare(info, metric.coco.imgs[image_id])
            if difference:
                raise ValueError(f'{refusal} image {image_id} is another one '
                                 f'there, {difference}. {remedy}')
        if _shows_others(images, metric):
            raise ValueError(
                f'{refusal} names of the images are the same, but not one '
                f'person has the same `bbox` in both files. {remedy}')
        owners.update(dict.fromkeys(images, file))
    return set(owners)


def _compare(info: dict, image: dict) -> str:
    """How an image of a data set differs from that of the metric, '' if it
    does not."""
    names = osp.basename(info['img_path']), osp.basename(
        image.get('file_name', info['img_path']))
    if names[0] != names[1]:
        return f'{names[0]}, not {names[1]}'
    sizes: List[Any] = [
        info.get('stated_size'), (image.get('width'), image.get('height'))
    ]
    # Width and height are swapped in files of CrowdPose.
    if sizes[0] and all(sizes[1]) and sorted(sizes[0]) != sorted(sizes[1]):
        return '{} by {} pixels, not {} by {}'.format(*sizes[0], *sizes[1])
    return ''


def _shows_others(images: Dict[int, dict], metric: CocoMetric) -> bool:
    """Whether people are annotated in the same images, but not the same ones:
    files of two splits may number their images alike."""
    compared = False
    for image_id, info in images.items():
        people = info.get('raw_ann_info')
        others = metric.coco.imgToAnns.get(image_id, [])
        others = [ann.get('bbox') for ann in others]
        if isinstance(people, list) and others:
            if any(ann['bbox'] in others for ann in people):
                return False
            compared = True
    return compared


def _check_fields(metric: CocoMetric, ann_file: str) -> None:
    """Refuse annotations without what the metric reads at its end."""
    needed = []
    if metric.iou_type == 'keypoints_crowd':
        remedy = (
            "Add it, or set iou_type='keypoints' of the evaluator, which "
            'does not sort images by crowding.')
        needed += [('image', metric.coco.imgs, 'crowdIndex', remedy),
                   ('annotation', metric.coco.anns, 'num_keypoints', remedy)]
    if metric.use_area:
        needed.append(('annotation', metric.coco.anns, 'area',
                       'Add it, or set use_area=False of the evaluator, which '
                       'then takes 0.53 of the box.'))
    for kind, entries, field, remedy in needed:
        for entry in entries.values():
            if not isinstance(entry.get(field), (int, float)):
                raise ValueError(
                    f'{ann_file}: {kind} {entry["id"]}: no `{field}`, which '
                    f'the evaluator needs. {remedy}')


def _warn_of_limits(metric: CocoMetric, ann_file: str, image_ids: set,
                    model: nn.Module) -> None:
    """Warn of people who cannot be found or do not count."""
    noun = name_objects(metric.coco.dataset)
    if not isinstance(metric, RunImagesMixin):
        labeled = [
            ann['image_id'] for ann in metric.coco.anns.values()
            if not ann['iscrowd'] and any(ann.get('keypoints', [])[2::3])
        ]
        others = set(labeled) - image_ids
        if others:
            _warn(f'{ann_file}: {len(others)} of {len(metric.coco.imgs)} '
                  'images are not in the data set, but '
                  f'{type(metric).__name__} counts their {noun} as missed. '
                  "Set type='PoseCocoMetric' of the evaluator, which counts "
                  'the images of the data set.')
    people = count_people(metric.coco)
    counts = [people[image_id] for image_id in image_ids]
    most = max(counts, default=0)
    limit = getattr(metric, 'max_dets', COCO_MAX_DETS)
    if limit is not None and most > limit:
        crowded = sum(count > limit for count in counts)
        name = type(metric).__name__
        _warn(f'{ann_file}: {crowded} of {len(counts)} images show more than '
              f'{limit} {noun}, up to {most}, but {name} counts {limit} poses '
              'per image: even perfect poses have an AP below 1. '
              'Published numbers of COCO and its kin are computed like that; '
              "for others, set type='PoseCocoMetric' and max_dets=None of the "
              'evaluator, which counts as many as are annotated.')
    head = getattr(getattr(model, 'module', model), 'head', None)
    codec = getattr(head, 'codec', None)
    for owner, name, path in ((head, 'num_queries', 'model.head.num_queries'),
                              (codec, 'max_per_img',
                               'model.head.data_decoder.max_per_img')):
        limit = getattr(owner, name, most)
        if most > limit:
            _warn(f'{ann_file}: an image shows {most} {noun}, but the model '
                  f'finds at most {limit}: {path}={limit}. Raise it.')


def _warn(message: str) -> None:
    print_log(message, 'current', logging.WARNING)
