"""run_onnx.py finds what tools/infer.py finds, without PyTorch or MMPose."""
import json
import subprocess
import sys

import numpy as np
import pytest
from mmengine.dataset import Compose, pseudo_collate
from PIL import Image

from projects.grouppose.inference import coco_results, predict, read_image
from projects.grouppose.synthetic import draw_image
from tests.helpers.exported import write_onnx
from tests.helpers.tool_runs import TOOLS, load_tool

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

SCRIPT = TOOLS / 'deployment/run_onnx.py'
# Stands for an environment without these packages.
BLOCKED = """
import runpy, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('torch', 'mmcv', 'mmengine', 'mmpose', 'cv2',
                                  'mmdet', 'projects', 'onnx', 'scipy'):
            raise ModuleNotFoundError(f'{name} is blocked')

sys.meta_path.insert(0, Blocker())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


@pytest.fixture(scope='module')
def exported(drawn_config, tmp_path_factory):
    """The model, its weights, and its ONNX file."""
    return write_onnx(drawn_config, tmp_path_factory.mktemp('exported'))


@pytest.fixture(scope='module')
def tool():
    """The program as a module."""
    return load_tool('run_onnx', TOOLS / 'deployment')


@pytest.fixture
def photos(tmp_path):
    """Two drawn images, the second turned by its EXIF data."""
    exif = Image.Exif()
    exif[0x0112] = 6
    paths = []
    for i, options in enumerate([{}, dict(exif=exif)]):
        path = tmp_path / f'{i}.jpg'
        picture = Image.fromarray(draw_image(i, 150 + 40 * i)[0][..., ::-1])
        picture.save(path, **options)
        paths.append(str(path))
    return paths


def expected_results(model, paths):
    entries = []
    for number, path in enumerate(paths, 1):
        sample, = predict(model, [read_image(path)])
        entries += coco_results(
            sample.pred_instances, image_id=number, file_name=path)
    return entries


def assert_same_results(found, expected):
    """Of poses whose scores are all different."""
    assert len(found) == len(expected) > 10
    for ours, theirs in zip(found, expected):
        assert list(ours) == list(theirs)
        for key in ('image_id', 'file_name', 'category_id'):
            assert ours[key] == theirs[key]
        assert abs(ours['score'] - theirs['score']) < 2e-4
        for key in ('keypoints', 'bbox'):
            np.testing.assert_allclose(ours[key], theirs[key], atol=0.05)


def test_equals_infer_without_its_packages(exported, photos, tmp_path):
    model, _, path = exported
    out = tmp_path / 'out'
    done = subprocess.run([
        sys.executable, '-c', BLOCKED, SCRIPT, path, *photos, '--out', out,
        '--score-thr', '0'
    ],
                          capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    results = json.loads((out / 'predictions.json').read_text())
    assert done.stdout == f'2 of 2 images, {len(results)} poses: {out}\n'
    assert_same_results(results, expected_results(model, photos))
    for source in photos:
        picture = out / 'visualizations' / source.rsplit('/')[-1]
        drawn, plain = read_image(str(picture)), read_image(source)
        assert drawn.shape == plain.shape
        assert (np.abs(drawn.astype(int) - plain).max(-1) > 100).mean() > 1e-3


def test_openvino(exported, tool, photos, tmp_path):
    pytest.importorskip('openvino')
    model, _, path = exported
    assert tool.main([
        str(path), *photos, '--out',
        str(tmp_path / 'out'), '--score-thr', '0', '--backend', 'openvino',
        '--no-pictures'
    ]) == 0
    results = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert_same_results(results, expected_results(model, photos))
    assert not (tmp_path / 'out/visualizations').exists()


def test_openvino_leaves_signals_alone(exported):
    """It replaces the stack for signals of a thread that compiles, and a
    signal that comes later may end the process."""
    pytest.importorskip('openvino')
    program = f"""
import ctypes, faulthandler, sys
faulthandler.enable()
sys.path.insert(0, {str(TOOLS / 'deployment')!r})
from run_onnx import OpenVino

def stack():
    place = (ctypes.c_void_p * 3)()
    assert ctypes.CDLL(None).sigaltstack(None, place) == 0
    return place[0]

