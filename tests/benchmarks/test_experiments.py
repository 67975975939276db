"""The other experiments: what they compare computes the same, and every
program writes its results."""
import argparse
import json
from collections import Counter

import pytest
import torch
from PIL import Image

from benchmarks import attention, cpu_steps, losses, pipeline, training
from benchmarks.lib import mmcv_path
from projects.grouppose.model import deformable_attention
from projects.grouppose.synthetic import draw_image
from tests.helpers.exported import write_weights
from tests.helpers.tool_runs import run_tool


@pytest.fixture
def run(tmp_path, same_process):
    """Call a program in two turns; answer with the rows that it wrote."""

    def call(program, arguments):
        threads = torch.get_num_threads()
        out = tmp_path / 'out'
        program.main([*arguments.split(), '--out', str(out)])
        torch.set_num_threads(threads)
        path, = out.glob('*.json')
        content = json.loads(path.read_text())
        assert {'command', 'date', 'CPU',
                'versions'} <= set(content['machine'])
        for row in content['rows']:
            if 'first' in row:
                assert len(row['seconds']) == len(row['first']) == 2
        return content['rows']

    return call


def test_programs_run_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = run_tool('../benchmarks/attention.py', '--help')
    assert code == 0, stderr
    assert 'python benchmarks/attention.py' in stdout


def test_attention(run):
    rows = run(
        attention, '--keypoints 3 --queries 5 --embed-dims 32 --heads 4 '
        '--size 64 48 --repeats 2')
    assert [(row['what'], row['case'])
            for row in rows] == [(f'{part}, K = 3', name)
                                 for part in ('self-attention', 'layer')
                                 for name in ('full', 'group')]


@pytest.mark.parametrize('scheme', attention.SCHEMES)
def test_attention_is_that_of_the_layer(scheme):
    """What is timed alone is what the layer does before it looks at the
    image, with the scheme's own modules."""
    case = attention.Case('layer', scheme, 3, 5, 32, 4, (64, 48), 'cpu')
    compute, leaves = case.prepare()
    layer, (query, query_pos, *_) = compute.func, compute.args
    seen = []
    layer.attend_to_image = lambda query, *_: seen.append(query) or query
    compute()
    expected = layer.attend_to_queries(query + query_pos) + query_pos
    torch.testing.assert_close(seen[0], expected)
    alone, leaves = case._replace(part='self-attention').prepare()
    gradients = torch.autograd.grad(alone().sum(), leaves, allow_unused=True)
    assert sum(x is not None for x in gradients) == 1 + 6 * len(layer.scheme)


@pytest.fixture(scope='module')
def criterion():
    return losses.build_criterion()


def test_plain_losses_are_those_of_the_criterion(criterion, monkeypatch):
    """Also where images show different numbers of people."""
    logits, keypoints, targets = losses.make_case(3, 3, 12, 5, 4)
    for counts in ([5, 5, 5], [2, 0, 5]):
        case = logits, keypoints, targets._replace(counts=counts)
        assert losses.check_equal(criterion, case) < 1e-5
        assert len(losses.plain_losses(*case)) == 9
    monkeypatch.setattr(losses, 'OKS', 4.01)
    with pytest.raises(AssertionError):
        losses.check_equal(criterion, case)


def test_plain_matching_is_that_of_the_matcher(criterion):
    logits, keypoints, targets = losses.make_case(2, 3, 12, 5, 4)
    matches = losses.match(criterion, logits, keypoints, targets)
    for i in range(2):
        for image in range(3):
            fields = [field[image] for field in targets[:4]]
            queries, people = losses.plain_matching(logits[i, image],
                                                    keypoints[i, image],
                                                    *fields, targets.sigmas)
            here = matches.images == image
            assert torch.equal(matches.queries[i, here], queries)
            assert torch.equal(matches.people[i, here], people)


def test_losses(run):
    rows = run(losses, '--batch-size 2 --people 3 --queries 8 --repeats 2')
    assert Counter(row['case'] for row in rows) == {
        'in both': 1,
        'one set and image at a time': 3,
        'all at once': 3
    }


def test_pipeline(run):
    rows = run(pipeline, '--num-images 4')
    by_name = {(row['pipeline'], row['way']): row for row in rows}
    assert len(by_name) == 4
    for way in pipeline.WAYS:
        row = by_name['ours', way]
        assert not row['errors'] and len(row['seconds']) > 0
        assert 'PoseResize' in row['steps']
    assert 'RandomChoiceResize' in by_name['ED-Pose', 'resize']['steps']


