"""What inference leaves behind: a JSON file of poses and pictures of them.

Both are written as results come, so that nothing is lost when work stops.
"""
import json
import os
import os.path as osp
from typing import List, Optional, Sequence, Union

import cv2
import numpy as np
from mmengine.structures import InstanceData

from ..data.loading import is_unicode
from ..data.metainfo import classes_of
from ..visualization import (PoseVisualizer, draw_ellipses, draw_poses,
                             write_classes)
from .sources import ImageFile, Source, Stream, Video
from .web import file_name, is_url


class ResultFile:
    """A JSON list that is complete and valid after every :meth:`extend`.

    Args:
        path (str): File to write; one that exists is replaced.
    """

    def __init__(self, path: str):
        self._file = open(path, 'wb')
        self._end = self._file.write(b'[')
        self._empty = True
        self.extend([])

    def extend(self, entries: Sequence[dict]) -> None:
        """Append entries, one a line."""
        lines = [
            json.dumps(entry, ensure_ascii=False, allow_nan=False)
            for entry in entries
        ]
        # JSON escapes what a file name may have and UTF-8 has not.
        text = ',\n'.join(lines).encode(errors='backslashreplace')
        if lines:
            text = (b'\n' if self._empty else b',\n') + text
            self._empty = False
        # The closing bracket is overwritten by what comes next.
        self._file.seek(self._end)
        self._file.write(text + b'\n]\n')
        self._file.flush()
        self._end += len(text)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def coco_results(instances: InstanceData,
                 dataset_meta: dict = {},
                 **fields) -> List[dict]:
    """Poses in COCO's result format.

    Args:
        instances (InstanceData): Of numpy arrays, from :func:`predict`.
        dataset_meta (dict): Metainfo of the model, for its ``classes``.
            Defaults to none.
        fields: What else each entry gets, such as ``image_id``.

    Returns:
        list[dict]: For each pose the fields, ``category_id``, which is 1
        where the model tells no classes apart, ``category_name`` where it
        does, ``keypoints`` [x1, y1, s1, x2, ...] in pixels with their scores,
        ``score``, and ``bbox`` [x, y, w, h], which is the extent of the
        keypoints: the model predicts no boxes. Where it has
        :class:`JointScores`, also ``labeled_probabilities``,
        ``visible_probabilities`` and ``covariances``, [xx, xy, yy] in square
        pixels, of each keypoint.
    """
    keypoints = instances.keypoints
    triplets = np.dstack([keypoints.round(2), instances.keypoint_scores])
    categories = [dict(category_id=i) for i in classes_of(dataset_meta)]
    for entry in categories if 'classes' in dataset_meta else ():
        name = dataset_meta['classes'][entry['category_id']]
        entry['category_name'] = name
    return [
        dict(
            fields,
            **categories[label],
            keypoints=_rounded(values.ravel(), 4),
            score=round(float(score), 4),
            bbox=_rounded(bbox, 2),
            **more) for values, score, label, bbox, more in zip(
                triplets, instances.bbox_scores, instances.labels,
                _extents(keypoints), _joints(instances))
    ]


def _joints(instances: InstanceData) -> List[dict]:
    """For each pose what is predicted of its joints beside their places."""
    if 'covariances' not in instances:
        return [{}] * len(instances)
    return [
        dict(
            labeled_probabilities=_rounded(labeled, 4),
            visible_probabilities=_rounded(visible, 4),
            covariances=[
                _rounded(terms, 4)
                for terms in found.reshape(-1, 4)[:, [0, 1, 3]]
            ]) for labeled, visible, found in zip(
                instances.labeled_probabilities,
                instances.visible_probabilities, instances.covariances)
    ]


def _extents(keypoints: np.ndarray) -> np.ndarray:
    """Boxes [x, y, w, h] around poses (n, K, 2)."""
    low, high = keypoints.min(1), keypoints.max(1)
    return np.concatenate([low, high - low], axis=1)


def _rounded(values: np.ndarray, digits: int) -> list:
    return [round(float(value), digits) for value in values]


