"""COCO's evaluation of keypoints with any limit of poses per image."""
from collections import Counter
from typing import Dict, Mapping, Optional

import numpy as np
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

COCO_MAX_DETS = 20  # poses per image that COCO counts
TITLES = dict(AP='Average Precision', AR='Average Recall')


def count_people(coco: COCO) -> Counter:
    """Number of annotated people per image.

    Args:
        coco (COCO): The annotations.

    Returns:
        Counter: From image ids to counts. Crowd regions are no people; people
        without labeled keypoints are counted, as a model finds them, too.
    """
    return Counter(ann['image_id'] for ann in coco.anns.values()
                   if not ann.get('iscrowd'))


class PoseCOCOeval(COCOeval):
    """xtcocotools' ``COCOeval`` of keypoints with another ``maxDets``, and
    with AP per class.

    xtcocotools computes the metrics for any ``maxDets``, but looks up those
    for 20 in its summary.

    Args:
        args: Arguments of ``COCOeval``.
        max_dets (int): How many poses of an image count, best first.
            Defaults to 20.
        classes (Mapping[int, str]): Names of the categories to evaluate, by
            id in ascending order. Defaults to those of the file.
    """

    def __init__(self,
                 *args,
                 max_dets: int = COCO_MAX_DETS,
                 classes: Mapping[int, str] = {}):
        super().__init__(*args)
        self.params.maxDets = [max_dets]
        self.classes = classes
        if classes:
            self.params.catIds = [*classes]

    def summarize(self) -> Dict[str, float]:
        """Compute and print the metrics, after ``accumulate``.

        Returns:
            dict: Metrics by MMPose's names and in its order; of two classes
            or more, AP of each as ``AP_NAME``, too, of which AP is the mean.
            Those of which nobody is annotated are -1.
        """
        by_crowding = self.params.iouType == 'keypoints_crowd'
        metrics = {}
        for name, values in (('AP', self.eval['precision']),
                             ('AR', self.eval['recall'])):
            metrics[name] = self._summarize(name, values)
            for threshold in ('.5', '.75'):
                metrics[f'{name} {threshold}'] = self._summarize(
                    name, values, float(threshold))
            for area in () if by_crowding else ('medium', 'large'):
                metrics[f'{name} ({area[0].upper()})'] = self._summarize(
                    name, values, area=area)
        if len(self.classes) > 1:
            for index, name in enumerate(self.classes.values()):
                metrics[f'AP_{name}'] = self._summarize(
                    'AP', self.eval['precision'], category=index)
        if by_crowding:
            # It evaluates again, so that it comes last.
            values = self.get_type_result(first=0.2, second=0.8)
            for crowding, value in zip(('easy', 'medium', 'hard'), values):
                metrics[f'AP({crowding[0].upper()})'] = value
                self._print('AP', None, f'type={crowding:>6}', value)
        return metrics

    def _summarize(self,
                   name: str,
                   values: np.ndarray,
                   threshold: Optional[float] = None,
                   area: str = 'all',
                   category: Optional[int] = None) -> float:
        """Mean over OKS thresholds (or at one), recalls and categories.

        Args:
            name (str): AP or AR.
            values (np.ndarray): ``eval['precision']`` of shape
                (thresholds, recalls, categories, areas, 1), or
                ``eval['recall']`` without recalls.
            threshold (float, optional): OKS threshold. Defaults to all.
            area (str): Range of areas of people. Defaults to 'all'.
            category (int, optional): Label of a class. Defaults to all.
        """
        part = f'area={area:>6}'
        values = values[..., self.params.areaRngLbl.index(area), 0]
        if threshold is not None:
            values = values[np.isclose(self.params.iouThrs, threshold)]
        if category is not None:
            values = values[..., category]
            part = 'class=' + [*self.classes.values()][category]
        values = values[values > -1]  # categories that are annotated
        mean = values.mean() if values.size else -1
        self._print(name, threshold, part, mean)
        return mean

    def _print(self, name: str, threshold: Optional[float], part: str,
               value: float) -> None:
        """Print a line in COCO's format."""
        thresholds = self.params.iouThrs[[0, -1]] if threshold is None else \
            [threshold]
        thresholds = ':'.join(f'{value:.2f}' for value in thresholds)
        print(f' {TITLES[name]:<18} ({name}) @[ IoU={thresholds:<9} | {part} '
              f'| maxDets={self.params.maxDets[0]:>3} ] = {value: .3f}')