def test_pipeline_with_errors():
    """Samples that cannot be made are counted, not timed."""

    class Broken:

        def get_data_info(self, index):
            raise ValueError(f'image {index % 2}')

    images = [dict(broken=i) for i in range(3)]
    samples, errors = pipeline.measure(dict(broken=Broken()), images)['broken']
    assert samples == []
    assert errors == {'ValueError: image 0': 2, 'ValueError: image 1': 1}
    row = pipeline.make_row(('broken', 'resize'), samples, errors)
    assert row['cannot'].startswith('3 of 3; ValueError: image 0')


def test_memory_of_training(run, monkeypatch):
    calls = Counter()
    plain, ours = mmcv_path._sample, deformable_attention.sample_maps

    def count(name, sampling):

        def call(*args):
            calls[name] += 1
            return sampling(*args)

        return call

    monkeypatch.setattr(mmcv_path, '_sample', count('mmcv', plain))
    monkeypatch.setattr(deformable_attention, 'sample_maps',
                        count('ours', ours))
    rows = run(training, 'memory --small --size 64 48 --repeats 2')
    assert [row['case'] for row in rows] == [
        'mmcv', 'ours', 'mmcv, checkpointing', 'ours, checkpointing'
    ]
    # 3 attentions, of which the encoder's runs again with checkpointing;
    # 4 steps each, and twice the step with little memory in all four cases.
    assert calls == dict(mmcv=4 * (3 + 4), ours=4 * (3 + 4) + 8 * 3)


def test_plain_sampling_trains_the_same():
    gradients = []
    for plain in (False, True):
        case = training.Case(
            training.SMALL, (64, 48), 2, 10, 5, 2, plain=plain)
        step = case.prepare()
        trained = step.__closure__[1].cell_contents
        assert trained.batch['data_samples'][0].gt_instance_labels[
            'keypoint_labels'].shape == (2, 5, 2)
        attn = trained.model.head.encoder.layers[0].self_attn
        # Away from the centers of tokens, where bilinear weights have kinks.
        with torch.no_grad():
            attn.sampling_offsets.bias += 0.3
        trained.model.zero_grad = lambda set_to_none: None
        step()
        gradients.append([
            getattr(attn, name).weight.grad
            for name in ('value_proj', 'sampling_offsets', 'attention_weights')
        ])
    assert all(gradient.any() for gradient in gradients[0])
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)


def test_growth_of_training(run, tmp_path):
    rows = run(
        training, 'growth --queries 5 10 --keypoints 3 --people-per-image 2 '
        '--sides 64 --repeats 2 --batch-size 1')
    assert [(row['what'], row['case']) for row in rows] == [('queries', 5),
                                                            ('queries', 10),
                                                            ('keypoints', 3),
                                                            ('people', 2),
                                                            ('side', 64)]
    assert Image.open(tmp_path / 'out/training_growth.png').width > 1000


def test_every_step_on_a_cpu(run, drawn_config):
    rows = run(cpu_steps, f'--config {drawn_config} --size 96 64 --repeats 2')
    assert Counter(row['what'] for row in rows)['forward'] == 2
    model = [row for row in rows if row['what'] == 'image to poses']
    assert [row['case'] for row in model] == ["mmcv's path", *cpu_steps.STEPS]
    for row in model:
        assert row['pixels'] < 0.05 and row['logits'] < 1e-4


def test_refuses_to_compare_what_differs(monkeypatch):
    ours = cpu_steps.SAMPLINGS['bags']
    monkeypatch.setitem(cpu_steps.SAMPLINGS, 'bags',
                        lambda *arguments: 1.01 * ours(*arguments))
    with pytest.raises(AssertionError, match='not close'):
        next(cpu_steps.measure_attention(argparse.Namespace(size=(96, 64))))


def test_every_runtime_finds_the_same(drawn_config, tmp_path, run):
    for name in ('onnx', 'onnxruntime', 'openvino'):
        pytest.importorskip(name)
    from benchmarks import runtimes
    for i, size in enumerate([100, 180]):
        image, _ = draw_image(i, size)
        Image.fromarray(image[..., ::-1]).save(tmp_path / f'{i}.png')
    weights = write_weights(drawn_config, tmp_path)
    rows = run(
        runtimes, f'{drawn_config} {weights} {tmp_path}/0.png '
        f'{tmp_path}/1.png --repeats 2 --threads 1')
    assert [row['case'] for row in rows] == [
        'PyTorch', 'PyTorch, prepared', 'ONNX Runtime', 'OpenVINO',
        'ONNX Runtime, fp16', 'OpenVINO, fp16'
    ]
    for row in rows:
        half = 'fp16' in row['case']
        assert len(row['pixels']) == len(row['scores']) == 20
        assert max(row['pixels']) < (1 if half else 0.05)
        assert max(row['scores']) < (1e-3 if half else 1e-4)
    assert Image.open(tmp_path / 'out/runtimes.png').width > 100
