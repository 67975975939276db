"""What cannot be evaluated is refused before anything is run."""
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmpose.registry import DATASETS, MODELS

from projects.grouppose.evaluation import EvaluationCheckHook
from tests.helpers import runs
from tests.helpers.evaluation import (dataset_config, edit, make_runner,
                                      metric_config, write_people)
from tests.helpers.models import small_config
from tests.helpers.tool_runs import TOOLS, load_tool

pytestmark = pytest.mark.usefixtures('unformatted_configs')


def check(dataset: dict, *metrics: dict, model=None, times=1) -> None:
    """Let the hook look at a validation before training."""
    dataset, evaluator = DATASETS.build(dataset), Evaluator(metrics)
    loop = SimpleNamespace(
        dataloader=SimpleNamespace(dataset=dataset), evaluator=evaluator)
    runner = SimpleNamespace(val_loop=loop, model=model)
    hook = EvaluationCheckHook()
    for _ in range(times):
        hook.before_train(runner)
        hook.before_val(runner)


@pytest.fixture
def ann_file(tmp_path):
    """Images with 2, 0 and 3 people."""
    return write_people(tmp_path, [2, 0, 3])


def keep_two(content):
    content['images'] = content['images'][:2]
    content['annotations'] = content['annotations'][:2]


def swap_sides(content):
    for image in content['images']:
        image.update(width=image['height'], height=image['width'])


def move_people(content):
    for ann in content['annotations']:
        ann['bbox'][0] += 1


def move_all_but_one(content):
    move_people(content)
    content['annotations'][-1]['bbox'][0] -= 1


@pytest.mark.parametrize('change', [
    lambda content: None,
    swap_sides,
    move_all_but_one,
    lambda content: content['annotations'].clear(),
    lambda content: [
        image.update(file_name='sub/' + image['file_name'])
        for image in content['images']
    ],
])
def test_other_files_with_the_same_images(ann_file, tmp_path, change):
    copy = edit(ann_file, change, tmp_path / 'copy.json')
    check(dataset_config(ann_file), metric_config(copy))
    check(dataset_config(copy), metric_config(ann_file))


@pytest.mark.parametrize('change, message', [
    (keep_two, r'1 of 3 images are not in its file, the first of them '
     r'\S*/3\.png with the `id` 3'),
    (lambda content: content['images'][0].update(file_name='7.png'),
     r'image 1 is another one there, 1\.png, not 7\.png'),
    (lambda content: content['images'][2].update(width=90),
     'image 3 is another one there, 200 by 160 pixels, not 90 by 160'),
    (move_people, 'names of the images are the same, but not one person has '
     'the same `bbox` in both files'),
])
@pytest.mark.parametrize('metric', ['CocoMetric', 'PoseCocoMetric'])
def test_files_of_other_images(ann_file, tmp_path, change, message, metric):
    other = edit(ann_file, change, tmp_path / 'other.json')
    with pytest.raises(
            ValueError,
            match=rf'other\.json: .* evaluate \S*/ann\.json: {message}\. Let'):
        check(dataset_config(ann_file), metric_config(other, type=metric))


@pytest.mark.parametrize('change, options, message', [
    (lambda content: content['images'][1].pop('crowdIndex'),
     dict(iou_type='keypoints_crowd'),
     r'image 2: no `crowdIndex`.*iou_type=\'keypoints\''),
    (lambda content: content['annotations'][1].pop('num_keypoints'),
     dict(iou_type='keypoints_crowd'), 'annotation 2: no `num_keypoints`'),
    (lambda content: content['annotations'][1].pop('area'), dict(),
     'annotation 2: no `area`.*use_area=False'),
])
def test_fields_that_the_metric_needs(ann_file, change, options, message):
    edit(ann_file, change)
    dataset = dataset_config(ann_file)
    with pytest.raises(ValueError, match=r'ann\.json: ' + message):
        check(dataset, metric_config(ann_file, **options))
    with pytest.raises(ValueError, match=r'ann\.json: ' + message):
        check(dataset, metric_config(ann_file, type='CocoMetric', **options))
    check(dataset, metric_config(ann_file, use_area=False))


def test_nothing_is_needed_to_write_results(ann_file, tmp_path):
    edit(ann_file, lambda content: content['annotations'][0].pop('area'))
    check(
        dataset_config(ann_file),
        metric_config(ann_file, format_only=True, outfile_prefix='out'))


@pytest.fixture
def warnings(monkeypatch):
    """Read the warnings of a check."""
    logged = []
    monkeypatch.setattr('projects.grouppose.evaluation.check_hook.print_log',
                        lambda message, logger, level: logged.append(message))

    def read(*args, **kwargs):
        logged.clear()
        check(*args, **kwargs)
        return logged.copy()

    return read


