"""The comparison of methods: what it makes of rows that were measured."""
import json
import math
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
from mmengine.config import Config

from projects.grouppose.comparison import accuracy
from projects.grouppose.comparison.accuracy import (DataSet, make_test_config,
                                                    measure_accuracy)
from projects.grouppose.comparison.charts import CHARTS, draw_charts
from projects.grouppose.comparison.report import Comparison
from projects.grouppose.comparison.series import (find_crossings, find_series,
                                                  seconds_an_image)
from projects.grouppose.comparison.tables import (accuracy_table,
                                                  batches_table,
                                                  crossing_table, memory_table,
                                                  methods_table, people_table,
                                                  split_table, training_table)
from tests.helpers.tables import read_table

KINDS = {
    'whole': 'whole image',
    'crops': 'top-down',
    'broken': 'whole image',
    'boxes': 'detector'
}
MACHINE = dict(
    command='x',
    date='today',
    CPU='one',
    threads='1',
    GPU='none',
    versions='1',
    commit='a')


def latency(method, people, times, batch_size=1):
    """A row whose preprocessing takes a second, postprocessing none."""
    return dict(
        method=method,
        batch_size=batch_size,
        people=people,
        seconds=dict(
            preprocessing=[1.] * len(times),
            network=[time - 1 for time in times],
            postprocessing=[0.] * len(times)))


def facts(method, kind, **changes):
    return dict(
        dict(
            method=method,
            kind=kind,
            config=f'{method}.py',
            checkpoint=None,
            input_size=[192, 256],
            flip_test=kind == 'top-down',
            boxes='given' if kind == 'top-down' else 'none',
            nms='NMS 0.65',
            score_threshold=0.1 if kind == 'whole image' else None,
            published_ap=None,
            published_source=None,
            parameters=12_345_678,
            flops=2_500_000_000), **changes)


@pytest.fixture
def content():
    """Two turns of each method, one of which fails everywhere."""
    return dict(
        kinds=KINDS,
        people=5,
        training_batch=2,
        settings=dict(repeats=2, warmup=1, size=None),
        facts=[
            facts(
                'whole',
                'whole image',
                published_ap=0.72,
                published_source='COCO val2017, the authors'),
            facts('crops', 'top-down', checkpoint='crops.pth'),
            facts('boxes', 'detector'),
            dict(
                method='broken',
                config='broken.py',
                checkpoint=None,
                failed='no such module'),
        ],
        latency=[
            # The detector and what comes first are not always in this order.
            latency('boxes', 1, [2., 2.]),
            latency('whole', 1, [8., 10.]),
            latency('crops', 1, [2., 4.]),
            dict(method='broken', batch_size=1, people=1, failed='no'),
            latency('whole', 5, [8., 10.]),
            latency('crops', 5, [10., 12.]),
            latency('boxes', 5, [2., 2.]),
            dict(method='broken', batch_size=1, people=5, failed='no'),
            latency('whole', 5, [16., 24.], batch_size=4),
            latency('crops', 5, [32., 48.], batch_size=4),
            dict(method='boxes', batch_size=4, people=5, failed='why'),
        ],
        memory=[
            dict(method='crops', batch_size=1, people=5, memory_mib=200.4),
            dict(method='whole', batch_size=1, people=5, failed='killed')
        ],
        training=[
            dict(
                method='whole',
                batch_size=2,
                people=5,
                seconds=[2., 4.],
                memory_mib=900.),
            dict(
                method='crops',
                batch_size=2,
                people=5,
                seconds=[0.1, 0.2],
                memory_mib=800.),
            dict(method='broken', batch_size=2, people=5, failed='never')
        ],
        accuracy=[
            dict(method='whole', missing='no checkpoint'),
            dict(
                method='crops',
                boxes='true',
                metrics={
                    'AP': 0.5,
                    'AP .5': 0.8,
                    'AP (L)': -1.,
                    'AR .5': 0.9
                }),
            dict(method='crops', boxes='given file', failed='no boxes')
        ])


