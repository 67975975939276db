"""Which images are used, and in which order: a wrapper around MMPose's
COCO-style data sets."""
import os.path as osp
from collections import Counter, defaultdict
from typing import Dict, List, Optional, Tuple

import numpy as np
from mmengine.config import ConfigDict
from mmengine.dataset import Compose
from mmengine.fileio import join_path
from mmengine.logging import print_log
from mmengine.utils import is_abs
from mmpose.datasets.datasets import BaseCocoStyleDataset
from mmpose.registry import DATASETS

from .annotations import (check_annotations, complete_annotations,
                          explain_nothing, log_doubts, name_objects)
from .instances import reason_in_file
from .metainfo import classes_of, load_metainfo
from .repairs import leave_out_missing, load_annotations


@DATASETS.register_module()
class PoseImageDataset:
    """A COCO-style data set with the images that Group Pose uses.

    Annotation files are read once, brought to COCO's form (see
    :func:`load_annotations`), checked and completed before the data set makes
    anything of them. Images come in ascending order of their ids, which
    decides which images share a batch in evaluation. For training, images
    without a labeled keypoint are left out; a test set (``test_mode=True``)
    keeps all images. The log says what was changed, how many images and
    people are used, how many are not, and why.

    ``ann_file`` of the data set may be a list of files for training: their
    images follow each other, and ids need not differ between files. All
    files share ``data_prefix``; MMEngine's ``ConcatDataset`` joins data sets
    that differ in more.

    Args:
        dataset (dict): Config of a COCO-style data set of MMPose in
            bottom-up mode.
        metainfo (dict, optional): Metainfo of the data set, here rather than
            in ``dataset`` so that MMPose's inference finds it in the config.
            Defaults to that of ``dataset``.
        pipeline (list, optional): Pipeline of the data set, here for the
            same reason.
        class_agnostic (bool): Take instances of all categories for the same.
            ``ClassAgnosticCocoMetric`` evaluates it. Defaults to False: other
            categories than the ``classes`` of the metainfo, or 1 without
            them, are refused.
        keep_empty (bool): Train on images without anybody, too, where
            whatever the model finds is wrong. Images with people stay left
            out if none of them has a labeled keypoint. Defaults to False.
        skip_missing (bool): Leave out images that have no file, with their
            annotations; the log says how many. Defaults to False: the first
            one that is needed is an error.

    Where the metainfo has ``classes``, see :func:`load_metainfo`, the label of
    each instance is in ``class_label``. ``keypoints_visible`` is what the file
    says: 0 not labeled, 1 labeled but hidden, 2 visible.

    Attributes:
        classes (dict[int, str]): Those of the metainfo, empty without any.
        num_people (np.ndarray): How many people of each image can be trained
            on, int, (len(self), ).

    Raises:
        FileNotFoundError: If an annotation or metainfo file is missing.
        ValueError: If metainfo or an annotation is unusable, the metainfo has
            ``classes`` in spite of ``class_agnostic``, or nobody can be
            trained on; the message names the file, the annotation, the
            field and the remedy.
    """

    def __init__(self,
                 dataset: ConfigDict,
                 metainfo: Optional[ConfigDict] = None,
                 pipeline: Optional[List[ConfigDict]] = None,
                 class_agnostic: bool = False,
                 keep_empty: bool = False,
                 skip_missing: bool = False):
        # Files are read on full_init, by this class.
        lazy_init = dataset.get('lazy_init', False)
        if metainfo is not None:
            dataset = dict(dataset, metainfo=metainfo)
        if pipeline is not None:
            dataset = dict(dataset, pipeline=pipeline)
        described = {}
        if dataset.get('metainfo'):
            described = load_metainfo(dataset['metainfo'])
        self.classes: Dict[int, str] = described.get('classes', {})
        if self.classes and class_agnostic:
            raise ValueError(
                'PoseImageDataset: class_agnostic=True takes all categories '
                f'for one, but the metainfo has `classes`: {self.classes}. '
                'Remove one of the two.')
        files = dataset.get('ann_file', '')
        files = [files] if isinstance(files, str) else list(files)
        if not files or (len(files) > 1 and dataset.get('test_mode')):
            raise ValueError(
                f'PoseImageDataset: `ann_file` is a list of {len(files)} '
                'files. Training takes one or more, evaluation exactly one.')
        self.dataset = DATASETS.build(
            dict(dataset, ann_file=files[0], lazy_init=True))
        if self.classes:
            self.dataset._metainfo['classes'] = self.classes
        self._check_type()
        root = self.dataset.data_root
        self.ann_files = [self.dataset.ann_file] + [
            file if is_abs(file) or not root else join_path(root, file)
            for file in files[1:]
        ]
        self.class_agnostic = class_agnostic
        self.keep_empty = keep_empty
        self.skip_missing = skip_missing
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    def _check_type(self) -> None:
        """Refuse data sets whose annotations this class cannot read."""
        base, actual = BaseCocoStyleDataset, type(self.dataset)
        if not issubclass(actual, base) or \
                self.dataset.data_mode != 'bottomup':
            raise ValueError(
                f'PoseImageDataset: {actual.__name__} is not a COCO-style '
                'data set in bottom-up mode. Set '
                "data_mode='bottomup' in its config.")
        for method in ('load_data_list', '_load_annotations'):
            if getattr(actual, method) is not getattr(base, method):
                raise ValueError(
                    f'PoseImageDataset: {actual.__name__} reads files that '
                    'are not in COCO format. Convert them and use '
                    'CocoDataset with the metainfo of this data set.')

    @property
    def metainfo(self) -> dict:
        """dict: Metainfo of the wrapped data set."""
        return self.dataset.metainfo

    @property
    def pipeline(self) -> Compose:
        """Compose: Pipeline of the wrapped data set."""
        return self.dataset.pipeline

    @pipeline.setter
    def pipeline(self, pipeline: Compose) -> None:
        self.dataset.pipeline = pipeline

    def full_init(self) -> None:
        """Check and read the annotations, then choose and order images."""
        if self._fully_initialized:
            return
        dataset = self.dataset
        chosen = []
        left_out: Counter[str] = Counter()
        self._remarks: List[str] = []
        for ann_file in self.ann_files:
            chosen += self._choose_images(ann_file, left_out)
        if not dataset.test_mode:
            self._check_anybody(chosen, left_out)
        if dataset._indices is not None:
            dataset.data_list, total = chosen, len(chosen)
            chosen = dataset._get_unserialized_subset(dataset._indices)
            dataset._indices = None
            print_log(
                f'{self.ann_files[0]}: `indices` takes {len(chosen)} of these '
                f'{total} images.', 'current')
        self.num_people = np.array([count for _, count in chosen], dtype=int)
        dataset.load_data_list = lambda: [info for info, _ in chosen]
        dataset.full_init()
        del dataset.load_data_list
        self._fully_initialized = True

    def _choose_images(self, ann_file: str,
                       left_out: Counter) -> List[Tuple[dict, int]]:
        """The images of a file that are used, and how many people of each can
        be trained on.

        Args:
            ann_file (str): The file.
            left_out (Counter): Counts all other annotations, by the reason.
        """
        infos, total, skipped, objects = self._read_images(ann_file)
        infos.sort(key=lambda info: info['img_id'])
        chosen = []
        reasons: Counter[str] = Counter()
        for info in infos:
            in_image = Counter(
                reason.format(objects)
                for reason in _reasons_to_leave_out(info))
            count = in_image.pop('', 0)
            reasons.update(in_image)
            labeled = info.get('num_keypoints', [])
            if self.dataset.test_mode or sum(labeled) > 0 or not labeled:
                chosen.append((info, count))
        left_out.update(reasons)

        message = f'{ann_file}: {len(chosen)} of {total} images are used'
        if self.dataset.test_mode:
            reasons = Counter()  # the metric decides on people
        else:
            one = 'person' if objects == 'people' else 'object'
            reasons[f'images without a labeled {one}'] = \
                total - sum(skipped.values()) - len(chosen)
            message += f', with {sum(n for _, n in chosen)} {objects} to ' \
                'train on'
        reasons.update(skipped)
        listed = _list_counts(reasons)
        message += f'. Left out: {listed}.' if listed else '.'
        print_log(message, 'current')
        return chosen

    def _check_anybody(self, chosen: List[Tuple[dict, int]],
                       left_out: Counter) -> None:
        """Refuse a data set that nobody can be learned from."""
        if any(count for _, count in chosen):
            return
        if self.keep_empty and chosen and not left_out:
            return  # of images without anybody, to be mixed with others
        reasons = _list_counts(left_out)
        if reasons:
            reasons += ('. Each needs `keypoints` with a positive visibility '
                        'and a place within the image. Correct the '
                        'annotations, or check that `ann_file` names the '
                        'right file.')
        raise ValueError(
            f'{", ".join(self.ann_files)}: nothing can be trained '
            f'on: {reasons or " ".join(self._remarks)}')

    def _read_images(
            self,
            ann_file: str) -> Tuple[List[dict], int, Dict[str, int], str]:
        """What the data set makes of an annotation file, by image; how many
        images the file has, how many are passed over and why, and what to
        call the objects."""
        dataset = self.dataset
        folder = dataset.data_prefix['img']
        content, repairs = load_annotations(ann_file, folder,
                                            not dataset.test_mode)
        for repair in repairs:
            print_log(
                f'{ann_file}: {repair.what}: {len(repair.examples)} '
                f'{repair.unit}s. {repair.how}.', 'current')
        total = len(content['images'])
        skipped = {}
        if self.skip_missing:
            skipped['images without a file'] = leave_out_missing(
                content, folder)
            if total and not content['images']:
                raise ValueError(
                    f'{ann_file}: none of its {total} images has a file in '
                    f'{folder}. Check `data_root` and `data_prefix` of the '
                    'data set.')
        check_annotations(content, ann_file, not dataset.test_mode,
                          self.class_agnostic, self.classes)
        objects = name_objects(content)
        if not any('keypoints' in ann for ann in content['annotations']):
            self._remarks.append('no annotation has `keypoints`. '
                                 f'{explain_nothing(content)}')
        complete_annotations(content, self.class_agnostic)
        log_doubts(content, ann_file, not dataset.test_mode)
        dataset._metainfo['CLASSES'] = content['categories']

        annotations: Dict[int, List[dict]] = defaultdict(list)
        for ann in content['annotations']:
            if 'keypoints' in ann:
                annotations[ann['image_id']].append(ann)
        images = [
            dict(
                image,
                img_id=image['id'],
                img_path=osp.join(folder, image['file_name']))
            for image in content['images']
            if image['id'] % dataset.sample_interval == 0
        ]
        instances = [
            self._parse(ann, image, ann_file) for image in images
            for ann in annotations[image['id']]
        ]
        infos = dataset._get_bottomup_data_infos(instances, images)
        if self.keep_empty and not dataset.test_mode:
            peopled = {
                ann['image_id']
                for ann in content['annotations'] if 'keypoints' in ann
                or ann['category_id'] in classes_of(self.metainfo)
            }
            infos += [
                self._without_people(image) for image in images
                if image['id'] not in peopled
            ]
        sizes = {
            image['id']: (image['width'], image['height'])
            for image in images
        }
        for info in infos:  # for LoadPoseImage to compare with the file
            info['stated_size'] = sizes[info['img_id']]
        skipped['images that `sample_interval` skips'] = \
            len(content['images']) - len(images)
        return infos, total, skipped, objects

    def _parse(self, ann: dict, image: dict, ann_file: str) -> dict:
        """What the data set makes of an annotation."""
        place = f'{ann_file}: annotation {ann["id"]}:'
        try:
            instance = self.dataset.parse_data_info(
                dict(raw_ann_info=ann, raw_img_info=image))
        except KeyError as error:
            raise ValueError(
                f'{place} no `{error.args[0]}`. '
                f'{type(self.dataset).__name__} needs it; use CocoDataset '
                'for files in the format of COCO.') from error
        found = instance['keypoints'].shape[1]
        expected = self.dataset._metainfo['num_keypoints']
        if found != expected:
            raise ValueError(
                f'{place} `keypoints` has {found} keypoints per person, the '
                f'metainfo {expected}. Set `metainfo` of the data set and of '
                'the codec to a description of these keypoints.')
        instance['keypoints_visible'] = _visibility(
            ann, instance['keypoints_visible'])
        if 3 * found != len(ann['keypoints']):
            # More than `num_keypoints` counts, e.g. feet, faces and hands.
            instance['num_keypoints'] = np.count_nonzero(
                instance['keypoints_visible'] > 0)
        if self.classes:
            label = [*self.classes].index(ann['category_id'])
            instance['class_label'] = np.array([label])
        return instance

    def _without_people(self, image: dict) -> dict:
        """What the data set would make of an image without annotations."""
        num_keypoints = self.dataset._metainfo['num_keypoints']
        return dict(
            img_id=image['img_id'],
            img_path=image['img_path'],
            bbox=np.zeros((0, 4), dtype=np.float32),
            bbox_score=np.zeros(0, dtype=np.float32),
            keypoints=np.zeros((0, num_keypoints, 2), dtype=np.float32),
            keypoints_visible=np.zeros((0, num_keypoints), dtype=np.float32),
            area=np.zeros(0, dtype=np.float32),
            category_id=np.zeros(0, dtype=int),
            class_label=np.zeros(0, dtype=int),
            num_keypoints=[],
            iscrowd=[],
            segmentation=[],
            invalid_segs=[],
            id=[],
            raw_ann_info=[])

    def get_data_info(self, idx: int) -> dict:
        """Annotations of an image before the pipeline, see MMEngine."""
        self.full_init()
        return self.dataset.get_data_info(idx)

    def __getitem__(self, idx: int) -> dict:
        self.full_init()
        return self.dataset[idx]

    def __len__(self) -> int:
        self.full_init()
        return len(self.dataset)


