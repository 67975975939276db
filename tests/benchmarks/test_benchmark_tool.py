"""The benchmark: its tables, the numbers in them, and what a CUDA graph asks
of the network."""
import json
from functools import partial
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from tqdm import tqdm

from projects.grouppose.benchmark import (added_memory, in_fresh_process,
                                          measure, take_turns)
from projects.grouppose.benchmark.cost import CostCounter
from projects.grouppose.benchmark.methods import (find_methods, make_images,
                                                  make_training_batch)
from projects.grouppose.benchmark.networks import Inference
from projects.grouppose.benchmark.parts import Stopwatch, watched
from projects.grouppose.benchmark.report import (Report, latency_table,
                                                 parts_table, training_table)
from projects.grouppose.model import deformable_attention
from tests.helpers.models import R50_CONFIG, build_small_model, make_batch
from tests.helpers.tables import read_table
from tests.helpers.tool_runs import TOOLS, load_tool

RTMO = 'mmpose::body_2d_keypoint/rtmo/coco/rtmo-s_8xb32-600e_coco-640x640.py'


@pytest.fixture(scope='module')
def tool():
    return load_tool('benchmark', TOOLS / 'analysis_tools')


def test_report(tool, drawn_config, tmp_path, capsys, monkeypatch):
    """Every row is there, with numbers or with the reason why not."""

    def directly(function, *args):  # a process takes seconds to start
        return function(*args)

    monkeypatch.setattr(measure, 'in_fresh_process', directly)
    tool.main([
        *2 * [str(drawn_config)], '--out',
        str(tmp_path), '--size', '64', '48', '--precisions', 'fp32', 'fp16',
        '--batches', '1', '2', '--modes', 'eager', 'graph', '--repeats', '2',
        '--training-batch', '2', '--people', '3', '--device', 'cpu'
    ])
    content = json.loads((tmp_path / 'report.json').read_text())
    latency = content['latency']
    names = [drawn_config.stem, f'{drawn_config.stem} (2)']
    # Of all methods in a row before the next row.
    assert [row['config'] for row in latency] == names * 8
    works = [row for row in latency if 'failed' not in row]
    assert {(row['precision'], row['batch_size'], row['mode'])
            for row in works} == {('fp32', size, 'eager')
                                  for size in (1, 2)}
    assert all(
        len(row['seconds']) == 2 and min(row['seconds']) > 0 for row in works)
    reasons = {row['failed'] for row in latency if 'failed' in row}
    assert reasons == {'fp16 needs a GPU', 'CUDA graphs need a GPU'}

    parts = [row for row in content['parts'] if row['precision'] == 'fp32']
    assert [row['part'] for row in parts[:8]] == [
        'data preprocessor', 'backbone', 'neck', 'encoder', 'query selection',
        'decoder', 'output heads', 'post-processing'
    ]
    for row in parts[1:7]:
        assert row['flops'] > 0 and row['bytes'] > 0
        assert row['floor_seconds'] == pytest.approx(
            max(row['flops'] / content['rates']['fp32'],
                row['bytes'] / content['rates']['bandwidth']))
    for row in content['training']:
        assert ('failed' in row) == (row['precision'] == 'fp16')
        for step in row.get('stages', []):
            assert set(step) == {'forward', 'backward', 'optimizer'}
    assert content['machine']['date'] and content['machine']['commit']

    text = (tmp_path / 'report.md').read_text()
    assert text in capsys.readouterr().out
    assert ('precision bf16; batch 8, 16; mode prepared, compile'
            in content['notes'][-1])
    for name in ('latency.png', 'parts.png'):
        assert cv2.imread(str(tmp_path / name)) is not None


@pytest.mark.parametrize('arguments, message', [
    (['missing.py'], 'missing.py: no such file'),
    ([R50_CONFIG + ':no.pth'], 'no.pth: no such file'),
    (['mmpose::nothing.py'], 'nothing.py: cannot be read'),
    ([
        'mmpose::body_2d_keypoint/rtmpose/coco/'
        'rtmpose-t_8xb256-420e_coco-256x192.py'
    ], 'is TopdownPoseEstimator'),
    ([R50_CONFIG, '--batches', '0'], 'must be 1 or more'),
])
def test_wrong_arguments(tool, capsys, arguments, message):
    with pytest.raises(SystemExit):
        tool.parse_args(arguments)
    assert message in capsys.readouterr().err


