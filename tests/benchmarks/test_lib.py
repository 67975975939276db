"""Turns, parts, costs, memory, modes and results: what all numbers of the
experiments rest on."""
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmcv.ops import DeformConv2d
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.lib.case import InferenceCase, Load
from benchmarks.lib.cost import CostCounter
from benchmarks.lib.inputs import make_training_batch
from benchmarks.lib.memory import peak_memory
from benchmarks.lib.method import find_method
from benchmarks.lib.modes import Inference
from benchmarks.lib.parts import Stopwatch, watched
from benchmarks.lib.results import Results, markdown_table
from benchmarks.lib.turns import Settings, take_turns
from benchmarks.lib.variants import time_variants
from projects.grouppose.model import deformable_attention
from tests.helpers.models import R50_CONFIG, build_small_model, make_batch

RTMO = 'mmpose::body_2d_keypoint/rtmo/coco/rtmo-s_8xb32-600e_coco-640x640.py'


def test_turns():
    """Methods inside, repeats outside; what fails leaves the turns."""
    order = []

    def fail():
        order.append('b')
        raise ValueError('no')

    cases = dict(
        a=lambda: order.append('a'), b=fail, c=lambda: order.append('c'))
    results = take_turns('', cases, Settings(repeats=2))
    turns = [order[:3], order[3:5], order[5:]]
    assert list(map(sorted, turns)) == [['a', 'b', 'c'], *2 * [['a', 'c']]]
    assert [len(results['a']), len(results['c'])] == [2, 2]
    assert isinstance(results['b'], ValueError)
    with pytest.raises(ValueError, match='no'):
        time_variants('', cases, Settings(repeats=1))

    # By chance who comes after whom, but in every run alike.
    runs = []
    for _ in range(2):
        order.clear()
        take_turns('', dict(a=cases['a'], c=cases['c']), Settings('cpu', 9, 0))
        runs.append(''.join(order))
    assert runs[0] == runs[1] and runs[0].count('ac') > 1
    assert any(runs[0][i:i + 2] == 'ca' for i in range(0, 18, 2))


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
        'decoder', 'output heads', 'head', 'postprocessing'
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


def test_cost_of_convolutions():
    """ResNet-50: 4.09 billion multiply-adds for 224 x 224, without the
    classifier. A deformable one: as many as without offsets."""
    backbone = find_method(R50_CONFIG).build().backbone
    image, offset = torch.rand(2, 4, 7, 9), torch.zeros(2, 36, 7, 9)
    flops = []
    for module, args in ((backbone, [torch.rand(1, 3, 224, 224)
                                     ]), (DeformConv2d(
                                         4,
                                         6,
                                         3,
                                         padding=1,
                                         groups=2,
                                         deform_groups=2), [image, offset]),
                         (nn.Conv2d(4, 6, 3, padding=1, groups=2), [image])):
        with torch.no_grad(), CostCounter(module) as counter:
            module(*args)
        flops.append(counter.total()[0])
    assert flops[0] == pytest.approx(2 * 4.087e9, rel=1e-3)
    assert flops[1] == flops[2] > 0


def allocate():
    """What adds 200 MiB beside 100 that were there."""
    before = torch.ones(100, 2**18)
    return lambda: (before, torch.ones(200, 2**18))


def test_memory():
    """What a fresh process allocates."""
    assert peak_memory(allocate, 'cpu') == pytest.approx(200, abs=40)


@pytest.mark.parametrize('name', [None, RTMO])
def test_network_in_place_of_the_model(name, drawn_config, monkeypatch):
    """Another network gives the poses that the model itself gives."""
    case = InferenceCase(
        find_method(name or str(drawn_config), (96, 64)), Load(batch_size=2))
    for parameter in case.model.head.parameters():
        nn.init.uniform_(parameter, -0.1, 0.1)
    expected = [sample.pred_instances for sample in case()]
    calls = []
    monkeypatch.setattr(
        torch, 'compile', lambda network: lambda images: calls.append(
            images.shape) or network(images))
    for mode, tolerance in (('compile', 0), ('prepared', 0.05)):
        case.infer = Inference(case.model, 'fp32', mode)
        for sample, instances in zip(case(), expected):
            assert len(instances) > 0
            np.testing.assert_allclose(
                sample.pred_instances.keypoints,
                instances.keypoints,
                atol=tolerance)
    assert calls == [(2, 3, 64, 96)]


