"""What FitCheckHook warns of and refuses before a run."""
import json
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS
from PIL import Image

from projects.grouppose.codec import OKSKeypointCodec
from projects.grouppose.engine.fit_check_hook import (FitCheckHook,
                                                      check_evaluators)
from projects.grouppose.inference import load_model
from tests.helpers.bad_cases import make_checkpoint

pytestmark = pytest.mark.usefixtures('unformatted_configs')


@pytest.fixture
def warned(monkeypatch) -> list:
    """What the hook warns of."""
    lines = []
    monkeypatch.setattr('projects.grouppose.engine.fit_check_hook.print_log',
                        lambda message, *_: lines.append(message))
    return lines


def write_crowds(folder, counts) -> dict:
    """Images with so many people, and the config that reads them."""
    people = [image for image, n in enumerate(counts) for _ in range(n)]
    content = dict(
        images=[
            dict(id=i, file_name=f'{i}.png', width=9, height=9)
            for i in range(len(counts))
        ],
        annotations=[
            dict(
                id=i,
                image_id=image,
                category_id=1,
                bbox=[0, 0, 5, 5],
                area=9,
                keypoints=[1, 1, 2] * 17) for i, image in enumerate(people)
        ],
        categories=[dict(id=1, name='person')])
    path = folder / 'crowds.json'
    path.write_text(json.dumps(content))
    return dict(
        type='PoseImageDataset',
        dataset=dict(
            type='CocoDataset', data_mode='bottomup', ann_file=str(path)))


def make_runner(dataset, num_queries):
    """What the hook needs of a runner before training."""
    head = SimpleNamespace(num_queries=num_queries)
    return SimpleNamespace(
        model=SimpleNamespace(module=SimpleNamespace(head=head)),
        train_dataloader=SimpleNamespace(dataset=DATASETS.build(dataset)),
        val_loop=None)


def wrap(dataset, kind) -> dict:
    if kind == 'RepeatDataset':
        return dict(type=kind, dataset=dataset, times=2)
    options = dict(type=kind, datasets=[dataset])
    if kind == 'CombinedDataset':
        options.update(
            metainfo=dict(from_file='configs/_base_/datasets/coco.py'))
    return options


@pytest.mark.parametrize(
    'kind', [None, 'ConcatDataset', 'CombinedDataset', 'RepeatDataset'])
def test_more_people_than_queries(tmp_path, warned, kind):
    dataset = write_crowds(tmp_path, [3, 5, 4, 1])
    if kind:
        dataset = wrap(dataset, kind)
    FitCheckHook().before_train(make_runner(dataset, 5))
    assert not warned
    FitCheckHook().before_train(make_runner(dataset, 3))
    assert warned == [
        f'{tmp_path}/crowds.json: 2 images show more people than the 3 '
        'queries of the model, up to 5. Of each, it learns no more than 3. '
        'Raise num_queries of model.head, and max_per_img of its '
        'data_decoder.'
    ]


def test_people_of_other_data_sets_are_not_known(tmp_path, warned):
    dataset = write_crowds(tmp_path, [3])['dataset']
    FitCheckHook().before_train(make_runner(dataset, 2))
    assert not warned


def describe(name: str) -> dict:
    return parse_pose_metainfo(
        dict(from_file=f'configs/_base_/datasets/{name}.py'))


def make_model(name: str) -> SimpleNamespace:
    metainfo = dict(from_file=f'configs/_base_/datasets/{name}.py')
    return SimpleNamespace(
        head=SimpleNamespace(codec=OKSKeypointCodec(metainfo)))


FACE = [(i, i) for i in range(5)]
COCO_TO_AIC = [(6, 0), (8, 1), (10, 2), (5, 3), (7, 4), (9, 5), (12, 6),
               (14, 7), (16, 8), (11, 9), (13, 10), (15, 11)]


def converter(num_keypoints, mapping) -> dict:
    return dict(num_keypoints=num_keypoints, mapping=mapping)


