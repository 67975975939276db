"""Methods: what the zoo says of them, the sizes they get, and that what is
measured is what the rows call it."""
import json
from pathlib import Path

import cv2
import mmpose
import numpy as np
import pytest
import yaml
from torch import nn

from benchmarks.lib import case as cases
from benchmarks.lib import measure
from benchmarks.lib.case import InferenceCase, Load, TrainingCase
from benchmarks.lib.comparison import split_table
from benchmarks.lib.configs import drop_pretrained
from benchmarks.lib.inputs import load_pictures
from benchmarks.lib.measure import measure_cases, measure_facts
from benchmarks.lib.method import ZOO, find_detector, find_method, find_methods
from benchmarks.lib.turns import Settings
from tests.helpers.tables import read_table

WHEEL = Path(mmpose.__file__).parent / '.mim'
SIZE = (64, 64)


def test_published_ap():
    """What the zoo says is what the metafiles beside the configs say."""
    published, entries = {}, {}
    for name, entry in ZOO.items():
        folder, _, path = entry['config'].rpartition('::')
        path = (WHEEL / 'configs' if folder else Path()) / path
        assert path.is_file(), name
        entries[name] = path
        for metafile in path.parent.glob('*.yml'):
            for model in yaml.safe_load(metafile.read_text())['Models']:
                key = path.parent / Path(model['Config']).name
                published[key] = model['Results'][0]['Metrics']['AP']
    assert published[entries.pop('rtmo-s')] == 0.673  # 0.677 on the page
    for name, path in entries.items():
        if 'edpose' not in name:
            assert ZOO[name]['published_ap'] == published.get(path), name


@pytest.mark.parametrize('name, parameters, multiply_adds', [
    ('hrnet-w32', 28.54e6, 7.7e9),
    ('rtmpose-m', 13.59e6, 1.93e9),
])
def test_known_models(pictures, name, parameters, multiply_adds):
    """Published: docs/en/inference_speed_summary.md of MMPose 0.29 and
    projects/rtmpose/README.md of MMPose 1, without what is no product."""

    def make(method, load):
        return InferenceCase(method, load, pictures)

    row, = measure_facts(find_method(name), make)
    assert 'failed' not in row and json.loads(json.dumps(row)) == row
    assert row['input_size'] == [192, 256]
    assert row['parameters'] == pytest.approx(parameters, rel=1e-3)
    assert row['flops'] == pytest.approx(2 * multiply_adds, rel=0.01)


def test_names_and_methods_that_cannot_be_read(tmp_path):
    folder = Path('configs/body_2d_keypoint/edpose/coco').resolve()
    path = str(folder / 'edpose_res50_coco-800x1333.py')
    other = tmp_path / 'other.py'
    other.write_text("model = dict(type='PoseLifter')")
    methods, failed = find_methods([
        'rtmo-s', 'nothing', path, 'rtmo-s:missing.pth', 'rtmo-s',
        str(other)
    ])
    assert [one.name for one in methods
            ] == ['rtmo-s', 'edpose_res50_coco-800x1333', 'rtmo-s (3)']
    assert methods[0].config.startswith('mmpose::')
    assert [row['method']
            for row in failed] == ['nothing', 'rtmo-s (2)', 'other']
    assert 'nothing: no such file' in failed[0]['failed']
    assert 'missing.pth: no such file' in failed[1]['failed']
    assert 'model.type is PoseLifter' in failed[2]['failed']
    with pytest.raises(ValueError, match='detector nothing.*no such file'):
        find_detector('nothing')


@pytest.mark.parametrize('name, own, sizes', [
    ('grouppose-r50', (1333, 800), (130, 100)),
    ('rtmo-s', (640, 640), (160, 128)),
    ('cid-hrnet-w32', (512, 512), (192, 128)),
    ('vitpose-s', (192, 256), (192, 256)),
])
def test_sizes(name, own, sizes):
    """Whole images get what is asked for, as far as they can."""
    assert find_method(name).size == own
    assert find_method(name, (130, 100)).size == sizes
    assert find_detector('rtmdet-nano').size == (320, 320)
    assert find_detector('rtmdet-nano', (130, 100)).size == (160, 128)


