"""What the model knows of the images that are looked at."""
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..data.metainfo import classes_of
from .people import rounded, starts, with_positions

KEPT = 8  # encoded images


class _Encoded(NamedTuple):
    """An image as the model sees it, its height and width, and the people
    that the model proposes."""
    image: Any
    size: Tuple[int, int]
    people: List[dict]


class Session:
    """One model that answers many requests, one at a time.

    The last images stay encoded, and the next one is encoded in the
    background.

    Args:
        labeler (PoseLabeler): The model.
        score_thr (float): Least score of a pose that is proposed.
            Defaults to 0.3.

    Attributes:
        dataset_meta (dict): Metainfo of the keypoints.
        follows (bool): Whether the model has learned to let keypoints follow
            those that are put right.
    """

    def __init__(self, labeler, score_thr: float = 0.3):
        self.dataset_meta = labeler.metainfo
        self.follows = labeler.learned_to_refine
        self._labeler = labeler
        self._score_thr = score_thr
        self._model_lock = threading.Lock()
        self._images: 'OrderedDict[str, Future]' = OrderedDict()
        self._images_lock = threading.Lock()
        self._background = ThreadPoolExecutor(1, 'encode')

    def propose(self, key: str, read: Callable[[], np.ndarray]) -> List[dict]:
        """People that the model finds in an image, see :mod:`.people`.

        Args:
            key (str): Of the image, the same for the same pixels.
            read (Callable): Reads it: BGR, uint8, (H, W, 3).

        Raises:
            OSError: If it cannot be read.
            ValueError: If it cannot be decoded.
        """
        return self._encoded(key, read).people

    def prepare(self, key: str, read: Callable[[], np.ndarray]) -> None:
        """Encode an image in the background, for what is asked next."""

        def encode() -> None:
            try:
                self._encoded(key, read)
            except (OSError, ValueError):
                pass  # told when the image is opened

        if key not in self._images:
            self._background.submit(encode)

    def refine(self, key: str, read: Callable[[], np.ndarray],
               person: dict) -> dict:
        """A person whose keypoints follow those that are fixed.

        Args and errors are as those of :meth:`propose`.
        """
        encoded = self._encoded(key, read)
        fixed = np.array([person['fixed']], dtype=bool)
        with self._model_lock:
            points = self._labeler.refine(encoded.image, starts([person]),
                                          fixed)
        return with_positions(person, points[0])

    def person_at(self,
                  key: str,
                  read: Callable[[], np.ndarray],
                  point: Sequence[float],
                  joint: Optional[int] = None) -> dict:
        """The person at a point.

        Args:
            key (str): As those of :meth:`propose`, and so are the errors.
            read (Callable): Likewise.
            point (Sequence[float]): x and y in pixels.
            joint (int, optional): Which keypoint is there; it becomes fixed.
                Defaults to any.

        Returns:
            dict: See :mod:`.people`; the ``id`` is 0.
        """
        encoded = self._encoded(key, read)
        with self._model_lock:
            points = self._labeler.person_at(encoded.image,
                                             np.asarray(point, np.float32),
                                             joint)
        person = self._person(0, points, None, encoded.size)
        if joint is not None:
            person['keypoints'][joint] = [*rounded(point), 2]
            person['fixed'][joint] = True
        return person

    def close(self) -> None:
        """Stop the work in the background."""
        self._background.shutdown(wait=True)

    def _encoded(self, key: str, read: Callable[[], np.ndarray]) -> _Encoded:
        """An image, encoded by the first one who asks for it."""
        with self._images_lock:
            mine = key not in self._images
            future = self._images.setdefault(key, Future())
            self._images.move_to_end(key)
            while len(self._images) > KEPT:
                self._images.popitem(last=False)
        if mine:
            try:
                future.set_result(self._encode(read()))
            except BaseException as error:
                with self._images_lock:
                    self._images.pop(key, None)
                future.set_exception(error)
        return future.result()

    def _encode(self, image: np.ndarray) -> _Encoded:
        with self._model_lock:
            encoded = self._labeler.encode(image)
            poses = self._labeler.poses(encoded)
        size = image.shape[0], image.shape[1]
        scores, labels = poses.keypoint_scores, poses.labels
        people = [
            self._person(number, poses.keypoints[i],
                         None if scores is None else scores[i], size,
                         labels[i])
            for number, i in enumerate(
                np.flatnonzero(poses.scores >= self._score_thr).tolist(), 1)
        ]
        return _Encoded(encoded, size, people)

    def _person(self,
                number: int,
                points: np.ndarray,
                scores: Optional[np.ndarray],
                size: Tuple[int, int],
                label: int = 0) -> dict:
        """A pose of the model. A keypoint outside of the image is not
        labeled."""
        height, width = size
        points = np.asarray(points)
        inside = ((points >= 0) & (points <= (width, height))).all(1)
        return dict(
            id=number,
            category=list(classes_of(self.dataset_meta))[label],
            keypoints=[[*rounded(point), 2 * int(seen)]
                       for point, seen in zip(points, inside)],
            fixed=[False] * len(points),
            start=[rounded(point) for point in points],
            scores=None if scores is None else
            [round(float(score), 3) for score in scores])
