"""Several data sets in one run, each by its own metric."""
import numpy as np
import pytest
from mmpose.registry import EVALUATORS

from tests.helpers.evaluation import (COCO, dataset_config, make_runner,
                                      metric_config, name_metainfo,
                                      write_people)

pytestmark = pytest.mark.usefixtures('unformatted_configs')


@pytest.fixture
def parts(tmp_path):
    """Two data sets whose images have the same ids."""
    parts = {}
    for seed, (name, counts) in enumerate((('one', [2, 30]), ('two', [3]))):
        ann_file = write_people(tmp_path / name, counts, seed=seed)
        dataset = dataset_config(ann_file, metainfo=name_metainfo(name))
        metric = metric_config(ann_file, prefix=name, max_dets=None, pck=[0.1])
        parts[name] = dataset, metric
    return parts


def combine(parts: dict, kind: str, meta_keys=None) -> tuple:
    """Configs of data set and evaluator, as MMPose's guide has them."""
    datasets = [dataset for dataset, _ in parts.values()]
    evaluator = dict(
        type='MultiDatasetEvaluator',
        metrics=[metric for _, metric in parts.values()],
        datasets=datasets)
    if kind == 'ConcatDataset':
        dataset = dict(
            type=kind, datasets=datasets, ignore_keys=['dataset_name'])
    else:
        pipeline = datasets[0]['dataset']['pipeline']
        if meta_keys:
            pipeline[-1].meta_keys = meta_keys
        for part in datasets:
            part['dataset']['pipeline'] = []
        dataset = dict(
            type=kind,
            metainfo=COCO,
            datasets=datasets,
            pipeline=pipeline,
            test_mode=True)
    return dataset, evaluator


@pytest.mark.parametrize('kind', ['CombinedDataset', 'ConcatDataset'])
def test_each_data_set_has_its_metrics(parts, tmp_path, kind):
    """Poses are right in one of them and far off in the other."""
    runner = make_runner(tmp_path, *combine(parts, kind), two=-20)
    metrics = runner.test()
    assert metrics['one/AP'] == metrics['one/AR'] == pytest.approx(1)
    assert metrics['two/AP'] == metrics['two/AR'] == 0
    assert metrics['one/PCK@0.1'] == metrics['one/found'] == 1
    assert metrics['two/PCK@0.1'] < 0.05


def test_metainfo_of_a_class(tmp_path):
    """As MMPose has it, for its own data sets."""
    ann_file = write_people(tmp_path, [1])
    evaluator = EVALUATORS.build(
        dict(
            type='MultiDatasetEvaluator',
            metrics=[
                metric_config(ann_file, prefix='a'),
                metric_config(ann_file, prefix='b')
            ],
            datasets=[dict(type='CocoDataset'),
                      dict(type='CrowdPoseDataset')]))
    assert list(evaluator.metrics_dict) == ['coco', 'crowdpose']
    metric = evaluator.metrics_dict['crowdpose']
    assert metric.dataset_meta['num_keypoints'] == 14
    np.testing.assert_allclose(metric.dataset_meta['sigmas'][0], 0.079)


def same_prefix(parts):
    parts['two'][1]['prefix'] = 'one'


def same_name(parts):
    parts['two'][0]['dataset']['metainfo'] = name_metainfo('one')


@pytest.mark.parametrize('change, message', [
    (same_prefix, r"prefixes of `metrics` are \['one', 'one'\]"),
    (same_name, "two `datasets` has the `dataset_name` 'one'"),
])
def test_data_sets_that_cannot_be_told_apart(parts, change, message):
    change(parts)
    _, evaluator = combine(parts, 'CombinedDataset')
    with pytest.raises(
            ValueError, match=f'MultiDatasetEvaluator: .*{message}'):
        EVALUATORS.build(evaluator)


def test_a_metric_for_each_data_set(parts, tmp_path):
    dataset, evaluator = combine(parts, 'CombinedDataset')
    evaluator['metrics'].pop()
    with pytest.raises(ValueError, match='1 `metrics` for 2 `datasets`'):
        EVALUATORS.build(evaluator)
    evaluator['datasets'] = evaluator['datasets'][:1]
    with pytest.raises(ValueError, match='two must be both among'):
        make_runner(tmp_path, dataset, evaluator).test()


def test_samples_without_the_name_of_their_data_set(parts, tmp_path):
    keys = ('id', 'img_id', 'ori_shape', 'raw_ann_info')
    runner = make_runner(tmp_path, *combine(parts, 'CombinedDataset', keys))
    with pytest.raises(ValueError, match="'dataset_name' to meta_keys"):
        runner.test()