def test_sizes_in_pipelines_and_codecs():
    config = find_method('dekr-hrnet-w32', (128, 64)).read()
    codec = config.model.head.decoder
    train = config.train_dataloader.dataset.pipeline
    targets, = [x.encoder for x in train if x.type == 'GenerateTarget']
    for one in (codec, targets):
        assert one.input_size == (128, 64) and one.heatmap_size == (32, 16)
    config = find_method('grouppose-r50', (96, 128)).read()
    resize, = [
        x for x in config.test_dataloader.dataset.pipeline
        if x.type == 'PoseResize'
    ]
    assert (resize.short_side, resize.max_size) == (96, 128)


def test_facts():
    """What makes comparisons unfair."""
    names = ('flip_test', 'boxes', 'nms', 'score_threshold')
    facts = {
        name: tuple(find_method(name).facts()[key] for key in names)
        for name in ('grouppose-r50', 'rtmo-s', 'dekr-hrnet-w32',
                     'cid-hrnet-w32', 'rtmpose-t')
    }
    assert facts == {
        'grouppose-r50': (False, 'none', 'none', 0.0),
        'rtmo-s': (False, 'none', 'NMS 0.65', 0.1),
        'dekr-hrnet-w32': (True, 'none', 'NMS of poses 0.05', 0.01),
        'cid-hrnet-w32': (True, 'none', 'OKS-NMS 0.8 in the metric', 0.01),
        'rtmpose-t': (True, 'given', 'OKS-NMS 0.9 in the metric', None),
    }
    assert find_detector().facts()['nms'] == 'NMS 0.6'
    row = find_method('grouppose-swin-l-crowdpose').facts()
    assert row['published_ap'] == 0.741 and 'CrowdPose' in row[
        'published_source']


def test_no_weights_are_downloaded():
    config = find_method('dekr-hrnet-w32').read().model
    assert str(config).count('https://') == 2
    drop_pretrained(config)
    assert 'https://' not in str(config)


@pytest.mark.parametrize('name, ticks, network', [
    ('cid-hrnet-w32', {
        'backbone': 100,
        'head.iia_module.forward_test': 10,
        'head.gfd_module': 1,
        'head.decode': 5000
    }, 211),
    ('dekr-hrnet-w32', {
        'backbone': 100,
        'head.heatmap_conv_layers': 10,
        'head.rescore_net': 1,
        'head.decoder.get_keypoint_scores': 5000
    }, 221),
    ('rtmo-s', {
        'backbone': 100,
        'neck': 30,
        'head.head_module': 10,
        'head.dcc.forward_test': 1,
        'head.decode_bbox': 5000
    }, 141),
])
def test_split(pictures, monkeypatch, name, ticks, network):
    """The network is all that is learned, wherever a head calls it."""
    now = [0]

    def tell_time(function, ticks):

        def wrapper(*args, **kwargs):
            now[0] += ticks
            return function(*args, **kwargs)

        return wrapper

    monkeypatch.setattr(cases, 'clock', lambda: now[0])
    case = InferenceCase(find_method(name, SIZE), Load(people=1), pictures)
    model = case.model
    # Everything is a person.
    model.test_cfg.update(score_thr=-1, score_threshold=-1)
    if name.startswith('dekr'):
        model.head.decoder.decode_thr = -100
        model.test_cfg.nms_dist_thr = 0
    places = {'pipeline.transforms.1.transform': 7}
    places['model.data_preprocessor'] = 4
    places.update({f'model.{path}': tick for path, tick in ticks.items()})
    for path, tick in places.items():
        *owners, place = path.split('.')
        owner = case
        for part in owners:
            owner = owner[1] if part == '1' else getattr(owner, part)
        if isinstance(getattr(owner, place), nn.Module):
            owner, place = getattr(owner, place), 'forward'
        setattr(owner, place, tell_time(getattr(owner, place), tick))
    seconds = {part: [value] for part, value in case.time_parts().items()}
    row = dict(method=name, precision='fp32', seconds=seconds)
    content = dict(kinds={name: ''}, parts=[row])
    assert read_table(split_table(content))[0][2:5] == [
        f'{1000 * x:.1f} ({1000 * x:.1f} to {1000 * x:.1f})'
        for x in (11, network, 5000)
    ]


