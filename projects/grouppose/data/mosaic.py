"""Four images in one: more people, and smaller ones."""
from typing import Sequence

import numpy as np
from mmengine.config import ConfigDict
from mmpose.registry import TRANSFORMS

from .mixing import MixingTransform, unite_people
from .results import move_people
from .transforms import PoseResize


@TRANSFORMS.register_module()
class PoseMosaic(MixingTransform):
    """Put the image and three others of the data set side by side (DETRPose).

    Each is resized to the same length of its shorter side, and lies in the
    upper left corner of its quarter of the canvas. Quarters are as wide and
    high as the largest of the images; what is free is black. Nobody is cut.
    (MMPose's ``Mosaic`` crops around a random center instead.)

    It follows what loads and filters the image, and images of all sizes come
    out of it: resize afterwards. The canvas takes the place of the original
    image in ``ori_shape``.

    Args:
        pre_transform (Sequence[dict]): Transforms that load and filter the
            other images; the same as those before this one.
        short_side (int): Length of the shorter side of each image. Defaults
            to 320.
    """

    def __init__(self,
                 pre_transform: Sequence[ConfigDict],
                 short_side: int = 320):
        super().__init__(pre_transform)
        self.resize = PoseResize(short_side)

    def transform(self, results: dict) -> dict:
        """Make a mosaic that starts with one image.

        Raises:
            ValueError: If the image is not one of a data set.
        """
        parts = [results]
        parts += [self.load_another(results) for _ in range(3)]
        parts = [self.resize(part) for part in parts]
        height, width = np.max([part['img_shape'] for part in parts], axis=0)
        canvas = np.zeros((2 * height, 2 * width, 3), dtype=np.uint8)
        for index, part in enumerate(parts):
            top, left = height * (index // 2), width * (index % 2)
            rows, columns = part['img_shape']
            canvas[top:top + rows, left:left + columns] = part['img']
            move_people(part, (left, top))
        return {**results, **unite_people(parts), **_whole(canvas)}


def _whole(img: np.ndarray) -> dict:
    """What results say of an image that is its own original."""
    size = np.array(img.shape[1::-1], dtype=np.float32)
    return dict(
        img=img,
        img_shape=img.shape[:2],
        ori_shape=img.shape[:2],
        input_size=size,
        input_scale=size,
        input_center=size / 2)
