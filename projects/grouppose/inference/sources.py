"""Where the images come from: files, folders, patterns, videos, cameras."""
import glob
import os
import os.path as osp
import re
from typing import Iterator, List, Optional, Sequence, Union

import cv2
import numpy as np

from ..data.loading import is_unicode, read_image

# Files of these kinds are taken from a folder.
IMAGE_SUFFIXES = ('.avif', '.bmp', '.gif', '.heic', '.heif', '.jfif', '.jp2',
                  '.jpe', '.jpeg', '.jpg', '.pbm', '.pgm', '.png', '.pnm',
                  '.ppm', '.tif', '.tiff', '.webp')
VIDEO_SUFFIXES = ('.avi', '.flv', '.m2ts', '.m4v', '.mkv', '.mov', '.mp4',
                  '.mpeg', '.mpg', '.mts', '.webm', '.wmv')
SUFFIXES = IMAGE_SUFFIXES + VIDEO_SUFFIXES


class ImageFile:
    """A file with one image.

    Args:
        name (str): Its path.
    """

    num_frames = 1

    def __init__(self, name: str):
        self.name = name

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the image, see :func:`read_image`."""
        yield read_image(self.name)


class Video:
    """A video file, turned as its metadata says.

    Args:
        name (str): Its path.

    Attributes:
        fps (float): Frames per second, once there is a frame.
    """

    def __init__(self, name: str):
        self.name = name
        self.fps = None

    @property
    def num_frames(self) -> Optional[int]:
        """int, optional: As the header says, None if it does not say."""
        if not is_unicode(self.name):
            return None
        return _count_frames(cv2.VideoCapture(self.name))

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the frames, BGR, uint8, (H, W, 3).

        Raises:
            ValueError: If the file cannot be opened, has no frame rate or no
                frame, or ends clearly before its header says.
        """
        if not is_unicode(self.name):
            raise ValueError(f'{self.name}: OpenCV opens no video whose name '
                             'is not UTF-8. Rename the file.')
        capture = cv2.VideoCapture(self.name)
        if not capture.isOpened():
            raise ValueError(f'{self.name}: cannot be opened as a video. '
                             'Check the file, or convert it to MP4.')
        self.fps = capture.get(cv2.CAP_PROP_FPS)
        if not self.fps > 0:
            raise ValueError(f'{self.name}: has no frame rate. Convert it to '
                             'MP4, or to images and give their folder.')
        expected = _count_frames(capture) or 0
        count = 0
        for frame in _read_all(capture):
            yield frame
            count += 1
        if not count:
            raise ValueError(f'{self.name}: no frame can be decoded. Check '
                             'the file, or convert it to MP4.')
        # Where the header only estimates, a frame more or less is no damage.
        if count < 0.99 * expected - 1:
            raise ValueError(f'{self.name}: ends after {count} of {expected} '
                             'frames. The rest cannot be decoded.')


class Webcam:
    """A camera, until it is switched off or nobody wants more frames.

    Args:
        number (int): Which one, as OpenCV counts.
    """

    num_frames = None

    def __init__(self, number: int):
        self.number = number
        self.name = f'webcam-{number}'
        self.fps = None

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the frames, BGR, uint8, (H, W, 3).

        Raises:
            ValueError: If the camera cannot be opened.
        """
        capture = cv2.VideoCapture(self.number)
        if not capture.isOpened():
            raise ValueError(f'webcam:{self.number} cannot be opened. Check '
                             'that it is connected and not in use.')
        self.fps = capture.get(cv2.CAP_PROP_FPS) or 25.0
        yield from _read_all(capture)


Source = Union[ImageFile, Video, Webcam]


def find_sources(inputs: Sequence[str]) -> List[Source]:
    """Find what inputs of a command line stand for.

    Args:
        inputs (Sequence[str]): Each an image, a video, a folder (of which
            the images and videos directly in it are taken, by name), a
            pattern with ``*``, ``?`` or ``**``, ``webcam`` or ``webcam:1``.

    Returns:
        list[ImageFile | Video | Webcam]: In the order of the inputs.

    Raises:
        FileNotFoundError: If there is no such input.
        ValueError: If a folder or pattern has no image or video.
    """
    sources = []
    for text in inputs:
        camera = re.fullmatch(r'webcam(?::(\d+))?', text)
        if osp.isfile(text):
            paths = [text]
        elif osp.isdir(text):
            paths = _supported(
                osp.join(text, name) for name in os.listdir(text))
            if not paths:
                raise ValueError(f'{text}: no image or video in this folder')
        elif camera:
            sources.append(Webcam(int(camera[1] or 0)))
            continue
        elif glob.has_magic(text):
            paths = _supported(glob.iglob(text, recursive=True))
            if not paths:
                raise ValueError(f'{text}: no image or video matches')
        else:
            raise FileNotFoundError(f'{text}: no such file or folder')
        for path in paths:
            is_video = path.lower().endswith(VIDEO_SUFFIXES)
            sources.append(Video(path) if is_video else ImageFile(path))
    return sources


def _supported(paths: Iterator[str]) -> List[str]:
    """Images and videos among paths, without hidden ones, sorted."""
    return sorted(path for path in paths
                  if path.lower().endswith(SUFFIXES) and osp.isfile(path)
                  and not osp.basename(path).startswith('.'))


def _read_all(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    """Yield frames until there is none, and let go of file or camera."""
    try:
        success, frame = capture.read()
        while success:
            yield frame
            success, frame = capture.read()
    finally:
        capture.release()


def _count_frames(capture: cv2.VideoCapture) -> Optional[int]:
    """The number of frames, or None if the header has no sane one."""
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return count if count > 0 else None