def test_sizes_of_the_configs():
    ours, theirs = find_methods([R50_CONFIG, RTMO])
    assert ours.size == (1333, 800) and theirs.size == (640, 640)


def test_a_method_that_fails_while_it_runs(drawn_config, monkeypatch):
    """Its row says so; the others, the bar and the run go on."""
    methods = find_methods(2 * [str(drawn_config)], (64, 48))
    settings = measure.Settings('cpu', repeats=2, warmup=1)
    monkeypatch.setattr(measure, 'in_fresh_process', lambda *_: 1.0)
    infer = measure.InferenceCase.__call__

    def fail_on_twin(case):
        if case.twin:
            raise RuntimeError('CUDA out of memory. Tried to allocate')
        return infer(case)

    def build(case, method, *args):
        init(case, method, *args)
        case.twin = method is methods[1]

    init = measure.InferenceCase.__init__
    monkeypatch.setattr(measure.InferenceCase, '__init__', build)
    monkeypatch.setattr(measure.InferenceCase, '__call__', fail_on_twin)
    with tqdm(total=12, disable=True) as bar:
        bar.update = lambda n=1: setattr(bar, 'n', bar.n + n)
        rows = measure.measure_latency(methods, 'fp32', 'eager', 1, settings,
                                       bar)
        parts = measure.measure_parts(methods, 'fp32', 1, settings,
                                      dict(fp32=1e9, bandwidth=1e9), bar)
        assert bar.n == 12
    assert len(rows[0]['seconds']) == 2
    assert rows[1]['failed'] == parts[-1]['failed'] == 'out of memory'
    assert len(parts) == 9


def test_turns():
    """Methods inside, repeats outside; what fails leaves the turns."""
    order = []

    def fail():
        order.append('b')
        raise ValueError('no')

    cases = dict(
        a=lambda: order.append('a'), b=fail, c=lambda: order.append('c'))
    results = take_turns(cases, repeats=2, warmup=1)
    turns = [order[:3], order[3:5], order[5:]]
    assert list(map(sorted, turns)) == [['a', 'b', 'c'], *2 * [['a', 'c']]]
    assert [len(results['a']), len(results['c'])] == [2, 2]
    assert isinstance(results['b'], ValueError)

    # By chance who comes after whom, but in every run alike.
    runs = []
    for _ in range(2):
        order.clear()
        take_turns(dict(a=cases['a'], c=cases['c']), repeats=9, warmup=0)
        runs.append(''.join(order))
    assert runs[0] == runs[1] and runs[0].count('ac') > 1
    assert any(runs[0][i:i + 2] == 'ca' for i in range(0, 18, 2))


def test_tables():
    """Ratios are taken turn by turn; sums, shares and floors fit."""
    facts = dict(precision='fp32', batch_size=2)
    latency = [
        dict(
            facts, mode='eager', config='a', seconds=[1., 2, 4],
            memory_mib=8.),
        dict(
            facts, mode='eager', config='b', seconds=[3., 4, 4],
            memory_mib=9.),
        dict(facts, mode='graph', config='a', failed='why not'),
        dict(facts, mode='graph', config='b', seconds=[1.], memory_mib=9.),
    ]
    cells = read_table(latency_table(latency))
    assert cells[1][3:] == [
        'b', '4000.0 (3000.0 to 4000.0)', '0.5', '9', '2.00 (1.00 to 3.00)'
    ]
    assert cells[2][3:5] == ['a', 'why not']
    assert cells[3][-1] == ''  # of a first method that failed

    parts = [
        dict(
            facts,
            config='a',
            part=part,
            seconds=[seconds, seconds],
            flops=2e9,
            bytes=1e6,
            floor_seconds=0.5)
        for part, seconds in (('backbone', 1.), ('neck', 3.))
    ]
    cells = read_table(parts_table(parts))
    assert cells[1][5:] == ['75.0%', '2.0', '1', '500', '6.0']
    assert cells[2][3:6] == ['total', '4000.0 (4000.0 to 4000.0)', '100.0%']

    stages = dict(forward=1., backward=2., optimizer=3.)
    slower = {stage: 2 * seconds for stage, seconds in stages.items()}
    training = [
        dict(facts, config=name, stages=[step], memory_mib=7.)
        for name, step in (('a', stages), ('b', slower))
    ]
    cells = read_table(training_table(training))
    assert cells[1][6] == '12.000 (12.000 to 12.000)'
    assert cells[1][8] == '2.00 (2.00 to 2.00)'


