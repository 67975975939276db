"""The comparison of methods: from the command line to its files, and what its
tables make of the rows that were measured."""
import json
import math
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
import torch
from mmengine.config import Config

from benchmarks import compare
from benchmarks.lib import accuracy, tools
from benchmarks.lib.accuracy import DataSet, measure_accuracy
from benchmarks.lib.comparison import SECTIONS, accuracy_table, crossing_table
from benchmarks.lib.comparison_charts import CHARTS, draw_charts
from benchmarks.lib.latencies import find_crossings
from benchmarks.lib.method import find_method
from tests.helpers.exported import write_weights
from tests.helpers.tables import read_table
from tests.helpers.tool_runs import ROOT, TOOLS, load_tool

TOP_DOWN = ROOT / 'benchmarks/configs/rtmpose_tiny_1xb32-4e_drawn-128x96.py'
DETECTOR = ROOT / 'benchmarks/configs/rtmdet_tiny_1xb8-4e_drawn-128.py'
FEW = ('--device cpu --repeats 2 --batch-sizes 2 --people 1 2 '
       f'--detector {DETECTOR}').split()
FOLDER = Path(__file__).parent
ANNOTATIONS = 'annotations/person_keypoints_val.json'


def ended(code):
    """A process that has an exit code."""
    return SimpleNamespace(wait=lambda: code, poll=lambda: code)


@pytest.fixture
def no_processes(monkeypatch, same_process):
    """They take seconds to start."""

    def run(command, **options):
        load_tool('test').main(command[4:])
        return ended(0)

    monkeypatch.syspath_prepend(TOOLS)
    monkeypatch.setattr(tools, 'subprocess',
                        SimpleNamespace(Popen=run, STDOUT=None))


def read(folder):
    return json.loads((folder / 'comparison.json').read_text())


def test_comparison(drawn_config, tmp_path, capsys, no_processes):
    """Of methods of both kinds and others that fail, on given images."""
    weights = write_weights(drawn_config, tmp_path)
    top_down = find_method(str(TOP_DOWN)).build()
    torch.save(top_down.state_dict(), tmp_path / 'crops.pth')
    data = drawn_config.parent / 'data'
    people = json.loads((data / ANNOTATIONS).read_text())['annotations']
    boxes = [
        dict(image_id=x['image_id'], category_id=1, bbox=x['bbox'], score=0.9)
        for x in people
    ]
    (tmp_path / 'boxes.json').write_text(json.dumps(boxes))
    out = tmp_path / 'out'
    names = [drawn_config.stem, TOP_DOWN.stem]
    compare.main([
        f'{drawn_config}:{weights}', f'{TOP_DOWN}:{tmp_path}/crops.pth',
        'nothing.py', *FEW,
        *(f'--data {data} --ann-file {ANNOTATIONS} --images val --boxes '
          f'{tmp_path}/boxes.json --size 64 64 --out {out}').split()
    ])
    content = read(out)
    assert content['done'] == content['steps']
    everything = list(content['kinds'])
    assert everything[:2] == names
    assert list(
        content['kinds'].values()) == ['whole image', 'top-down', 'detector']
    found = {
        table: [row['method'] for row in content[table]]
        for table in ('facts', 'latency', 'parts', 'training', 'accuracy')
    }
    assert found == dict(
        facts=[*everything, 'nothing'],
        latency=3 * everything,
        parts=everything,
        training=names,
        accuracy=[names[0], names[1], names[1]])
    assert 'failed' in content['facts'][-1]
    assert [(x['batch_size'], x['people'])
            for x in content['latency'][::3]] == [(2, 2), (1, 1), (1, 2)]
    for row in content['latency']:
        assert len(row['seconds']) == 2 and min(row['seconds']) > 0
        assert ('memory_mib' in row) == (row['people'] == 2)
    for row in content['parts']:
        assert row['seconds'].keys() == row['costs'].keys()
        assert row['costs']['backbone'][0] > 0
    assert all(len(x['seconds']['forward']) == 2 for x in content['training'])
    assert [x['boxes']
            for x in content['accuracy']] == ['none', 'true', 'given file']
    assert all(0 <= x['metrics']['AP'] <= 1 for x in content['accuracy'])

    printed = capsys.readouterr().out
    assert (out / 'comparison.md').read_text() in printed
    assert printed.splitlines()[-1] == '1 of 21 rows failed'
    for name in CHARTS:
        assert f'({name}.png)' in printed
        assert cv2.imread(str(out / f'{name}.png')).std() > 10


