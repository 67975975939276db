"""Trainings that are compared: their configs, how they are run and read."""
import json
from argparse import Namespace

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from benchmarks import compare_attention, compare_training
from benchmarks.lib import trainings
from benchmarks.lib.charts import draw_curves
from benchmarks.lib.trainings import Training, train_all
from projects.grouppose.model.decoder_layer import SCHEMES
from projects.grouppose.synthetic import draw_dataset

pytestmark = pytest.mark.usefixtures('unformatted_configs')


@pytest.fixture
def out(tmp_path):
    draw_dataset(tmp_path / 'data', 8, 2, long_side=128, num_workers=1)
    return tmp_path


def run_briefly(training):
    """Train two iterations and evaluate, in this process."""
    cfg = training.config
    cfg.update(work_dir=str(training.folder), load_from=None, custom_hooks=[])
    cfg.train_dataloader.batch_size = 4
    if 'by_epoch' in cfg.train_cfg:
        cfg.train_dataloader.num_batch_per_epoch = 2
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 2
    parameters = sum(x.numel() for x in runner.model.parameters())
    assert training.count_parameters() == parameters
    return runner.val()


@pytest.mark.parametrize('name', compare_training.METHODS)
def test_every_method_trains_and_evaluates(name, out):
    if name == 'ViTPose':
        pytest.importorskip(
            'mmpretrain.models', reason='ViTPose needs mmpretrain')
    training = compare_training.describe_training(name, out, epochs=1)
    metrics = run_briefly(training)
    # Of nothing found, mmdet's metric says nothing.
    assert name == 'RTMDet' or 0 <= metrics['coco/AP'] <= 1


def test_all_methods_have_the_same_budget(tmp_path):
    for name in compare_training.METHODS:
        training = compare_training.describe_training(name, tmp_path, 10)
        config = training.config
        assert config.train_cfg.max_epochs == 10
        assert config.param_scheduler[1].end == 10
        dataset = config.train_dataloader.dataset
        dataset = dataset.get('dataset', dataset)
        assert dataset.data_root == f'{tmp_path}/data/'
        assert dataset.ann_file == 'annotations/person_keypoints_train.json'
        assert config.val_evaluator.ann_file == config.test_evaluator.ann_file
        for hook in config.custom_hooks:  # of RTMO: the second half
            assert list(hook.get('epoch_attributes', {5: None})) == [5]
        assert training.checkpoint == training.folder / 'epoch_10.pth'


def test_schemes_differ_in_nothing_else(out):
    args = Namespace(
        out=out,
        schemes=list(SCHEMES),
        seeds=[3, 4],
        iterations=2,
        start_epochs=3)
    assert compare_attention.describe_start(
        args).config.param_scheduler[1].end == 3
    described = compare_attention.describe_schemes(args, out / 'start.pth')
    assert len(described) == 2 * len(SCHEMES)
    texts = set()
    for training in described:
        config = training.config.copy()
        assert config.load_from == f'{out}/start.pth'
        layer = config.model.head.decoder.layer_cfg
        assert layer.pop('self_attention') == training.name
        assert config.pop('randomness') == dict(seed=training.seed)
        texts.add(json.dumps(config.to_dict()))
    assert len(texts) == 1
    metrics = run_briefly(described[0])
    assert {'coco/AP', 'without_duplicates/AP'} <= set(metrics)
    # Metrics are logged by iteration, not by epoch, for the curves.
    assert not described[0].config.default_hooks.logger.log_metric_by_epoch


def make_training(folder, **train_cfg):
    config = Config(
        dict(
            train_cfg=train_cfg or dict(max_epochs=2),
            default_hooks=dict(checkpoint=dict(save_best='coco/AP'))))
    return Training('method', config, folder)


def finish(training):
    training.folder.mkdir(parents=True, exist_ok=True)
    training.checkpoint.touch()
    mark = training.folder / 'last_checkpoint'
    mark.write_text(str(training.checkpoint))


def test_what_is_finished_is_not_done_again(tmp_path, monkeypatch, capsys):
    calls = []

    def run_tool(tool, arguments, log, threads):
        calls.append([str(argument) for argument in arguments])
        if 'bad' in str(log):
            raise RuntimeError('no luck')
        finish(by_folder[log.parent])

    monkeypatch.setattr(trainings, 'run_tool', run_tool)
    described = [
        make_training(tmp_path / 'done'),
        make_training(tmp_path / 'cut'),
        make_training(tmp_path / 'bad', by_epoch=False, max_iters=4),
    ]
    by_folder = {training.folder: training for training in described}
    finish(described[0])
    described[1].folder.mkdir()
    (described[1].folder / 'last_checkpoint').write_text('epoch_1.pth')

    assert train_all(described, 2) == {tmp_path / 'bad': 'no luck'}
    assert len(calls) == 2
    resumed = {'--resume' in call for call in calls if 'cut' in call[0]}
    begun = {'--resume' in call for call in calls if 'bad' in call[0]}
    assert (resumed, begun) == ({True}, {False})
    assert train_all(described[:2], 1) == {} and len(calls) == 2
    assert 'method, seed 0: no luck' in capsys.readouterr().out
    other = make_training(tmp_path / 'done', max_epochs=3)
    with pytest.raises(ValueError, match='another training is in this folder'):
        train_all([other], 1)


def write_log(folder, run, *rows):
    log = folder / run / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('\n'.join(map(json.dumps, rows)))


def test_curve_of_a_resumed_run(tmp_path):
    write_log(tmp_path, 'first', dict(loss=3, step=10), dict(AP=0.1, step=1),
              dict(AP=0.2, step=2))
    write_log(tmp_path, 'second', dict(AP=0.3, step=2))
    assert make_training(tmp_path).curve('AP') == [(1, 0.1), (2, 0.3)]


def test_training_without_its_last_evaluation(tmp_path):
    training = make_training(tmp_path / 'a', by_epoch=False, max_iters=4)
    write_log(training.folder, 'time', {'coco/AP': 0.1, 'step': 2})
    find = compare_attention.find_failure
    assert find(training, {}, 2) is None
    assert 'cut in its last evaluation: remove' in find(training, {}, 4)
    assert find(training, {training.folder: 'bad'}, 4) == 'bad'


def test_rows_of_a_comparison(tmp_path, monkeypatch):
    """True boxes first, then those of the detector, or why there are none."""
    described = compare_training.describe_training('RTMPose', tmp_path, 1)
    described.write_config()
    described.checkpoint.touch()
    given = []

    def measure_accuracy(method, data, folder, boxes, device):
        given.append((method.checkpoint, boxes))
        sources = ('true', 'given file') if boxes else ('true', )
        return [
            dict(method=method.name, boxes=x, metrics=dict(AP=0.5))
            for x in sources
        ]

    monkeypatch.setattr(compare_training, 'measure_accuracy', measure_accuracy)
    rows = compare_training.measure(described, tmp_path, tmp_path / 'b.json')
    assert [row['boxes'] for row in rows] == ['true', 'of the detector']
    assert given == [(str(described.checkpoint), tmp_path / 'b.json')]
    assert all(row['AP'] == 0.5 and row['parameters'] > 1e6 for row in rows)
    rows = compare_training.measure(described, tmp_path, None)
    assert rows[1]['failed'] == 'the detector found nobody'


def test_curves_are_drawn(tmp_path):
    path = tmp_path / 'curves.png'
    draw_curves(
        dict(one=[[(1, 0.1), (2, 0.2)]], two=[[(1, 0.1)], [(1, 0.3)]]),
        'epoch', 'AP', path)
    assert path.stat().st_size > 5000
