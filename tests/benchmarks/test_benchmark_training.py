"""Benchmarks of training: the plain computation that they compare with is
right, and every program writes its results."""
import json
from collections import Counter

import pytest
import torch

from projects.grouppose.model import deformable_attention
from tests.helpers.tool_runs import TOOLS, load_tool


def load_benchmark(name):
    return load_tool(f'benchmark_{name}', TOOLS / 'analysis_tools')


@pytest.fixture(scope='module')
def losses_tool():
    return load_benchmark('losses')


def run(tool, monkeypatch, out, *arguments):
    """Call a loaded program; answer with the rows that it wrote."""
    monkeypatch.setattr('sys.argv', ['tool', *map(str, arguments)] +
                        ['--out', str(out)])
    threads = torch.get_num_threads()
    tool.main()
    torch.set_num_threads(threads)
    path, = out.glob('*.json')
    content = json.loads(path.read_text())
    assert {'command', 'date', 'CPU', 'versions'} <= set(content['machine'])
    table = path.with_suffix('.md').read_text()
    assert table.count('\n| ') == len(content['rows']) + 2
    return content['rows'], table


def test_plain_losses_are_those_of_the_criterion(losses_tool):
    """Also where images show different numbers of people."""
    logits, keypoints, targets = losses_tool.make_case(3, 3, 12, 5, 4)
    for counts in ([5, 5, 5], [2, 0, 5]):
        case = logits, keypoints, targets._replace(counts=counts)
        criterion = losses_tool.build_criterion()
        assert losses_tool.check_equal(criterion, case) < 1e-5
        assert len(losses_tool.plain_losses(*case)) == 9


def test_plain_matching_is_that_of_the_matcher(losses_tool):
    logits, keypoints, targets = losses_tool.make_case(2, 3, 12, 5, 4)
    matches = losses_tool.build_criterion().matcher(logits, keypoints, targets)
    for i in range(2):
        for image in range(3):
            fields = [field[image] for field in targets[:4]]
            queries, people = losses_tool.plain_matching(
                logits[i, image], keypoints[i, image], *fields, targets.sigmas)
            here = matches.images == image
            assert torch.equal(matches.queries[i, here], queries)
            assert torch.equal(matches.people[i, here], people)


def test_a_difference_is_noticed(losses_tool):
    case = losses_tool.make_case(3, 2, 8, 3, 4)
    criterion = losses_tool.build_criterion()
    criterion.loss_oks.loss_weight = 4.01
    with pytest.raises(AssertionError):
        losses_tool.check_equal(criterion, case)


def test_losses(losses_tool, monkeypatch, tmp_path):
    rows, table = run(losses_tool, monkeypatch, tmp_path, '--batch-size', 2,
                      '--people', 3, '--queries', 8, '--repeats', 2)
    assert len(rows) == 4
    for row in rows:
        assert len(row['seconds']) == len(row['plain_seconds']) == 2
    assert 'matching, losses and their gradients' in table


def test_pipeline(monkeypatch, tmp_path):
    tool = load_benchmark('pipeline')
    rows, table = run(tool, monkeypatch, tmp_path, '--num-images', 4)
    by_name = {(row['pipeline'], row['way']): row for row in rows}
    assert len(by_name) == 4
    for way in tool.WAYS:
        row = by_name['ours', way]
        assert not row['errors'] and len(row['seconds']) > 0
        assert 'PoseResize' in row['steps']
    assert 'RandomChoiceResize' in by_name['ED-Pose', 'resize']['steps']


def test_pipeline_with_errors():
    """Samples that cannot be made are counted, not timed."""
    tool = load_benchmark('pipeline')

    class Broken:

        def get_data_info(self, index):
            raise ValueError(f'image {index % 2}')

    outcomes = tool.measure(
        dict(broken=Broken()), [dict(broken=i) for i in range(3)])
    samples, errors = outcomes['broken']
    assert samples == []
    assert errors == Counter({
        'ValueError: image 0': 2,
        'ValueError: image 1': 1
    })
    results = tool.Results('', '', dict(failed=lambda row: row['failed']))
    tool.add_row(results, ('broken', 'resize'), samples, errors)
    assert results.rows[0]['failed'].startswith('3 of 3; ValueError: image 0')


@pytest.fixture
def training_tool(monkeypatch):
    """Without a process for every case, which takes seconds to start."""
    tool = load_benchmark('training')
    monkeypatch.setattr(tool, 'in_fresh_process',
                        lambda call, case: call(case))
    return tool


def test_memory(training_tool, monkeypatch, tmp_path):
    calls = Counter()
    plain, ours = training_tool.mmcv_sampling, deformable_attention.sample_maps

    def count(name, sampling):

        def call(*args):
            calls[name] += 1
            return sampling(*args)

        return call

    monkeypatch.setattr(training_tool, 'mmcv_sampling', count('mmcv', plain))
    monkeypatch.setattr(deformable_attention, 'sample_maps',
                        count('ours', ours))
    rows, _ = run(training_tool, monkeypatch, tmp_path, 'memory', '--small',
                  '--size', 64, 48, '--repeats', 1)
    assert [(row['sampling'], row['recompute'])
            for row in rows] == [('mmcv', False), ('ours', False),
                                 ('mmcv', True), ('ours', True)]
    # 3 attentions, of which the encoder's runs again with checkpointing;
    # 3 steps each, and the step with little memory in all four cases.
    assert calls == dict(mmcv=3 * (3 + 4), ours=3 * (3 + 4) + 4 * 3)


def test_plain_sampling_trains_the_same(training_tool):
    gradients = []
    for plain in (False, True):
        step = training_tool.Step(
            training_tool.Case(
                training_tool.SMALL, (64, 48), 2, 10, 5, 2, plain=plain))
        step.model.zero_grad = lambda set_to_none: None
        attention = step.model.head.encoder.layers[0].self_attn
        # Away from the centers of tokens, where bilinear weights have kinks.
        with torch.no_grad():
            attention.sampling_offsets.bias += 0.3
        step()
        gradients.append([
            getattr(attention, name).weight.grad
            for name in ('value_proj', 'sampling_offsets', 'attention_weights')
        ])
    assert all(gradient.any() for gradient in gradients[0])
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)


def test_growth(training_tool, monkeypatch, tmp_path):
    rows, table = run(training_tool, monkeypatch, tmp_path, 'growth',
                      '--queries', 5, 10, '--keypoints', 3,
                      '--people-per-image', 2, '--sides', 64, '--repeats', 1)
    assert [(row['axis'], row['value']) for row in rows] == [('queries', 5),
                                                             ('queries', 10),
                                                             ('keypoints', 3),
                                                             ('people', 2),
                                                             ('side', 64)]
    assert (tmp_path / 'training_growth.png').stat().st_size > 1000