def test_resume(drawn_config, tmp_path, monkeypatch, capsys, no_processes):
    """What was measured stays; other settings are refused."""
    arguments = [
        str(drawn_config), *FEW,
        *('--random --no-training --no-parts --modes eager graph --out '
          f'{tmp_path}').split()
    ]
    measured, measure_cases = [], compare.measure_cases

    def stop_at_third(methods, load, *others, **options):
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(tuple(load)[1:])
        return measure_cases(methods, load, *others, **options)

    monkeypatch.setattr(compare, 'measure_cases', stop_at_third)
    with pytest.raises(SystemExit) as stop:
        compare.main(arguments)
    assert stop.value.code == 130
    assert '--resume goes on' in capsys.readouterr().err
    before = read(tmp_path)
    assert measured == [('eager', 2, 2), ('graph', 2, 2)]
    assert 'Not finished: 4 of 6 steps' in (tmp_path /
                                            'comparison.md').read_text()
    for more, message in (([], 'there already. Give --resume'),
                          (['--resume', '--repeats', '3'], 'repeats 2, not 3'),
                          (['--resume', '--people',
                            '1'], 'people [1, 2], not [1]')):
        with pytest.raises(SystemExit):
            compare.main([*arguments, *more])
        assert message in capsys.readouterr().err

    measured.clear()
    compare.main([*arguments, '--resume'])
    after = read(tmp_path)
    assert measured == [('eager', 1, 1), ('eager', 1, 2)]
    assert after['latency'][:2] == before['latency']
    assert after['latency'][1]['failed'] == 'CUDA graphs need a GPU'
    assert after['done'] == after['steps'] and after['accuracy'] == []
    assert capsys.readouterr().out.endswith('1 of 5 rows failed\n')


@pytest.mark.parametrize('arguments, message', [
    ('rtmo-s --repeats 0', '--repeats: 0 is not 1 or more'),
    ('rtmo-s --boxes no.json', 'no.json: no such file'),
    ('rtmo-s --data no', 'cannot be read as annotations'),
    ('no.py', 'no method can be read: no: '),
    ('rtmpose-t --detector no.py', 'detector no.py: '),
])
def test_wrong_arguments(capsys, tmp_path, arguments, message):
    with pytest.raises(SystemExit) as stop:
        compare.main([*arguments.split(), '--out', str(tmp_path)])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_usual_number_of_people():
    """The least that is 5 or more, or the largest of all."""
    assert compare.usual_people([50, 1, 8, 20]) == 8
    assert compare.usual_people([1, 3, 2]) == 3


@pytest.fixture
def content():
    """Two turns of each method, one of which fails everywhere."""
    return json.loads((FOLDER / 'comparison.json').read_text())


def row(method, people, seconds):
    return dict(
        method=method,
        precision='fp32',
        mode='eager',
        batch_size=1,
        people=people,
        seconds=seconds)


def test_crossing(content):
    """Linear in between, by the last change for the better; the machine may
    be slower for another number of people."""
    whole = {1: [4.] * 4, 5: [12.] * 4, 20: [4.] * 4}
    crops = {1: [2., 5., 1., 8.], 5: [9., 18., 6., 6.], 20: [6., 7., 3., 5.]}
    assert find_crossings(whole, crops) == [10, -math.inf, math.inf, 15]
    rows = [row('whole', *item) for item in whole.items()]
    rows += [row('crops', *item) for item in crops.items()]
    table = read_table(crossing_table(dict(content, latency=rows)))
    # The median of four is the third of them.
    assert table == [['crops', '15.0 (<= 1 to > 20)']]
    assert crossing_table(dict(content, latency=rows[:3])) == ''
    apart = [row('whole', 1, [1.]), row('crops', 5, [1.])]
    table = read_table(crossing_table(dict(content, latency=apart)))
    assert table == [['crops', '']]


def test_tables(content):
    """Ratios are taken turn by turn, the detector comes before top-down
    methods, floors are of FLOPs or bytes; what failed says so."""
    blocks = [
        f'## {section.title}\n\n{section.to_markdown(content).strip()}\n'
        for section in SECTIONS
    ]
    assert '\n'.join(blocks) == (FOLDER / 'comparison.md').read_text()

    # Nothing is put beside a first method that failed.
    content['kinds'] = dict({'broken': ''}, **content['kinds'])
    content['latency'] = content['latency'][:8]
    for section in SECTIONS:
        if section.title in ('Latency', 'Training step'):
            rows = read_table(section.to_markdown(content))
            assert all(row[-1] == '' for row in rows)


