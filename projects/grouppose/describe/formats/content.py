"""COCO content, put together image by image and object by object."""
from pathlib import Path
from typing import (Dict, Iterable, List, Mapping, NamedTuple, Optional,
                    Sequence, Tuple)

import numpy as np

SPLITS = dict(train='train', val='val', valid='val', validation='val')


class Converted(NamedTuple):
    """Annotations of a tool as COCO content.

    Args:
        content (dict): ``images``, ``annotations`` and ``categories``. An
            image has ``split``, 'train', 'val' or 'test', where the tool
            divides them; a category has ``flip_idx``, the mirror partner of
            each keypoint by index, where the tool states it.
        images (Path): The folder that ``file_name`` is relative to.
        notes (list[str]): What was assumed or left out, a sentence each.
    """
    content: dict
    images: Path
    notes: List[str]


class ContentBuilder:
    """Collects what a reader finds.

    Args:
        source (Path): What is read, for messages.
        keypoints (Sequence[str]): Names of the K keypoints, shared by all
            categories.
        skeleton (Sequence[tuple[int]]): Links as pairs of indices from 0.
        flip_idx (Sequence[int], optional): Mirror partner of each keypoint.
    """

    def __init__(self,
                 source: Path,
                 keypoints: Sequence[str],
                 skeleton: Sequence[Tuple[int, int]] = (),
                 flip_idx: Optional[Sequence[int]] = None):
        self.source = source
        self.keypoints = list(keypoints)
        self._shared: dict = dict(
            keypoints=self.keypoints,
            skeleton=[[a + 1, b + 1] for a, b in skeleton])
        if flip_idx is not None:
            self._shared['flip_idx'] = list(flip_idx)
        self._categories: Dict[str, int] = {}
        self._images: Dict[str, dict] = {}
        self._annotations: List[dict] = []

    def add_category(self, name: str) -> int:
        """Its id, which counts from 1; a known one keeps its own."""
        return self._categories.setdefault(name, len(self._categories) + 1)

    def add_image(self,
                  file_name: str,
                  size: Sequence[float],
                  split: str = '') -> int:
        """Add an image.

        Args:
            file_name (str): Relative to the folder of the images.
            size (Sequence[float]): Width and height in pixels.
            split (str): Name of the part it belongs to; 'val', 'valid' and
                'validation' are one.

        Returns:
            int: Its id.

        Raises:
            ValueError: If it was added before: its objects would be there
                twice, or some of them missing in each.
        """
        if file_name in self._images:
            raise ValueError(
                f'{self.source}: the image {file_name} is annotated twice. '
                'Remove one of the two, or put their objects together.')
        number = len(self._images) + 1
        image = dict(
            id=number,
            file_name=file_name,
            width=int(size[0]),
            height=int(size[1]))
        if split:
            image['split'] = SPLITS.get(split.lower(), split.lower())
        self._images[file_name] = image
        return number

    def add_object(self,
                   image_id: int,
                   category: str,
                   points: np.ndarray,
                   box: Optional[Sequence[float]] = None) -> None:
        """Add an object.

        Args:
            image_id (int): From :meth:`add_image`.
            category (str): Name of what it is.
            points (np.ndarray): x, y in pixels and visibility, (K, 3). What
                is not finite counts as not labeled.
            box (Sequence[float], optional): x, y, width, height in pixels,
                only if somebody drew it.
        """
        points = np.array(points, dtype=float).reshape(-1, 3)
        points[~np.isfinite(points).all(1)] = 0
        points[points[:, 2] <= 0] = 0
        entry: dict = dict(
            id=len(self._annotations) + 1,
            image_id=image_id,
            category_id=self.add_category(category),
            keypoints=_numbers(points.ravel()),
            num_keypoints=int((points[:, 2] > 0).sum()),
            iscrowd=0)
        if box is not None:
            entry['bbox'] = _numbers(box)
        self._annotations.append(entry)

    def place(self, labeled: Mapping[str, Sequence[float]]) -> np.ndarray:
        """Put keypoints that are known by name into their order.

        Args:
            labeled (dict): x, y and visibility by name.

        Returns:
            np.ndarray: (K, 3), 0 where nothing is labeled.
        """
        missing = (0., 0., 0.)
        return np.array([
            labeled.get(name, missing) for name in self.keypoints
        ]).reshape(-1, 3)

    @property
    def content(self) -> dict:
        """dict: COCO content."""
        return dict(
            images=list(self._images.values()),
            annotations=self._annotations,
            categories=[
                dict(id=number, name=name, **self._shared)
                for name, number in self._categories.items()
            ])


def _numbers(values: Iterable[float]) -> List[float]:
    """Numbers for JSON, to a thousandth of a pixel."""
    return [round(float(value), 3) for value in values]