def test_report_grows_with_every_row(tmp_path):
    """What an interrupted run leaves behind is complete up to there."""
    report = Report(
        dict(command='x', date='y'), dict(repeats=1, warmup=1), {}, [],
        tmp_path)
    row = dict(
        config='a', precision='fp32', batch_size=1, mode='eager', failed='z')
    for rows in (1, 2):
        report.add('latency', [row])
        content = json.loads((tmp_path / 'report.json').read_text())
        assert len(content['latency']) == rows
    assert '| z |' in (tmp_path / 'report.md').read_text()


def test_stopwatch():
    """A part is without those inside, and adds up."""
    now = SimpleNamespace(time=0)
    watch = Stopwatch(lambda: now.time)

    def spend(seconds):
        now.time += seconds

    for _ in range(2):
        with watch.part('outer'):
            spend(1)
            with watch.part('inner'):
                spend(10)
            with watch.part('outer'):
                spend(100)
    assert watch.amounts == dict(outer=202, inner=20)


def test_watched_model_is_as_before():
    model = build_small_model().eval()
    watch = Stopwatch(lambda: 0)
    before = [set(vars(module)) for module in model.modules()]
    with watched(model, watch):
        model.test_step(make_batch([(64, 64)], [1]))
    assert set(watch.amounts) == {
        'data preprocessor', 'backbone', 'neck', 'encoder', 'query selection',
        'decoder', 'output heads', 'post-processing'
    }
    assert [set(vars(module)) for module in model.modules()] == before


@torch.no_grad()
def test_cost():
    """Known numbers: of a product, of attention, of deformable sampling."""
    linear = nn.Linear(8, 16)
    with CostCounter(linear) as counter:
        linear(torch.rand(4, 8))
        flops, size = counter.total()
    assert flops == 2 * 4 * 8 * 16
    assert size == 4 * (4 * 8 + 8 * 16 + 16 + 4 * 16)

    tokens, width = 10, 32
    attention = nn.MultiheadAttention(width, 4, batch_first=True)
    expected = 2 * tokens * width * (4 * width) + 4 * tokens * tokens * width
    for training in (True, False):  # it has a path for each
        attention.train(training)
        with CostCounter(attention) as counter:
            attention(*3 * [torch.rand(1, tokens, width)], need_weights=False)
            assert counter.total()[0] == expected

    heads, levels, points = 4, 1, 3
    deformable = deformable_attention.DeformableAttention(
        width, heads, levels, points, dropout=0.0, batch_first=True)
    with CostCounter(deformable) as counter:
        deformable(
            torch.rand(1, 5, width),
            value=torch.rand(1, tokens, width),
            reference_points=torch.rand(1, 5, levels, 2),
            spatial_shapes=torch.tensor([[2, 5]]),
            level_start_index=torch.tensor([0]))
        flops = counter.total()[0]
    samples = 5 * heads * levels * points
    assert flops == 2 * width * (
        tokens * width + 5 * width) + 2 * 5 * width * (
            3 * heads * levels * points) + 8 * samples * width // heads


