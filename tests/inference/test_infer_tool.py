"""tools/infer.py: what goes in, what comes out, and what is refused."""
import importlib.util
import json
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.apis import init_model
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from PIL import Image
from pycocotools.coco import COCO

from projects.grouppose.describe.formats import read_labels
from projects.grouppose.inference import (PoseDrawer, ResultFile, coco_results,
                                          find_sources, sources)
from tests.helpers.tool_runs import TOOLS, kill_tool, start_tool

COCO_NAMES = parse_pose_metainfo(
    dict(from_file='configs/_base_/datasets/coco.py'))['keypoint_name2id']


@pytest.fixture(scope='module')
def checkpoint(drawn_config, tmp_path_factory):
    torch.manual_seed(0)
    model = init_model(str(drawn_config), device='cpu')
    path = tmp_path_factory.mktemp('weights') / 'epoch_1.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


@pytest.fixture
def tool(monkeypatch):
    """The program as a module."""
    monkeypatch.syspath_prepend(str(TOOLS))
    spec = importlib.util.spec_from_file_location('infer_tool',
                                                  TOOLS / 'infer.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tool, drawn_config, checkpoint, tmp_path, monkeypatch):
    """Call it in an empty folder; answer with exit code and poses."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = tool.main([
            '--config',
            str(drawn_config), '--checkpoint',
            str(checkpoint), '--out', 'out', '--device', 'cpu', '--score-thr',
            '0', *map(str, arguments)
        ])
        return code, json.loads(Path('out/predictions.json').read_text())

    return call


def write_image(path, size=(40, 60)):
    """Write an image of noise; answer with it."""
    path.parent.mkdir(exist_ok=True, parents=True)
    img = np.random.randint(0, 256, (*size, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), img)
    return img


def write_video(path, num_frames=5, fps=12.5):
    path.parent.mkdir(exist_ok=True, parents=True)
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*'MJPG'), fps, (64, 48))
    assert writer.isOpened()
    for _ in range(num_frames):
        writer.write(np.random.randint(0, 256, (48, 64, 3), dtype=np.uint8))
    writer.release()


def tree(folder='.'):
    """All files below a folder."""
    return sorted(
        str(path.relative_to(folder)) for path in Path(folder).rglob('*')
        if path.is_file())


@pytest.mark.parametrize('kind', ['coco-dataset', 'yolo', 'label-studio'])
def test_data_set_for_labeling(run, tmp_path, kind):
    """All images and frames with the poses of the result file; those of an
    earlier run are not mixed in."""
    write_image(tmp_path / 'in/a.jpg')
    write_video(tmp_path / 'in/b.avi', num_frames=2)
    code, results = run('in', '--no-pictures', '--format', kind, '--category',
                        'person')
    assert code == 0
    content, folder, _ = read_labels('out/dataset')
    names = [Path(image['file_name']).name for image in content['images']]
    assert names == ['a.jpg', 'b_000000.jpg', 'b_000001.jpg']
    assert all(
        (folder / image['file_name']).is_file() for image in content['images'])
    category, = content['categories']
    assert category['name'] == 'person'
    assert set(category['keypoints']) <= set(COCO_NAMES)
    sizes = {
        image['id']: [image['width'], image['height']]
        for image in content['images']
    }
    expected = []
    for pose in results:
        points = np.reshape(pose['keypoints'], (-1, 3))[:, :2]
        inside = ((points >= 0) & (points <= sizes[pose['image_id']])).all(1)
        if inside.any():
            expected.append(sorted(points[inside].tolist()))
    found = []
    for ann in content['annotations']:
        points = np.reshape(ann['keypoints'], (-1, 3))
        found.append(sorted(points[points[:, 2] == 2][:, :2].tolist()))
    assert found and len(found) == len(expected)
    for a, b in zip(sorted(found), sorted(expected)):
        np.testing.assert_allclose(a, b, atol=0.01)

    with pytest.raises(SystemExit):
        run('in', '--format', kind)


@pytest.mark.parametrize('batch_size', [1, 3])
def test_images_and_videos(run, tmp_path, capsys, batch_size):
    """Results in COCO's format; names that are equal stay apart."""
    for name in ('in/a.jpg', 'in/b.PNG', 'other/a.jpg', 'in/.hidden.jpg',
                 'in/c.bmp'):
        write_image(tmp_path / name)
    (tmp_path / 'in/notes.txt').write_text('no image')
    write_video(tmp_path / 'in/d.avi')
    before = tree()
    code, results = run('in', 'other/*', '--batch-size', batch_size)
    assert code == 0
    assert sorted(set(tree()) - set(before)) == [
        'out/predictions.json', 'out/visualizations/a-2.jpg',
        'out/visualizations/a.jpg', 'out/visualizations/b.png',
        'out/visualizations/c.png', 'out/visualizations/d.mp4'
    ]
    found = {(pose['image_id'], pose['file_name'], pose.get('frame'))
             for pose in results}
    assert sorted(found) == [(1, 'in/a.jpg', None), (2, 'in/b.PNG', None),
                             (3, 'in/c.bmp', None),
                             *[(4 + i, 'in/d.avi', i) for i in range(5)],
                             (9, 'other/a.jpg', None)]
    for pose in results:
        x, y, width, height = pose['bbox']
        points = np.reshape(pose['keypoints'], (17, 3))
        np.testing.assert_allclose(points[:, :2].min(0), (x, y), atol=0.02)
        np.testing.assert_allclose(
            points[:, :2].max(0), (x + width, y + height), atol=0.02)
        assert (points[:, 2] == pose['score']).all()
        assert pose['category_id'] == 1

    video = cv2.VideoCapture('out/visualizations/d.mp4')
    assert video.get(cv2.CAP_PROP_FPS) == 12.5
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    assert video.get(cv2.CAP_PROP_FRAME_WIDTH) == 64
    printed = capsys.readouterr()
    assert f'9 of 9 images, {len(results)} poses' in printed.out
    assert printed.err == ''


def test_only_good_poses_without_pictures(run, tmp_path):
    write_image(tmp_path / 'a.jpg')
    _, everyone = run('a.jpg', '--no-pictures')
    assert tree('out') == ['predictions.json']
    threshold = sorted(pose['score'] for pose in everyone)[-2] - 1e-4
    _, some = run('a.jpg', '--overwrite', '--score-thr', threshold)
    assert 2 <= len(some) < len(everyone)
    assert all(pose['score'] >= threshold for pose in some)


def test_poses_are_where_a_viewer_shows_people(run, tmp_path):
    """A turned photo gives what the upright one gives."""
    img = write_image(tmp_path / 'upright.png')
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.fromarray(np.rot90(img, -1)[..., ::-1]).save(
        tmp_path / 'turned.png', exif=exif)
    _, results = run('upright.png', 'turned.png')
    half = len(results) // 2
    assert [pose['keypoints'] for pose in results[:half]] == \
        [pose['keypoints'] for pose in results[half:]]
    pictures = [
        cv2.imread(f'out/visualizations/{name}.png')
        for name in ('upright', 'turned')
    ]
    np.testing.assert_array_equal(*pictures)


def test_a_bad_input_does_not_stop_the_others(run, tmp_path, capsys):
    for name in ('a.jpg', 'z.jpg'):
        write_image(tmp_path / 'in' / name)
    (tmp_path / 'in/b.jpg').write_bytes(b'no image')
    (tmp_path / 'in/c.mp4').write_bytes(b'no video')
    code, results = run('in')
    assert code == 1
    assert {pose['file_name'] for pose in results} == {'in/a.jpg', 'in/z.jpg'}
    failures = capsys.readouterr().err.strip().split('\n')[-2:]
    assert failures[0].startswith('failed: in/b.jpg: cannot be decoded')
    assert failures[1].startswith('failed: in/c.mp4: cannot be opened')


@pytest.mark.parametrize('arguments, message', [
    (['none.jpg'], 'none.jpg: no such file or folder'),
    (['empty'], 'empty: no image or video in this folder'),
    (['empty/*.jpg'], 'empty/*.jpg: no image or video matches'),
    (['a.jpg', '--checkpoint', 'none.pth'], 'none.pth'),
    (['a.jpg', '--checkpoint', 'a.jpg'], 'a.jpg: not a readable PyTorch'),
    (['a.jpg', '--config', 'none.py'], 'none.py'),
    (['a.jpg', '--config', 'a.jpg'], 'a.jpg: Only py'),
    (['a.jpg', '--device', 'cuda:99'], 'cuda:99'),
    (['a.jpg', '--device', 'toaster'], 'toaster'),
    (['a.jpg', '--batch-size', '0'], '--batch-size must be positive'),
    (['a.jpg', '--out', 'a.jpg'], 'a.jpg'),
    (['a.jpg', '--show'], '--show needs a display'),
    (['a.jpg', '--cfg-options', 'model.head'], 'KEY=VALUE'),
    (['a.jpg', '--cfg-options', 'model.head.type.no=1'], '--cfg-options: '),
])
def test_refused_before_the_work(tool, drawn_config, checkpoint, tmp_path,
                                 monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    write_image(tmp_path / 'a.jpg')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(SystemExit) as caught:
        tool.main([
            '--config',
            str(drawn_config), '--checkpoint',
            str(checkpoint), '--out', 'out', *arguments
        ])
    assert caught.value.code == 2
    error = capsys.readouterr().err.strip()
    assert message in error and error.count('\n') == 0
    assert tree() == ['a.jpg']


def test_weights_that_do_not_fit(tool, drawn_config, tmp_path, monkeypatch,
                                 capsys):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / 'a.jpg')
    torch.save(dict(state_dict=dict(more=torch.ones(1))), 'other.pth')
    with pytest.raises(SystemExit) as caught:
        tool.main([
            'a.jpg', '--config',
            str(drawn_config), '--checkpoint', 'other.pth', '--out', 'out'
        ])
    assert caught.value.code == 2
    assert 'other.pth does not fit' in capsys.readouterr().err
    assert not Path('out').exists()


def test_earlier_results_are_kept_unless_told(run, tmp_path, capsys):
    write_image(tmp_path / 'a.jpg')
    write_image(tmp_path / 'b.jpg')
    run('a.jpg')
    before = Path('out/predictions.json').read_text()
    with pytest.raises(SystemExit) as caught:
        run('b.jpg')
    assert caught.value.code == 2
    assert '--overwrite' in capsys.readouterr().err
    assert Path('out/predictions.json').read_text() == before
    _, results = run('b.jpg', '--overwrite')
    assert {pose['file_name'] for pose in results} == {'b.jpg'}


def test_no_input_is_overwritten(run, tmp_path):
    path = tmp_path / 'out/visualizations/a.png'
    write_image(path)
    before = path.read_bytes()
    run('out/visualizations/a.png', '--overwrite')
    assert path.read_bytes() == before
    assert tree('out') == [
        'predictions.json', 'visualizations/a-2.png', 'visualizations/a.png'
    ]


def test_a_picture_that_cannot_be_written(run, tmp_path, capsys):
    for name in ('a.jpg', 'b.jpg'):
        write_image(tmp_path / name)
    (tmp_path / 'out/visualizations/a.jpg').mkdir(parents=True)
    code, results = run('a.jpg', 'b.jpg', '--overwrite')
    assert code == 1
    assert {pose['file_name'] for pose in results} == {'a.jpg', 'b.jpg'}
    assert 'a.jpg cannot be written' in capsys.readouterr().err


class FakeCapture:
    """A camera or video of so many frames."""

    opened, fps, count, frames = True, 0., -1., 4

    def __init__(self, source):
        self.source = source

    def isOpened(self):
        return self.opened

    def get(self, key):
        return self.fps if key == cv2.CAP_PROP_FPS else self.count

    def read(self):
        self.frames -= 1
        frame = np.zeros((48, 64, 3), dtype=np.uint8)
        return (self.frames >= 0), frame

    def release(self):
        self.fps = self.count = 0.


def test_camera_until_a_key_is_pressed(run, tool, monkeypatch):
    keys = iter([255, 255, ord('q')])
    monkeypatch.setattr(sources.cv2, 'VideoCapture', FakeCapture)
    monkeypatch.setattr(tool.cv2, 'imshow', lambda name, picture: None)
    monkeypatch.setattr(tool.cv2, 'waitKey', lambda wait: next(keys))
    monkeypatch.setenv('DISPLAY', ':0')
    code, results = run('webcam:1', '--show')
    assert code == 0
    assert {(pose['file_name'], pose['frame'])
            for pose in results} == {('webcam-1', i)
                                     for i in range(3)}


@pytest.mark.parametrize('changes, message', [
    (dict(fps=0.), 'has no frame rate'),
    (dict(opened=False), 'cannot be opened as a video'),
    (dict(fps=25., count=10.), 'ends after 4 of 10 frames'),
    (dict(fps=25., count=5.), None),
    (dict(fps=25., count=-1.), None),
])
def test_videos_with_something_wrong(tmp_path, monkeypatch, changes, message):
    (tmp_path / 'a.mp4').touch()
    for key, value in changes.items():
        monkeypatch.setattr(FakeCapture, key, value)
    monkeypatch.setattr(sources.cv2, 'VideoCapture', FakeCapture)
    video, = find_sources([str(tmp_path)])
    if message is None:
        assert len(list(video.frames())) == 4
    else:
        with pytest.raises(ValueError, match=f'a.mp4.*{message}'):
            list(video.frames())


def test_interruption_loses_nothing(run, tool, tmp_path, monkeypatch, capsys):
    write_video(tmp_path / 'a.avi', num_frames=9)
    calls = []
    predict = tool.predict

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return predict(*arguments)

    monkeypatch.setattr(tool, 'predict', interrupted)
    code, results = run('a.avi')
    assert code == 130
    assert {pose['frame'] for pose in results} == {0, 1, 2}
    video = cv2.VideoCapture('out/visualizations/a.mp4')
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert '3 of 9 images' in capsys.readouterr().out


def test_a_stopped_process_leaves_valid_results(drawn_config, checkpoint,
                                                tmp_path):
    for i in range(40):
        write_image(tmp_path / f'in/{i:02}.jpg')
    process = start_tool('infer.py', tmp_path / 'in/*', '--config',
                         drawn_config, '--checkpoint', checkpoint, '--out',
                         tmp_path / 'out', '--score-thr', 0)
    results = tmp_path / 'out/predictions.json'
    try:
        while not results.exists() or results.stat().st_size < 10000:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 130
    finally:
        kill_tool(process)
    found = {pose['file_name'] for pose in json.loads(results.read_text())}
    assert 0 < len(found) < 40


def test_result_file_is_always_valid(tmp_path):
    path = tmp_path / 'results.json'
    path.write_text('[' + 'x' * 1000)
    results = ResultFile(path)
    expected = []
    for entries in ([], [dict(a=1)], [], [dict(b='ä'), dict(c=2.5)]):
        results.extend(entries)
        expected += entries
        assert json.loads(path.read_text(encoding='utf-8')) == expected
    results.close()


def test_pycocotools_reads_the_results():
    instances = InstanceData(
        keypoints=np.float32([[[10, 20], [30, 60.125]]]),
        keypoint_scores=np.float32([[0.5, 0.5]]),
        bbox_scores=np.float32([0.5]),
        labels=np.array([0]))
    results = coco_results(instances, image_id=7)
    assert results == [
        dict(
            image_id=7,
            category_id=1,
            keypoints=[10, 20, 0.5, 30, 60.12, 0.5],
            score=0.5,
            bbox=[10, 20, 20, 40.12])
    ]
    truth = COCO()
    truth.dataset = dict(
        images=[dict(id=7)], categories=[dict(id=1)], annotations=[])
    truth.createIndex()
    loaded = truth.loadRes(results)
    assert loaded.anns[1]['area'] == pytest.approx(20 * 40.12)


def test_classes_of_poses():
    """Ids of the annotation file and names in the results, and names in the
    picture."""
    poses = InstanceData(
        keypoints=np.float32([[[30, 60], [40, 70]], [[70, 60], [80, 70]]]),
        keypoint_scores=np.float32([[.5, .5]] * 2),
        bbox_scores=np.float32([.5, .4]),
        labels=np.array([1, 0]))
    meta = dict(
        keypoint_colors=np.array([[0, 0, 255]] * 2),
        skeleton_links=[(0, 1)],
        skeleton_link_colors=np.array([[0, 0, 255]]))
    told_apart = dict(meta, classes={7: 'kite', 9: 'plane'})
    found = coco_results(poses, told_apart)
    assert [(entry['category_id'], entry['category_name'])
            for entry in found] == [(9, 'plane'), (7, 'kite')]
    assert 'category_name' not in coco_results(poses[1:], meta)[0]
    image = np.full((100, 120, 3), 128, dtype=np.uint8)
    plain = PoseDrawer(meta).draw(image, poses)
    written = PoseDrawer(told_apart).draw(image, poses)
    rows, columns = (plain != written).any(-1).nonzero()
    assert 40 < rows.min() and rows.max() < 66
    assert columns.min() >= 28


@pytest.mark.parametrize('size, expected', [(60, 1), (600, 2), (3000, 11)])
def test_line_width_follows_the_size(size, expected):
    meta = dict(
        keypoint_colors=np.array([[0, 0, 255]] * 2),
        skeleton_links=[(0, 1)],
        skeleton_link_colors=np.array([[0, 0, 255]]))
    pose = np.float32([[[size / 2, size / 4], [size / 2, size * 3 / 4]]])
    instances = InstanceData(keypoints=pose)
    image = np.zeros((size, size, 3), dtype=np.uint8)
    picture = PoseDrawer(meta).draw(image, instances)
    assert not image.any()
    width = picture[size // 2].any(-1).sum()
    assert expected <= width <= expected + 2
    boxed = PoseDrawer(meta, with_boxes=True).draw(image, instances)
    changed = (boxed != picture).any(-1)
    assert 0 < changed.sum() <= 6 * size * expected


def test_sparse_lines_without_a_terminal(tool, capsys):
    for interval, lines in ((0, 3), (30, 0)):
        progress = tool.Progress(total=3, interval=interval)
        for _ in range(3):
            progress.update(2)
        error = capsys.readouterr().err
        assert error.count('\n') == lines
    assert '3 of 3 images, 6 poses' in progress.summary()
