"""The program that compares methods, from the command line to its files."""
import json
from types import SimpleNamespace

import cv2
import pytest
import torch

from projects.grouppose.comparison import accuracy, measure
from projects.grouppose.comparison.cases import PARTS
from projects.grouppose.comparison.contender import find_contenders
from tests.helpers.exported import write_weights
from tests.helpers.tool_runs import TOOLS, load_tool

DRAWN = TOOLS.parent / 'configs/comparison/drawn'
TOP_DOWN = DRAWN / 'rtmpose_tiny_1xb32-4e_drawn-128x96.py'
DETECTOR = DRAWN / 'rtmdet_tiny_1xb8-4e_drawn-128.py'
FEW = [
    '--device', 'cpu', '--repeats', '2', '--batch-sizes', '2', '--people', '1',
    '2', '--detector',
    str(DETECTOR)
]


@pytest.fixture(scope='module')
def tool():
    return load_tool('compare')


@pytest.fixture(autouse=True)
def no_processes(monkeypatch):
    """They take seconds to start."""

    def run(command, **options):
        load_tool('test').main(command[2:])
        return SimpleNamespace(returncode=0)

    monkeypatch.syspath_prepend(TOOLS)
    monkeypatch.setattr(accuracy, 'subprocess',
                        SimpleNamespace(run=run, STDOUT=None))
    monkeypatch.setattr(measure, 'in_fresh_process',
                        lambda function, *args: function(*args))


def read(folder):
    return json.loads((folder / 'comparison.json').read_text())


def test_comparison(tool, drawn_config, tmp_path, capsys):
    """Of methods of both kinds and others that fail, on given images."""
    weights = write_weights(drawn_config, tmp_path)
    data = drawn_config.parent / 'data'
    annotations = 'annotations/person_keypoints_val.json'
    content = json.loads((data / annotations).read_text())
    boxes = tmp_path / 'boxes.json'
    boxes.write_text(
        json.dumps([
            dict(
                image_id=person['image_id'],
                category_id=1,
                bbox=person['bbox'],
                score=0.9) for person in content['annotations']
        ]))
    top_down, = find_contenders([str(TOP_DOWN)])[0]
    torch.save(top_down.build('cpu').state_dict(), tmp_path / 'crops.pth')
    out = tmp_path / 'out'
    names = [drawn_config.stem, TOP_DOWN.stem, drawn_config.stem + ' (2)']
    tool.main([
        f'{drawn_config}:{weights}', f'{TOP_DOWN}:{tmp_path}/crops.pth',
        str(drawn_config), 'nothing.py', *FEW, '--data',
        str(data), '--ann-file', annotations, '--images', 'val', '--boxes',
        str(boxes), '--size', '64', '64', '--out',
        str(out)
    ])
    content = read(out)
    assert content['done'] == content['cells']
    everything = list(content['kinds'])
    assert everything[:3] == names
    assert list(content['kinds'].values()) == [
        'whole image', 'top-down', 'whole image', 'detector'
    ]
    assert [x['method'] for x in content['facts']] == [*everything, 'nothing']
    assert 'failed' in content['facts'][-1]

    cases = [(2, 2), (1, 1), (1, 2)]
    assert [
        (x['batch_size'], x['people'], x['method']) for x in content['latency']
    ] == [(*case, name) for case in cases for name in everything]
    for row in content['latency']:
        assert set(row['seconds']) == set(PARTS)
        assert all(len(x) == 2 for x in row['seconds'].values())
    assert [x['method'] for x in content['memory']] == everything
    assert all(x['memory_mib'] >= 0 for x in content['memory'])
    assert [x['method'] for x in content['training']] == names
    assert all(len(x['seconds']) == 2 for x in content['training'])

    assert [(x['method'], x.get('boxes'), x.get('missing'))
            for x in content['accuracy']] == [(names[0], 'none', None),
                                              (names[1], 'true', None),
                                              (names[1], 'given file', None),
                                              (names[2], None, 'no checkpoint')
                                              ]
    assert all(0 <= x['metrics']['AP'] <= 1 for x in content['accuracy'][:3])

    printed = capsys.readouterr().out
    assert (out / 'comparison.md').read_text() in printed
    assert '.png)' in printed
    assert printed.splitlines()[-1] == '1 of 28 rows failed'
    for name in ('people.png', 'memory.png', 'accuracy.png'):
        assert cv2.imread(str(out / name)) is not None


def test_resume(tool, drawn_config, tmp_path, monkeypatch, capsys):
    """What was measured stays; other settings are refused."""
    arguments = [
        str(drawn_config), *FEW, '--image-size', '64', '--no-training',
        '--no-detector', '--out',
        str(tmp_path)
    ]
    monkeypatch.setattr(tool, 'DRAWN_IMAGES', 2)
    measured, latency = [], tool.measure_latency

    def stop_at_third(contenders, detector, *case, **options):
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(case[:2])
        return latency(contenders, detector, *case, **options)

    monkeypatch.setattr(tool, 'measure_latency', stop_at_third)
    with pytest.raises(SystemExit) as stop:
        tool.main(arguments)
    assert stop.value.code == 130
    assert '--resume goes on' in capsys.readouterr().err
    before = read(tmp_path)
    assert measured == [(2, 2), (1, 1)] and len(before['done']) == 4
    assert 'Not finished' in (tmp_path / 'comparison.md').read_text()

    for more, message in (([], 'there already. Give --resume'),
                          (['--resume', '--repeats', '3'], 'repeats 2, not 3'),
                          (['--resume', '--people',
                            '1'], 'people [1, 2], not [1]')):
        with pytest.raises(SystemExit):
            tool.main([*arguments, *more])
        assert message in capsys.readouterr().err

    measured.clear()
    tool.main([*arguments, '--resume'])
    after = read(tmp_path)
    assert measured == [(1, 2)]
    assert after['latency'][:2] == before['latency']
    assert after['done'] == after['cells']
    assert capsys.readouterr().out.endswith('0 of 6 rows failed\n')


@pytest.mark.parametrize('arguments, message', [
    (['rtmo-s', '--repeats', '0'], '--repeats, --people, --batch-sizes'),
    (['rtmo-s', '--size', '0', '9'], '--size and --threads must be 1'),
    (['rtmo-s', '--threads', '0'], '--size and --threads must be 1'),
    (['rtmo-s', '--people', '0'], 'must be 1 or more'),
    (['rtmo-s', '--boxes', 'no.json'], 'no.json: no such file'),
    (['rtmo-s', '--data', 'no'], 'no such file or folder'),
    (['no.py'], 'no method can be read: no: '),
    (['rtmpose-t', '--detector', 'no.py'], 'detector no.py: '),
])
def test_wrong_arguments(tool, capsys, tmp_path, arguments, message):
    with pytest.raises(SystemExit) as stop:
        tool.main([*arguments, '--out', str(tmp_path)])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_usual_number_of_people(tool):
    """The least that is 5 or more, or the largest of all."""
    assert tool.usual_people([50, 1, 8, 20]) == 8
    assert tool.usual_people([1, 3, 2]) == 3