@pytest.mark.parametrize('model, data, metric, problem', [
    ('coco', 'coco', dict(), None),
    ('coco', 'aic', dict(),
     'predicts 17 keypoints, but `metainfo` of the data set describes 14.'),
    ('coco', 'aic', dict(pred_converter=converter(14, COCO_TO_AIC)), None),
    ('coco', 'aic',
     dict(
         pred_converter=converter(12, COCO_TO_AIC),
         gt_converter=converter(12, [(i, i) for i in range(12)])), None),
    ('coco', 'aic', dict(pred_converter=converter(12, COCO_TO_AIC)),
     r'predicts 12 keypoints \(after `pred_converter`\), .* describes 14'),
    ('aic', 'coco', dict(gt_converter=converter(14, COCO_TO_AIC)), None),
    ('aic', 'coco', dict(gt_converter=converter(12, COCO_TO_AIC)),
     'predicts 14 .* describes 12'),
    ('aic', 'coco', dict(pred_converter=converter(17, [(14, 0)])),
     r'`pred_converter` .* maps the keypoints \[14\], but .* 0 to 13'),
    ('coco', 'aic', dict(pred_converter=converter(14, [((5, 6), 13)])),
     r'maps the keypoints \[\(5, 6\)\]'),
])
def test_keypoints_of_evaluators(tmp_path, model, data, metric, problem):
    write_crowds(tmp_path, [1])
    metric = dict(
        metric, type='CocoMetric', ann_file=f'{tmp_path}/crowds.json')
    dump = dict(type='DumpResults', out_file_path='none.pkl')
    evaluator = Evaluator([metric, dump])
    evaluator.dataset_meta = describe(data)
    if problem is None:
        check_evaluators(make_model(model), evaluator)
        return
    with pytest.raises(ValueError, match=problem):
        check_evaluators(make_model(model), evaluator)
    loop = SimpleNamespace(evaluator=evaluator)
    runner = SimpleNamespace(
        model=make_model(model), val_loop=loop, test_loop=loop)
    for hook in (FitCheckHook.before_val, FitCheckHook.before_test):
        with pytest.raises(ValueError, match=problem):
            hook(FitCheckHook(), runner)


def use_aic(cfg, folder) -> None:
    """Evaluate a model of COCO's keypoints on images of AI Challenger."""
    dataset = write_crowds(folder, [1])
    path = folder / 'aic.json'
    content = json.loads((folder / 'crowds.json').read_text())
    content['annotations'][0].update(
        keypoints=np.arange(42).tolist(), bbox=[0, 0, 60, 60], area=900)
    content['images'][0].update(width=64, height=64)
    path.write_text(json.dumps(content))
    Image.new('RGB', (64, 64)).save(folder / '0.png')
    dataset['dataset'].update(
        type='AicDataset',
        ann_file=str(path),
        data_prefix=dict(img=str(folder)),
        test_mode=True)
    cfg.test_dataloader.dataset = dict(
        dataset,
        pipeline=cfg.test_dataloader.dataset.pipeline,
        metainfo=dict(from_file='configs/_base_/datasets/aic.py'))
    cfg.test_evaluator.update(
        ann_file=str(path), pred_converter=converter(14, COCO_TO_AIC))
    cfg.test_evaluator.outfile_prefix = str(folder / 'results')


def test_evaluation_on_other_keypoints(drawn_config, tmp_path):
    cfg = Config.fromfile(drawn_config)
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = tmp_path.name
    use_aic(cfg, tmp_path)
    runner = Runner.from_cfg(cfg)
    metrics = runner.test()
    assert 0 <= metrics['coco/AP'] <= 1
    results = json.loads((tmp_path / 'results.keypoints.json').read_text())
    sample = runner.model.test_step(next(iter(runner.test_dataloader)))[0]
    predicted = sample.pred_instances.keypoints[0]
    written = np.reshape(results[0]['keypoints'], (14, 3))
    np.testing.assert_allclose(written[:12, :2],
                               predicted[[pair[0] for pair in COCO_TO_AIC]])


def test_inference_describes_what_is_predicted(drawn_config, tmp_path):
    """Not what the data set of the evaluation has."""
    cfg = Config.fromfile(drawn_config)
    path = make_checkpoint(drawn_config, tmp_path / 'weights.pth')
    use_aic(cfg, tmp_path)
    cfg.dump(tmp_path / 'aic.py')
    model = load_model(str(tmp_path / 'aic.py'), str(path), 'cpu')
    assert model.dataset_meta['dataset_name'] == 'coco'
    del cfg.test_evaluator['pred_converter']
    cfg.dump(tmp_path / 'aic.py')
    with pytest.raises(
            ValueError, match='predicts 17 keypoints, .* describes 14'):
        load_model(str(tmp_path / 'aic.py'), str(path), 'cpu')
