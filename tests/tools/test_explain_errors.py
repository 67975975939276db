"""The program that explains errors, on files."""
import json

import pytest
from mmengine.config import ConfigDict

from projects.grouppose.data.metainfo import load_metainfo
from projects.grouppose.evaluation import error_report
from tests.helpers.injected_errors import inject, make_metainfo, make_people
from tests.helpers.tool_runs import TOOLS, load_tool

META = load_metainfo(ConfigDict(make_metainfo()))
KINDS = ('jitter', 'inversion', 'swap', 'miss', 'missed', 'doubled',
         'background')


def write_metainfo(path, **changes):
    path.write_text(f'dataset_info = {dict(make_metainfo(), **changes)!r}\n')


@pytest.fixture
def content():
    return make_people([1, 3, 0, 5, 2] * 4)


@pytest.fixture
def results(content):
    return inject(content, META, **{kind: 0.1 for kind in KINDS})[0]


@pytest.fixture
def run(tmp_path, capsys):
    """Call the program; answer with code or message, and output."""
    tool = load_tool('explain_errors', TOOLS / 'analysis_tools')
    write_metainfo(tmp_path / 'meta.py')

    def run_(results, content, *arguments, source=None):
        paths = []
        for name, value in (('results', results), ('ann', content)):
            paths.append(str(tmp_path / f'{name}.json'))
            if value is not None:
                with open(paths[-1], 'w') as file:
                    file.write(
                        value if isinstance(value, str) else json.dumps(value))
        source = source or ['--metainfo', tmp_path / 'meta.py']
        arguments = [*source, '--samples', 20, *arguments]
        try:
            tool.main([*paths, *map(str, arguments)])
        except SystemExit as error:
            return error.code, capsys.readouterr().err
        return 0, capsys.readouterr().out

    return run_


def counts(folder):
    content = json.loads((folder / 'errors.json').read_text())
    return {
        k: rate['count']
        for k, rate in content['rates']['all']['all'].items()
    }


def test_table_numbers_and_chart(run, content, tmp_path):
    rates = {kind: 0.1 for kind in KINDS}
    results, truth = inject(content, META, **rates)
    out = tmp_path / 'new/out'
    code, output = run(results, content, '--out', out)
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        'errors.json', 'errors.md', 'errors.png'
    ]
    assert output.startswith((out / 'errors.md').read_text())
    found = counts(out)
    assert found == {kind: truth[kind] for kind in found}
    assert 'with sigmas of grid' in output and 'the best 20 poses' in output
    assert '20 images show 44 people, 44 of them' in output
    assert 'no inversions' not in output and '0.53' not in output


def test_without_flip_pairs(run, results, content, tmp_path):
    info = make_metainfo(swaps=[''] * 6)
    write_metainfo(tmp_path / 'meta.py', **info)
    assert 'so there are no inversions' in run(results, content)[1]


def test_empty_results(run, content):
    code, output = run([], content)
    assert code == 0
    assert '| missed | people without a pose | 100.0 (100.0 to 100.0) |' in \
        output
    assert '16 images with people have no pose' in output
    assert 'AP is 0.0' in output


def test_nobody_is_labeled(run, results, content, tmp_path):
    for ann in content['annotations']:
        ann.update(keypoints=[0] * 18, num_keypoints=0)
    out = tmp_path / 'out'
    code, output = run(results, content, '--out', out)
    assert code == 0 and 'Nobody has labeled keypoints' in output
    assert 'AP is -' in output


def test_lowest_score(run, results, content):
    scores = sorted(entry['score'] for entry in results)
    code, output = run(results, content, '--score-thr', scores[5])
    assert 'with a score of at least' in output
    assert f' of {len(results) - 5} poses |'.replace('of ', '| ') in output


def test_areas_of_boxes(run, results, content):
    del content['annotations'][0]['area']
    _, output = run(results, content)
    assert '0.53 of the boxes: 1 people have no positive `area`' in output


def test_poses_by_the_name_of_the_image(run, content, tmp_path, monkeypatch):
    """As infer.py writes them."""
    monkeypatch.setattr(error_report.ErrorReport, 'draw', lambda *_: None)
    results, truth = inject(content, META, miss=0.2)
    for entry in results:
        entry['file_name'] = f'folder/{entry["image_id"]}.jpg'
        entry['image_id'] = 1000 - entry['image_id']
    out = tmp_path / 'out'
    assert run(results, content, '--out', out)[0] == 0
    assert counts(out)['miss'] == truth['miss']
    for change in (dict(file_name='x.jpg'), dict(frame=3)):
        entries = [results[0], dict(results[1], **change)]
        code, _ = run(entries, content)
        assert 'results.json: poses of ' in code and 'ann.json does' in code


