"""Which images are used, in which order, and with which random numbers: a
wrapper around MMPose's COCO-style data sets."""
import os.path as osp
import random
from collections import defaultdict
from contextlib import contextmanager
from typing import Dict, List, Optional

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.logging import print_log
from mmpose.datasets.datasets import BaseCocoStyleDataset
from mmpose.registry import DATASETS

from .annotations import (check_annotations, complete_annotations, log_doubts,
                          read_annotations)
from .metainfo import load_metainfo


@DATASETS.register_module()
class PoseImageDataset:
    """A COCO-style data set with the images that Group Pose uses.

    The annotation file is read once, checked and completed before the data
    set makes anything of it. Images come in ascending order of their ids,
    which decides which images share a batch in evaluation. For training,
    images without a labeled keypoint are left out; a test set
    (``test_mode=True``) keeps all images.

    What a pipeline draws from Python's and numpy's generators can be made to
    depend on nothing but a seed and the image, see :meth:`seed_pipeline`.

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
            categories than 1 are refused.

    Raises:
        FileNotFoundError: If the annotation or metainfo file is missing.
        ValueError: If metainfo or an annotation is unusable; the message
            names the file, the annotation, the field and the remedy.
    """

    def __init__(self,
                 dataset: ConfigDict,
                 metainfo: Optional[ConfigDict] = None,
                 pipeline: Optional[List[ConfigDict]] = None,
                 class_agnostic: bool = False):
        # The file is read on full_init, by this class.
        lazy_init = dataset.get('lazy_init', False)
        if metainfo is not None:
            dataset = dict(dataset, metainfo=metainfo)
        if pipeline is not None:
            dataset = dict(dataset, pipeline=pipeline)
        if dataset.get('metainfo'):
            load_metainfo(dataset['metainfo'])
        self.dataset = DATASETS.build(dict(dataset, lazy_init=True))
        self._check_type()
        self.class_agnostic = class_agnostic
        # In shared memory: worker processes that live on see it change.
        self._seed = torch.full((1, ), -1, dtype=torch.long).share_memory_()
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

    def full_init(self) -> None:
        """Check and read the annotations, then choose and order images."""
        if self._fully_initialized:
            return
        data_list = self._read_images()
        total = len(data_list)
        data_list.sort(key=lambda info: info['img_id'])
        if not self.dataset.test_mode:
            data_list = [
                info for info in data_list if sum(info['num_keypoints']) > 0
            ]
            if not data_list:
                raise ValueError(
                    f'{self.dataset.ann_file}: no annotation has a labeled '
                    'keypoint. Check that `ann_file` names the right file.')
        self.dataset.load_data_list = lambda: data_list
        self.dataset.full_init()
        del self.dataset.load_data_list
        print_log(
            f'{self.dataset.ann_file}: {len(self.dataset)} of {total} images '
            'are used.', 'current')
        self._fully_initialized = True

    def _read_images(self) -> List[dict]:
        """What the data set makes of its annotation file, by image."""
        dataset = self.dataset
        content = read_annotations(dataset.ann_file, not dataset.test_mode)
        check_annotations(content, dataset.ann_file, not dataset.test_mode,
                          self.class_agnostic)
        complete_annotations(content, self.class_agnostic)
        log_doubts(content, dataset.ann_file, not dataset.test_mode)
        dataset._metainfo['CLASSES'] = content['categories']

        annotations: Dict[int, List[dict]] = defaultdict(list)
        for ann in content['annotations']:
            if 'keypoints' in ann:
                annotations[ann['image_id']].append(ann)
        images = [
            dict(
                image,
                img_id=image['id'],
                img_path=osp.join(dataset.data_prefix['img'],
                                  image['file_name']))
            for image in content['images']
            if image['id'] % dataset.sample_interval == 0
        ]
        instances = [
            self._parse(ann, image) for image in images
            for ann in annotations[image['id']]
        ]
        infos = dataset._get_bottomup_data_infos(instances, images)
        sizes = {
            image['id']: (image['width'], image['height'])
            for image in images
        }
        for info in infos:  # for LoadPoseImage to compare with the file
            info['stated_size'] = sizes[info['img_id']]
        return infos

    def _parse(self, ann: dict, image: dict) -> dict:
        """What the data set makes of an annotation."""
        place = f'{self.dataset.ann_file}: annotation {ann["id"]}:'
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
                f'{place} `keypoints` has {found} keypoints a person, the '
                f'metainfo {expected}. Set `metainfo` of the data set and of '
                'the codec to a description of these keypoints.')
        if 3 * found != len(ann['keypoints']):
            # More than `num_keypoints` counts, e.g. feet, faces and hands.
            instance['num_keypoints'] = np.count_nonzero(
                instance['keypoints_visible'] > 0)
        return instance

    def seed_pipeline(self, seed: int) -> None:
        """Let random numbers depend on this seed and the image only.

        It holds for all samples from now on, also in worker processes that
        run already, until it is called again. It governs Python's and
        numpy's generators, not torch's.

        Args:
            seed (int): Not negative, below 2**63; another one for every
                epoch.
        """
        self._seed.fill_(seed)

    def get_data_info(self, idx: int) -> dict:
        """Annotations of an image before the pipeline, see MMEngine."""
        return self.dataset.get_data_info(idx)

    def __getitem__(self, idx: int) -> dict:
        seed = self._seed.item()
        if seed < 0:
            return self.dataset[idx]
        with _seeded(seed, idx):
            return self.dataset[idx]

    def __len__(self) -> int:
        return len(self.dataset)


@contextmanager
def _seeded(*entropy: int):
    """Seed Python's and numpy's generators, and restore them afterwards."""
    states = random.getstate(), np.random.get_state()
    seeds = np.random.SeedSequence(entropy).generate_state(2)
    random.seed(int(seeds[0]))
    np.random.seed(seeds[1])
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
