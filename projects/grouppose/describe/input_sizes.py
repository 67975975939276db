"""How large objects are where the network sees them."""
from functools import lru_cache
from typing import Callable, Dict, Tuple

import numpy as np
from mmpose.registry import TRANSFORMS

from ..config_file import read_config, shipped
from ..data.fixed_size import PoseFixedResize
from ..data.transforms import PoseResize, resized_size
from .coco_file import KeypointFile

Size = Tuple[int, int]


@lru_cache(maxsize=None)
def find_resize(base: str) -> Callable[[Size], Size]:
    """How a config of this project resizes images for evaluation.

    Args:
        base (str): Path of the config in the repository.

    Returns:
        Callable: Width and height of the input by those of the image.

    Raises:
        ValueError: If its ``val_dataloader`` does not resize.
    """
    config = read_config(str(shipped('configs').parent / base))
    for step in config.val_dataloader.dataset.pipeline:
        if step['type'] == 'PoseResize':
            resize: PoseResize = TRANSFORMS.build(step)
            side, longest = max(resize.short_sides), resize.max_size
            return lambda size: resized_size(size, side, longest)
        if step['type'] == 'PoseFixedResize':
            fixed: PoseFixedResize = TRANSFORMS.build(step)
            return lambda size: fixed.size
    raise ValueError(f'{base}: `val_dataloader` has neither PoseResize nor '
                     'PoseFixedResize.')


def measure_sides(file: KeypointFile,
                  bases: Dict[str, str]) -> Dict[str, np.ndarray]:
    """Measure the longer side of objects, as the network sees them.

    Args:
        file (KeypointFile): The file.
        bases (dict[str, str]): Paths of configs by name.

    Returns:
        dict[str, np.ndarray]: By name, the longer side of the box of each
        object with labeled keypoints, in pixels of the network's input.
        Objects whose box or image has no known size are left out.
    """
    sizes, boxes = file.sizes, file.boxes[:, 2:]
    used = file.labeled.any(1) & (boxes > 0).all(1)
    used &= np.isfinite(sizes).all(1) & (np.nan_to_num(sizes) >= 1).all(1)
    sizes, boxes = sizes[used], boxes[used]
    distinct, which = np.unique(sizes, axis=0, return_inverse=True)
    sides = {}
    for name, base in bases.items():
        resize = find_resize(base)
        scales = np.array([
            np.divide(resize((round(width), round(height))), (width, height))
            for width, height in distinct.tolist()
        ]).reshape(-1, 2)
        sides[name] = (boxes * scales[which.reshape(-1)]).max(1)
    return sides
