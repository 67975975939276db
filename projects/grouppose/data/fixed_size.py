"""Images of one size for every batch, as real-time models take them."""
from typing import Sequence, Tuple, Union

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmpose.registry import TRANSFORMS

from .transforms import _show_region


@TRANSFORMS.register_module()
class PoseFixedResize(BaseTransform):
    """Resize to exactly one size, whatever the aspect ratio of the image.

    Pixels are resampled by Pillow's bilinear filter, which averages when it
    shrinks. ``input_size``, ``input_center`` and ``input_scale`` are recorded
    as by :class:`PoseResize`.

    Args:
        size (int | Sequence[int]): Width and height in pixels; a single
            number is both.

    Raises:
        ValueError: If a length is not positive.
    """

    def __init__(self, size: Union[int, Sequence[int]]):
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        if len(self.size) != 2 or min(self.size) <= 0:
            raise ValueError('PoseFixedResize: size must be a positive length '
                             f'in pixels, or width and height, not {size}.')

    def transform(self, results: dict) -> dict:
        """Resize one image."""
        return resize_to(results, self.size)


def resize_to(results: dict, size: Tuple[int, int]) -> dict:
    """Resize an image and the people in it.

    Args:
        results (dict): What transforms hand on.
        size (tuple[int]): Width and height in pixels.

    Returns:
        dict: The same results.
    """
    height, width = results['img_shape'][:2]
    if size != (width, height):
        results['img'] = mmcv.imresize(results['img'], size, backend='pillow')
    results['img_shape'] = size[::-1]
    ratio = np.array(size) / (width, height)
    for key, factor in (('keypoints', ratio), ('bbox', np.tile(ratio, 2)),
                        ('area', ratio.prod())):
        if key in results:
            results[key] = (results[key] * factor).astype(np.float32)
    _show_region(results)
    results['input_size'] = np.array(size, dtype=np.float32)
    return results
