"""From an annotated image to what the network sees: drop unusable instances,
flip, resize and crop, by the rules of Group Pose.

All transforms keep ``img``, ``img_shape``, ``keypoints``, ``bbox`` (xyxy) and
``area`` in step, and work without annotations. MMPose's own ones differ in
rounding, in what a crop does to joints outside, and do not scale ``area``.
"""
from typing import List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmpose.registry import TRANSFORMS

from .instances import reason_to_leave_out, stand_in_for_box
from .results import image_size, keep_instances, resize_to, show_region

LONGEST = 20000  # pixels of a side after PoseResize without a limit


@TRANSFORMS.register_module()
class PoseInstanceFilter(BaseTransform):
    """Keep the instances that Group Pose trains on.

    Drops crowd regions, instances without labeled keypoints and those whose
    box is empty within the image. Boxes are read again from the annotations
    and clipped to [0, w] x [0, h] (MMPose clips one pixel earlier); for an
    unusable one, :func:`stand_in_for_box` gives another. An
    instance without an annotated area gets that of its clipped box, or a
    share of it.

    Required keys: ``raw_ann_info``, ``img_shape``. Use it in training only:
    the metric needs all annotations.

    Args:
        box_share (float): Share of the box that is the area of an instance
            without an annotated one. Defaults to 1, that of the official
            Group Pose for CrowdPose; DETRPose and COCO's evaluation take
            0.53.
    """

    def __init__(self, box_share: float = 1.0):
        self.box_share = box_share

    def transform(self, results: dict) -> dict:
        """Filter the instances of one image."""
        annotations = results.get('raw_ann_info')
        if not annotations:
            return results
        height, width = image_size(results)
        # PoseImageDataset has done so before, MMPose's data sets have not.
        annotations = [
            dict(ann, **stand_in_for_box(ann, (width, height)))
            for ann in annotations
        ]
        xywh = np.array([ann['bbox'] for ann in annotations], dtype=np.float64)
        corners = np.stack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1)
        corners = corners.clip(0, (width, height))
        size = corners[:, 1] - corners[:, 0]
        results['bbox'] = corners.reshape(-1, 4).astype(np.float32)
        from_box = self.box_share * size.prod(1)
        results['area'] = np.array([
            ann.get('area', area) for ann, area in zip(annotations, from_box)
        ],
                                   dtype=np.float32)

        keep_instances(results, [
            not reason_to_leave_out(ann, labeled, (width, height))
            for ann, labeled in zip(annotations, results['num_keypoints'])
        ])
        # Flat lists over all instances, which cannot be filtered.
        for key in ('segmentation', 'invalid_segs'):
            results.pop(key, None)
        return results


@TRANSFORMS.register_module()
class PoseRandomFlip(BaseTransform):
    """Mirror image and poses horizontally at random.

    A point moves to ``w - 1 - x``, labeled or not, and left and right
    keypoints trade places; a box moves to ``w - x`` (QUIRK: the
    official program treats the two differently).

    Args:
        prob (float): Probability of a flip. Defaults to 0.5.
    """

    def __init__(self, prob: float = 0.5):
        self.prob = prob

    @cache_randomness
    def _choose(self) -> bool:
        return np.random.rand() < self.prob

    def transform(self, results: dict) -> dict:
        """Flip one image."""
        results['flip'] = bool(self._choose())
        if not results['flip']:
            return results
        results['flip_direction'] = 'horizontal'
        width = image_size(results)[1]
        # A copy: out of a view, Pillow's resize reads pixel by pixel.
        results['img'] = cv2.flip(results['img'], 1)
        if 'keypoints' in results:
            order = self._flip_indices(results)
            keypoints = results['keypoints'][:, order].copy()
            keypoints[..., 0] = width - 1 - keypoints[..., 0]
            results['keypoints'] = keypoints
            results['keypoints_visible'] = \
                results['keypoints_visible'][:, order]
        if 'bbox' in results:
            x1, y1, x2, y2 = results['bbox'].T
            results['bbox'] = np.stack([width - x2, y1, width - x1, y2], 1)
        return results

    @staticmethod
    def _flip_indices(results: dict) -> List[int]:
        """Where each keypoint is taken from, if that is known."""
        order, count = results['flip_indices'], results['keypoints'].shape[1]
        if len(order) == count and None not in order:
            return order
        problem = f'are for {len(order)} of {count} keypoints'
        if len(order) == count:
            problem = 'lack the mirror image of keypoint ' \
                f'{list(order).index(None)}'
        raise ValueError(
            f'{results.get("img_path")}: `flip_indices` {problem}. Where '
            'KeypointConverter changes the keypoints, put PoseRandomFlip '
            'before it, or the converter into `pipeline` of a part of '
            'CombinedDataset, whose `metainfo` describes the result.')