def test_training_batches_of_other_methods():
    """Their own codecs make the targets; CID's takes the corners of boxes."""
    batch = make_training_batch(find_method(RTMO, (96, 64)), 2, people=3)
    assert [tuple(x.shape) for x in batch['inputs']] == 2 * [(3, 64, 96)]
    labels = batch['data_samples'][0].gt_instance_labels
    assert labels.keypoints.shape == (3, 17, 2)
    cid = find_method('cid-hrnet-w32', (64, 64))
    batch = make_training_batch(cid, batch_size=1, people=2)
    fields = batch['data_samples'][0].gt_fields
    assert fields.instance_heatmaps.shape == (2 * 17, 16, 16)


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
    monkeypatch.setattr(torch, 'compile', lambda network: network)
    images = torch.rand(2, 3, 64, 96)
    network = Inference(build_small_model().eval(), 'bf16', 'compile').network
    with NoHostCopies():
        outputs = network(images)
        with pytest.raises(RuntimeError, match='_local_scalar_dense'):
            images.sum().item()
        with pytest.raises(RuntimeError, match='lift_fresh'):
            images.new_tensor([1, 2])
    assert outputs['last']['keypoints'].shape == (2, 12, 5, 2)


@pytest.mark.gpu
@pytest.mark.parametrize('precision', ['fp32', 'fp16', 'bf16'])
def test_captured_network(precision, drawn_config):
    """Replayed for other images than it was captured with."""
    method = find_method(str(drawn_config))
    case = InferenceCase(method, Load(precision, 'graph', 2), device='cuda')
    case()
    for one in case.inputs:
        one['img'] = 255 - one['img']
    captured = [sample.pred_instances.keypoints for sample in case()]
    case.infer = Inference(case.model, precision, 'eager')
    for sample, keypoints in zip(case(), captured):
        assert abs(sample.pred_instances.keypoints - keypoints).max() < 0.05


def test_cells_of_rows_that_failed():
    """The first missing cell of a row says why; others are empty."""
    columns = {'a': 'a', 'b': lambda row: row['b'] + 1, 'c': 'c', 'd': 'd'}
    text = markdown_table(columns, [dict(a=1, b=2), dict(a=1, failed='why')])
    assert text.splitlines()[2:] == ['| 1 | 3 |  |  |', '| 1 | why |  |  |']


def test_results_grow_and_resume(tmp_path):
    """What an interrupted run leaves behind is complete up to there."""

    def make(**settings):
        results = Results(
            tmp_path / 'x',
            'Title',
            'Text', {'a': 'a'},
            settings=dict(dict(size=None, repeats=2), **settings))
        results.content['machine'].update(
            date=settings.get('date', 'now'), commit='a')
        return results

    results = make()
    results.resume()  # nothing yet
    results.add(dict(a=1), step='first')
    results.add(dict(a=2, failed='z'), step='second')
    text = (tmp_path / 'x.md').read_text()
    assert text.startswith('# Title\n\n```shell\n') and '| 2 |' in text
    assert {x.name for x in tmp_path.iterdir()} == {'x.md', 'x.json'}

    again = make()
    again.content['machine']['date'] = 'later'
    again.resume()
    assert again.content['done'] == ['first', 'second']
    assert again.content['rows'] == [dict(a=1), dict(a=2, failed='z')]
    assert '- date: now, resumed later\n- CPU' in again.markdown()

    for changes, message in ((dict(repeats=3), 'repeats 2, not 3'),
                             (dict(size=[1, 2]), r'size None, not \[1, 2\]')):
        with pytest.raises(ValueError, match=message):
            make(**changes).resume()
    other = make()
    other.content['machine']['CPU'] = 'two'
    with pytest.raises(ValueError, match='CPU .*, not two'):
        other.resume()
    for text in ('{', '[]', '{"settings": {}}'):
        (tmp_path / 'x.json').write_text(text)
        with pytest.raises(ValueError, match='not written by this program'):
            make().resume()
    assert json.loads(json.dumps(results.content)) == results.content
