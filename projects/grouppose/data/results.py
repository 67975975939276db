"""The dict that the transforms of a pipeline hand on: what they share."""
from typing import Optional, Sequence, Tuple, Union

import mmcv
import numpy as np

# Values for each instance; other keys belong to the image.
INSTANCE_KEYS = ('bbox', 'bbox_score', 'keypoints', 'keypoints_visible',
                 'area', 'num_keypoints', 'iscrowd', 'id', 'category_id',
                 'class_label', 'raw_ann_info')


def image_size(results: dict) -> Tuple[int, int]:
    """Height and width of the image in a pipeline.

    Args:
        results (dict): What transforms hand on.

    Returns:
        tuple[int]: ``img_shape``.

    Raises:
        ValueError: If the image has another size, see
            :func:`check_image_size`.
    """
    size = tuple(results['img_shape'][:2])
    check_image_size(
        results.get('img'), size, name=results.get('img_path') or 'an image')
    return size


def check_image_size(img: Optional[np.ndarray],
                     img_shape: Sequence[int],
                     input_size: Optional[Sequence[float]] = None,
                     name: str = 'an image') -> None:
    """Refuse an image of another size than a transform has noted.

    Poses would be taken for other ones without a word.

    Args:
        img (np.ndarray, optional): The image, (H, W, 3).
        img_shape (Sequence[int]): What should be its height and width.
        input_size (Sequence[float], optional): What should be its width and
            height.
        name (str): What to call the image in the message.

    Raises:
        ValueError: If one of them differs.
    """
    if img is None:
        return
    size = img.shape[:2]
    noted = dict(img_shape=tuple(img_shape[:2]))
    if input_size is not None:
        noted['input_size'] = tuple(np.array(input_size, dtype=int)[::-1])
    for field, other in noted.items():
        if other != size:
            raise ValueError(
                f'{name}: `img` is {size[0]} x {size[1]} pixels high and '
                f'wide, but `{field}` says {other[0]} x {other[1]}: a '
                'transform before does not keep image and people in step. Use '
                'PoseRandomAffine instead of BottomupRandomAffine, PoseResize '
                'instead of BottomupRandomChoiceResize.')


def resize_to(results: dict, size: Tuple[int, int]) -> dict:
    """Resize the image and the people in it, in place.

    Pixels are resampled by Pillow's bilinear filter, which averages when it
    shrinks.

    Args:
        results (dict): What transforms hand on.
        size (tuple[int]): New width and height in pixels.

    Returns:
        dict: The same results.
    """
    height, width = image_size(results)
    if size != (width, height):
        results['img'] = mmcv.imresize(results['img'], size, backend='pillow')
    results['img_shape'] = size[::-1]
    ratio = np.array(size) / (width, height)
    for key, factor in (('keypoints', ratio), ('bbox', np.tile(ratio, 2)),
                        ('area', ratio.prod())):
        if key in results:
            results[key] = (results[key] * factor).astype(np.float32)
    show_region(results)
    results['input_size'] = np.array(size, dtype=np.float32)
    return results


def move_people(results: dict, offset: Tuple[int, int]) -> None:
    """Shift keypoints and boxes, in place.

    Args:
        results (dict): What transforms hand on.
        offset (tuple[int]): Pixels to the right and down.
    """
    for key, shift in (('keypoints', offset), ('bbox', 2 * offset)):
        if key in results:
            results[key] = results[key] + np.array(shift, np.float32)


def show_region(results: dict) -> None:
    """Record that the input shows the whole image, unless it is recorded
    already."""
    if 'input_scale' not in results:
        height, width = results['ori_shape'][:2]
        results['input_scale'] = np.array((width, height), dtype=np.float32)
        results['input_center'] = results['input_scale'] / 2


def keep_instances(results: dict, keep: Union[Sequence[bool],
                                              np.ndarray]) -> None:
    """Drop the other instances, in place.

    Args:
        results (dict): What transforms hand on.
        keep (Sequence[bool] | np.ndarray): One for each instance.
    """
    mask = np.array(keep, dtype=bool)
    for key in INSTANCE_KEYS:
        values = results.get(key)
        if isinstance(values, np.ndarray):
            results[key] = values[mask]
        elif values is not None:
            results[key] = [value for value, kept in zip(values, mask) if kept]