def test_more_people_than_the_metric_counts(tmp_path, warnings):
    ann_file = write_people(tmp_path, [30, 20, 21])
    dataset = dataset_config(ann_file)
    for changes in (dict(type='CocoMetric'), dict()):
        message, = warnings(
            dataset, metric_config(ann_file, **changes), times=2)
        assert 'ann.json: 2 of 3 images show more than 20 people, up to 30' \
            in message
        assert 'max_dets=None' in message
    assert not warnings(dataset, metric_config(ann_file, max_dets=None))
    assert not warnings(dataset, metric_config(ann_file, max_dets=30))
    # Only the images of the data set count.
    part = dataset_config(ann_file, sample_interval=2)
    assert not warnings(part, metric_config(ann_file))


def test_more_people_than_the_model_finds(tmp_path, warnings):
    ann_file = write_people(tmp_path, [30, 2])
    dataset = dataset_config(ann_file)
    metric = metric_config(ann_file, max_dets=None)
    queries, codec = warnings(
        dataset,
        metric,
        model=MODELS.build(
            small_config(
                17, num_queries=12, data_decoder=dict(max_per_img=29))))
    assert 'shows 30 people, but the model finds at most 12: ' \
        'model.head.num_queries=12' in queries
    assert 'model.head.data_decoder.max_per_img=29' in codec
    assert not warnings(
        dataset, metric, model=MODELS.build(small_config(17, num_queries=30)))


def test_images_that_only_the_metric_has(ann_file, warnings):
    """It matters to MMPose's own."""
    part = dataset_config(ann_file, indices=2)
    assert not warnings(part, metric_config(ann_file))
    message, = warnings(part, metric_config(ann_file, type='CocoMetric'))
    assert 'ann.json: 1 of 3 images are not in the data set' in message
    assert "type='PoseCocoMetric'" in message
    # Nobody is missed in an image without people.
    part = dataset_config(ann_file, indices=[0, 2])
    assert not warnings(part, metric_config(ann_file, type='CocoMetric'))


def test_top_down_data_set_of_mmpose(ann_file, warnings):
    """It has people instead of images, and only labeled ones."""

    def unlabel(content):
        content['annotations'][0].update(keypoints=[0] * 51, num_keypoints=0)
        content['annotations'][1]['iscrowd'] = 1

    edit(ann_file, unlabel)
    dataset = dataset_config(ann_file, data_mode='topdown')['dataset']
    assert len(DATASETS.build(dataset)) == 3
    assert not warnings(dataset, metric_config(ann_file, type='CocoMetric'))


def test_two_data_sets_with_the_same_ids(ann_file):
    parts = [dataset_config(ann_file)] * 2
    with pytest.raises(
            ValueError,
            match=r'image 1: \S*ann\.json has an image'
            '.*MultiDatasetEvaluator'):
        check(
            dict(type='ConcatDataset', datasets=parts),
            metric_config(ann_file))


def test_training_does_not_start(drawn_config, tmp_path):
    """On a validation that would fail after its first epoch."""
    ann_file = write_people(tmp_path / 'other', [1, 1])
    runner = runs.make_runner(
        drawn_config,
        tmp_path,
        validate=True,
        **{'val_evaluator.ann_file': str(ann_file)})
    with pytest.raises(ValueError, match=r'ann\.json: .*_val\.json'):
        runner.train()
    assert runner.iter == 0


def test_perfect_poses_of_a_part(tmp_path):
    """Through the test loop, three images of five."""
    ann_file = write_people(tmp_path, [30, 0, 2, 3, 1])
    runner = make_runner(tmp_path, dataset_config(ann_file, indices=3),
                         metric_config(ann_file, max_dets=None))
    assert runner.test()['coco/AP'] == pytest.approx(1)


def test_tool_writes_results_without_annotations(drawn_config, tmp_path,
                                                 monkeypatch):
    """As for COCO's test-dev."""
    monkeypatch.syspath_prepend(str(TOOLS))
    config = Config.fromfile(drawn_config)
    weights = MODELS.build(config.model).state_dict()
    torch.save(dict(state_dict=weights), tmp_path / 'model.pth')
    images = edit(
        Path(config.test_evaluator.ann_file),
        lambda content: content.pop('annotations'), tmp_path / 'images.json')
    load_tool('test').main([
        str(drawn_config), f'{tmp_path}/model.pth', '--work-dir',
        str(tmp_path), '--out', f'{tmp_path}/metrics.json', '--cfg-options',
        f'test_dataloader.dataset.dataset.ann_file={images}',
        f'test_evaluator.ann_file={images}', 'test_evaluator.format_only=True',
        f'test_evaluator.outfile_prefix={tmp_path}/results',
        f'experiment_name={tmp_path}', f'visualizer.name={tmp_path}'
    ])
    results = json.loads((tmp_path / 'results.keypoints.json').read_text())
    assert {entry['image_id'] for entry in results} == {1, 2, 3, 4}
    assert all(len(entry['keypoints']) == 51 for entry in results)
    assert json.loads((tmp_path / 'metrics.json').read_text()) == {}
