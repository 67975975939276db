"""People of other images put into an image, cut out along their masks."""
from typing import List, NamedTuple, Optional, Sequence, Tuple

import mmcv
import numpy as np
from mmengine.config import ConfigDict
from mmpose.registry import TRANSFORMS
from pycocotools import mask as mask_utils

from .mixing import MixingTransform, forget_masks, unite_people
from .results import image_size, keep_instances, move_people, resize_to


class Cutout(NamedTuple):
    """A person to be pasted: its image, with what belongs to one person, and
    the opacity of each pixel, uint8, (h, w)."""
    results: dict
    opacity: np.ndarray


@TRANSFORMS.register_module()
class PoseCopyPaste(MixingTransform):
    """Paste people of another image of the data set into the image (Ghiasi et
    al., CVPR 2021, for poses).

    Some people of the other image that have a mask, drawn at random, are cut
    out along it, resized, and pasted one after another at random places, as a
    whole. They keep what is known of their keypoints; a keypoint that would
    lie outside of the image becomes unlabeled.

    What is pasted hides what is below it, also what was pasted before:

    - Keypoints under it are labeled, but not visible: a visibility of 2
      becomes 1.
    - The area of a person shrinks by the share of its mask that is hidden,
      and its box by as much as the box of the mask. The box stands in for the
      mask of someone who has none.
    - A person of whose mask less than ``min_visible`` is left is dropped.

    Masks are those of the annotation file, polygons or run-length encoded, in
    pixels of the file: this transform, and ``pre_transform``, come before
    whatever moves the image, so in ``pre_transform`` of a ``PoseMosaic``
    rather than after it.

    Args:
        pre_transform (Sequence[dict]): Transforms that load and filter the
            other image; the same as those before this one.
        max_people (int): Most people who are pasted; from 1 to as many are,
            if the other image shows that many. Defaults to 3.
        scale (tuple[float]): Least and largest size, where 1 makes people
            as large as if their image filled this one; nobody is made larger
            than the image. Defaults to (0.5, 1.25).
        min_visible (float): Share of a person's mask that must be left.
            Defaults to 0.1.
        box_edge (float, optional): Cut people without a mask out along their
            box, which fades away in this part of its sides, at most 0.5.
            Defaults to None: they are not pasted.

    Raises:
        ValueError: If an argument is impossible.
    """

    def __init__(self,
                 pre_transform: Sequence[ConfigDict],
                 max_people: int = 3,
                 scale: Tuple[float, float] = (0.5, 1.25),
                 min_visible: float = 0.1,
                 box_edge: Optional[float] = None):
        super().__init__(pre_transform)
        if max_people < 1:
            raise ValueError('PoseCopyPaste: max_people must be at least 1, '
                             f'got {max_people}.')
        if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
            raise ValueError(
                'PoseCopyPaste: scale must be two positive numbers, the '
                f'smaller one first, got {scale}.')
        if not 0 <= min_visible <= 1:
            raise ValueError('PoseCopyPaste: min_visible must lie in [0, 1], '
                             f'got {min_visible}.')
        if box_edge is not None and not 0 < box_edge <= 0.5:
            raise ValueError('PoseCopyPaste: box_edge must lie in (0, 0.5], '
                             f'got {box_edge}.')
        self.max_people = max_people
        self.scale = scale[0], scale[1]
        self.min_visible = min_visible
        self.box_edge = box_edge

    def transform(self, results: dict) -> dict:
        """Paste people into one image.

        Raises:
            ValueError: If the image is not one of a data set, an image was
                moved before, or a mask is unusable.
        """
        other = self.load_another(results)
        for one in (results, other):
            self._check_unmoved(one)
        cutouts = self._cut_out(other)
        if not cutouts or 'keypoints' not in results:
            return results
        results = dict(results, img=results['img'].copy())
        size = image_size(results)
        masks = [
            _box_mask(box, size) if mask is None else mask
            for box, mask in zip(results['bbox'], _find_masks(results))
        ]
        fit = min(a / b for a, b in zip(size, image_size(other)))
        for cutout in cutouts:
            results, masks = self._paste(results, masks, cutout, fit)
        return results

    def _check_unmoved(self, results: dict) -> None:
        """Refuse an image whose masks lie elsewhere than in the file."""
        if 'input_scale' in results or results.get('flip'):
            raise ValueError(
                f'{results.get("img_path")}: PoseCopyPaste follows a '
                'transform that moves the image, but masks are those of the '
                'annotation file. Put it, and its `pre_transform`, right '
                'after what loads the image and filters people; beside a '
                'PoseMosaic, in the `pre_transform` of that, too.')

    def _cut_out(self, other: dict) -> List[Cutout]:
        """Some people of another image, in random order."""
        size = image_size(other)
        masks = _find_masks(other)
        if self.box_edge is not None:
            masks = [
                _soft_box(box, size, self.box_edge) if mask is None else mask
                for box, mask in zip(other['bbox'], masks)
            ]
        usable = [
            i for i, mask in enumerate(masks)
            if mask is not None and (mask > _HALF).any()
        ]
        if not usable:
            return []
        count = np.random.randint(1, self.max_people + 1)
        cutouts = []
        for i in np.random.permutation(usable)[:count]:
            left, top, right, bottom = _bounds(masks[i] > 0)
            person = dict(
                other,
                img=other['img'][top:bottom, left:right],
                img_shape=(bottom - top, right - left))
            keep_instances(person, np.arange(len(masks)) == i)
            move_people(person, (-left, -top))
            cutouts.append(Cutout(person, masks[i][top:bottom, left:right]))
        return cutouts

    def _paste(self, results: dict, masks: List[np.ndarray], cutout: Cutout,
               fit: float) -> Tuple[dict, List[np.ndarray]]:
        """Paste a person; return the image and the masks of all who are left,
        uint8, (H, W)."""
        height, width = image_size(results)
        rows, columns = cutout.opacity.shape
        scale = min(fit * np.random.uniform(*self.scale), height / rows,
                    width / columns)
        rows, columns = [
            min(max(round(scale * side), 1), most)
            for side, most in ((rows, height), (columns, width))
        ]
        top = np.random.randint(height - rows + 1)
        left = np.random.randint(width - columns + 1)

        opacity = np.zeros((height, width), dtype=np.uint8)
        window = np.s_[top:top + rows, left:left + columns]
        opacity[window] = mmcv.imresize(
            cutout.opacity, (columns, rows), backend='pillow')
        hides = opacity > _HALF
        if not hides.any():  # too small to be seen
            return results, masks
        person = resize_to(dict(cutout.results), (columns, rows))
        weight = opacity[window][..., None] / np.float32(255)
        below = results['img'][window]
        below[:] = (weight * person['img'] + (1 - weight) * below).round()
        move_people(person, (left, top))
        _keep_inside(person, (width, height))

        masks = self._hide(results, masks, hides)
        forget_masks(person, [True])
        results.update(unite_people([results, person]))
        return results, [*masks, 255 * hides.astype(np.uint8)]

    def _hide(self, results: dict, masks: List[np.ndarray],
              hides: np.ndarray) -> List[np.ndarray]:
        """Hide what is below a person, in place; return the masks of those
        who are left."""
        height, width = hides.shape
        places = results['keypoints'].round().astype(int)
        inside = ((places >= 0) & (places < (width, height))).all(-1)
        x, y = np.moveaxis(places.clip(0, (width - 1, height - 1)), -1, 0)
        visible = results['keypoints_visible'].copy()
        visible[(visible > 1) & inside & hides[y, x]] = 1

        boxes, areas = results['bbox'].copy(), results['area'].copy()
        left_over, shares = [], np.ones(len(masks))
        for i, mask in enumerate(masks):
            left_over.append(np.where(hides, np.uint8(0), mask))
            before, after = mask > _HALF, left_over[i] > _HALF
            shares[i] = after.sum() / max(before.sum(), 1)
            if 0 < shares[i] < 1:
                boxes[i] += np.subtract(_bounds(after), _bounds(before))
        areas *= shares.astype(np.float32)
        results.update(keypoints_visible=visible, bbox=boxes, area=areas)
        forget_masks(results, (shares < 1).tolist())
        keep = (shares > 0) & (shares >= self.min_visible)
        keep_instances(results, keep)
        return [mask for mask, kept in zip(left_over, keep) if kept]