def _reasons_to_leave_out(info: dict) -> List[str]:
    """For each annotation of an image, why nobody trains on it, or ''."""
    return [
        reason_in_file(ann, labeled, info['stated_size'])
        for ann, labeled in zip(info['raw_ann_info'] or [],
                                info.get('num_keypoints', []))
    ]


def _visibility(ann: dict, labeled: np.ndarray) -> np.ndarray:
    """Tell hidden keypoints (1) from those that can be seen (2).

    MMPose's data sets call both 1. Keypoints that the file has beyond
    ``keypoints``, such as COCO-WholeBody's, are annotated only where they can
    be seen.

    Args:
        ann (dict): The annotation.
        labeled (np.ndarray): What MMPose makes of it, (1, K).

    Returns:
        np.ndarray: (1, K), 0 where a keypoint is not labeled.
    """
    visible = np.where(labeled > 0, np.float32(2), labeled)
    in_file = np.array(ann['keypoints'][2::3], dtype=np.float32)
    if len(in_file) <= visible.shape[1]:
        visible[:, :len(in_file)] = np.minimum(2, in_file)
    return visible


def _list_counts(reasons: Counter) -> str:
    """E.g. '3 crowd regions, 2 people without a labeled keypoint'."""
    return ', '.join(f'{count} {what}' for what, count in reasons.items()
                     if count)