def test_cost_of_resnet50():
    """4.09 billion multiply-adds for 224 x 224, without the classifier."""
    method, = find_methods([R50_CONFIG])
    backbone = method.build('cpu').backbone
    with torch.no_grad(), CostCounter(backbone) as counter:
        backbone(torch.rand(1, 3, 224, 224))
        flops = counter.total()[0]
    assert flops == pytest.approx(2 * 4.087e9, rel=1e-3)


def test_memory():
    """What a fresh process allocates."""
    take = partial(torch.ones, 200, 2**18)
    mebibytes = in_fresh_process(added_memory, take, 'cpu')
    assert mebibytes == pytest.approx(200, abs=40)


@pytest.mark.parametrize('name', [None, RTMO])
def test_network_in_place_of_the_model(name, drawn_config, monkeypatch):
    """Another network gives the poses that the model itself gives."""
    method, = find_methods([name or str(drawn_config)], (96, 64))
    model = method.build('cpu')
    for parameter in model.head.parameters():
        nn.init.uniform_(parameter, -0.1, 0.1)
    data = make_images(method, 2)
    expected = [
        x.pred_instances for x in Inference(model, 'fp32', 'eager')(data)
    ]
    calls = []
    monkeypatch.setattr(
        torch, 'compile', lambda network: lambda images: calls.append(
            images.shape) or network(images))
    results = Inference(model, 'fp32', 'compile')(data)
    assert calls == [(2, 3, 64, 96)]
    for sample, instances in zip(results, expected):
        assert len(instances) > 0
        assert (sample.pred_instances.keypoints == instances.keypoints).all()
    results = Inference(model, 'fp32', 'prepared')(data)
    for sample, instances in zip(results, expected):
        np.testing.assert_allclose(
            sample.pred_instances.keypoints, instances.keypoints, atol=0.05)


def test_training_batch_of_another_method():
    """RTMO's own codec makes its targets."""
    method, = find_methods([RTMO], (96, 64))
    batch = make_training_batch(method, 2, people=3)
    assert [tuple(x.shape) for x in batch['inputs']] == 2 * [(3, 64, 96)]
    labels = batch['data_samples'][0].gt_instance_labels
    assert labels.keypoints.shape == (3, 17, 2)


class NoHostCopies(TorchDispatchMode):
    """Refuses what a CUDA graph cannot capture: waiting for a value, and
    bringing one from the host."""

    REFUSED = ('aten::_local_scalar_dense', 'aten::lift_fresh',
               'aten::nonzero', 'aten::masked_select', 'aten::equal',
               'aten::is_nonzero')

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._schema.name in self.REFUSED:
            raise RuntimeError(f'{func} in a CUDA graph')
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def test_network_can_be_captured(monkeypatch):
    """From normalized images to the outputs of the head."""

    def sample_nothing(value, shapes, start, locations, weights, step):
        return value.new_zeros(*locations.shape[:2], value[0, 0].numel())

    # On a GPU it is a single kernel of mmcv's.
    monkeypatch.setattr(deformable_attention, 'sample_maps', sample_nothing)
    model = build_small_model().eval()
    images = torch.rand(2, 3, 64, 96)
    network = Inference(model, 'bf16', 'eager')._forward
    with NoHostCopies():
        outputs = network(images)
        with pytest.raises(RuntimeError, match='_local_scalar_dense'):
            images.sum().item()
        with pytest.raises(RuntimeError, match='lift_fresh'):
            images.new_tensor([1, 2])
    assert outputs['keypoints'].shape == (1, 2, 12, 5, 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('precision', ['fp32', 'fp16', 'bf16'])
def test_captured_network(precision, drawn_config):
    """Replayed for other images than it was captured with."""
    method, = find_methods([str(drawn_config)])
    model = method.build('cuda')
    captured = Inference(model, precision, 'graph')
    data = make_images(method, 2)
    captured(data)
    data['inputs'] = [255 - image for image in data['inputs']]
    expected = Inference(model, precision, 'eager')(data)
    expected = [sample.pred_instances.keypoints for sample in expected]
    for sample, keypoints in zip(captured(data), expected):
        assert abs(sample.pred_instances.keypoints - keypoints).max() < 0.05
