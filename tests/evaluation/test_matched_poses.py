"""Correct keypoints (PCK) beside AP, and the spread of the errors."""
import json

import numpy as np
import pytest
from mmpose.registry import DATASETS, METRICS

from projects.grouppose.evaluation import MatchedPoses
from tests.helpers.evaluation import (annotated_poses, dataset_config, edit,
                                      metric_config, name_metainfo, write,
                                      write_people)

THRESHOLDS = (0.05, 0.1, 0.2)


def run(ann_file, change, dataset_changes=None, **metric_changes):
    """Metrics of the annotated poses after a change of the samples."""
    dataset = DATASETS.build(
        dict(dataset_config(ann_file), **(dataset_changes or {})))
    metric = METRICS.build(
        metric_config(ann_file, pck=THRESHOLDS, **metric_changes))
    metric.dataset_meta = dataset.metainfo
    samples = [
        annotated_poses(dataset.get_data_info(i)) for i in range(len(dataset))
    ]
    change(samples)
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def spread_out(samples):
    """Keypoint k of the first pose is off by k pixels."""
    poses = samples[0]['pred_instances']['keypoints']
    poses[0, :, 0] += np.arange(17)


def keep(samples, *poses):
    """Leave only some poses of the first image."""
    instances = samples[0]['pred_instances']
    for name, values in instances.items():
        instances[name] = values[list(poses)]


def test_parts_of_the_longer_side(tmp_path, capsys):
    """It is 40 pixels: up to 2, 4 and 8 are correct."""
    metrics = run(write_people(tmp_path, [1]), spread_out)
    values = [metrics[f'coco/PCK@{t}'] for t in THRESHOLDS]
    assert values == pytest.approx([3 / 17, 5 / 17, 9 / 17])
    assert metrics['coco/found'] == 1
    table = capsys.readouterr().out
    assert '(PCK)@[ error<=0.2  of the longer side of the box ] =  0.529' \
        in table
    assert 'OKS>=0.1    with a sigma of 0.1       ] =  1.000' in table
    assert table.count('Running per image') == 1  # of AP


def test_only_labeled_keypoints_count(tmp_path):
    ann_file = write_people(tmp_path, [1])

    def hide(content):  # all but the first three and the last three
        points = np.reshape(content['annotations'][0]['keypoints'], (17, 3))
        points[3:14] = 0
        content['annotations'][0].update(
            keypoints=points.ravel().tolist(), num_keypoints=6)

    edit(ann_file, hide)
    metrics = run(ann_file, spread_out)
    assert metrics['coco/PCK@0.2'] == pytest.approx(3 / 6)


def test_keypoints_of_missed_objects_are_wrong(tmp_path):
    metrics = run(
        write_people(tmp_path, [3]), lambda samples: keep(samples, 0, 2))
    assert metrics['coco/PCK@0.05'] == pytest.approx(2 / 3)
    assert metrics['coco/found'] == pytest.approx(2 / 3)


def test_nothing_was_predicted(tmp_path):
    metrics = run(write_people(tmp_path, [2, 1]), keep)
    assert metrics['coco/PCK@0.2'] == metrics['coco/found'] == 1 / 3


def test_the_best_pose_counts(tmp_path):
    """Of two of one person, the one with the higher score, as for AP."""

    def repeat(samples, scores=(0.5, 1)):
        keep(samples, 0, 0)
        spread_out(samples)
        samples[0]['pred_instances']['bbox_scores'] = np.array(scores)
        samples[0]['pred_instances']['keypoint_scores'] = \
            np.repeat(scores, 17).reshape(2, 17)

    ann_file = write_people(tmp_path, [1])
    metrics = run(ann_file, repeat, nms_mode='none')
    assert metrics['coco/PCK@0.05'] == 1
    metrics = run(
        ann_file, lambda samples: repeat(samples, (1, 0.5)), nms_mode='none')
    assert metrics['coco/PCK@0.05'] == pytest.approx(3 / 17)


def test_crowds_and_objects_without_keypoints_do_not_count(tmp_path):
    ann_file = write_people(tmp_path, [3])

    def spoil(content):
        content['annotations'][0]['iscrowd'] = 1
        content['annotations'][1].update(keypoints=[0] * 51, num_keypoints=0)

    edit(ann_file, spoil)
    metrics = run(ann_file, lambda samples: None)
    assert metrics['coco/PCK@0.05'] == metrics['coco/found'] == 1
    edit(ann_file, lambda content: content['annotations'].pop())
    metrics = run(ann_file, lambda samples: None)
    assert metrics['coco/PCK@0.05'] == metrics['coco/found'] == -1


