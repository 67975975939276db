"""Parts that are added to a recipe and compared: what they make of configs,
how what they learned is read, and the program from end to end."""
import json

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from benchmarks import compare_parts
from benchmarks.lib import trainings
from benchmarks.lib.parts_file import apply_part, read_parts
from benchmarks.lib.step import Step
from projects.grouppose.synthetic import draw_dataset

pytestmark = pytest.mark.usefixtures('unformatted_configs', 'same_process')
PARTS = read_parts()
FITTING = [(method, name) for method in ('grouppose', 'detrpose')
           for name, part in PARTS.items() if method in part.methods]


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    """A folder of results with drawn crowds."""
    out = tmp_path_factory.mktemp('parts')
    draw_dataset(
        out / 'data', 8, 2, long_side=128, num_workers=1, people=(4, 8))
    return out


def parse(*arguments):
    return compare_parts.parse_args([str(x) for x in arguments], PARTS)


def differences(config, other, path=''):
    """Paths at which two configs differ, but for the seed."""
    if not isinstance(config, dict) or not isinstance(other, dict):
        return set() if config == other else {path}
    return set().union(*(differences(
        config.get(key), other.get(key), f'{path}.{key}' if path else key)
                         for key in {*config, *other}))


@pytest.mark.parametrize('method, name', FITTING)
def test_every_part_takes_a_step(method, name, drawn, tmp_path):
    """And differs from the baseline in what it says, and nothing else."""
    args = parse('--out', drawn, '--method', method, '--variants', name,
                 '--seeds', 0)
    base, *changed = compare_parts.describe_trainings(args, PARTS)
    if name == 'baseline':
        training, expected = base, set()
    else:
        training, = changed
        expected = set()
        for part in (PARTS[name], *map(PARTS.get, PARTS[name].parts)):
            if part.methods and method not in part.methods:
                continue
            expected |= {*(part.changes or {})}
            if part.augmentations or part.replaced:
                expected.add('train_dataloader.dataset.pipeline')
            if part.replaced:
                expected |= {
                    f'{split}_dataloader.dataset.pipeline'
                    for split in ('val', 'test')
                }
    found = differences(base.config.to_dict(), training.config.to_dict())
    for path in found:
        assert any(path.startswith(x) or x.startswith(path) for x in expected)
    assert bool(found) == bool(expected)

    take_step(training, tmp_path)


@pytest.mark.gpu
@pytest.mark.parametrize('method, name', FITTING)
def test_every_part_takes_a_step_on_a_gpu(method, name, drawn, tmp_path):
    args = parse('--out', drawn, '--method', method, '--variants', name,
                 '--seeds', 0)
    take_step(
        compare_parts.describe_trainings(args, PARTS)[-1], tmp_path, 'cuda')


def take_step(training, folder, device='cpu'):
    training.config.train_dataloader.batch_size = 2
    file = folder / 'config.py'
    file.write_text(training.config.pretty_text)
    Step(file, device).prepare()()


def make_config():
    pipeline = [
        dict(type=name)
        for name in ('LoadPoseImage', 'PoseInstanceFilter', 'PoseRandomFlip')
    ]
    return Config(
        dict(
            a=dict(b=1, c=2),
            train_dataloader=dict(dataset=dict(pipeline=pipeline))))


def test_what_a_part_changes(tmp_path):
    path = tmp_path / 'parts.yml'
    path.write_text('baseline: {says: nothing}\n'
                    'one: {says: b, changes: {a.b: 3}}\n'
                    'two: {says: mosaic, augmentations: [{type: PoseMosaic}]}'
                    '\nnot: {says: c, methods: [detrpose], changes: {a.c: 0}}'
                    '\nall: {says: both, parts: [one, two, not]}\n')
    parts, config = read_parts(path), make_config()
    apply_part(config, parts['all'], parts, 'grouppose')
    assert config.a == dict(b=3, c=2)
    pipeline = config.train_dataloader.dataset.pipeline
    assert [x.type for x in pipeline] == [
        'LoadPoseImage', 'PoseInstanceFilter', 'ScheduledTransforms',
        'PoseRandomFlip'
    ]
    mosaic, = pipeline[2].transforms
    assert mosaic.pre_transform == pipeline[:2] and pipeline[2].prob == 0.5
    apply_part(config, parts['all'], parts, 'detrpose')
    assert config.a.c == 0


@pytest.mark.parametrize('text, message', [
    ('one: {says: b}', 'no entry `baseline`'),
    ('baseline: {}', 'baseline: `says` is missing'),
    ('baseline: {says: a, change: {}}', r"unknown fields \['change'\]"),
    ('baseline: {says: a, methods: [edpose]}', '`methods` must be among'),
    ('baseline: {says: a, parts: [two]}', '`parts` names what the file'),
])
def test_a_bad_list_is_refused(text, message, tmp_path):
    path = tmp_path / 'parts.yml'
    path.write_text(text)
    with pytest.raises(ValueError, match=f'parts.yml: .*{message}'):
        read_parts(path)


