"""Two images in one, both seen through each other."""
from typing import Sequence, Tuple

import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmengine.config import ConfigDict
from mmpose.registry import TRANSFORMS

from .mixing import MixingTransform, forget_masks, unite_people
from .results import image_size, move_people, resize_to


@TRANSFORMS.register_module()
class PoseMixUp(MixingTransform):
    """Blend the image with another one of the data set, and keep the people
    of both.

    The other image is made as large as fits into this one, and lies at a
    random place of it; what it leaves free stays as it is. Pixels are a
    weighted mean (Zhang et al., ICLR 2018). All people count fully, with
    whatever visibility their keypoints have: they can be seen through each
    other. (MMPose's ``YOLOXMixUp`` scales at random, cuts people off and
    drops areas.)

    It may stand anywhere between what filters people and ``GenerateTarget``,
    where ``pre_transform`` does the same as the transforms before it.

    Args:
        pre_transform (Sequence[dict]): Transforms that load and filter the
            other image; the same as those before this one.
        ratio (tuple[float]): Least and largest weight of this image's pixels,
            drawn uniformly. Defaults to (0.45, 0.55), as of DEIM.

    Raises:
        ValueError: If the range of weights is impossible.
    """

    def __init__(self,
                 pre_transform: Sequence[ConfigDict],
                 ratio: Tuple[float, float] = (0.45, 0.55)):
        super().__init__(pre_transform)
        if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1] < 1:
            raise ValueError(
                'PoseMixUp: ratio must be two numbers between 0 and 1, the '
                f'smaller one first, got {ratio}.')
        self.ratio = ratio[0], ratio[1]

    @cache_randomness
    def _choose(self, free: Sequence[int]) -> Tuple[float, int, int]:
        """Draw the weight, and the left and top of the other image."""
        return (np.random.uniform(*self.ratio), np.random.randint(free[0] + 1),
                np.random.randint(free[1] + 1))

    def transform(self, results: dict) -> dict:
        """Blend one image.

        Raises:
            ValueError: If the image is not one of a data set.
        """
        height, width = image_size(results)
        other = self.load_another(results)
        rows, columns = image_size(other)
        scale = min(height / rows, width / columns)
        columns = min(max(round(scale * columns), 1), width)
        rows = min(max(round(scale * rows), 1), height)
        other = resize_to(other, (columns, rows))
        ratio, left, top = self._choose((width - columns, height - rows))
        move_people(other, (left, top))
        if 'keypoints' in other:
            forget_masks(other, [True] * len(other['keypoints']))

        img = results['img'].copy()
        window = img[top:top + rows, left:left + columns]
        mean = ratio * window + (1 - ratio) * np.float32(other['img'])
        window[:] = mean.round()
        return {**results, **unite_people([results, other]), 'img': img}
