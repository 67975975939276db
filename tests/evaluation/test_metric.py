"""Which images and poses the metric counts."""
import json

import numpy as np
import pytest
from mmengine.evaluator import Evaluator
from mmpose.registry import DATASETS, METRICS

from tests.helpers.evaluation import (annotated_poses, dataset_config, edit,
                                      evaluate, metric_config, write_people)


def test_metrics_of_30_people(tmp_path):
    """COCO counts 20 of 30 perfect poses: a recall of 2/3."""
    ann_file = write_people(tmp_path, [30, 3])
    dataset = dataset_config(ann_file)
    for changes in (dict(type='CocoMetric'), dict()):
        metrics = evaluate(dataset, metric_config(ann_file, **changes))
        assert metrics['coco/AR'] == pytest.approx(23 / 33)
        assert metrics['coco/AP'] == pytest.approx(0.70, abs=0.01)
    follows = metric_config(ann_file, max_dets=None)
    metrics = evaluate(dataset, follows)
    assert metrics['coco/AP'] == metrics['coco/AR'] == pytest.approx(1)


def test_limit_is_at_least_that_of_coco(tmp_path, capsys):
    ann_file = write_people(tmp_path, [5])
    evaluate(dataset_config(ann_file), metric_config(ann_file, max_dets=None))
    assert 'area=   all | maxDets= 20 ] =  1.000' in capsys.readouterr().out


def test_crowd_regions_are_no_people(tmp_path, capsys):
    ann_file = write_people(tmp_path, [30])
    edit(ann_file, lambda content: content['annotations'][4].update(iscrowd=1))
    metrics = evaluate(
        dataset_config(ann_file), metric_config(ann_file, max_dets=None))
    assert 'maxDets= 29' in capsys.readouterr().out
    assert metrics['coco/AP'] == pytest.approx(1)


def test_categories_in_a_crowd(tmp_path):
    """Both switches at once."""
    ann_file = write_people(tmp_path, [30])

    def divide(content):
        content['categories'] = [dict(id=i, name=f'{i}') for i in (4, 5)]
        for ann in content['annotations']:
            ann['category_id'] = 4 + ann['id'] % 2

    edit(ann_file, divide)
    dataset = dict(dataset_config(ann_file), class_agnostic=True)
    for changes, ap in ((dict(), 0.66), (dict(max_dets=None), 1)):
        metric = metric_config(
            ann_file, type='ClassAgnosticCocoMetric', **changes)
        metrics = evaluate(dataset, metric)
        assert metrics['coco/AP'] == pytest.approx(ap, abs=0.005)


@pytest.mark.parametrize('iou_type', ['keypoints', 'keypoints_crowd'])
def test_numbers_and_table_are_those_of_xtcocotools(tmp_path, capsys,
                                                    iou_type):
    """To the last bit, with crowds, people without keypoints and a category
    without people."""
    ann_file = write_people(tmp_path, [25, 3, 0, 1, 4])

    def spoil(content):
        content['categories'].append(dict(id=2, name='dog'))
        content['annotations'][2]['iscrowd'] = 1
        content['annotations'][5].update(num_keypoints=0, keypoints=[0] * 51)
        for ann in content['annotations'][::3]:
            ann['area'] = 4000

    edit(ann_file, spoil)
    results, tables = [], []
    for name in ('CocoMetric', 'PoseCocoMetric'):
        np.random.seed(0)
        results.append(
            evaluate(
                dataset_config(ann_file),
                metric_config(ann_file, type=name, iou_type=iou_type),
                noise=1.5))
        lines = capsys.readouterr().out.splitlines()
        tables.append([line for line in lines if line.startswith(' Average')])
    assert results[0] == results[1]
    assert list(results[0]) == list(results[1])
    assert 0.05 < results[0]['coco/AP'] < 0.95
    assert len(tables[0]) >= 9
    assert [line.split() for line in tables[0]] \
        == [line.split() for line in tables[1]]


def write_whole_body(folder, counts):
    """People with the keypoints of COCO-WholeBody."""
    ann_file = write_people(folder, counts, num_keypoints=133)
    sizes = dict(
        keypoints=17,
        foot_kpts=6,
        face_kpts=68,
        lefthand_kpts=21,
        righthand_kpts=21)

    def divide(content):
        for ann in content['annotations']:
            points = ann['keypoints']
            for name, size in sizes.items():
                ann[name], points = points[:3 * size], points[3 * size:]
            ann['num_keypoints'] = 17

    edit(ann_file, divide)
    metainfo = dict(from_file='configs/_base_/datasets/coco_wholebody.py')
    return ann_file, dict(type='CocoWholeBodyDataset', metainfo=metainfo)