_HALF = 127  # a pixel of a higher opacity belongs to the person


def _find_masks(results: dict) -> List[Optional[np.ndarray]]:
    """The mask of each person, 0 or 255, uint8, (H, W); None where there is
    none."""
    anns = results.get('raw_ann_info') or [{}] * len(results.get('bbox', ()))
    return [
        _decode_mask(ann, image_size(results), results.get('img_path'))
        for ann in anns
    ]


def _decode_mask(ann: dict, size: Tuple[int, int],
                 img_path: Optional[str]) -> Optional[np.ndarray]:
    """The mask of an annotation."""
    codes = ann.get('segmentation')
    if not codes:
        return None
    try:
        if isinstance(codes, list) or isinstance(codes['counts'], list):
            codes = mask_utils.frPyObjects(codes, *size)
        mask = mask_utils.decode(codes)
    except Exception as error:  # some of pycocotools are nothing else
        raise _bad_mask(ann, size, img_path) from error
    if mask.ndim == 3:  # of polygons
        mask = mask.any(-1).astype(np.uint8)
    if mask.shape != size:
        raise _bad_mask(ann, size, img_path)
    return 255 * mask


def _bad_mask(ann: dict, size: Tuple[int, int],
              img_path: Optional[str]) -> ValueError:
    return ValueError(
        f'{img_path}: annotation {ann.get("id")}: `segmentation` holds '
        'neither polygons nor a run-length encoding of an image of '
        f'{size[1]} x {size[0]} pixels. Correct it, or remove the field.')


