"""Images of one size for every batch, as real-time models take them."""
from typing import Sequence, Union

from mmcv.transforms import BaseTransform
from mmpose.registry import TRANSFORMS

from .results import resize_to


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
        sides = (size, size) if isinstance(size, int) else tuple(size)
        if len(sides) != 2 or min(sides) <= 0:
            raise ValueError('PoseFixedResize: size must be a positive length '
                             f'in pixels, or width and height, not {size}.')
        self.size = sides[0], sides[1]

    def transform(self, results: dict) -> dict:
        """Resize one image."""
        return resize_to(results, self.size)