def test_top_down_needs_a_detector(content):
    """Turn by turn the detector's time is added to that of the crops."""
    rows = [x for x in content['latency'] if x['people'] == 5]
    whole, crops, both, broken, boxes = find_series(rows, KINDS, 'batch_size')
    assert [both.label, both.method] == ['crops + detector', 'crops']
    assert [x.detects for x in (whole, crops, both)] == [True, False, True]
    assert both.seconds == {1: [12, 14]}
    assert both.failed == {4: 'detector: why'}
    assert crops.seconds == {1: [10, 12], 4: [8, 12]}  # an image
    assert broken.seconds == {} and boxes.failed == {4: 'why'}
    assert seconds_an_image(rows[-2]) == [8, 12]


def test_crossing(content):
    """Linear in between, by the last change for the better; the machine may
    be slower for another number of people."""
    rows = [
        latency('whole', people, [4. * slow] * 4)
        for people, slow in ((1, 1), (5, 3), (20, 1))
    ]
    for people, times in ((1, [2., 5., 1.,
                               8.]), (5, [9., 18., 6.,
                                          6.]), (20, [6., 7., 3., 5.])):
        rows.append(latency('crops', people, times))
    whole, crops = find_series(rows, KINDS, 'people')
    assert find_crossings(whole, crops) == [10, -math.inf, math.inf, 15]
    table = read_table(crossing_table(dict(content, latency=rows)))
    # The median of four is the third of them.
    assert table == [['crops', '15.0 (<= 1 to > 20)']]


def test_crossing_without_numbers(content):
    only_whole = [x for x in content['latency'] if x['method'] == 'whole']
    assert crossing_table(dict(content, latency=only_whole)) == ''
    apart = [latency('whole', 1, [1.]), latency('crops', 5, [1.])]
    assert read_table(crossing_table(dict(content,
                                          latency=apart))) == [['crops', '']]


def test_tables(content):
    """Ratios are taken turn by turn; what failed says so."""
    text = methods_table(content)
    rows = read_table(text.split('\n\n')[0])
    assert rows[0] == [
        'whole', 'whole image', '192 x 256', 'no', 'none', 'NMS 0.65', '0.1',
        '12.35', '2.50'
    ]
    assert rows[1][3:5] == ['yes', 'given'] and rows[1][6] == 'none'
    assert rows[3][:2] == ['broken', 'no such module']
    assert '- whole: whole.py, random weights\n' in text
    assert '- crops: crops.py, crops.pth\n' in text

    text = accuracy_table(content)
    assert text.splitlines()[0] == (
        '| method | boxes | AP | AP50 | APL | published AP | source |')
    assert read_table(text) == [
        [
            'whole', '', 'no checkpoint', '', '', '72.0',
            'COCO val2017, the authors'
        ],
        ['crops', 'true', '50.0', '80.0', '', '', ''],
        ['crops', 'given file', 'no boxes', '', '', '', ''],
    ]

    rows = read_table(batches_table(content))
    assert [row[:2] for row in rows] == [
        ['1', 'whole'], ['1', 'crops'], ['1', 'crops + detector'],
        ['1', 'broken'], ['1', 'boxes'], ['4', 'whole'], ['4', 'crops'],
        ['4', 'crops + detector'], ['4', 'boxes']
    ]  # yapf: disable
    assert rows[2][2:] == [
        '13000.0 (12000.0 to 14000.0)', '0.0769', '1.45 (1.40 to 1.50)'
    ]
    assert rows[3][2:] == ['no', '', '']
    assert rows[5][2] == '5000.0 (4000.0 to 6000.0)'
    assert rows[7][2] == 'detector: why'

    rows = read_table(split_table(content))
    assert rows[1] == [
        'crops', '1000.0 (1000.0 to 1000.0)', '10000.0 (9000.0 to 11000.0)',
        '0.0 (0.0 to 0.0)', '1.25 (1.22 to 1.29)'
    ]
    times, ratios = people_table(content).split('\n\n')
    assert times.splitlines()[0] == '| ms an image | 1 person | 5 people |'
    assert read_table(times)[3] == ['broken', 'no', 'no']
    assert read_table(ratios)[2] == [
        'crops + detector', '0.55 (0.50 to 0.60)', '1.45 (1.40 to 1.50)'
    ]
    assert read_table(memory_table(content)) == [['whole', 'killed'],
                                                 ['crops', '200']]
    rows = read_table(training_table(content))
    assert rows[1] == [
        'crops', '0.150 (0.100 to 0.200)', '800', '0.050 (0.050 to 0.050)'
    ]
    assert rows[2] == ['broken', 'never', '', '']


