"""Metrics of several classes: AP of each, and the ids of the file."""
import json

import numpy as np
import pytest
from mmpose.registry import DATASETS, METRICS

from tests.helpers.classes import CLASSES, metainfo, write_classes
from tests.helpers.evaluation import (annotated_poses, dataset_config, edit,
                                      metric_config)


@pytest.fixture
def ann_file(tmp_path):
    return write_classes(tmp_path)


def evaluate(ann_file, change=None, dataset=None, read=True, **changes):
    """Metrics of what is annotated, after a change of the predictions."""
    data = DATASETS.build(
        dataset or dataset_config(ann_file, metainfo=metainfo()))
    metric = METRICS.build(metric_config(ann_file, **changes))
    metric.dataset_meta = data.metainfo
    if not read:
        metric.coco = None
    samples = []
    for i in range(len(data)):
        info = data.get_data_info(i)
        sample = dict(
            annotated_poses(info),
            ori_shape=(160, 200),
            raw_ann_info=info['raw_ann_info'] or [])
        poses = sample['pred_instances']
        poses['labels'] = info.get('class_label', np.zeros(0, dtype=int))
        if change is not None:
            change(poses)
        samples.append(sample)
    metric.process({}, samples)
    return metric.evaluate(len(data))


def test_perfect_predictions(ann_file, capsys):
    metrics = evaluate(ann_file)
    for name in ('AP', 'AR', 'AP_dog', 'AP_cat'):
        assert metrics[f'coco/{name}'] == pytest.approx(1), name
    out = capsys.readouterr().out
    assert 'class=dog | maxDets= 20 ] =  1.000' in out
    assert 'class=cat | maxDets= 20 ] =  1.000' in out


def test_confused_classes(ann_file):
    """Poses are right, but classes are not."""

    def swap(poses):
        poses['labels'] = 1 - poses['labels']

    metrics = evaluate(ann_file, swap)
    for name in ('AP', 'AR', 'AP_dog', 'AP_cat'):
        assert metrics[f'coco/{name}'] == 0, name
    metrics = evaluate(ann_file, swap, type='ClassAgnosticCocoMetric')
    assert metrics['coco/AP'] == pytest.approx(1)
    assert 'coco/AP_dog' not in metrics


def test_one_class_is_missed(ann_file):
    """The mean is over the classes, not over the objects."""

    def move(poses):
        poses['keypoints'][poses['labels'] == 1] += 150

    metrics = evaluate(ann_file, move)
    assert metrics['coco/AP_dog'] == pytest.approx(1)
    assert metrics['coco/AP_cat'] == 0
    assert metrics['coco/AP'] == pytest.approx(0.5)


def test_class_that_is_not_annotated(ann_file):
    classes = {**CLASSES, 20: 'sheep'}
    config = dataset_config(ann_file, metainfo=metainfo(classes))
    metrics = evaluate(ann_file, dataset=config)
    assert metrics['coco/AP'] == pytest.approx(1)
    assert metrics['coco/AP_sheep'] == -1


def test_crowding(ann_file):
    metrics = evaluate(ann_file, iou_type='keypoints_crowd')
    for name in ('AP_cat', 'AP(E)', 'AP(H)'):
        assert metrics[f'coco/{name}'] == pytest.approx(1)


@pytest.mark.parametrize('nms_mode', ['none', 'oks_nms'])
def test_results_have_the_ids_of_the_file(tmp_path, ann_file, nms_mode):
    """Overlaps are suppressed within a class, not between classes."""

    def add_others(poses):
        """Each pose twice as its class, and once as the other one."""
        for name, values in poses.items():
            poses[name] = np.concatenate([values] * 3)
        count = len(poses['labels']) // 3
        poses['labels'][-count or len(poses['labels']):] ^= 1
        poses['bbox_scores'][-count or len(poses['labels']):] = 0.5

    prefix = str(tmp_path / 'out')
    evaluate(ann_file, add_others, nms_mode=nms_mode, outfile_prefix=prefix)
    results = json.loads((tmp_path / 'out.keypoints.json').read_text())
    times = 2 if nms_mode == 'oks_nms' else 3
    assert len(results) == 9 * times
    assert {entry['category_id'] for entry in results} == {3, 18}
    truth = json.loads(ann_file.read_text())['annotations']
    for ann in truth:
        same = [
            entry['category_id'] for entry in results if np.allclose(
                np.reshape(entry['keypoints'], (17, 3))[:, :2],
                np.reshape(ann['keypoints'], (17, 3))[:, :2])
        ]
        assert same.count(ann['category_id']) == times - 1
        assert len(same) == times


def test_without_an_annotation_file(ann_file):
    """MMPose writes one of what the data set has read."""
    metrics = evaluate(ann_file, read=False)
    assert metrics['coco/AP_cat'] == pytest.approx(1)


def test_one_class_with_another_id(ann_file):
    """It needs no class_agnostic."""

    def keep_cats(content):
        content['annotations'] = [
            ann for ann in content['annotations'] if ann['category_id'] == 18
        ]

    edit(ann_file, keep_cats)
    config = dataset_config(ann_file, metainfo=metainfo({18: 'cat'}))
    metrics = evaluate(ann_file, dataset=config)
    assert metrics['coco/AP'] == pytest.approx(1)
    assert 'coco/AP_cat' not in metrics


@pytest.mark.parametrize('change', [
    lambda poses: poses.pop('labels'),
    lambda poses: poses.update(labels=poses['labels'] + 1)
])
def test_labels_of_other_classes(ann_file, change):
    with pytest.raises(ValueError, match='3.*dog.*18.*cat.*same metainfo'):
        evaluate(ann_file, change)