before = stack()
model = OpenVino({str(exported[2])!r}, 'cpu')
assert before == stack()
"""
    subprocess.run([sys.executable, '-c', program], check=True, timeout=60)


def test_photographs(exported, tool):
    folder = TOOLS.parents[1] / 'shared/data/coco_mini/val2017'
    paths = sorted(folder.glob('*.jpg'))[:4]
    if not paths:
        pytest.skip('there are no photographs in ../shared/data')
    model, runtime = exported[0], tool.Model(str(exported[2]))
    for path in paths:
        poses, scores, labels = runtime.predict(tool.read_image(str(path)))
        sample, = predict(model, [read_image(str(path))])
        expected = sample.pred_instances
        np.testing.assert_allclose(scores, expected.bbox_scores, atol=1e-4)
        assert not labels.any()
        np.testing.assert_allclose(poses, expected.keypoints, atol=0.05)


@pytest.mark.parametrize('size', [(64, 48), (37, 90), (300, 20), (128, 128),
                                  (333, 222)])
@pytest.mark.parametrize('divisor', [1, 32])
def test_pixels_equal_those_of_the_pipeline(exported, tool, size, divisor):
    model, _, path = exported
    image = np.random.randint(0, 256, (*size[::-1], 3), dtype=np.uint8)
    pipeline = Compose(model.cfg.test_dataloader.dataset.pipeline)
    data = pseudo_collate([pipeline(dict(model.dataset_meta, img=image))])
    preprocessor = model.data_preprocessor
    preprocessor.pad_size_divisor = divisor
    try:
        data = preprocessor(data)
    finally:
        preprocessor.pad_size_divisor = 1
    runtime = tool.Model(str(path))
    runtime.pad_divisor = divisor
    canvas, valid_size = runtime.prepare(image[..., ::-1])
    assert np.array_equal(canvas, data['inputs'][0].numpy())
    assert valid_size == data['data_samples'][0].img_shape[::-1]


def test_a_frame_is_filled(tool):
    frame = (1333, 800)
    assert tool.fitted_size((640, 480), frame) == (1067, 800)
    assert tool.fitted_size((480, 640), frame) == (600, 800)
    assert tool.fitted_size((2666, 100), frame) == (1333, 50)
    assert tool.fitted_size((5000, 1), frame) == (1333, 1)


def test_padding_of_a_frame(exported, tool):
    model = tool.Model(str(exported[2]))
    model.resize = dict(frame=[96, 64])
    image = np.random.randint(0, 256, (60, 40, 3), dtype=np.uint8)
    canvas, size = model.prepare(image)
    assert canvas.shape == (3, 64, 96)
    assert size == (43, 64)
    assert not canvas[:, :, 43:].any() and canvas[:, :, :43].all()
    poses, *_ = model.predict(image)
    assert poses.min() >= 0 and (poses <= (40, 60)).all()


@pytest.mark.parametrize('mode',
                         ['RGB', 'RGBA', 'L', 'LA', 'P', 'I;16', 'CMYK'])
def test_files_are_read_alike(tool, tmp_path, mode):
    values = np.random.randint(0, 2**16, (20, 30, 4)).astype(np.uint16)
    if mode == 'I;16':
        image = Image.fromarray(values[..., 0])
    elif mode == 'CMYK':
        image = Image.fromarray(values.astype(np.uint8), 'CMYK')
    else:
        image = Image.fromarray(values.astype(np.uint8), 'RGBA').convert(mode)
    path = str(tmp_path / ('a.tif' if mode == 'CMYK' else 'a.png'))
    options = dict(transparency=3) if mode == 'P' else {}
    image.save(path, **options)
    ours = tool.read_image(path)
    assert np.array_equal(ours[..., ::-1], read_image(path))


def test_what_cannot_be_read_stops_nothing_else(exported, tool, photos,
                                                tmp_path, capsys):
    broken = tmp_path / 'broken.jpg'
    broken.write_bytes(b'no image')
    code = tool.main([
        str(exported[2]),
        str(broken),
        str(tmp_path / 'absent.png'), *photos, '--out',
        str(tmp_path / 'out'), '--score-thr', '0'
    ])
    assert code == 1
    printed = capsys.readouterr()
    assert '2 of 4 images' in printed.out
    assert 'broken.jpg: cannot be read as an image (unknown' in printed.err
    assert 'absent.png: cannot be read as an image' in printed.err
    results = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert {entry['image_id'] for entry in results} == {3, 4}


def test_no_input_is_overwritten(exported, tool, tmp_path):
    folder = tmp_path / 'out/visualizations'
    folder.mkdir(parents=True)
    for place in (folder, tmp_path):
        Image.new('RGB', (64, 64), 'red').save(place / 'a.png')
    before = (folder / 'a.png').read_bytes()
    arguments = [
        str(exported[2]),
        str(folder / 'a.png'),
        str(tmp_path / 'a.png'), '--out',
        str(tmp_path / 'out')
    ]
    with pytest.raises(SystemExit):
        tool.main(arguments)
    assert tool.main([*arguments, '--overwrite']) == 0
    assert (folder / 'a.png').read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == [
        'a-2.png', 'a-3.png', 'a.png'
    ]


def test_wrong_models_and_devices(exported, tool, photos, tmp_path, capsys):
    text = tmp_path / 'text.onnx'
    text.write_text('no model')
    plain = tmp_path / 'plain.onnx'
    graph = onnx.load(str(exported[2]))
    graph.ClearField('metadata_props')
    onnx.save(graph, str(plain))
    for model, options, message in [
        (tmp_path / 'absent.onnx', [], 'absent.onnx: no such file'),
        (text, [], 'text.onnx: onnxruntime cannot load it'),
        (plain, [], 'plain.onnx: the metadata lack mean, std'),
        (exported[2], ['--device', 'cuda:9'], '--device cuda:9: this ONNX'),
    ]:
        with pytest.raises(SystemExit) as caught:
            tool.main([
                str(model), *photos, '--out',
                str(tmp_path / 'out'), *options
            ])
        assert caught.value.code == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / 'out').exists()
