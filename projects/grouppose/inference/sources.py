"""Where the images come from: files, folders, patterns, videos, cameras,
the network."""
import glob
import os
import os.path as osp
import re
from typing import Iterator, List, Optional, Sequence, Union

import cv2
import numpy as np

from ..data.loading import decode_image, is_unicode, read_image
from .web import (CHECK_ADDRESS, content_type, download, is_url,
                  percent_encoded, without_password)

# Files of these kinds are taken from a folder.
IMAGE_SUFFIXES = ('.avif', '.bmp', '.gif', '.heic', '.heif', '.jfif', '.jp2',
                  '.jpe', '.jpeg', '.jpg', '.pbm', '.pgm', '.png', '.pnm',
                  '.ppm', '.tif', '.tiff', '.webp')
VIDEO_SUFFIXES = ('.avi', '.flv', '.m2ts', '.m4v', '.mkv', '.mov', '.mp4',
                  '.mpeg', '.mpg', '.mts', '.webm', '.wmv')
SUFFIXES = IMAGE_SUFFIXES + VIDEO_SUFFIXES
# Frames per second of a camera that tells none, or the ticks of its clock.
USUAL_FPS, MAX_FPS = 25., 240.


class ImageFile:
    """A file with one image.

    Args:
        path (str): Its path or URL.

    Attributes:
        name (str): The same without user and password.
    """

    num_frames = 1

    def __init__(self, path: str):
        self.path = path
        self.name = without_password(path)

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the image, see :func:`decode_image`."""
        if is_url(self.path):
            yield decode_image(download(self.path), self.name)
        else:
            yield read_image(self.path)


class Video:
    """A video file, turned as its metadata says.

    Args:
        path (str): Its path or URL.

    Attributes:
        name (str): The same without user and password.
        fps (float): Frames per second, once there is a frame.
    """

    def __init__(self, path: str):
        self.path = path
        self.name = without_password(path)
        self.fps = None

    @property
    def num_frames(self) -> Optional[int]:
        """int, optional: As the header says, None if it does not say."""
        if not is_unicode(self.path):
            return None
        return _count_frames(_open(self.path))

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the frames, BGR, uint8, (H, W, 3).

        Raises:
            ValueError: If the file cannot be opened, has no frame rate or no
                frame, or ends clearly before its header says.
        """
        if not is_unicode(self.path):
            raise ValueError(f'{self.name}: OpenCV opens no video whose name '
                             'is not UTF-8. Rename the file.')
        capture = _open(self.path)
        if not capture.isOpened():
            remedy = CHECK_ADDRESS if is_url(self.path) else \
                'Check the file, or convert it to MP4.'
            raise ValueError(f'{self.name}: cannot be opened as a video. '
                             f'{remedy}')
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


class Stream:
    """Frames over the network, e.g. of a camera, until they end or nobody
    wants more.

    Args:
        url (str): Whatever the FFmpeg of OpenCV opens, e.g. rtsp://.

    Attributes:
        name (str): The same without user and password.
        fps (float): Frames per second, once there is a frame.
    """

    num_frames = None
    remedy = CHECK_ADDRESS

    def __init__(self, url: str):
        self.address = url
        self.name = without_password(url)
        self.fps = None

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the frames, BGR, uint8, (H, W, 3).

        Raises:
            ValueError: If it cannot be opened or has no frame.
        """
        capture = _open(self.address)
        if not capture.isOpened():
            raise ValueError(f'{self.name}: cannot be opened as a video. '
                             f'{self.remedy}')
        fps = capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= MAX_FPS else USUAL_FPS
        count = 0
        for count, frame in enumerate(_read_all(capture), 1):
            yield frame
        if not count:
            raise ValueError(f'{self.name}: sends no frame. {self.remedy}')


class Webcam(Stream):
    """A camera of this machine, until it is switched off or nobody wants more
    frames.

    Args:
        number (int): Which one, as OpenCV counts.
    """

    remedy = 'Check that it is connected and not in use.'

    def __init__(self, number: int):
        super().__init__(f'webcam-{number}')
        self.address = number


Source = Union[ImageFile, Video, Stream]


def find_sources(inputs: Sequence[str]) -> List[Source]:
    """Find what inputs of a command line stand for.

    Args:
        inputs (Sequence[str]): Each an image, a video, a folder (of which
            the images and videos directly in it are taken, by name), a
            pattern with ``*``, ``?`` or ``**``, ``webcam`` or ``webcam:1``,
            or a URL.

    Returns:
        list[ImageFile | Video | Stream]: In the order of the inputs.

    Raises:
        FileNotFoundError: If there is no such input.
        OSError: If a server has to tell what a URL holds, and does not.
        ValueError: If a folder or pattern has no image or video, or a URL is
            that of a web page.
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
        elif is_url(text):
            sources.append(_find_on_network(percent_encoded(text)))
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


def _find_on_network(url: str) -> Source:
    """An image or video if its suffix says so or else the server."""
    if not re.match('https?:', url, re.IGNORECASE):
        return Stream(url)
    suffix = osp.splitext(re.match('[^?#]*', url)[0])[1].lower()
    kind = '' if suffix in SUFFIXES else content_type(url)
    if suffix in IMAGE_SUFFIXES or kind.startswith('image/'):
        return ImageFile(url)
    if suffix in VIDEO_SUFFIXES or kind.startswith('video/'):
        return Video(url)
    if kind.startswith('text/html'):
        raise ValueError(f'{without_password(url)}: is a web page. Give the '
                         'address of the image or video itself.')
    return Stream(url)


def _supported(paths: Iterator[str]) -> List[str]:
    """Images and videos among paths, without hidden ones, sorted."""
    return sorted(path for path in paths
                  if path.lower().endswith(SUFFIXES) and osp.isfile(path)
                  and not osp.basename(path).startswith('.'))


def _open(address: Union[str, int]) -> cv2.VideoCapture:
    """OpenCV's reader of a file, a URL or a camera."""
    if isinstance(address, int) or not is_url(address):
        return cv2.VideoCapture(address)
    # Over TCP no packet is lost. Some versions of OpenCV prefer UDP.
    os.environ.setdefault('OPENCV_FFMPEG_CAPTURE_OPTIONS',
                          'rtsp_flags;prefer_tcp')
    # Other backends than FFmpeg would print the URL with its password.
    return cv2.VideoCapture(address, cv2.CAP_FFMPEG)


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
