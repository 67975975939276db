"""The config fits the data set: schedule, queries, rates, pipelines."""
import json

import numpy as np
import pytest
from mmengine.config import Config
from mmpose.registry import DATASETS, METRICS
from PIL import Image

from projects.grouppose.describe import describe, training_config
from projects.grouppose.describe.recipes import MEDIUM, PUBLISHED, SIZES, SMALL
from tests.helpers.bad_cases import image_entry, person
from tests.helpers.runs import make_runner
from tests.helpers.tool_runs import TOOLS, load_tool

KEYPOINTS = ['nose', 'left_x', 'right_x']


def make_content(people):
    """Images with so many objects each, of three keypoints."""
    content = dict(
        images=[image_entry(i) for i in range(1,
                                              len(people) + 1)],
        annotations=[],
        categories=[dict(id=1, name='plane', keypoints=KEYPOINTS)])
    for image_id, count in enumerate(people, 1):
        for _ in range(count):
            content['annotations'].append(
                person(
                    len(content['annotations']) + 1,
                    image_id=image_id,
                    keypoints=[20, 10, 2, 10, 40, 2, 30, 40 + image_id % 5, 2],
                    num_keypoints=3))
    return content


@pytest.fixture
def make_config(tmp_path):
    """Describe drawn images, and read the config."""

    def make(people=(1, ) * 10, damage=None, **options):
        content = make_content(people)
        if damage:
            damage(content)
        (tmp_path / 'ann.json').write_text(json.dumps(content))
        random = np.random.RandomState(0)
        for image in content['images']:
            pixels = random.randint(256, size=(50, 60, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / image['file_name'])
        result = describe(tmp_path / 'ann.json', tmp_path / 'out', **options)
        result.write(tmp_path / 'out')
        return Config.fromfile(tmp_path / 'out/config.py')

    return make


@pytest.fixture
def text(tmp_path):
    """The config as it is written, in one line without comment signs."""

    def read():
        lines = (tmp_path / 'out/config.py').read_text().split('\n')
        return ' '.join(line.lstrip('# ') for line in lines)

    return read


@pytest.mark.parametrize('size', SIZES)
def test_recipes_are_those_of_their_configs(size):
    recipe = SIZES[size]
    config = Config.fromfile(recipe.base)
    codec = config.model.head.data_decoder
    assert recipe.num_queries == config.model.head.num_queries
    assert recipe.max_per_img == codec.get('max_per_img', 50)
    if recipe is not SMALL:
        assert recipe.epochs == config.train_cfg.max_epochs


@pytest.mark.parametrize('recipe, images, epochs', [
    (SMALL, 10, 1000),
    (SMALL, 585, 14),
    (SMALL, 57000, 1),
    (MEDIUM, 10, 10000),
    (MEDIUM, 400, 200),
    (MEDIUM, 57000, 100),
    (PUBLISHED, 1, 30000),
    (PUBLISHED, 300, 200),
    (PUBLISHED, 57000, 60),
])
def test_epochs_make_enough_steps(recipe, images, epochs):
    """Never fewer epochs than the base config has."""
    assert recipe.choose_epochs(images) == epochs


@pytest.mark.parametrize('recipe, crowd, queries', [
    (SMALL, 1, 10),
    (SMALL, 9, 12),
    (MEDIUM, 1, 20),
    (MEDIUM, 8, 32),
    (MEDIUM, 30, 60),
    (MEDIUM, 80, 100),
    (PUBLISHED, 20, 80),
    (PUBLISHED, 30, 100),
])
def test_queries_follow_the_crowd(recipe, crowd, queries):
    assert recipe.choose_queries(crowd) == queries


@pytest.mark.parametrize('people, queries, most', [
    ((1, 2, 1), 20, 60),
    ((1, 40, 1), 60, 60),
    ((1, 80, 1), 100, 200),
])
def test_queries_of_a_config(make_config, people, queries, most):
    head = make_config(people, val_part=0.3).model.head
    assert head.num_queries == queries
    assert head.data_decoder.max_per_img == most


def test_published_schedules_stay(make_config):
    """With as many epochs, they are those of the base configs."""
    config = make_config(size='published', epochs=60)
    assert config.param_scheduler == \
        Config.fromfile(PUBLISHED.base).param_scheduler
    hooks = [
        make_config(size='medium', epochs=100).default_hooks,
        Config.fromfile(MEDIUM.base).default_hooks
    ]
    assert hooks[0].augmentation == hooks[1].augmentation
    assert hooks[0].ema == hooks[1].ema


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('epochs, interval', [(1, 1), (20, 1), (39, 2),
                                              (5000, 250)])
def test_schedules_of_any_length(make_config, size, epochs, interval):
    config = make_config(size=size, epochs=epochs)
    assert config.train_cfg.max_epochs == epochs
    assert config.train_cfg.val_interval == interval
    assert config.default_hooks.checkpoint.interval == interval
    assert config.default_hooks.checkpoint.save_best == 'coco/AP'
    if size == 'published':
        milestone, = config.param_scheduler[0].milestones
        assert 1 <= milestone <= epochs
    elif size == 'small':
        assert config.param_scheduler[1].T_max == epochs
    else:
        augmentation = dict(config.default_hooks.augmentation)
        augmentation.pop('type')
        assert all(0 <= begin <= end <= epochs
                   for begin, end in augmentation.values())


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('few', [True, False])
def test_small_data_is_watched(make_config, text, monkeypatch, size, few):
    """Averaged weights, and an end when AP no longer rises."""
    monkeypatch.setattr(training_config, 'SMALL_DATA', 10 if few else 9)
    config = make_config(size=size)
    assert ('early_stopping' in config.default_hooks) == few
    assert ('ema' in config.default_hooks) == (few or size == 'medium')
    assert ('early stopping' in text()) == few


@pytest.mark.parametrize('size, weights', [
    ('small', None),
    ('medium', 'detrpose_hgnetv2_s.pth\n'),
    ('published', '1exJMkr7j_HbItRM-u7DWT7scx1n4htiF\n'),
])
def test_starting_weights(make_config, tmp_path, monkeypatch, size, weights):
    """The lines that get them are those of the programs."""
    config = make_config(size=size)
    assert config.load_from is None
    path = tmp_path / 'out/config.py'
    written = path.read_text()
    if weights is None:
        assert 'load_from' not in written
        return
    assert weights in written
    monkeypatch.syspath_prepend(str(TOOLS / 'model_converters'))
    line, = [line for line in written.split('\n') if 'change_key' in line]
    program = load_tool('change_keypoints', TOOLS / 'model_converters')
    args = program.parse_args(line.split()[3:])
    assert args.dst == str(tmp_path / 'out/start.pth')
    assert args.num_queries in (None, config.model.head.num_queries)
    path.write_text(written.replace('# load_from', 'load_from'))
    assert Config.fromfile(path).load_from == args.dst


def test_comments_hold_what_names_say(tmp_path):
    """None of it is run, or replaced by MMEngine."""
    (tmp_path / 'ann.json').write_text(json.dumps(make_content([1] * 10)))
    folder = tmp_path / "a\nbad = 1\n# {{ _base_.model }}'"
    result = describe(tmp_path / 'ann.json', folder)
    result.write(tmp_path / 'out')
    config = Config.fromfile(tmp_path / 'out/config.py')
    assert 'bad' not in config
    assert 'FOLDER/start.pth' in result.files['config.py']


def test_small_objects_are_told(make_config, text):

    def shrink(content):
        for ann in content['annotations']:
            ann.update(bbox=[5, 5, 6, 6], area=20)

    make_config(damage=shrink, size='small')
    assert 'then 15 pixels long' in text()
    assert 'take a larger --size' in text()
    make_config(damage=shrink, size='medium')
    assert 'a larger --size' not in text()


@pytest.mark.parametrize('size', SIZES)
def test_turned_and_not_mirrored(make_config, tmp_path, size):
    """Also in what is loaded for a mosaic."""

    def damage(content):
        content['categories'][0]['keypoints'] = list('abc')
        for image in content['images']:
            image.update(width=50, height=60)

    exif = Image.Exif()
    exif[0x0112] = 6
    config = make_config(damage=damage, size=size)
    for path in tmp_path.glob('*.png'):
        with Image.open(path) as image:
            image.save(path, exif=exif)
    result = describe(tmp_path / 'ann.json', tmp_path / 'out', size=size)
    result.write(tmp_path / 'out')
    config = Config.fromfile(tmp_path / 'out/config.py')
    steps = []

    def collect(part):
        if isinstance(part, dict):
            steps.append(part)
            part = part.values()
        if not isinstance(part, (str, int, float, type(None))):
            for each in part:
                collect(each)

    collect(config.train_dataloader.dataset.pipeline)
    loads = [step for step in steps if step.get('type') == 'LoadPoseImage']
    assert len(loads) == (2 if size == 'medium' else 1)
    assert all(load['color_type'] == 'color' for load in loads)
    flips = [step for step in steps if step.get('type') == 'PoseRandomFlip']
    assert [flip['prob'] for flip in flips] == [0]
    assert config.val_dataloader.dataset.pipeline[0].color_type == 'color'
    assert config.test_dataloader.dataset.pipeline[0].color_type == 'color'
    dataset = DATASETS.build(config.train_dataloader.dataset)
    assert dataset[0]['inputs'].shape[0] == 3


@pytest.mark.parametrize('with_val', [True, False])
def test_file_to_test_on(make_config, text, tmp_path, with_val):
    for name, first in (('val', 20), ('test', 30)):
        content = make_content([1] * 3)
        for image in content['images']:
            image['file_name'] = f'{image["id"] + first}.png'
        del content['annotations'][0]['area']
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    val = dict(val_ann=str(tmp_path / 'val.json')) if with_val else {}
    config = make_config(test_ann=str(tmp_path / 'test.json'), **val)
    train, val, test = (
        DATASETS.build(config[f'{name}_dataloader'].dataset)
        for name in ('train', 'val', 'test'))
    assert [len(train), len(val)] == ([10, 3] if with_val else [9, 1])
    names = [test.get_data_info(i)['img_path'] for i in range(len(test))]
    assert names == [str(tmp_path / f'{i}.png') for i in (31, 32, 33)]
    metric = METRICS.build(config.test_evaluator)
    assert len(metric.coco.getImgIds()) == 3 and not metric.use_area
    assert config.val_evaluator.get('use_area', True) != with_val
    assert ', 3 to test on' in text()


def test_file_to_test_on_is_checked(make_config, tmp_path):
    content = make_content([1] * 3)
    (tmp_path / 'test.json').write_text(json.dumps(content))
    options = dict(test_ann=str(tmp_path / 'test.json'))
    make_config(**options)
    report = (tmp_path / 'out/report.md').read_text()
    assert 'Images in both files, for training and for evaluation: 3 files' \
        in report
    content['categories'][0]['keypoints'] = list('abc')
    (tmp_path / 'test.json').write_text(json.dumps(content))
    result = describe(tmp_path / 'ann.json', tmp_path / 'out', **options)
    assert not result.ready and 'Other names of keypoints' in result.report


def test_a_run_averages_stops_and_goes_on(make_config, tmp_path,
                                          unformatted_configs):
    """The small model, for some steps: learning rate of its batch, averaged
    weights, early stopping, resuming."""
    make_config(size='small', people=(1, ) * 5, val_part=0.2, epochs=2)
    config = tmp_path / 'out/config.py'
    options = {
        'default_hooks.early_stopping.strict': True,
        'custom_hooks': [],
        'launcher': 'none'
    }
    runner = make_runner(
        config,
        tmp_path / 'run',
        validate=True,
        # AP of 0 is more: the first evaluation ends the run.
        **options,
        **{'default_hooks.early_stopping.stopping_threshold': -0.5})
    runner.train()
    assert runner.epoch == 1
    # 4 images where the base config has 8; the schedule starts at 1 %.
    rates = {
        group['initial_lr']
        for group in runner.optim_wrapper.optimizer.param_groups
    }
    assert rates == {2e-3}
    assert (tmp_path / 'run/epoch_1.pth').is_file()
    assert list((tmp_path / 'run').glob('best_coco_AP*.pth'))

    resumed = make_runner(
        config, tmp_path / 'run', validate=True, resume=True, **options)
    resumed.train()
    assert resumed.epoch == 2
    averaging, = [
        hook for hook in resumed.hooks
        if type(hook).__name__ == 'UpdateEMAHook'
    ]
    assert averaging.ema_model.steps == 2
