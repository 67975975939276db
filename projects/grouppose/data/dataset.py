"""Which images are used, in which order, and whether their annotations can be
trusted: a wrapper around MMPose's COCO-style data sets."""
import logging
import math
from typing import Iterable, List, Optional

from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.fileio import load
from mmengine.logging import print_log
from mmpose.datasets.datasets import BaseCocoStyleDataset
from mmpose.registry import DATASETS


@DATASETS.register_module()
class PoseImageDataset:
    """A COCO-style data set with the images that Group Pose uses.

    The annotation file is checked before anything is read from it. Images
    come in ascending order of their ids, which decides which images share a
    batch in evaluation. For training, images without a labeled keypoint are
    left out; a test set (``test_mode=True``) keeps all images.

    Args:
        dataset (dict): Config of a COCO-style data set of MMPose in
            bottom-up mode.
        metainfo (dict, optional): Metainfo of the data set, here rather than
            in ``dataset`` so that MMPose's inference finds it in the config.
            Defaults to that of ``dataset``.
        pipeline (list, optional): Pipeline of the data set, here for the
            same reason.

    Raises:
        ValueError: If an annotation is unusable; the message names the
            file, the annotation, the field and the remedy.
    """

    def __init__(self,
                 dataset: ConfigDict,
                 metainfo: Optional[ConfigDict] = None,
                 pipeline: Optional[List[ConfigDict]] = None):
        # The file is read on full_init, after it was checked.
        lazy_init = dataset.get('lazy_init', False)
        if metainfo is not None:
            dataset = dict(dataset, metainfo=metainfo)
        if pipeline is not None:
            dataset = dict(dataset, pipeline=pipeline)
        try:
            self.dataset = DATASETS.build(dict(dataset, lazy_init=True))
        except AssertionError as error:
            raise ValueError(
                f'{dataset.get("ann_file")}: the metainfo of this data set '
                'is incomplete. It needs dataset_name, keypoint_info, '
                'skeleton_info, joint_weights and sigmas.') from error
        if not isinstance(self.dataset, BaseCocoStyleDataset) or \
                self.dataset.data_mode != 'bottomup':
            raise ValueError(
                f'PoseImageDataset: {type(self.dataset).__name__} is not a '
                'COCO-style data set in bottom-up mode. Set '
                "data_mode='bottomup' in its config.")
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict:
        """dict: Metainfo of the wrapped data set."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Check and read the annotations, then choose and order images."""
        if self._fully_initialized:
            return
        check_annotations(
            self.dataset.ann_file, for_training=not self.dataset.test_mode)
        self.dataset.full_init()
        # Unbound: without the metainfo that the subclass adds to each.
        infos = [
            BaseDataset.get_data_info(self.dataset, i)
            for i in range(len(self.dataset))
        ]
        self._check_keypoints(infos)
        order = sorted(range(len(infos)), key=lambda i: infos[i]['img_id'])
        if not self.dataset.test_mode:
            order = [i for i in order if sum(infos[i]['num_keypoints']) > 0]
        self.dataset.get_subset_(order)
        print_log(
            f'{self.dataset.ann_file}: {len(order)} of {len(infos)} images '
            'are used.', 'current')
        self._fully_initialized = True

    def _check_keypoints(self, infos: List[dict]) -> None:
        """Refuse a file whose keypoints are not those of the metainfo."""
        expected = self.metainfo['num_keypoints']
        found = {
            info['keypoints'].shape[1]
            for info in infos if 'keypoints' in info
        } - {expected}
        if found:
            raise ValueError(
                f'{self.dataset.ann_file}: `keypoints` has {found.pop()} '
                f'keypoints a person, the metainfo {expected}. Set '
                '`metainfo` of the data set and of the codec to a '
                'description of these keypoints.')

    def get_data_info(self, idx: int) -> dict:
        """Annotations of an image before the pipeline, see MMEngine."""
        return self.dataset.get_data_info(idx)

    def __getitem__(self, idx: int) -> dict:
        return self.dataset[idx]

    def __len__(self) -> int:
        return len(self.dataset)


def check_annotations(ann_file: str, for_training: bool = True) -> None:
    """Refuse annotations that would crash or silently mistrain.

    Args:
        ann_file (str): COCO-format keypoint annotations.
        for_training (bool): Whether there must be a labeled person.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not COCO-format JSON or an annotation is
            unusable.
    """
    try:
        content = load(ann_file)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'{ann_file}: annotation file not found. Check `data_root` and '
            '`ann_file` of the data set.') from error
    except ValueError as error:
        raise ValueError(
            f'{ann_file}: not valid JSON ({error}). Restore the file from '
            'its source.') from error
    if not isinstance(content, dict) or \
            not {'images', 'annotations', 'categories'} <= content.keys():
        raise ValueError(
            f'{ann_file}: not a COCO-format annotation file. It needs the '
            'lists `images`, `annotations` and `categories`.')

    people = [ann for ann in content['annotations'] if 'keypoints' in ann]
    for ann in people:
        problem = _find_problem(ann)
        if problem:
            raise ValueError(f'{ann_file}: annotation {ann.get("id")}: '
                             f'{problem} Correct or remove the annotation.')
    lengths = sorted({len(ann['keypoints']) for ann in people})
    if len(lengths) > 1 or any(length % 3 for length in lengths):
        raise ValueError(
            f'{ann_file}: `keypoints` must hold x, y and visibility of every '
            f'keypoint in all annotations, but lists of {lengths} numbers '
            'occur. Correct the annotations.')
    if for_training and not any(any(ann['keypoints'][2::3]) for ann in people):
        raise ValueError(
            f'{ann_file}: no annotation has a labeled keypoint. Check that '
            '`ann_file` names the right file.')
    if not for_training and any(
            ann.get('area') is None for ann in content['annotations']):
        print_log(
            f'{ann_file}: annotations without `area`. The metric needs '
            'use_area=False (it then takes 0.53 of the box), or add the '
            'areas.', 'current', logging.WARNING)
    labels = sorted({ann['category_id'] for ann in people})
    if labels and labels != [1]:
        raise ValueError(
            f'{ann_file}: people must have `category_id` 1, found {labels}. '
            'Detections are written with category 1, so the evaluation '
            'would score none of them. Rewrite `category_id` in annotations '
            'and `id` in categories to 1.')


def _find_problem(ann: dict) -> str:
    """What is wrong with an annotation, '' if nothing."""
    for field in ('image_id', 'category_id', 'bbox'):
        if field not in ann:
            return f'no `{field}`.'
    for field in ('keypoints', 'bbox'):
        if not isinstance(ann[field], list):
            return f'`{field}` must be a list, got {ann[field]}.'
    if len(ann['bbox']) != 4:
        return f'`bbox` must be x, y, width, height, got {ann["bbox"]}.'
    for field in ('keypoints', 'bbox', 'area'):
        if field in ann and not _all_finite(ann[field]):
            return f'`{field}` holds a value that is not a finite number.'
    return ''


def _all_finite(values) -> bool:
    """Whether a number or a list holds finite numbers only."""
    values: Iterable = values if isinstance(values, List) else [values]
    return all(
        isinstance(value, (int, float)) and math.isfinite(value)
        for value in values)
