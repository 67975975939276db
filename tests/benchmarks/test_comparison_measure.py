"""Methods of a comparison: what the zoo says of them, the sizes they get, and
that what is measured is what the rows call it."""
import io
import json
from pathlib import Path

import cv2
import mmpose
import numpy as np
import pytest
import torch
import yaml
from mmcv.ops import DeformConv2d
from torch import nn
from tqdm import tqdm

from projects.grouppose.benchmark.cost import CostCounter
from projects.grouppose.benchmark.methods import (_drop_pretrained,
                                                  make_training_batch)
from projects.grouppose.comparison import cases, measure
from projects.grouppose.comparison.cases import InferenceCase, Settings
from projects.grouppose.comparison.contender import (find_contenders,
                                                     find_detector)
from projects.grouppose.comparison.images import Picture, load_pictures
from projects.grouppose.comparison.zoo import ZOO

WHEEL = Path(mmpose.__file__).parent / '.mim'


@pytest.fixture(scope='module')
def settings():
    """Two images with one and with two people."""
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    boxes = np.float32([[8, 8, 40, 56], [4, 16, 60, 60]])
    pictures = [Picture(images[0], boxes[:1]), Picture(images[1], boxes)]
    return Settings('cpu', repeats=1, warmup=0, images=pictures)


@pytest.fixture
def same_process(monkeypatch):
    """A process takes seconds to start."""
    monkeypatch.setattr(measure, 'in_fresh_process', lambda f, *args: f(*args))


def find(name, size=(64, 64)):
    (contender, ), failed = find_contenders([name], size)
    assert not failed
    return contender


def test_published_ap():
    """What the zoo says is what the metafiles beside the configs say."""
    published, entries = {}, {}
    for name, entry in ZOO.items():
        folder, _, path = entry.config.rpartition('::')
        path = (WHEEL / 'configs' if folder else Path()) / path
        assert path.is_file(), name
        entries[name] = path
        for metafile in path.parent.glob('*.yml'):
            for model in yaml.safe_load(metafile.read_text())['Models']:
                key = path.parent / Path(model['Config']).name
                published[key] = model['Results'][0]['Metrics']['AP']
    assert published[entries.pop('rtmo-s')] == 0.673  # 0.677 on the page
    entries = {
        name: path
        for name, path in entries.items() if 'edpose' not in name
    }
    assert {
        name: ZOO[name].published_ap
        for name in entries
    } == {
        name: published.get(path)
        for name, path in entries.items()
    }


@pytest.mark.parametrize('name, parameters, multiply_adds', [
    ('hrnet-w32', 28.54e6, 7.7e9),
    ('rtmpose-m', 13.59e6, 1.93e9),
])
def test_known_models(settings, name, parameters, multiply_adds):
    """Published: docs/en/inference_speed_summary.md of MMPose 0.29 and
    projects/rtmpose/README.md of MMPose 1, without what is no product."""
    row, = measure.measure_facts(find(name), settings)
    assert 'failed' not in row and json.loads(json.dumps(row)) == row
    assert row['input_size'] == [192, 256]
    assert row['parameters'] == pytest.approx(parameters, rel=1e-3)
    assert row['flops'] == pytest.approx(2 * multiply_adds, rel=0.01)


def test_flops_of_deformable_convolution():
    """As many as of one without offsets."""
    image, offset = torch.rand(2, 4, 7, 9), torch.zeros(2, 36, 7, 9)
    flops = []
    for convolution, args in ((DeformConv2d(
            4, 6, 3, padding=1, groups=2, deform_groups=2), (image, offset)),
                              (nn.Conv2d(4, 6, 3, padding=1,
                                         groups=2), (image, ))):
        with CostCounter(convolution) as counter:
            convolution(*args)
        flops.append(counter.total()[0])
    assert flops[0] == flops[1] > 0


def test_names_and_methods_that_cannot_be_read(tmp_path):
    folder = Path('configs/body_2d_keypoint/edpose/coco').resolve()
    path = str(folder / 'edpose_res50_coco-800x1333.py')
    other = tmp_path / 'other.py'
    other.write_text("model = dict(type='PoseLifter')")
    contenders, failed = find_contenders([
        'rtmo-s', 'nothing', path, 'rtmo-s:missing.pth', 'rtmo-s',
        str(other)
    ])
    assert [one.name for one in contenders
            ] == ['rtmo-s', 'edpose_res50_coco-800x1333', 'rtmo-s (3)']
    assert contenders[0].config.startswith('mmpose::')
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
    assert find(name, None).size == own
    assert find(name, (130, 100)).size == sizes
    assert find_detector('rtmdet-nano').size == (320, 320)
    assert find_detector('rtmdet-nano', (130, 100)).size == (160, 128)


def test_sizes_in_pipelines_and_codecs():
    config = find('dekr-hrnet-w32', (128, 64)).read()
    codec = config.model.head.decoder
    train = config.train_dataloader.dataset.pipeline
    targets, = [x.encoder for x in train if x.type == 'GenerateTarget']
    for one in (codec, targets):
        assert one.input_size == (128, 64) and one.heatmap_size == (32, 16)
    config = find('grouppose-r50', (96, 128)).read()
    resize, = [
        x for x in config.test_dataloader.dataset.pipeline
        if x.type == 'PoseResize'
    ]
    assert (resize.short_side, resize.max_size) == (96, 128)