CONFIG = """
metainfo = dict(from_file={metainfo!r})
test_dataloader = dict(dataset=dict(
    type='PoseImageDataset', metainfo=metainfo, dataset=dict()))
test_evaluator = dict(type={metric!r}, {settings})
"""


def write_config(tmp_path, metric='PoseCocoMetric', settings=''):
    path = tmp_path / 'config.py'
    path.write_text(
        CONFIG.format(
            metainfo=str(tmp_path / 'meta.py'),
            metric=metric,
            settings=settings))
    return ['--config', path]


def test_settings_of_a_config(run, content, tmp_path):
    content = make_people([25], unlabeled=0)
    results, _ = inject(content, META)
    source = write_config(tmp_path)
    code, output = run(results, content, source=source)
    assert code == 0 and '| missed | people without a pose | 20.0 (' in output
    source = write_config(tmp_path, settings='max_dets=None, use_area=False')
    code, output = run(results, content, source=source)
    assert 'the best 25 poses' in output and 'AP is 100.0' in output
    assert 'the config has `use_area=False`' in output
    source = write_config(tmp_path, settings="iou_type='keypoints_crowd'")
    assert run(results, content, source=source)[0] == 0


def test_classes(run, content, tmp_path):
    """Told apart where the metainfo has them and the metric does."""
    results, _ = inject(content, META)
    content['categories'] = [dict(id=i, name=f'{i}') for i in (4, 7)]
    for ann, entry in zip(content['annotations'], results):
        ann['category_id'] = 4 + 3 * (ann['id'] % 2)
        entry['category_id'] = 4
    assert 'AP is 100.0' in run(results, content)[1]
    write_metainfo(tmp_path / 'meta.py', classes={4: '4', 7: '7'})
    _, output = run(results, content)
    assert '| missed | people without a pose | 50.0' in output
    source = write_config(tmp_path, 'ClassAgnosticCocoMetric')
    assert 'AP is 100.0' in run(results, content, source=source)[1]
    results[0]['category_id'] = 1
    code, _ = run(results, content)
    assert '`category_id` 1 is none of the `classes`' in code


def change(entries, **fields):
    return [dict(entries[0], **fields), *entries[1:]]


@pytest.mark.parametrize('spoil, message', [
    (lambda r: 'x', 'no JSON'),
    (lambda r: dict(a=r), 'not a list of poses'),
    (lambda r: change(r, image_id='1'), 'entry 0: `image_id` must be an'),
    (lambda r: change(r, image_id=99), 'poses of the image 99, which'),
    (lambda r: change(r, keypoints=[1, 2, 3]), '3 numbers in `keypoints`, 18'),
    (lambda r: change(r, keypoints=['a'] * 18), 'entry 0: `keypoints` and'),
    (lambda r: change(r, score=float('nan')), 'entry 0: `keypoints` and'),
    (lambda r: change(r, score=None), 'entry 0: `keypoints` and'),
])
def test_bad_results(run, results, content, spoil, message):
    code, _ = run(spoil(results), content)
    assert code.startswith('explain_errors.py: ') and 'results.json: ' in code
    assert message in code


@pytest.mark.parametrize('spoil, message', [
    (lambda c: None, 'no such annotation file'),
    (lambda c: '{', 'not valid JSON'),
    (lambda c: [], 'not a COCO-format annotation file'),
    (lambda c: dict(c, images=[], annotations=[]), '`images` is empty'),
    (lambda c: dict(c, annotations=change(c['annotations'], image_id=77)),
     '77'),
    (lambda c: dict(
        c,
        annotations=[
            dict(ann, keypoints=ann['keypoints'][:15])
            for ann in c['annotations']
        ]), '5 keypoints per object, but 6 in the metainfo'),
])
def test_bad_annotations(run, results, content, spoil, message):
    code, _ = run(results, spoil(content))
    assert code.startswith('explain_errors.py: ') and 'ann.json: ' in code
    assert message in code


def test_bad_settings(run, results, content, tmp_path):
    assert 'metainfo file not found' in run(
        results, content, source=['--metainfo', 'none.py'])[0]
    write_metainfo(tmp_path / 'meta.py', sigmas=[0.] * 6)
    assert '`sigmas` of the metainfo must be positive' in run(
        results, content)[0]
    path = tmp_path / 'empty.py'
    path.write_text('a = 1\n')
    assert 'empty.py: it must have a `test_dataloader`' in run(
        results, content, source=['--config', path])[0]
    code, message = run(results, content, '--samples', 0)
    assert code == 2 and '--samples must be at least 1' in message