def test_ratios_to_a_method_that_failed(content):
    kinds = dict(reversed(KINDS.items()), boxes='detector')
    kinds = {'broken': 'whole image', **kinds}
    content['kinds'] = kinds
    assert all(row[-1] == '' for row in read_table(split_table(content)))
    assert all(row[-1] == '' for row in read_table(batches_table(content)))
    assert all(row[-1] == '' for row in read_table(training_table(content)))


def test_metrics_of_crowdpose(content):
    """Its medium is not that of COCO."""
    metrics = {'AP': 0.5, 'AP(E)': 0.8, 'AP(M)': 0.6, 'AP(H)': 0.4}
    content['accuracy'] = [
        dict(method='whole', boxes='none', metrics=metrics),
        dict(method='crops', boxes='true', metrics={
            'AP': 1,
            'AP (M)': 0.3
        })
    ]
    text = accuracy_table(content)
    assert '| AP | APM | AP easy | AP medium | AP hard |' in text
    assert read_table(text)[0][2:7] == ['50.0', '', '80.0', '60.0', '40.0']


def make_comparison(folder, content, **changes):
    content = dict(content, **changes)
    return Comparison(
        folder, content.get('machine', MACHINE),
        dict(content['settings'], methods=['whole', 'crops', 'broken']),
        content['kinds'], content['people'], content['training_batch'],
        'Images are made up.', ['facts', 'latency', 'training'])


def test_files_grow_with_every_cell(content, tmp_path):
    """What an interrupted run leaves behind is complete up to there."""
    comparison = make_comparison(tmp_path, content)
    comparison.add('facts', 'facts', content['facts'])
    text = (tmp_path / 'comparison.md').read_text()
    assert '**Not finished: 1 of 3 steps done.**' in text
    assert '## Latency' not in text and '2 turns after 1' in text
    comparison.add('latency', 'latency', content['latency'])
    stored = json.loads((tmp_path / 'comparison.json').read_text())
    assert stored['done'] == ['facts', 'latency']
    assert stored['latency'] == content['latency']
    assert comparison.count_failed() == 4

    again = make_comparison(
        tmp_path, content, machine=dict(MACHINE, date='later', commit='b'))
    again.resume()
    assert again.content['done'] == ['facts', 'latency']
    again.add('training', 'training', content['training'])
    text = (tmp_path / 'comparison.md').read_text()
    assert 'Not finished' not in text
    assert '- date: today, resumed later\n' in text
    assert '- commit: a, resumed b\n' in text
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'comparison.json', 'comparison.md'
    ]


@pytest.mark.parametrize('changes, message', [
    (dict(settings=dict(repeats=3, warmup=1, size=None)), 'repeats 2, not 3'),
    (dict(settings=dict(repeats=2, warmup=1, size=[64, 64])),
     r'size None, not \[64, 64\]'),
    (dict(machine=dict(MACHINE, CPU='two')), 'CPU one, not two'),
])
def test_not_resumed_with_other_settings(content, tmp_path, changes, message):
    make_comparison(tmp_path, content).write()
    with pytest.raises(ValueError, match=message):
        make_comparison(tmp_path, content, **changes).resume()


@pytest.mark.parametrize('text', ['{', '[]', '{"settings": {}}'])
def test_not_resumed_from_other_files(content, tmp_path, text):
    (tmp_path / 'comparison.json').write_text(text)
    with pytest.raises(ValueError, match='not written by this program'):
        make_comparison(tmp_path, content).resume()


def test_charts(content, tmp_path):
    """Each shows something, and is shown in the report."""
    draw_charts(content, tmp_path)
    for name in CHARTS:
        picture = cv2.imread(str(tmp_path / name))
        assert picture.shape[1] > 400 and picture.std() > 10
    text = make_comparison(tmp_path, content).markdown()
    assert text.count('.png)') == 3