def test_facts():
    """What makes comparisons unfair."""
    names = ('flip_test', 'boxes', 'nms', 'score_threshold')
    facts = {
        name: tuple(find(name).facts()[key] for key in names)
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
    row = find('grouppose-swin-l-crowdpose').facts()
    assert row['published_ap'] == 0.741 and 'CrowdPose' in row[
        'published_source']


def test_no_weights_are_downloaded():
    config = find('dekr-hrnet-w32').read().model
    assert str(config).count('https://') == 2
    _drop_pretrained(config)
    assert 'https://' not in str(config)


@pytest.mark.parametrize('name, ticks, network, rest', [
    ('cid-hrnet-w32', {
        'backbone': 100,
        'head.iia_module.forward_test': 10,
        'head.gfd_module': 1,
        'head.decode': 5000
    }, 211, 5000),
    ('dekr-hrnet-w32', {
        'backbone': 100,
        'head.heatmap_conv_layers': 10,
        'head.rescore_net': 1,
        'head.decoder.get_keypoint_scores': 5000
    }, 221, 5000),
    ('rtmo-s', {
        'backbone': 100,
        'neck': 30,
        'head.head_module': 10,
        'head.dcc.forward_test': 1,
        'head.decode_bbox': 5000
    }, 141, 5000),
])
def test_split(settings, monkeypatch, name, ticks, network, rest):
    """The network is all that is learned, wherever a head calls it."""
    now = [0]

    def tell_time(function, ticks):

        def wrapper(*args, **kwargs):
            now[0] += ticks
            return function(*args, **kwargs)

        return wrapper

    monkeypatch.setattr(cases, 'clock', lambda: now[0])
    case = InferenceCase(find(name), 1, 1, settings)
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
        *owners, name = path.split('.')
        owner = case
        for part in owners:
            owner = owner[1] if part == '1' else getattr(owner, part)
        if isinstance(getattr(owner, name), nn.Module):
            owner, name = getattr(owner, name), 'forward'
        setattr(owner, name, tell_time(getattr(owner, name), tick))
    assert case() == dict(
        preprocessing=11, network=network, postprocessing=rest)


def test_crops_and_images(settings, monkeypatch):
    """People are crops in batches of so many, or do not matter."""
    monkeypatch.setattr(cases, 'CROPS', 3)
    sizes = []
    for name, images, expected in (('rtmpose-t', 1, [3,
                                                     2]), ('rtmo-s', 2, [2])):
        case = InferenceCase(find(name), images, 5, settings)
        case.model.data_preprocessor.register_forward_hook(
            lambda _, args, output: sizes.append(len(output['inputs'])))
        case()
        assert sizes == expected
        sizes.clear()


def test_latency_of_methods_some_of_which_fail(settings):
    contenders, _ = find_contenders(['dekr-hrnet-w32', 'rtmpose-t'], (64, 64))
    detector = find_detector('rtmdet-nano', (64, 64))
    with tqdm(total=3 * settings.runs, file=io.StringIO()) as progress:
        rows = measure.measure_latency(contenders, detector, 2, 1, settings,
                                       progress)
        assert progress.n == progress.total
    assert [row['method']
            for row in rows] == ['dekr-hrnet-w32', 'rtmpose-t', detector.name]
    assert 'one image at a time' in rows[0]['failed']
    for row in rows[1:]:
        assert (row['batch_size'], row['people']) == (2, 1)
        assert list(row['seconds']) == list(cases.PARTS)
        assert all(len(x) == 1 and x[0] > 0 for x in row['seconds'].values())


def test_memory(settings, same_process):
    row, = measure.measure_memory(find('rtmpose-t'), 1, 2, settings)
    assert row['memory_mib'] > 4 * 3.3  # its weights
    row, = measure.measure_memory(find('cid-hrnet-w32'), 2, 2, settings)
    assert 'one image at a time' in row['failed']


def test_training(settings, monkeypatch):
    """Steps with the targets of each method; a row for one without."""
    names = ['rtmpose-t', 'edpose-r50', 'rtmo-s', 'cid-hrnet-w32']
    contenders, _ = find_contenders(names, (64, 64))
    batches = {}
    build = measure.TrainingCase.__init__

    def build_and_tell(case, method, precision, batch_size, options):
        batches[method.name] = (batch_size, options.people)
        build(case, method, precision, batch_size, options)

    def peak_memory(contender, make, settings):
        if contender.name == 'cid-hrnet-w32':
            raise MemoryError
        return 7.0

    monkeypatch.setattr(measure.TrainingCase, '__init__', build_and_tell)
    monkeypatch.setattr(measure, '_peak_memory', peak_memory)
    with tqdm(total=4 * settings.runs, file=io.StringIO()) as progress:
        rows = measure.measure_training(contenders, 1, 3, settings, progress)
        assert progress.n == progress.total
    assert [row['method'] for row in rows] == names
    assert rows[1]['failed'].startswith('evaluation only')
    assert rows[3]['failed'] == 'out of memory'
    for row in (rows[0], rows[2]):
        assert len(row['seconds']) == 1 and row['seconds'][0] > 0, row
        assert row['memory_mib'] == 7
    assert batches['rtmpose-t'] == (3, 1) and batches['rtmo-s'] == (1, 3)


def test_targets_of_cid():
    """Its codec takes the corners of boxes."""
    contender = find('cid-hrnet-w32')
    batch = make_training_batch(contender, batch_size=1, people=2)
    fields = batch['data_samples'][0].gt_fields
    assert fields.instance_heatmaps.shape == (2 * 17, 16, 16)


def test_pictures(tmp_path):
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
    path.write_text('{}')
    with pytest.raises(ValueError, match='ann.json: cannot be read.*images'):
        load_pictures(path, tmp_path)
