"""AP and AR of the images that were run, also for crowds and for categories
that need not be told apart."""
from collections import defaultdict
from typing import Any, Dict, Optional, Sequence, Set

import numpy as np
from mmengine.logging import print_log
from mmpose.evaluation import CocoMetric, CocoWholeBodyMetric
from mmpose.registry import METRICS
from xtcocotools.coco import COCO

from ..data.annotations import merge_categories
from ..data.instances import stand_in_for_box
from ..data.repairs import repair_annotations
from .coco_eval import COCO_MAX_DETS, PoseCOCOeval, count_people
from .matched_poses import match_poses


class RunImagesMixin(CocoMetric):
    """Count the images that were run, rather than all of a file, and read the
    file as the data set does.

    For MMPose's metrics, people of the other images are missed: a part of a
    data set (``indices``, ``sample_interval``) gets an AP that means nothing.
    Annotations are brought to COCO's form, see :func:`repair_annotations`: an
    object without a usable box has that of its labeled keypoints, and its
    area if it has none.

    Where the metainfo of the data set has ``classes``, see
    :func:`load_metainfo`, each pose gets the category of its label, and
    overlaps are suppressed within each.

    Args:
        ann_file (str, optional): Annotations in COCO format. Defaults to
            those of the data set.
        kwargs: Arguments of MMPose's metric.

    Raises:
        ValueError: If people are to be evaluated that are not annotated.
    """

    coco: Any  # None if there are no annotations

    def __init__(self, ann_file: Optional[str] = None, **kwargs):
        try:
            super().__init__(ann_file=ann_file, **kwargs)
        except AssertionError as error:
            raise ValueError(
                f'{type(self).__name__}: {ann_file}: {error} To write results '
                'of images without annotations, set format_only=True and '
                'outfile_prefix of the evaluator.') from error
        self._repair()

    @property
    def dataset_meta(self) -> Optional[dict]:
        """dict, optional: Metainfo of the data set, which also says where
        annotations are if ``ann_file`` does not."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        is_new = self.coco is None
        CocoMetric.dataset_meta.fset(self, dataset_meta)
        if is_new:
            self._repair()

    def _repair(self) -> None:
        """Read annotations as the data set does."""
        if self.coco is None:
            return
        content = self.coco.dataset
        for field in ('images', 'annotations', 'categories'):
            content.setdefault(field, [])
        repair_annotations(content)
        for ann in content['annotations']:
            ann.setdefault('iscrowd', 0)
            if stand_in_for_box(ann, (1, 1)):
                raise ValueError(
                    f'{type(self).__name__}: {self.coco.anno_file[0]}: '
                    f'annotation {ann.get("id")}: no usable `bbox`, and its '
                    'one point gives none without `width` and `height` of the '
                    'image. Add these or the box.')
        self.coco.createIndex()

    @property
    def _classes(self) -> Dict[int, str]:
        """The classes that are told apart."""
        return (self.dataset_meta or {}).get('classes', {})

    def process(self, data_batch: Sequence[dict],
                data_samples: Sequence[dict]) -> None:
        """Store the poses of a batch, see MMPose, with their categories.

        Args:
            data_batch (Sequence[dict]): The batch of the data loader.
            data_samples (Sequence[dict]): With ``pred_instances``, which have
                ``labels`` where classes are told apart.

        Raises:
            ValueError: If poses have no labels, or labels of no class.
        """
        super().process(data_batch, data_samples)
        categories = np.array([*self._classes])
        if not len(categories):
            return
        for sample, (prediction, _) in zip(data_samples,
                                           self.results[-len(data_samples):]):
            labels = sample['pred_instances'].get('labels')
            if labels is None or (labels >= len(categories)).any():
                raise ValueError(
                    f'{type(self).__name__}: the data set has the classes '
                    f'{self._classes}, but predictions have the labels '
                    f'{labels}. Give model.head.data_decoder and the data set '
                    'the same metainfo.')
            prediction['category_id'] = categories[labels]

    def _sort_and_unique_bboxes(self,
                                kpts: Dict[int, list],
                                key: str = 'id') -> dict:
        """Make a group of the poses of each class of an image, in which
        MMPose then suppresses overlaps."""
        kpts = super()._sort_and_unique_bboxes(kpts, key)
        if not self._classes:
            return kpts
        groups = defaultdict(list)
        for image_id, poses in kpts.items():
            for i, pose in enumerate(poses):
                # Of all poses of the image.
                pose['category_id'] = int(pose['category_id'][i])
                groups[image_id, pose['category_id']].append(pose)
        return groups

    def compute_metrics(self, results: list) -> Dict[str, float]:
        """Compute the metrics, see MMPose.

        Args:
            results (list): Predictions and annotations of each sample. Of
                samples that were run twice to fill the batches of several
                processes, the first counts.

        Returns:
            dict[str, float]: Metrics by name.
        """
        unique: Dict[tuple, tuple] = {}
        for result in results:
            prediction = result[0]
            unique.setdefault((prediction['img_id'], repr(prediction['id'])),
                              result)
        whole = self.coco
        if whole is not None:
            self.coco = _part_of(whole, {img_id for img_id, _ in unique})
            num_run, num_images = len(self.coco.imgs), len(whole.imgs)
            if num_run < num_images:
                print_log(
                    f'{self.ann_file}: {num_run} of {num_images} images were '
                    'run, and only they count.', 'current')
        try:
            return super().compute_metrics(list(unique.values()))
        finally:
            self.coco = whole or self.coco


def _part_of(coco: COCO, image_ids: Set[int]) -> COCO:
    """Annotations of some images, to be changed freely."""
    part = COCO()
    part.anno_file = coco.anno_file[:1]
    part.dataset = dict(
        coco.dataset,
        images=[
            image for image in coco.dataset['images']
            if image['id'] in image_ids
        ],
        annotations=[
            dict(ann) for ann in coco.dataset.get('annotations', [])
            if ann['image_id'] in image_ids
        ])
    part.createIndex()
    return part


@METRICS.register_module()
class PoseCocoMetric(RunImagesMixin):
    """MMPose's ``CocoMetric`` of the images that were run.

    Args:
        max_dets (int, optional): How many poses of an image count, best
            first. COCO counts 20: of 30 people, even perfect poses have an AP
            of 0.66. None counts as many as people are annotated in an image,
            but at least 20. Defaults to 20.
        class_agnostic (bool): Take all categories for one. AP and AR are then
            over all instances; otherwise they are averages over the
            categories, no detection counts that does not name the right one,
            and AP of each of the metainfo's ``classes`` is listed, too.
            Defaults to False.
        pck (Sequence[float]): Thresholds, as parts of the longer side of an
            object's box, of the share of correct keypoints (PCK), which does
            not depend on the sigmas. With any, the metrics also have
            ``PCK@<threshold>`` and ``found``, the share of the objects of
            which a pose was predicted; see :class:`MatchedPoses`. Defaults to
            none.
        kwargs: Arguments of ``CocoMetric``.
    """

    def __init__(self,
                 *args,
                 max_dets: Optional[int] = COCO_MAX_DETS,
                 class_agnostic: bool = False,
                 pck: Sequence[float] = (),
                 **kwargs):
        super().__init__(*args, **kwargs)
        self.max_dets = max_dets
        self.class_agnostic = class_agnostic
        self.pck = pck

    @property
    def _classes(self) -> Dict[int, str]:
        """The classes that are told apart."""
        return {} if self.class_agnostic else super()._classes

    def _do_python_keypoint_eval(self, outfile_prefix: str) -> list:
        """Evaluate the poses of the file that MMPose has written."""
        if self.class_agnostic:
            merge_categories(self.coco.dataset)
            self.coco.createIndex()
        max_dets = self.max_dets
        if max_dets is None:
            max_dets = max([COCO_MAX_DETS, *count_people(self.coco).values()])
        predictions = self.coco.loadRes(f'{outfile_prefix}.keypoints.json')
        evaluation = PoseCOCOeval(
            self.coco,
            predictions,
            self.iou_type,
            self.dataset_meta['sigmas'],  # type: ignore[index]
            self.use_area,
            max_dets=max_dets,
            classes=self._classes)
        evaluation.evaluate()
        evaluation.accumulate()
        metrics = evaluation.summarize()
        if self.pck:
            matched = match_poses(self.coco, predictions,
                                  len(evaluation.sigmas), self.use_area,
                                  max_dets)
            metrics.update(matched.summarize(self.pck))
        return list(metrics.items())


@METRICS.register_module()
class ClassAgnosticCocoMetric(PoseCocoMetric):
    """:class:`PoseCocoMetric` with all categories taken for one.

    Args:
        kwargs: Arguments of :class:`PoseCocoMetric`.
    """

    def __init__(self, **kwargs):
        super().__init__(class_agnostic=True, **kwargs)


@METRICS.register_module()
class PoseCocoWholeBodyMetric(RunImagesMixin, CocoWholeBodyMetric):
    """MMPose's ``CocoWholeBodyMetric`` of the images that were run."""