def test_no_chart_without_numbers(content, tmp_path):
    """Published AP is not that of another size."""
    settings = dict(content['settings'], size=[320, 320])
    draw_charts(
        dict(
            content,
            settings=settings,
            accuracy=[],
            latency=[x for x in content['latency'] if 'failed' in x],
            memory=[],
            training=[]), tmp_path)
    assert not list(tmp_path.iterdir())
    draw_charts(dict(content, settings=settings, accuracy=[]), tmp_path)
    assert not (tmp_path / 'accuracy.png').exists()


class FakeContender(SimpleNamespace):
    """A top-down method whose config is read but never run."""

    def read(self):
        return Config(
            dict(
                test_dataloader=dict(
                    dataset=dict(
                        type='Wrapper',
                        dataset=dict(
                            type='CocoDataset',
                            data_root='data/coco',
                            ann_file='a.json',
                            bbox_file='b.json'))),
                test_evaluator=[
                    dict(type='CocoMetric', ann_file='data/coco/a.json'),
                    dict(type='PCKAccuracy')
                ]))

    def metainfo(self):
        return dict(num_keypoints=17)

    def build(self, device):
        assert device == 'cpu'


@pytest.fixture
def data(tmp_path):
    """Annotations of people with 17 keypoints."""
    people = dict(name='person', keypoints=['x'] * 17)
    (tmp_path / 'people.json').write_text(
        json.dumps(dict(categories=[people])))
    return DataSet(tmp_path, 'people.json', 'images')


def test_config_of_an_evaluation(data):
    """Images, people and boxes are replaced wherever they are named."""
    read = FakeContender().read
    config = make_test_config(read(), data)
    dataset = config.test_dataloader.dataset.dataset
    assert dict(dataset) == dict(
        type='CocoDataset',
        data_root=str(data.root),
        ann_file='people.json',
        data_prefix=dict(img='images'))
    assert config.test_evaluator[0].ann_file == str(data.root / 'people.json')
    assert 'ann_file' not in config.test_evaluator[1]
    config = make_test_config(read(), data, Path('found.json'))
    assert config.test_dataloader.dataset.dataset.bbox_file == 'found.json'
    config = read()
    config.test_dataloader.dataset = dict(type='CombinedDataset')
    with pytest.raises(ValueError, match='type CombinedDataset has no ann'):
        make_test_config(config, data)


def test_boxes_of_an_evaluation(data, tmp_path, monkeypatch):
    """Top-down methods are evaluated with both kinds of boxes."""
    given = []

    def run_test(config, checkpoint, stem, device):
        dataset = config.test_dataloader.dataset.dataset
        given.append((dataset.get('bbox_file'), checkpoint, stem.name, device))
        if dataset.get('bbox_file'):
            raise RuntimeError('a | b')
        return dict(AP=0.5)

    monkeypatch.setattr(accuracy, '_run_test', run_test)
    method = FakeContender(name='a (2)', kind='top-down', checkpoint='a.pth')
    rows = measure_accuracy(method, data, tmp_path, Path('f.json'), 'cuda')
    assert rows == [
        dict(method='a (2)', boxes='true', metrics=dict(AP=0.5)),
        dict(method='a (2)', boxes='given file', failed='a / b')
    ]
    assert given == [(None, 'a.pth', 'a_2_true', 'cuda'),
                     ('f.json', 'a.pth', 'a_2_given_file', 'cuda')]
    method.kind = 'whole image'
    row, = measure_accuracy(method, data, tmp_path, Path('f.json'))
    assert row == dict(method='a (2)', boxes='none', metrics=dict(AP=0.5))
    method.metainfo = lambda: dict(num_keypoints=14)
    row, = measure_accuracy(method, data, tmp_path)
    assert '14 keypoints, people in people.json have 17' in row['failed']
    method.checkpoint = None
    assert measure_accuracy(method, data, tmp_path) == [
        dict(method='a (2)', missing='no checkpoint')
    ]


def test_an_evaluation_that_fails(tmp_path):
    """The row has the last line of the log, which is left there."""
    stem = tmp_path / 'new' / 'a_none'
    with pytest.raises(RuntimeError, match='see a_none.log: .* no such file'):
        accuracy._run_test(Config(), 'missing.pth', stem, 'cpu')
    assert 'missing.pth' in stem.with_name('a_none.log').read_text()