def test_metrics_of_crowdpose(content):
    """Its medium is not that of COCO."""
    metrics = {'AP': 0.5, 'AP(E)': 0.8, 'AP(M)': 0.6, 'AP(H)': 0.4}
    content['accuracy'] = [
        dict(method='whole', boxes='none', metrics=metrics),
        dict(method='crops', boxes='true', metrics={'AP (M)': 0.3})
    ]
    text = accuracy_table(content)
    assert '| AP | APM | AP easy | AP medium | AP hard |' in text
    assert read_table(text)[0][2:7] == ['50.0', '', '80.0', '60.0', '40.0']


def test_charts_without_numbers(content, tmp_path):
    """None is drawn. Published AP is not that of another size."""
    content['settings']['size'] = [320, 320]
    draw_charts(dict(content, latency=[], parts=[]), tmp_path)
    assert not list(tmp_path.iterdir())
    draw_charts(dict(content, accuracy=[]), tmp_path)
    assert {x.stem for x in tmp_path.iterdir()} == {'people', 'parts'}


class FakeMethod(SimpleNamespace):
    """A top-down method whose config is read but never run."""

    def read(self):
        dataset = dict(
            type='CocoDataset', data_root='data/coco', ann_file='a.json')
        return Config(
            dict(
                test_dataloader=dict(
                    dataset=dict(
                        type='Wrapper', dataset=dict(dataset, bbox_file='b'))),
                test_evaluator=[
                    dict(type='CocoMetric', ann_file='data/coco/a.json'),
                    dict(type='PCKAccuracy')
                ]))

    def metainfo(self):
        return dict(num_keypoints=self.keypoints)

    def build(self):
        pass


def test_evaluation(tmp_path, monkeypatch):
    """Images, people and boxes are replaced wherever they are named; top-down
    methods are evaluated with both kinds of boxes."""
    people = dict(name='person', keypoints=['x'] * 17)
    (tmp_path / 'people.json').write_text(
        json.dumps(dict(categories=[people])))
    given = []

    def run_test(config, checkpoint, folder, device):
        dataset = config.test_dataloader.dataset.dataset
        given.append((dataset.pop('bbox_file', None), folder.name, device))
        assert dict(dataset) == dict(
            type='CocoDataset',
            data_root=str(tmp_path),
            ann_file='people.json',
            data_prefix=dict(img='images'))
        coco, others = config.test_evaluator
        assert coco.ann_file == str(tmp_path / 'people.json')
        assert 'ann_file' not in others
        if given[-1][0]:
            raise RuntimeError('a | b')
        return {'coco/AP': 0.5, 'other/AP': 0.6}

    monkeypatch.setattr(accuracy, 'run_test', run_test)
    data = DataSet(tmp_path, 'people.json', 'images')
    method = FakeMethod(
        name='a (2)', kind='top-down', checkpoint='a.pth', keypoints=17)
    rows = measure_accuracy(method, data, tmp_path, Path('f.json'), 'cuda')
    assert rows == [
        dict(method='a (2)', boxes='true', metrics=dict(AP=0.5)),
        dict(method='a (2)', boxes='given file', failed='a / b')
    ]
    assert given == [(None, 'a_2_true', 'cuda'),
                     ('f.json', 'a_2_given_file', 'cuda')]
    method.kind = 'whole image'
    found, = measure_accuracy(method, data, tmp_path, Path('f.json'))
    assert found == dict(method='a (2)', boxes='none', metrics=dict(AP=0.5))
    method.keypoints = 14
    found, = measure_accuracy(method, data, tmp_path)
    assert '14 keypoints, people in people.json have 17' in found['failed']
    config = Config(dict(test_dataloader=dict(dataset=dict(type='Combined'))))
    with pytest.raises(ValueError, match='type Combined has no ann_file'):
        accuracy.make_test_config(config, data, None)


def test_a_tool_that_fails(tmp_path, monkeypatch):
    """The error has the last line of the log, which is left there."""

    def run(command, stdout, env, **options):
        assert command[-5:-4] == [str(tmp_path / 'a.pth')]
        assert env['CUDA_VISIBLE_DEVICES'] == ''
        stdout.write('one\ntwo\n')
        return ended(1)

    monkeypatch.setattr(tools.subprocess, 'Popen', run)
    with pytest.raises(RuntimeError, match='test.py failed: two .*test.log'):
        tools.run_test(Config(), tmp_path / 'a.pth', tmp_path / 'new', 'cpu')
    assert (tmp_path / 'new/test.log').read_text() == 'one\ntwo\n'