def test_crops_and_images(pictures, monkeypatch):
    """People are crops in batches of so many, or do not matter."""
    monkeypatch.setattr(cases, 'CROPS', 3)
    sizes = []
    for name, images, expected in (('rtmpose-t', 1, [3,
                                                     2]), ('rtmo-s', 2, [2])):
        load = Load(batch_size=images)
        case = InferenceCase(find_method(name, SIZE), load, pictures)
        case.model.data_preprocessor.register_forward_hook(
            lambda _, args, output: sizes.append(len(output['inputs'])))
        assert len(case()) == sum(expected)
        assert sizes == expected
        sizes.clear()


def test_cases_some_of_which_fail(pictures, same_process):
    """A row for each; those that failed say why."""
    methods, _ = find_methods(['dekr-hrnet-w32', 'rtmpose-t'], SIZE)
    methods.append(find_detector('rtmdet-nano', SIZE))

    def make(method, load):
        return InferenceCase(method, load, pictures)

    settings = Settings(repeats=1, warmup=0)
    rows = measure_cases(
        methods, Load(batch_size=2), make, settings, with_memory=True)
    assert [row['method'] for row in rows] == [one.name for one in methods]
    assert 'one image at a time' in rows[0]['failed']
    for row in rows[1:]:
        assert (row['batch_size'], row['people']) == (2, 5)
        assert len(row['seconds']) == 1 and row['seconds'][0] > 0
    assert rows[1]['memory_mib'] >= 0 and 'memory_mib' not in rows[0]

    def fail_later(method, load):
        if method is methods[2]:
            raise MemoryError
        return lambda: 1 / (method is methods[0])

    rows = measure_cases(methods, Load(), fail_later, settings)
    assert [row.get('failed') for row in rows] == [
        None, 'ZeroDivisionError: division by zero', 'out of memory'
    ]
    for load, reason in ((Load('fp16'), 'fp16 needs a GPU'),
                         (Load(mode='graph'), 'CUDA graphs need a GPU')):
        row, = measure_cases(methods[:1], load, fail_later, settings)
        assert row['failed'] == reason


def test_training(monkeypatch):
    """Steps with the targets of each method; a row for one without."""
    methods, _ = find_methods(['rtmpose-t', 'edpose-r50', 'rtmo-s'], SIZE)
    sizes = {}

    def train(method, load):
        case = TrainingCase(method, load)
        samples = case.batch['data_samples']
        sizes[method.name] = len(samples)
        return case

    monkeypatch.setattr(measure, 'peak_memory', lambda *args: 7.0)
    rows = measure_cases(
        methods,
        Load(people=3),
        train,
        Settings(repeats=1),
        measure=TrainingCase.__call__,
        with_memory=True)
    assert rows[1]['failed'].startswith('evaluation only')
    for row in (rows[0], rows[2]):
        assert list(row['seconds']) == ['forward', 'backward', 'optimizer']
        assert min(row['seconds']['backward']) > 0, row
        assert row['memory_mib'] == 7
    assert sizes == {'rtmpose-t': 3, 'rtmo-s': 1}


def test_pictures(tmp_path):
    """Crowds and boxes without extent are no people."""
    content = dict(
        images=[dict(id=i, file_name=f'{i}.png') for i in (3, 5)],
        annotations=[
            dict(image_id=5, bbox=box, iscrowd=crowd)
            for box, crowd in (((1, 2, 3, 4), 0), ((0, 0, 9, 9), 1),
                               ((5, 5, 0, 3), 0), ((2, 2, 2, 2), 0))
        ])
    path = tmp_path / 'ann.json'
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='5.png: cannot be read as an image'):
        load_pictures(path, tmp_path)
    cv2.imwrite(str(tmp_path / '5.png'), np.zeros((8, 9, 3), np.uint8))
    picture, = load_pictures(path, tmp_path)
    assert picture.image.shape == (8, 9, 3)
    boxes = [[1, 2, 4, 6], [2, 2, 4, 4], [1, 2, 4, 6]]
    assert picture.boxes_of(3).tolist() == boxes
    path.write_text(json.dumps(dict(content, annotations=[])))
    with pytest.raises(ValueError, match='ann.json: no image has a box'):
        load_pictures(path, tmp_path)