def _box_mask(box: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """A box (x1, y1, x2, y2) as a mask of one pixel at least."""
    height, width = size
    x1, y1 = np.floor(box[:2]).astype(int).clip(0, (width - 1, height - 1))
    x2, y2 = np.ceil(box[2:]).astype(int)
    mask = np.zeros(size, dtype=np.uint8)
    mask[y1:max(y2, y1 + 1), x1:max(x2, x1 + 1)] = 255
    return mask


def _soft_box(box: np.ndarray, size: Tuple[int, int],
              edge: float) -> np.ndarray:
    """A box as an opacity that grows from its sides inwards."""
    ramps = []
    for low, high, side in ((box[1], box[3], size[0]), (box[0], box[2],
                                                        size[1])):
        place = np.arange(side) + 0.5  # centers of the pixels
        distance = np.minimum(place - low, high - place)
        ramps.append((distance / max(edge * (high - low), 1e-6)).clip(0, 1))
    return np.rint(255 * ramps[0][:, None] * ramps[1]).astype(np.uint8)


def _bounds(mask: np.ndarray) -> Tuple[int, int, int, int]:
    """Left, top, right and bottom of the pixels of a mask that has some."""
    columns, = np.nonzero(mask.any(0))
    rows, = np.nonzero(mask.any(1))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def _keep_inside(results: dict, size: Tuple[int, int]) -> None:
    """Clip boxes, and unlabel keypoints outside, in place."""
    keypoints = results['keypoints']
    inside = ((keypoints >= 0) & (keypoints <= np.subtract(size, 1))).all(-1)
    visible = np.where(inside, results['keypoints_visible'], 0)
    results['keypoints_visible'] = visible.astype(np.float32)
    results['bbox'] = results['bbox'].clip(0, np.tile(size,
                                                      2)).astype(np.float32)
