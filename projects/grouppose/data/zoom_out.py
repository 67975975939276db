"""People made smaller: the image on a larger, black canvas."""
import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmpose.registry import TRANSFORMS

from .results import image_size, move_people, show_region


@TRANSFORMS.register_module()
class PoseZoomOut(BaseTransform):
    """Put the image in the middle of a larger, black canvas (DETRPose).

    With a ratio r drawn uniformly, (r - 1) times the width is added on the
    left and on the right, (r - 1) times the height above and below: the
    canvas has 2 r - 1 times the sides of the image. People keep their size in
    pixels, so resize afterwards; large photographs are better resized
    before, too, as the canvas of one is kept in memory.

    Args:
        max_ratio (float): Largest r. Defaults to 2.5.

    Raises:
        ValueError: If it is below 1.
    """

    def __init__(self, max_ratio: float = 2.5):
        if max_ratio < 1:
            raise ValueError('PoseZoomOut: max_ratio must be at least 1, not '
                             f'{max_ratio}.')
        self.max_ratio = max_ratio

    @cache_randomness
    def _choose(self) -> float:
        return np.random.uniform(1, self.max_ratio)

    def transform(self, results: dict) -> dict:
        """Zoom out of one image."""
        height, width = image_size(results)
        ratio = self._choose()
        left, top = int((ratio - 1) * width), int((ratio - 1) * height)
        results['img'] = cv2.copyMakeBorder(
            results['img'], top, top, left, left, cv2.BORDER_CONSTANT, value=0)
        size = width + 2 * left, height + 2 * top
        results['img_shape'] = size[::-1]
        move_people(results, (left, top))
        # It shows the same middle of the original image.
        show_region(results)
        results['input_scale'] = np.float32(results['input_scale'] * size /
                                            (width, height))
        results['input_size'] = np.array(size, dtype=np.float32)
        return results
