"""Annotated objects and the poses that were predicted of them: correct
keypoints (PCK), and the spread of the errors."""
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Dict, Sequence, Tuple

import numpy as np
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

# Sigmas of a data set may be guesses, and what is computed here is to judge
# them: the OKS by which poses are matched has this one for all keypoints.
SIGMA = 0.1
# The least OKS of a match: keypoints that are all off by 0.43 of the square
# root of the area. COCO's 0.5 would leave out poses that PCK counts in part.
MIN_OKS = 0.1
OUTLIER = 3  # sigmas


@dataclass
class MatchedPoses:
    """The N annotated objects with labeled keypoints, and the poses that were
    predicted of them. K is the number of keypoints.

    Args:
        errors (np.ndarray): Distance of each predicted keypoint from the
            annotated one in pixels, (N, K). It is NaN where a keypoint is not
            labeled, and infinite where no pose was predicted of the object.
        areas (np.ndarray): Areas of the objects as OKS takes them, in square
            pixels, (N, ).
        sides (np.ndarray): Longer side of each object's box in pixels, (N, ).
    """
    errors: np.ndarray
    areas: np.ndarray
    sides: np.ndarray

    @property
    def found(self) -> float:
        """float: Share of the objects of which a pose was predicted, -1 if
        there are no objects."""
        if not len(self.errors):
            return -1.0
        return float((~np.isinf(self.errors).any(1)).mean())

    def pck(self, threshold: float) -> float:
        """Share of the labeled keypoints that are placed correctly.

        The percentage of correct keypoints of Yang and Ramanan (TPAMI 2013),
        here as a share. Keypoints of objects without a predicted pose are
        wrong; predicted poses of no object do not count.

        Args:
            threshold (float): The largest error that is correct, as a part of
                the longer side of the object's box.

        Returns:
            float: The share, -1 if no keypoint is labeled.
        """
        labeled = ~np.isnan(self.errors)
        if not labeled.any():
            return -1.0
        correct = self.errors <= threshold * self.sides[:, None]
        return float(correct[labeled].mean())

    def spread(self) -> Tuple[np.ndarray, np.ndarray]:
        """Spread of the errors, as a sigma of OKS.

        With d the error and s^2 the area, COCO's sigma^2 is the mean of
        d^2 / s^2. If errors are normal, and alike in all directions, this is
        median(d^2 / s^2) / ln 2, which misses hardly move. Errors of more
        than 3 of these sigmas are left out, and the median is taken again,
        until none is.

        Returns:
            tuple[np.ndarray]: Sigmas, NaN without errors, and the numbers of
            errors that they are from, both (K, ).
        """
        squares = self.errors**2 / self.areas[:, None]
        found = [_robust_sigma(s[np.isfinite(s)]) for s in squares.T]
        sigmas, counts = zip(*found)
        return np.array(sigmas), np.array(counts)

    def summarize(self, thresholds: Sequence[float]) -> Dict[str, float]:
        """Compute and print metrics.

        Args:
            thresholds (Sequence[float]): Of PCK.

        Returns:
            dict: :meth:`pck` of each threshold as ``PCK@0.2``, and ``found``.
        """
        metrics = {}
        for threshold in thresholds:
            value = metrics[f'PCK@{threshold:g}'] = self.pck(threshold)
            print(f' Correct keypoints  (PCK)@[ error<={threshold:<5g}of the '
                  f'longer side of the box ] = {value: .3f}')
        metrics['found'] = self.found
        print(f' Objects with a pose       @[ OKS>={MIN_OKS:<7g}with a sigma '
              f'of {SIGMA:<10g}] = {self.found: .3f}')
        return metrics


def match_poses(coco: COCO, predictions: COCO, num_keypoints: int,
                use_area: bool, max_dets: int) -> MatchedPoses:
    """Match predicted poses to annotated objects, as COCO's metric does.

    Of the poses of an image, the best first, each takes the object with the
    highest OKS that is not taken yet. The sigmas of the data set do not
    matter: OKS has a sigma of 0.1 for all keypoints here, and must be at
    least 0.1.

    Args:
        coco (COCO): Annotations, with a usable box of each object.
        predictions (COCO): What ``loadRes`` of the annotations makes of
            results.
        num_keypoints (int): Number of keypoints K.
        use_area (bool): Whether to take the annotated areas, or 0.53 of the
            boxes.
        max_dets (int): How many poses of an image count, best first.

    Returns:
        MatchedPoses: All objects with labeled keypoints but crowd regions.
    """
    evaluation = COCOeval(coco, predictions, 'keypoints',
                          np.full(num_keypoints, SIGMA), use_area)
    evaluation.params.iouThrs = [MIN_OKS]
    evaluation.params.areaRng = [[0, np.inf]]
    evaluation.params.maxDets = [max_dets]
    with redirect_stdout(None):
        evaluation.evaluate()
    partners: Dict[int, int] = {}
    for image in evaluation.evalImgs:
        if image is not None:
            partners.update(zip(image['gtIds'], image['gtMatches'][0]))

    errors, areas, sides = [], [], []
    for ann in coco.anns.values():
        x, y, visible = np.reshape(ann['keypoints'], (num_keypoints, 3)).T
        if ann.get('iscrowd') or not (visible > 0).any():
            continue
        distance = np.full(num_keypoints, np.inf)
        partner = partners.get(ann['id'], -1)
        if partner >= 0:
            values = predictions.anns[partner]['keypoints']
            px, py, _ = np.reshape(values, (num_keypoints, 3)).T
            distance = np.hypot(px - x, py - y)
        errors.append(np.where(visible > 0, distance, np.nan))
        width, height = ann['bbox'][2:]
        areas.append(ann['area'] if use_area else 0.53 * width * height)
        sides.append(max(width, height))
    return MatchedPoses(
        np.reshape(errors, (-1, num_keypoints)), np.array(areas, dtype=float),
        np.array(sides, dtype=float))


def _robust_sigma(squares: np.ndarray) -> Tuple[float, int]:
    """Sigma of squared errors (n, ), and how many it is from."""
    while len(squares):
        variance = np.median(squares) / np.log(2)
        kept = squares[squares <= OUTLIER**2 * variance]
        if len(kept) == len(squares):
            return float(np.sqrt(variance)), len(squares)
        squares = kept
    return np.nan, 0
