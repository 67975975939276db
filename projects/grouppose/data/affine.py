"""Rotate, scale and shift an image with the people in it."""
from typing import Optional, Sequence, Tuple, Union

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmpose.registry import TRANSFORMS

from .results import image_size, keep_instances, show_region


@TRANSFORMS.register_module()
class PoseRandomAffine(BaseTransform):
    """Rotate, scale and shift an image at random, within its frame.

    The image keeps its size. Angle, scale and shift are drawn uniformly from
    their ranges; the image is turned about its center.

    Keypoints move with the pixels they are on. Those that leave the image
    become unlabeled. A box becomes the upright one around the moved box,
    within the image; under a rotation it is larger than the person. An
    instance without a box in the image is dropped. An area is multiplied by
    the square of the scale.

    ``input_center`` and ``input_scale`` are those of the region that the
    image shows, before it is turned: poses in a rotated image do not return
    to the original one. Use it in training only.

    Args:
        rotate_factor (float): Largest angle to either side, in degrees.
            Defaults to 30.
        scale_factor (tuple[float]): Least and largest scale; 2 makes people
            twice as high. Defaults to (0.75, 1.25).
        shift_factor (float): Largest shift to either side, as a part of the
            width and of the height. Defaults to 0.1.
        prob (float): Probability that anything is done. Defaults to 1.
        pad_val (float | Sequence[float]): What is shown where there is no
            image, of 0 to 255, in BGR. Defaults to 114, a gray.

    Raises:
        ValueError: If a range is impossible.
    """

    def __init__(self,
                 rotate_factor: float = 30.,
                 scale_factor: Tuple[float, float] = (0.75, 1.25),
                 shift_factor: float = 0.1,
                 prob: float = 1.,
                 pad_val: Union[float, Sequence[float]] = 114):
        if len(scale_factor
               ) != 2 or not 0 < scale_factor[0] <= scale_factor[1]:
            raise ValueError(
                'PoseRandomAffine: scale_factor must be two positive numbers, '
                f'the smaller one first, got {scale_factor}.')
        if rotate_factor < 0 or shift_factor < 0:
            raise ValueError(
                'PoseRandomAffine: rotate_factor and shift_factor must not be '
                f'negative, got {rotate_factor} and {shift_factor}.')
        self.rotate_factor = rotate_factor
        self.scale_factor = scale_factor[0], scale_factor[1]
        self.shift_factor = shift_factor
        self.prob = prob
        if isinstance(pad_val, (int, float)):
            pad_val = (pad_val, ) * 3
        self.pad_val = tuple(pad_val)

    @cache_randomness
    def _choose(self) -> Optional[Tuple[float, float, np.ndarray]]:
        """Draw angle (degrees, counterclockwise), scale and shift (2, )."""
        if np.random.rand() >= self.prob:
            return None
        return (np.random.uniform(-self.rotate_factor, self.rotate_factor),
                np.random.uniform(*self.scale_factor),
                np.random.uniform(-self.shift_factor, self.shift_factor, 2))

    def transform(self, results: dict) -> dict:
        """Move one image and its people."""
        height, width = image_size(results)
        chosen = self._choose()
        if chosen is None:
            return results
        angle, scale, shift = chosen
        size = np.array((width, height))
        # Pixels have their centers at integer coordinates.
        center = (size - 1) / 2
        matrix = cv2.getRotationMatrix2D(center.tolist(), angle, scale)
        matrix[:, 2] += shift * size
        results['img'] = cv2.warpAffine(
            results['img'], matrix, (width, height), borderValue=self.pad_val)

        show_region(results)
        pixel = results['input_scale'] / size
        shown = _move(size / 2, cv2.invertAffineTransform(matrix))
        corner = results['input_center'] - results['input_scale'] / 2
        results['input_center'] = np.float32(corner + pixel * shown)
        results['input_scale'] = np.float32(results['input_scale'] / scale)
        results['input_size'] = np.float32(size)
        self._move_people(results, matrix, scale)
        return results

    @staticmethod
    def _move_people(results: dict, matrix: np.ndarray, scale: float) -> None:
        """Move keypoints, boxes and areas, in place."""
        height, width = results['img_shape'][:2]
        size = np.array((width, height), np.float32)
        if 'area' in results:
            results['area'] = np.float32(results['area'] * scale**2)
        if 'keypoints' in results:
            keypoints = _move(results['keypoints'], matrix)
            inside = ((keypoints >= 0) & (keypoints <= size - 1)).all(-1)
            visible = results['keypoints_visible'].copy()
            visible[~inside] = 0
            results.update(keypoints=keypoints, keypoints_visible=visible)
        if 'bbox' in results:
            x1, y1, x2, y2 = results['bbox'].T
            corners = np.stack([x1, y1, x2, y1, x2, y2, x1, y2], 1)
            # Edges lie between pixels.
            corners = _move(corners.reshape(-1, 4, 2) - 0.5, matrix) + 0.5
            boxes = np.stack([corners.min(1), corners.max(1)], 1)
            boxes = boxes.clip(0, size)
            results['bbox'] = boxes.reshape(-1, 4)
            keep_instances(results, np.all(boxes[:, 1] > boxes[:, 0], 1))


def _move(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply a matrix (2, 3) to points (..., 2)."""
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
