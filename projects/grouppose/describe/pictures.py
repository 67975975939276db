"""Pictures of annotated objects: a part of the image as JPEG, and what is
drawn over it, in coordinates of the picture."""
import base64
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple

import cv2
import numpy as np

from ..data.loading import LoadPoseImage
from .coco_file import KeypointFile
from .metainfo_file import DatasetInfo

SIDE = 240  # longer side of a picture, in units of its coordinates
PIXELS = 320  # longer side of its JPEG at most
MAX_BYTES = 30_000  # of a JPEG, of which a page has some fifty
QUALITIES = (85, 70, 50, 30)
MARGIN = 0.15  # around an object, as a part of its longer side,
LEAST_MARGIN = 8  # or in pixels
VISIBLE = 2  # COCO's flag


@dataclass
class Dot:
    """A labeled keypoint of a picture.

    Args:
        x (float): Its place.
        y (float): Its place.
        index (int): Index of the keypoint.
        visible (bool): Whether it is visible rather than occluded.
        marked (bool): Whether it is concerned by what is wrong.
    """
    x: float
    y: float
    index: int
    visible: bool
    marked: bool


@dataclass
class Picture:
    """An object and what is around it.

    Args:
        ann_id (int): Id of the annotation.
        file_name (str): Of the image.
        size (tuple[float]): Width and height of the picture.
        image (str): JPEG as a data URI, '' if the file cannot be read.
        place (list[float]): x, y, width and height of the JPEG.
        box (list[float]): x, y, width and height of the box, in the picture.
        lines (list[tuple]): Links whose ends are labeled: x and y of both
            ends, and the index of the link.
        dots (list[Dot]): Labeled keypoints.
        reason (str): What is wrong, '' if nothing is.
    """
    ann_id: int
    file_name: str
    size: Tuple[float, float]
    image: str
    place: List[float]
    box: List[float]
    lines: List[Tuple[float, float, float, float, int]]
    dots: List[Dot]
    reason: str = ''


class ObjectPainter:
    """Makes pictures of the objects of a file.

    Args:
        file (KeypointFile): The file. Images are turned by EXIF if its
            ``upright`` says so, as in training.
        info (DatasetInfo): Description of its keypoints.
        folder (str | Path): Where its images are.
    """

    def __init__(self, file: KeypointFile, info: DatasetInfo, folder: Path):
        self.file = file
        self.info = info
        self.folder = folder
        self._loader = LoadPoseImage(
            color_type='color' if file.upright else 'color_ignore_orientation')
        # Objects of one image mostly follow each other.
        self._last: Tuple[Optional[int], Optional[np.ndarray]] = None, None

    def draw(self, i: int, reason: str = '', marked=()) -> Picture:
        """Make the picture of an object.

        Args:
            i (int): Index of the object among the file's ``people``.
            reason (str): What is wrong with it. Defaults to ''.
            marked (Sequence[int]): The keypoints concerned.

        Returns:
            Picture: The picture. If the image cannot be read, it has none.
        """
        file = self.file
        image = self._read(int(file.image_ids[i]))
        size = file.sizes[i]
        if image is not None:
            size = np.array(image.shape[1::-1], float)
        low, high = _region(file, i, size)
        scale = SIDE / (high - low).max()
        uri, place = '', np.zeros(4)
        if image is not None:
            uri, place = _cut(image, low, high)
        points = (file.keypoints[i, :, :2] - low) * scale
        labeled = file.labeled[i]
        return Picture(
            ann_id=int(file.ids[i]),
            file_name=str(
                file.images.get(int(file.image_ids[i]), {}).get('file_name')),
            size=_pair((high - low) * scale),
            image=uri,
            place=_shift(place, low, scale),
            box=_shift(file.boxes[i], low, scale),
            lines=[(*_pair(points[a]), *_pair(points[b]), link)
                   for link, (a, b) in enumerate(self.info.links)
                   if labeled[a] and labeled[b]],
            dots=[
                Dot(*_pair(points[k]),
                    index=k,
                    visible=bool(file.keypoints[i, k, 2] == VISIBLE),
                    marked=k in marked)
                for k in np.flatnonzero(labeled).tolist()
            ],
            reason=reason)

    def _read(self, image_id: int) -> Optional[np.ndarray]:
        """An image as training reads it, None if it cannot."""
        if self._last[0] != image_id:
            entry = self.file.images.get(image_id, {})
            path = self.folder / str(entry.get('file_name'))
            results = dict(img_path=str(path), img_id=image_id)
            if entry.get('width') and entry.get('height'):
                results['stated_size'] = (entry['width'], entry['height'])
            try:
                loaded = self._loader.transform(results)
            except (OSError, ValueError):
                loaded = None
            self._last = image_id, loaded['img'] if loaded else None
        return self._last[1]


def _region(file: KeypointFile, i: int,
            size: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Corners of what a picture shows: the box and the labeled keypoints with
    a margin, as far as they are near the image, and part of the image."""
    points = file.keypoints[i, file.labeled[i], :2]
    x, y, width, height = file.boxes[i]
    if min(width, height) > 0:
        points = np.vstack([points, [(x, y), (x + width, y + height)]])
    known = np.isfinite(size).all() and (size > 0).all()
    if not len(points):
        points = np.array([(0, 0), size if known else (1, 1)])
    low, high = points.min(0), points.max(0)
    margin = max(MARGIN * (high - low).max(), LEAST_MARGIN)
    low, high = low - margin, high + margin
    if known and ((high <= 0) | (low >= size)).any():
        low, high = np.minimum(low, 0), np.maximum(high, size)
    if known:
        low, high = low.clip(-size, size - 1), high.clip(1, 2 * size)
    return low, high


def _cut(image: np.ndarray, low: np.ndarray,
         high: np.ndarray) -> Tuple[str, np.ndarray]:
    """A part of an image as data URI, and its x, y, width and height in
    pixels of the image."""
    limit = image.shape[1::-1]
    left, top = np.floor(low).clip(0, limit).astype(int)
    right, bottom = np.ceil(high).clip(0, limit).astype(int)
    if left >= right or top >= bottom:
        return '', np.zeros(4)
    part = image[top:bottom, left:right]
    content = _encode(part, PIXELS)
    uri = 'data:image/jpeg;base64,' + base64.b64encode(content).decode()
    return uri, np.array([left, top, right - left, bottom - top], float)


def _encode(image: np.ndarray, side: int) -> bytes:
    """JPEG of limited extent and size."""
    longest = max(image.shape[:2])
    if longest > side:
        size = [max(1, round(n * side / longest)) for n in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    for quality in QUALITIES:
        encoded = cv2.imencode('.jpg', image,
                               [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        if len(encoded) <= MAX_BYTES:
            return encoded.tobytes()
    return _encode(image, side * 2 // 3)


def _shift(box: np.ndarray, low: np.ndarray, scale: float) -> List[float]:
    """A box in coordinates of a picture."""
    values = np.concatenate([box[:2] - low, box[2:]]) * scale
    return [round(value, 1) for value in values.tolist()]


def _pair(point: np.ndarray) -> Tuple[float, float]:
    x, y = point.tolist()
    return round(x, 1), round(y, 1)