@TRANSFORMS.register_module()
class PoseResize(BaseTransform):
    """Resize the shorter side to a length, drawn at random if several.

    The size follows the official program to the pixel: it is truncated, and
    the longer side may pass ``max_size`` by a pixel or two. Pixels are
    resampled by Pillow's bilinear filter, which averages when it shrinks.

    It also records ``input_size``, ``input_center`` and ``input_scale``, all
    (w, h), by which predictions return to the original image exactly.

    Args:
        short_side (int | Sequence[int]): Length of the shorter side.
        max_size (int, optional): Length that the longer side should not
            pass. Defaults to one that only images much too long for any
            network pass, whose pixels would fill the memory.

    Raises:
        ValueError: If a length is not positive.
    """

    def __init__(self,
                 short_side: Union[int, Sequence[int]],
                 max_size: Optional[int] = None):
        if isinstance(short_side, int):
            short_side = [short_side]
        self.short_sides = list(short_side)
        self.max_size = max_size or LONGEST
        lengths = self.short_sides + ([max_size] if max_size else [])
        if not self.short_sides or min(lengths) <= 0:
            raise ValueError(
                'PoseResize: short_side and max_size must be positive '
                f'lengths in pixels, got {short_side} and {max_size}.')

    @cache_randomness
    def _choose(self) -> int:
        return self.short_sides[np.random.randint(len(self.short_sides))]

    def transform(self, results: dict) -> dict:
        """Resize one image."""
        height, width = image_size(results)
        new_size = resized_size((width, height), self._choose(), self.max_size)
        return resize_to(results, new_size)


@TRANSFORMS.register_module()
class PoseRandomCrop(BaseTransform):
    """Cut a random rectangle out of the image.

    Width and height are drawn independently. Instances whose box is empty
    within the crop are dropped; nobody may be left. QUIRK: keypoints
    outside are moved to the border of the crop and stay labeled (but are no
    longer visible), and areas become those of the clipped boxes.

    Args:
        min_size (int): Least width and height. Smaller images keep their
            size. Defaults to 384.
        max_size (int): Largest width and height. Defaults to 600.
    """

    def __init__(self, min_size: int = 384, max_size: int = 600):
        if not 0 < min_size <= max_size:
            raise ValueError(
                'PoseRandomCrop: 0 < min_size <= max_size must hold, got '
                f'{min_size} and {max_size}.')
        self.min_size = min_size
        self.max_size = max_size

    @cache_randomness
    def _choose(self, height: int, width: int) -> Tuple[int, int, int, int]:
        """Draw top, left, height and width, all limits included."""
        h, w = [
            np.random.randint(
                min(side, self.min_size),
                min(side, self.max_size) + 1) for side in (height, width)
        ]
        top = np.random.randint(height - h + 1)
        left = np.random.randint(width - w + 1)
        return top, left, h, w

    def transform(self, results: dict) -> dict:
        """Crop one image."""
        height, width = image_size(results)
        top, left, h, w = self._choose(height, width)
        crop = results['img'][top:top + h, left:left + w]
        results['img'] = np.ascontiguousarray(crop)
        results['img_shape'] = (h, w)
        show_region(results)
        pixel = results['input_scale'] / (width, height)
        results['input_center'] = (
            results['input_center'] - results['input_scale'] / 2 + pixel *
            (left + w / 2, top + h / 2))
        results['input_scale'] = pixel * (w, h)
        results['input_size'] = np.array((w, h), dtype=np.float32)

        if 'keypoints' in results:
            keypoints = results['keypoints'] - np.array(
                (left, top), np.float32)
            results['keypoints'] = keypoints.clip(0,
                                                  np.array((w, h), np.float32))
            outside = (results['keypoints'] != keypoints).any(-1)
            visible = results['keypoints_visible'].copy()
            visible[outside] = np.minimum(visible[outside], 1)
            results['keypoints_visible'] = visible
        if 'bbox' in results:
            boxes = results['bbox'] - np.array(
                (left, top, left, top), np.float32)
            boxes = boxes.clip(0, np.array((w, h, w, h), np.float32))
            results['bbox'] = boxes
            sizes = boxes[:, 2:] - boxes[:, :2]
            results['area'] = sizes.prod(1)
            keep_instances(results, (sizes > 0).all(1))
        return results


def resized_size(size: Tuple[int, int],
                 short_side: int,
                 max_size: Optional[int] = None) -> Tuple[int, int]:
    """Width and height of an image after :class:`PoseResize`.

    Args:
        size (tuple[int]): Width and height.
        short_side (int): Wanted length of the shorter side.
        max_size (int, optional): Limit of the longer side.

    Returns:
        tuple[int]: Width and height, each at least one pixel: an image that
        is too narrow for the limit becomes a line of ``max_size`` pixels.
    """
    width, height = size
    short, long = min(size), max(size)
    if max_size is not None and long / short * short_side > max_size:
        short_side = int(round(max_size * short / long))
        if short_side < 1:
            return (1, max_size) if width < height else (max_size, 1)
    if short == short_side:
        return width, height
    if width < height:
        return short_side, int(short_side * height / width)
    return int(short_side * width / height), short_side