def test_nobody_is_annotated(tmp_path):
    """With as many poses per image as are annotated."""
    ann_file = write_people(tmp_path, [1])
    image = json.loads(ann_file.read_text())['images'][0]
    nobody = tmp_path / 'nobody.json'
    write(nobody, [image], [])
    dataset = DATASETS.build(dataset_config(ann_file))
    metric = METRICS.build(
        metric_config(nobody, pck=THRESHOLDS, max_dets=None))
    metric.dataset_meta = dataset.metainfo
    metric.process({}, [annotated_poses(dataset.get_data_info(0))])
    metrics = metric.evaluate(1)
    assert metrics['coco/AP'] == metrics['coco/PCK@0.05'] == -1


def test_sigmas_do_not_matter(tmp_path):
    """AP of poses that are off by 2 pixels falls with them, PCK does not."""

    def move(samples):
        samples[0]['pred_instances']['keypoints'] += 2 / np.sqrt(2) - 1e-9

    ann_file = write_people(tmp_path, [2])
    for scale in (1, 0.1):
        metainfo = name_metainfo('scaled')
        metainfo['sigmas'] = [scale * s for s in metainfo['sigmas']]
        metrics = run(ann_file, move, dict(metainfo=metainfo))
        assert (metrics['coco/AP'] > 0.5) == (scale == 1)
        assert metrics['coco/PCK@0.05'] == 1


def test_images_that_were_not_run_do_not_count(tmp_path):
    """Nor do samples that several processes share count twice."""
    ann_file = write_people(tmp_path, [1, 2, 5])

    def cut(samples):
        keep(samples)
        samples[2:] = samples[:2]

    metrics = run(ann_file, cut)
    assert metrics['coco/found'] == pytest.approx(2 / 3)


def test_categories_taken_for_one(tmp_path):
    ann_file = write_people(tmp_path, [4])

    def divide(content):
        content['categories'] = [dict(id=i, name=f'{i}') for i in (4, 5)]
        for ann in content['annotations']:
            ann['category_id'] = 4 + ann['id'] % 2

    edit(ann_file, divide)
    metrics = run(
        ann_file,
        lambda samples: keep(samples, 1, 2, 3),
        dict(class_agnostic=True),
        type='ClassAgnosticCocoMetric')
    assert metrics['coco/PCK@0.05'] == pytest.approx(3 / 4)


def draw_errors(sigmas, number, misses=0.):
    """Poses with errors of known sigmas on objects of different size."""
    random = np.random.RandomState(0)
    areas = random.uniform(100, 90000, number)
    # The mean square of a distance is that of x plus that of y.
    offsets = random.normal(size=(number, len(sigmas), 2)) / np.sqrt(2)
    errors = np.linalg.norm(offsets, axis=-1) * sigmas
    missed = random.rand(number, len(sigmas)) < misses
    errors = np.where(missed, random.uniform(0.8, 3, errors.shape), errors)
    sides = np.sqrt(areas)
    return MatchedPoses(errors * sides[:, None], areas, sides)


@pytest.mark.parametrize('misses', [0, 0.1, 0.2])
def test_spread_of_errors(misses):
    """Gross errors hardly move it."""
    sigmas = np.array([0.01, 0.03, 0.08, 0.15])
    found, counts = draw_errors(sigmas, 3000, misses).spread()
    np.testing.assert_allclose(found, sigmas, rtol=0.05)
    np.testing.assert_allclose(counts, 3000 * (1 - misses), rtol=0.03)


def test_spread_of_what_was_found():
    """Keypoints without a label and objects without a pose tell nothing."""
    poses = draw_errors(np.array([0.05, 0.05, 0.05]), 1000)
    poses.errors[:, 1] = np.nan
    poses.errors[::2, 0] = np.inf
    sigmas, counts = poses.spread()
    assert sigmas[0] == pytest.approx(0.05, rel=0.1)
    assert counts.tolist()[1] == 0 and np.isnan(sigmas[1])
    assert 490 <= counts[0] <= 500
    assert poses.found == 0.5


def test_perfect_poses_have_no_spread():
    sigmas, counts = MatchedPoses(np.zeros((5, 2)), np.ones(5),
                                  np.ones(5)).spread()
    assert sigmas.tolist() == [0, 0] and counts.tolist() == [5, 5]