class PoseDrawer:
    """Draws poses in the colors of the data set, with the names of their
    classes where these are told apart.

    Args:
        dataset_meta (dict): Metainfo with colors and skeleton.
        with_boxes (bool): Draw the extents of the poses, too.
        joint_thr (float): Least score of a keypoint that is drawn. Defaults
            to 0.
        ellipse_radius (float, optional): Draw an ellipse around each keypoint,
            whose axes are this many standard deviations of its error, see
            :func:`ellipse_radius`. The model needs :class:`JointScores`.
            Defaults to none.
    """

    def __init__(self,
                 dataset_meta: dict,
                 with_boxes: bool = False,
                 joint_thr: float = 0.0,
                 ellipse_radius: Optional[float] = None):
        self.visualizer = PoseVisualizer()
        self.visualizer.set_dataset_meta(dataset_meta)
        self.classes = [*dataset_meta.get('classes', {}).values()]
        self.with_boxes = with_boxes
        self.joint_thr = joint_thr
        self.ellipse_radius = ellipse_radius

    def draw(self, image: np.ndarray, instances: InstanceData) -> np.ndarray:
        """Draw poses with lines that suit the size of the image.

        Args:
            image (np.ndarray): BGR, uint8, (H, W, 3).
            instances (InstanceData): Of numpy arrays, in pixels of it.

        Returns:
            np.ndarray: BGR, uint8, (H, W, 3).
        """
        height, width = image.shape[:2]
        line = max(1, round(float(np.hypot(height, width)) / 400))
        self.visualizer.line_width = line
        self.visualizer.radius = max(1, round(1.5 * line))
        keypoints = instances.keypoints
        scores = instances.get('keypoint_scores', np.ones(keypoints.shape[:2]))
        visible = scores >= self.joint_thr
        picture = np.ascontiguousarray(
            draw_poses(self.visualizer, image, keypoints, visible))
        if self.ellipse_radius is not None:
            draw_ellipses(picture, keypoints[visible],
                          instances.covariances[visible], self.ellipse_radius,
                          line)
        if self.classes:
            write_classes(picture, keypoints,
                          [self.classes[label] for label in instances.labels])
        if self.with_boxes:
            for x, y, w, h in _extents(keypoints).round().astype(int).tolist():
                cv2.rectangle(picture, (x, y), (x + w, y + h), (0, 255, 255),
                              line)
        return picture


class PictureFiles:
    """Writes an image or a video for each source.

    Images become JPEG if they were, else PNG; videos become MP4. Files have
    the names of their sources; a second ``a.jpg`` becomes ``a-2.jpg``, and
    no source is ever overwritten.

    Args:
        folder (str): Where to write, made if missing.
        sources (Sequence[Source]): All that will be written.
    """

    def __init__(self, folder: str, sources: Sequence[Source]):
        os.makedirs(folder, exist_ok=True)
        self._paths = _output_paths(folder, sources)
        self._source: Optional[Source] = None
        self._video: Optional[cv2.VideoWriter] = None

    def write(self, source: Source, picture: np.ndarray) -> None:
        """Write an image, or the next frame of a video.

        Args:
            source (Source): Where it comes from.
            picture (np.ndarray): BGR, uint8, (H, W, 3).

        Raises:
            OSError: If it cannot be written.
        """
        path = self._paths[source]
        if isinstance(source, ImageFile):
            self._write_image(path, picture)
        elif not self._write_frame(path, source, picture):
            raise OSError(f'{path} cannot be written as a video of '
                          f'{source.fps:g} frames per second')

    def _write_image(self, path: str, picture: np.ndarray) -> None:
        """Write an image by Python: OpenCV takes not all names."""
        done, content = cv2.imencode(osp.splitext(path)[1], picture)
        if not done:
            raise OSError(f'{path} cannot be written: '
                          f'{picture.shape[1]} x {picture.shape[0]} pixels '
                          'are too many for this format')
        try:
            with open(path, 'wb') as file:
                file.write(content)
        except OSError as error:
            raise OSError(f'{path} cannot be written ({error.strerror})') \
                from error

    def _write_frame(self, path: str, source: Union[Video, Stream],
                     picture: np.ndarray) -> bool:
        """Append to a video; answer whether that is possible."""
        if not is_unicode(path):
            return False
        if self._video is None or source is not self._source:
            self.close()
            self._source = source
            self._video = cv2.VideoWriter(path,
                                          cv2.VideoWriter_fourcc(*'mp4v'),
                                          source.fps, picture.shape[1::-1])
        self._video.write(picture)
        return self._video.isOpened()

    def close(self) -> None:
        """Finish the video that is being written, if any."""
        if self._video is not None:
            self._video.release()


def _output_paths(folder: str, sources: Sequence[Source]) -> dict:
    """The file that each source is drawn to, all different."""
    taken = {_key(source.name) for source in sources}
    paths = {}
    for source in sources:
        base = file_name if is_url(source.name) else osp.basename
        stem, suffix = osp.splitext(base(source.name))
        if not isinstance(source, ImageFile):
            suffix = '.mp4'
        elif suffix.lower() not in ('.jpg', '.jpeg'):
            suffix = '.png'
        path = osp.join(folder, stem + suffix)
        number = 1
        while _key(path) in taken:
            number += 1
            path = osp.join(folder, f'{stem}-{number}{suffix}')
        taken.add(_key(path))
        paths[source] = path
    return paths


def _key(path: str) -> str:
    """The same for all names of a file, on any file system."""
    return osp.realpath(path).casefold()
