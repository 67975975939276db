"""Video files in all states, read as tools/infer.py reads them."""
import struct

import cv2
import numpy as np
import pytest

from projects.grouppose.inference import find_sources
from tests.helpers.bad_cases import answer, table
from tests.helpers.tool_runs import TOOLS, load_tool

NUM_FRAMES = 20


@pytest.fixture(scope='module')
def written(tmp_path_factory) -> dict:
    """Sound videos as bytes, by their endings; `none` has no frame."""
    folder = tmp_path_factory.mktemp('videos')
    random = np.random.RandomState(0)
    videos = {}
    for name, codec, count in (('a.avi', 'MJPG', NUM_FRAMES),
                               ('a.mp4', 'mp4v', NUM_FRAMES), ('none.avi',
                                                               'MJPG', 0)):
        path = str(folder / name)
        writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*codec), 12.5,
                                 (64, 48))
        for _ in range(count):
            writer.write(random.randint(0, 256, (48, 64, 3), dtype=np.uint8))
        writer.release()
        videos[name] = (folder / name).read_bytes()
    return videos


def cut(video: bytes) -> bytes:
    return video[:len(video) // 2]


def zeros_in_the_middle(video: bytes) -> bytes:
    start, end = len(video) * 4 // 10, len(video) * 6 // 10
    return video[:start] + bytes(end - start) + video[end:]


def noise_in_the_middle(video: bytes) -> bytes:
    start, end = len(video) * 4 // 10, len(video) * 6 // 10
    noise = np.random.RandomState(0).bytes(end - start)
    return video[:start] + noise + video[end:]


def zero_rate(video: bytes) -> bytes:
    """Set the frame rate of the header and of the stream to zero."""
    content = bytearray(video)
    header, stream = video.index(b'avih'), video.index(b'strh')
    content[header + 8:header + 12] = struct.pack('<I', 0)
    content[stream + 32:stream + 36] = struct.pack('<I', 0)
    return bytes(content)


def nothing(video: bytes) -> bytes:
    return b''


def text(video: bytes) -> bytes:
    return b'this is no video'


def whole(video: bytes) -> bytes:
    return video


UNOPENED = 'cannot be opened as a video. Check the file, or convert it to MP4'
# From which video and how the file is made, and how many frames are found, or
# why it is refused in the end.
VIDEOS = [
    ('whole AVI', 'a.avi', whole, NUM_FRAMES),
    ('whole MP4', 'a.mp4', whole, NUM_FRAMES),
    ('empty', 'a.mp4', nothing, UNOPENED),
    ('text', 'a.mp4', text, UNOPENED),
    ('MP4 cut in the middle', 'a.mp4', cut, UNOPENED),
    ('AVI cut in the middle', 'a.avi', cut, r'ends after \d+ of 20 frames'),
    ('AVI, zeros in it', 'a.avi', zeros_in_the_middle, r'after \d+ of 20'),
    ('AVI, noise in it', 'a.avi', noise_in_the_middle, r'after \d+ of 20'),
    ('MP4, noise in it', 'a.mp4', noise_in_the_middle, r'after \d+ of 20'),
    ('no frame', 'none.avi', whole, 'no frame can be decoded. Check the file'),
    ('zero rate in its header', 'a.avi', zero_rate, NUM_FRAMES),
]


@table('source, change, expected', VIDEOS)
def test_videos(written, tmp_path, source, change, expected):
    path = tmp_path / source
    path.write_bytes(change(written[source]))
    video, = find_sources([str(path)])
    if isinstance(expected, str):
        expected = f'{source}: .*{expected}'
    frames = answer(lambda: list(video.frames()), expected)
    if frames:
        assert len(frames) == video.num_frames == expected
        assert video.fps > 0


class NoRate:
    """Stands in for a file of which OpenCV says no frame rate."""

    def __init__(self, path):
        pass

    def isOpened(self):
        return True

    def get(self, key):
        return self.rate


@pytest.mark.parametrize('rate', [0., -1., float('nan')])
def test_zero_frames_per_second(tmp_path, monkeypatch, rate):
    (tmp_path / 'a.mp4').touch()
    monkeypatch.setattr(NoRate, 'rate', rate, raising=False)
    monkeypatch.setattr(
        'projects.grouppose.inference.sources.cv2.'
        'VideoCapture', NoRate)
    video, = find_sources([str(tmp_path / 'a.mp4')])
    answer(lambda: list(video.frames()), 'a.mp4: has no frame rate. Convert')


def test_names_that_opencv_dies_of(written, tmp_path):
    path = str(tmp_path / 'caf\udce9.avi')
    with open(path, 'wb') as file:
        file.write(written['a.avi'])
    video, = find_sources([path])
    assert video.num_frames is None
    answer(lambda: list(video.frames()), 'caf.*not UTF-8. Rename the file')


def test_a_video_too_fast_to_be_written(written, tmp_path, monkeypatch):
    """MP4 counts at most 65535 frames per second."""
    monkeypatch.syspath_prepend(str(TOOLS))
    (tmp_path / 'a.avi').write_bytes(written['a.avi'])
    video, = find_sources([str(tmp_path / 'a.avi')])
    frame = next(video.frames())
    video.fps = 90000.
    files = load_tool('infer').PictureFiles(str(tmp_path / 'out'), [video])
    answer(lambda: files.write(video, frame),
           'a.mp4 cannot be written as a video of 90000 frames')