def test_places_on_a_curve():
    curve = [(100, 0.1), (200, 0.3), (300, 0.2)]
    assert compare_parts.first_reach(curve, 0.05) == pytest.approx(50)
    assert compare_parts.first_reach(curve, 0.2) == pytest.approx(150)
    assert compare_parts.first_reach(curve, 0.31) is None
    assert compare_parts.first_reach([(100, 0.0)], 0.0) is None
    assert compare_parts.value_at(curve, 50) == pytest.approx(0.05)
    assert compare_parts.value_at(curve, 250) == pytest.approx(0.25)
    assert compare_parts.value_at(curve, 400) == 0.2
    row = dict(shares=[0.25, None, 0.5])
    assert compare_parts.share_text(row, 2) == \
        '1.00 (0.50 to not reached)'


def make_photographs(root):
    """Leeds Sports Pose with the drawn people of a data set."""
    files = dict(
        lsp=('lsp_train', 'lsp_test'), lspet=('lspet_train', 'lspet_val'))
    draw_dataset(root, 4, 4, long_side=128, num_workers=1, people=(1, 1))
    content = json.loads(
        (root / 'annotations/person_keypoints_train.json').read_text())
    for ann in content['annotations']:
        ann['keypoints'] = ann['keypoints'][:3 * 14]
        ann['num_keypoints'] = sum(x > 0 for x in ann['keypoints'][2::3])
    for folder, names in files.items():
        (root / folder / 'annotations').mkdir(parents=True)
        (root / folder / 'images').symlink_to(root / 'train')
        for name in names:
            file = root / folder / 'annotations' / f'{name}.json'
            file.write_text(json.dumps(content))


@pytest.mark.parametrize('data', ['crowds', 'lsp'])
def test_two_variants_from_end_to_end(data, tmp_path, monkeypatch, capsys):
    started = []

    def run_tool(tool, arguments, log, threads):
        """Train in this process."""
        config = Config.fromfile(str(arguments[0]))
        config.work_dir = str(arguments[2])
        config.train_dataloader.batch_size = 2
        started.append(arguments[2].name)
        # MMEngine would give the second run the log of the first.
        config.visualizer.name = started[-1]
        Runner.from_cfg(config).train()

    monkeypatch.setattr(trainings, 'run_tool', run_tool)
    arguments = [
        '--out', tmp_path / 'out', '--data', data, '--variants', 'ema',
        '--seeds', 4, '--steps', 2, '--interval', 1, '--images', 4,
        '--val-images', 2, '--repeats', 1, '--warmup', 0
    ]
    if data == 'lsp':
        make_photographs(tmp_path / 'photographs')
        arguments += ['--data-root', tmp_path / 'photographs']
    arguments = [str(x) for x in arguments]
    compare_parts.main(arguments)
    assert started == [
        f'{data}_grouppose_{name}_4' for name in ('baseline', 'ema')
    ]
    name = f'parts_{data}_grouppose'
    content = json.loads((tmp_path / 'out' / f'{name}.json').read_text())
    base, ema = content['rows']
    assert ema['variant'] == 'ema' and 'failed' not in ema
    assert [step for step, _ in ema['curves'][0]] == [1, 2]
    assert ema['cost']['seconds'][0] > 0 and ema['minutes'][0] > 0
    assert ('PCK@0.2' in ema) == (data == 'lsp')
    text = (tmp_path / 'out' / f'{name}.md').read_text()
    assert '| ema | ' in text and '16 images seen' in text
    assert (tmp_path / 'out' / f'{name}.png').stat().st_size > 5000

    # Nothing is done again, neither trainings nor the measured steps.
    monkeypatch.setattr(compare_parts, 'measure_variants', None)
    compare_parts.main(arguments)
    assert len(started) == 2
    assert capsys.readouterr().out.count('| ema | ') == 2


def test_steps_are_timed_again_for_another_variant(tmp_path, monkeypatch):
    timed = []

    def measure_variants(what, cases, settings):
        timed.append(list(cases))
        return [
            dict(what=what, case=name, seconds=[2], first=[1], memory_mib=3)
            for name in cases
        ]

    monkeypatch.setattr(compare_parts, 'measure_variants', measure_variants)
    for names in (['ema'], ['ema'], ['ema', 'varifocal'], ['varifocal']):
        args = parse('--out', tmp_path, '--seeds', 0, '--variants', *names)
        described = compare_parts.describe_trainings(args, PARTS)
        costs = compare_parts.measure_steps(args, described)
        assert costs[names[-1]]['seconds'] == [2]
    assert timed == [['baseline', 'ema'], ['baseline', 'ema', 'varifocal']]


@pytest.mark.parametrize('arguments, message', [
    (('--variants', 'denoising-none'), 'denoising-none is not for grouppose'),
    (('--method', 'detrpose', '--data', 'lsp'), 'no config of detrpose'),
    (('--steps', '10', '--interval', '3'), 'no multiple of --interval 3'),
])
def test_what_does_not_fit(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        parse('--out', tmp_path, *arguments)
    assert message in capsys.readouterr().err


def test_photographs_that_are_not_there(tmp_path):
    with pytest.raises(SystemExit, match='lsp_train.json: no such file'):
        compare_parts.main(
            ['--out',
             str(tmp_path), '--data', 'lsp', '--data-root', 'none'])
