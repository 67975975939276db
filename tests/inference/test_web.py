"""Images, videos and streams by their URLs, as tools/infer.py takes them."""
import base64
import json
import socket
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmpose.apis import init_model

from projects.grouppose.inference import (ImageFile, Stream, Video,
                                          find_sources, read_image, sources,
                                          web)
from tests.helpers.tool_runs import TOOLS, load_tool
from tests.helpers.web_server import send, serve


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Requests stay on this machine."""
    for name in ('http_proxy', 'all_proxy'):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """An image and a video of 5 frames."""
    path = tmp_path_factory.mktemp('files')
    random = np.random.RandomState(0)
    image = random.randint(0, 256, (4, 6, 3), dtype=np.uint8)
    cv2.imwrite(str(path / 'a.jpg'), cv2.resize(image, (60, 40)))
    writer = cv2.VideoWriter(
        str(path / 'b.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 12.5, (64, 48))
    for _ in range(5):
        writer.write(random.randint(0, 256, (48, 64, 3), dtype=np.uint8))
    writer.release()
    return path


@pytest.fixture(scope='module')
def server(folder):
    """Serves them in several ways."""
    image, video = [(folder / name).read_bytes()
                    for name in ('a.jpg', 'b.avi')]

    def protected(handler):
        wanted = base64.b64encode(b'me:p@ss').decode()
        if handler.headers['Authorization'] == f'Basic {wanted}':
            send(handler, 'image/jpeg', image)
        else:
            handler.send_response(401)
            handler.send_header('WWW-Authenticate', 'Basic realm="a"')
            handler.end_headers()

    def camera(handler):
        """Pictures one after another, as many a camera sends them."""
        handler.send_response(200)
        handler.send_header('Content-Type',
                            'multipart/x-mixed-replace; boundary=next')
        handler.end_headers()
        try:
            for _ in range(3):
                handler.wfile.write(b'--next\r\nContent-Type: image/jpeg\r\n'
                                    b'Content-Length: %d\r\n\r\n%s\r\n' %
                                    (len(image), image))
        except ConnectionError:
            pass

    def moved(handler):
        handler.send_response(302)
        handler.send_header('Location', '/show')
        handler.end_headers()

    with serve({
            '/a.jpg': ('application/octet-stream', image),
            '/a%20b/c.PNG': ('', image),
            '/show': ('image/jpeg', image),
            '/moved': moved,
            '/protected.jpg': protected,
            '/b.avi': ('', video),
            '/clip': ('video/x-msvideo', video),
            '/camera': camera,
            '/page': ('text/html; charset=utf-8', b'<html>'),
            '/broken.jpg': ('image/jpeg', image[:100]),
            '/silent.jpg': lambda handler: time.sleep(1),
    }) as address:
        yield address


@pytest.mark.parametrize('path', [
    'a.jpg', 'a.jpg?size=1&x=/b.avi#c', 'a b/c.PNG', 'a%20b/c.PNG',
    'show?id=7', 'moved'
])
def test_image(server, folder, path):
    source, = find_sources([f'{server}/{path}'])
    assert isinstance(source, ImageFile)
    assert source.name == f'{server}/{path}'.replace(' ', '%20')
    image, = source.frames()
    np.testing.assert_array_equal(image, read_image(str(folder / 'a.jpg')))


@pytest.mark.parametrize('path', ['b.avi', 'b.avi?x=1', 'clip'])
def test_video(server, folder, path):
    source, = find_sources([f'{server}/{path}'])
    expected, = find_sources([str(folder / 'b.avi')])
    assert isinstance(source, Video) and source.num_frames == 5
    np.testing.assert_array_equal(
        list(source.frames()), list(expected.frames()))
    assert source.fps == 12.5


def test_camera_on_the_web(server, folder):
    source, = find_sources([f'{server}/camera'])
    assert isinstance(source, Stream) and source.num_frames is None
    frames = list(source.frames())
    assert len(frames) == 3 and source.fps == 25
    expected = read_image(str(folder / 'a.jpg'))
    assert np.abs(frames[2].astype(int) - expected).mean() < 4


class Capture:
    """Stands in for an RTSP camera."""

    opened, fps, frames = True, 90000., 3

    def __init__(self, *arguments):
        Capture.arguments = arguments

    def isOpened(self):
        return self.opened

    def get(self, key):
        return self.fps

    def read(self):
        self.frames -= 1
        return self.frames >= 0, np.zeros((48, 64, 3), dtype=np.uint8)

    def release(self):
        pass


@pytest.mark.parametrize('fps, expected', [(90000., 25), (0., 25), (15., 15),
                                           (float('nan'), 25)])
def test_rtsp(monkeypatch, fps, expected):
    """The camera gets the password, and nobody else."""
    monkeypatch.setattr(sources.cv2, 'VideoCapture', Capture)
    monkeypatch.setattr(Capture, 'fps', fps)
    address = 'rtsp://me:p%40ss@10.0.0.7:554/live?channel=1'
    source, = find_sources([address])
    assert isinstance(source, Stream)
    assert len(list(source.frames())) == 3
    assert Capture.arguments == (address, cv2.CAP_FFMPEG)
    assert source.fps == expected
    assert source.name == 'rtsp://10.0.0.7:554/live?channel=1'


@pytest.mark.parametrize('changes, message', [
    (dict(opened=False), 'cannot be opened as a video. Check the address'),
    (dict(frames=0), 'sends no frame. Check the address'),
])
def test_rtsp_without_a_camera(monkeypatch, changes, message):
    monkeypatch.setattr(sources.cv2, 'VideoCapture', Capture)
    for key, value in changes.items():
        monkeypatch.setattr(Capture, key, value)
    source, = find_sources(['rtsp://me:secret@10.0.0.7/live'])
    with pytest.raises(ValueError, match=f'^rtsp://10.0.0.7/live: {message}'):
        list(source.frames())


def test_password(server, folder):
    address = server.replace('//', '//me:p%40ss@') + '/protected.jpg'
    source, = find_sources([address])
    image, = source.frames()
    np.testing.assert_array_equal(image, read_image(str(folder / 'a.jpg')))
    assert source.name == f'{server}/protected.jpg'

    source, = find_sources([address.replace('p%40ss', 'guess')])
    with pytest.raises(OSError, match='protected.jpg: .*401') as caught:
        list(source.frames())
    assert 'guess' not in str(caught.value)


@pytest.mark.parametrize('path, error, message', [
    ('none.jpg', OSError, 'cannot be fetched .*404.*Check the address'),
    ('broken.jpg', ValueError, 'cannot be decoded as an image'),
    ('silent.jpg', OSError, 'cannot be fetched .*timed out'),
    ('a.jpg', ValueError, 'has more than 0 MiB'),
    ('none.avi', ValueError, 'cannot be opened as a video. Check the address'),
])
def test_nothing_to_read(server, monkeypatch, path, error, message):
    monkeypatch.setattr(web, 'TIMEOUT', 0.2)
    if path == 'a.jpg':
        monkeypatch.setattr(web, 'MAX_BYTES', 1000)
    source, = find_sources([f'{server}/{path}'])
    with pytest.raises(error, match=f'^{server}/{path}: {message}'):
        list(source.frames())


def test_nothing_to_find(server):
    """Where the server has to say what it is."""
    with pytest.raises(ValueError, match='/page: is a web page. Give the'):
        find_sources([f'{server}/page'])
    with pytest.raises(OSError, match='/none: cannot be fetched .*404'):
        find_sources([f'{server}/none'])
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        port = unused.getsockname()[1]
        with pytest.raises(OSError, match='/show: .*refused'):
            find_sources([f'http://me:secret@127.0.0.1:{port}/show'])
    for address in ('http://', 'http://[', 'http://a:b/c'):
        with pytest.raises(OSError, match='cannot be fetched'):
            find_sources([address])


@pytest.mark.parametrize('url, expected', [
    ('http://a.org/b/c.jpg?d=e/f.png', 'c.jpg'),
    ('rtsp://me:secret@10.0.0.7:554/', '10.0.0.7_554'),
    ('http://a.org/..', '..'),
    ('http://a.org/%2e%2e%2fb', '%2e%2e%2fb'),
    ('http://a.org/a:b|c', 'a_b_c'),
])
def test_names_of_pictures(url, expected):
    assert web.file_name(url) == expected


def test_poses_of_what_is_on_the_web(server, folder, drawn_config, tmp_path,
                                     monkeypatch, capsys):
    """The program from addresses to files."""
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.chdir(tmp_path)
    model = init_model(str(drawn_config), device='cpu')
    torch.save(dict(state_dict=model.state_dict()), 'epoch_1.pth')
    code = load_tool('infer').main([
        str(folder / 'a.jpg'), f'{server}/a.jpg?x', f'{server}/b.avi',
        f'{server}/camera', f'{server}/none.jpg', '--config',
        str(drawn_config), '--checkpoint', 'epoch_1.pth', '--out', 'out',
        '--device', 'cpu', '--score-thr', '0'
    ])
    assert code == 1
    assert f'failed: {server}/none.jpg: ' in capsys.readouterr().err
    results = json.loads(Path('out/predictions.json').read_text())
    assert {(pose['file_name'], pose.get('frame'))
            for pose in results
            } == {(str(folder / 'a.jpg'), None), (f'{server}/a.jpg?x', None),
                  *((f'{server}/b.avi', i) for i in range(5)),
                  *((f'{server}/camera', i) for i in range(3))}
    found = {}
    for pose in results:
        found.setdefault(pose['image_id'], []).append(pose['keypoints'])
    assert found[1] == found[2]
    assert sorted(path.name
                  for path in Path('out/visualizations').iterdir()) == [
                      'a-2.jpg', 'a.jpg', 'b.mp4', 'camera.mp4'
                  ]
