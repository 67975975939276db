"""Sigmas from the errors of a model."""
import json

import numpy as np
import pytest

from projects.grouppose.data.metainfo import load_metainfo
from projects.grouppose.describe import describe
from tests.helpers.tool_runs import TOOLS, load_tool

NAMES = ['tip', 'left_eye', 'right_eye', 'seam']
TRUE = np.array([0.02, 0.05, 0.01, 0.15])
SHAPE = np.array([(0, -30), (25, 10), (-25, 10), (10, 25)])


def make_content(seed):
    """600 objects of different size, two in each image."""
    random = np.random.RandomState(seed)
    images, annotations = [], []
    for image_id in range(1, 301):
        images.append(
            dict(
                id=image_id,
                file_name=f'{seed}-{image_id}.png',
                width=400,
                height=200))
        for center in ((100, 100), (300, 100)):
            scale = random.uniform(1, 2.5)
            points = scale * (SHAPE + random.uniform(-9, 9, (4, 2))) + center
            low, size = points.min(0), np.ptp(points, axis=0)
            annotations.append(
                dict(
                    id=len(annotations),
                    image_id=image_id,
                    category_id=1,
                    iscrowd=0,
                    bbox=[*low, *size],
                    area=0.6 * size.prod(),
                    keypoints=np.column_stack([points,
                                               [2] * 4]).ravel().tolist()))
    category = dict(id=1, name='plane', keypoints=NAMES)
    return dict(images=images, annotations=annotations, categories=[category])


def predict(content, misses=0.):
    """Poses with errors of the true sigmas, some of objects that are not
    there; some objects are not found, some keypoints far off."""
    random = np.random.RandomState(0)
    results = []
    for ann in content['annotations']:
        if random.rand() < misses:
            continue
        # The mean square of a distance is that of x plus that of y.
        scale = TRUE * np.sqrt(ann['area'] / 2)
        points = np.reshape(ann['keypoints'], (4, 3)).astype(float)
        points[:, :2] += random.normal(size=(4, 2)) * scale[:, None]
        wrong = random.rand(4) < misses
        points[wrong, :2] += random.choice([-1, 1], 2) * random.uniform(
            0.7, 1, 2) * np.sqrt(ann['area'])
        results.append(
            dict(
                image_id=ann['image_id'],
                category_id=1,
                keypoints=points.ravel().tolist(),
                score=random.uniform(0.5, 1)))
        if random.rand() < misses:  # beside the object
            moved = points + [random.uniform(60, 90), 0, 0]
            results.append(
                dict(results[-1], keypoints=moved.ravel().tolist(), score=0.2))
    return results


@pytest.fixture
def config(tmp_path):
    """Of a described data set."""
    for name, seed in (('train', 0), ('val', 1)):
        (tmp_path / f'{name}.json').write_text(json.dumps(make_content(seed)))
    describe(
        str(tmp_path / 'train.json'),
        tmp_path / 'out',
        val_ann=str(tmp_path / 'val.json')).write(tmp_path / 'out')
    return tmp_path / 'out/config.py'


@pytest.fixture
def run(config, tmp_path, capsys):
    """Call the program on results; answer with code, table and output."""

    def run_(results, *arguments):
        path = tmp_path / 'results.json'
        path.write_text(
            results if isinstance(results, str) else json.dumps(results))
        tool = load_tool('estimate_sigmas', TOOLS / 'analysis_tools')
        capsys.readouterr()
        try:
            tool.main([str(config), str(path), *map(str, arguments)])
        except SystemExit as error:
            return error.code, {}, ''
        output = capsys.readouterr().out
        rows = [line.split(' | ') for line in output.splitlines()]
        return 0, {
            row[0].strip('| '): row[1:]
            for row in rows if len(row) == 4
        }, output

    return run_


@pytest.fixture
def results(tmp_path, config):
    """Poses with a tenth of gross errors, and of missed objects."""
    return predict(json.loads((tmp_path / 'val.json').read_text()), 0.1)


@pytest.mark.parametrize('misses', [0, 0.1])
def test_known_sigmas_are_recovered(run, tmp_path, misses):
    content = json.loads((tmp_path / 'val.json').read_text())
    code, table, output = run(predict(content, misses))
    assert code == 0
    found = [float(table[name][1]) for name in NAMES]
    np.testing.assert_allclose(found, TRUE, rtol=0.1)
    assert table['left_eye'][0] == '0.025' and table['tip'][0] == '0.079'
    assert 'upper bounds' in output and 'add --write' in output
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
        'config.py', 'metainfo.py', 'report.html', 'report.md'
    ]


def test_bounds_lower_sigmas(run, results, tmp_path):
    """Only those that are above them: a poor model must not raise any."""
    before = load_metainfo(dict(from_file=str(tmp_path / 'out/metainfo.py')))
    new = tmp_path / 'new.py'
    code, table, output = run(results, '--write', new)
    assert code == 0 and '2 of 4 sigmas changed' in output
    after = load_metainfo(dict(from_file=str(new)))
    np.testing.assert_allclose(
        after['sigmas'],
        [float(table['tip'][1]), 0.025,
         float(table['right_eye'][1]), 0.079])
    for field in ('dataset_name', 'keypoint_name2id', 'flip_indices',
                  'skeleton_links'):
        assert after[field] == before[field]
    assert 'errors of a model' in new.read_text()


def test_chosen_keypoints(run, results, tmp_path):
    new = tmp_path / 'new.py'
    _, table, _ = run(results, '--write', new, '--keypoints', 'seam')
    after = load_metainfo(dict(from_file=str(new)))
    np.testing.assert_allclose(
        after['sigmas'],
        [0.079, 0.025, 0.025, float(table['seam'][1])])
    code, _, _ = run(results, '--write', tmp_path / 'b.py', '--keypoints', 'x')
    assert "there is no 'x'. There are: tip, left_eye" in code


def test_edited_files_stay(run, results, tmp_path):
    own = tmp_path / 'out/metainfo.py'
    text = own.read_text()
    code, _, _ = run(results, '--write', own)
    assert 'metainfo.py exists' in code and own.read_text() == text
    assert run(results, '--write', own, '--overwrite')[0] == 0
    assert own.read_text() != text


def test_few_errors_say_nothing(run, results, tmp_path):
    _, table, output = run(results[:20])
    assert table['tip'][1] == 'too few errors'
    assert '0 of 4 sigmas could be changed' in output
    output = run(results[:20], '--write', tmp_path / 'new.py')[2]
    assert 'new.py was not written' in output
    assert not (tmp_path / 'new.py').exists()
    code, _, _ = run(results[:20], '--keypoints', 'tip')
    assert '30 are needed' in code


@pytest.mark.parametrize('change, message', [
    (lambda r: 'x', 'no JSON'),
    (lambda r: dict(a=r), 'not a list of poses'),
    (lambda r: [dict(bbox=[1, 2, 3, 4])], 'not a list of poses'),
    (lambda r: [dict(r[0], image_id=999)], 'poses of the image 999, which'),
    (lambda r: [dict(r[0], keypoints=[1, 2, 3])], '3 numbers in `keypoints`'),
    (lambda r: [], r'holds no poses'),
])
def test_other_results(run, results, change, message):
    code, _, _ = run(change(results))
    assert 'results.json: ' in code and message in code


def test_other_metrics(run, results):
    code, _, _ = run(results, '--cfg-options',
                     'test_evaluator.type=CocoMetric',
                     'test_evaluator._delete_=True')
    assert 'config.py: `test_evaluator` has no PoseCocoMetric' in code