@pytest.mark.parametrize('kind', ['body', 'crowd', 'whole_body'])
def test_images_that_were_not_run_do_not_count(tmp_path, kind):
    """Also with the metric of each kind of config, twice as in training."""
    counts = [2, 0, 3, 2, 1]
    changes, of_mmpose = dict(), dict(type='CocoMetric')
    if kind == 'whole_body':
        ann_file, options = write_whole_body(tmp_path, counts)
        changes = dict(type='PoseCocoWholeBodyMetric')
        of_mmpose = dict(type='CocoWholeBodyMetric')
    else:
        ann_file, options = write_people(tmp_path, counts), dict()
    if kind == 'crowd':
        changes = dict(iou_type='keypoints_crowd')
        of_mmpose.update(changes)
    config = dataset_config(ann_file, indices=3, **options)
    part = DATASETS.build(config)
    assert len(part) == 3
    infos = [part.get_data_info(i) for i in range(3)]
    evaluator = Evaluator(metric_config(ann_file, **changes))
    evaluator.dataset_meta = part.metainfo
    for _ in range(2):
        evaluator.process([annotated_poses(info) for info in infos])
        metrics = {
            name.split('/')[1]: value
            for name, value in evaluator.evaluate(3).items()
        }
        assert metrics['AP'] == metrics['AR'] == pytest.approx(1)
        if kind == 'crowd':
            assert metrics['AP(E)'] == metrics['AP(M)'] == pytest.approx(1)
            assert metrics['AP(H)'] == -1  # nobody
    metrics = evaluate(config, metric_config(ann_file, **of_mmpose))
    assert next(iter(metrics.values())) == pytest.approx(5 / 8, abs=0.01)


def test_images_without_poses_count(tmp_path):
    """They were run, and their people were missed."""
    ann_file = write_people(tmp_path, [2, 2, 6])
    dataset = DATASETS.build(dataset_config(ann_file, indices=2))
    metric = METRICS.build(metric_config(ann_file))
    metric.dataset_meta = dataset.metainfo
    samples = [annotated_poses(dataset.get_data_info(i)) for i in range(2)]
    for name, value in samples[1]['pred_instances'].items():
        samples[1]['pred_instances'][name] = value[:0]
    metric.process({}, samples)
    assert metric.evaluate(2)['coco/AR'] == pytest.approx(0.5)
    # Nor must there be any pose at all.
    metric.process({}, samples[1:])
    assert metric.evaluate(1)['coco/AP'] == 0


def test_samples_that_were_run_twice_count_once(tmp_path):
    """As processes get them that share a few images."""
    ann_file = write_people(tmp_path, [2, 3])
    dataset = DATASETS.build(dataset_config(ann_file))
    metric = METRICS.build(metric_config(ann_file))
    metric.dataset_meta = dataset.metainfo
    samples = [annotated_poses(dataset.get_data_info(i)) for i in (0, 1, 0)]
    metric.process({}, samples)
    assert metric.evaluate(3)['coco/AP'] == pytest.approx(1)


def test_converted_annotations_in_every_epoch(tmp_path):
    """MMPose would convert them once more each time."""
    ann_file = write_people(tmp_path, [2, 3])
    dataset = DATASETS.build(dataset_config(ann_file))
    mapping = [(i, (i + 5) % 17) for i in range(17)]
    metric = METRICS.build(
        metric_config(
            ann_file, gt_converter=dict(num_keypoints=17, mapping=mapping)))
    metric.dataset_meta = dataset.metainfo
    for _ in range(2):
        samples = [annotated_poses(dataset.get_data_info(i)) for i in (0, 1)]
        for sample in samples:
            poses = sample['pred_instances']
            poses['keypoints'] = np.roll(poses['keypoints'], 5, 1)
        metric.process({}, samples)
        assert metric.evaluate(2)['coco/AP'] == pytest.approx(1)


def test_annotations_are_needed_for_numbers(tmp_path):
    ann_file = write_people(tmp_path, [1])
    edit(ann_file, lambda content: content.pop('annotations'))
    with pytest.raises(ValueError, match=r'ann\.json: .*format_only=True'):
        METRICS.build(metric_config(ann_file))


def test_results_of_images_without_annotations(tmp_path):
    """As for COCO's test-dev: a file for the server."""
    ann_file = write_people(tmp_path, [1, 2])
    truth = DATASETS.build(dataset_config(ann_file))
    infos = [truth.get_data_info(i) for i in range(2)]
    edit(ann_file, lambda content: content.pop('annotations'))
    dataset = DATASETS.build(dataset_config(ann_file))
    assert [dataset.get_data_info(i)['img_id'] for i in range(2)] == [1, 2]
    metric = METRICS.build(
        metric_config(
            ann_file, format_only=True, outfile_prefix=str(tmp_path / 'out')))
    metric.dataset_meta = dataset.metainfo
    metric.process({}, [annotated_poses(info) for info in infos])
    assert metric.evaluate(2) == {}
    results = json.loads((tmp_path / 'out.keypoints.json').read_text())
    assert [entry['image_id'] for entry in results] == [1, 2, 2]
    np.testing.assert_allclose(
        np.reshape(results[0]['keypoints'], (17, 3))[:, :2],
        infos[0]['keypoints'][0])
