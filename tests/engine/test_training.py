"""Training, evaluation and what a run leaves behind, from the command line."""
import copy
import json
import time

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from tests.helpers.models import R50_CONFIG, build_small_model
from tests.helpers.tool_runs import kill_tool, run_tool, start_tool

# Options of the published config.
WORKERS = ('train_dataloader.num_workers=2',
           'train_dataloader.persistent_workers=True')


@pytest.fixture(scope='module')
def trained(drawn_config, tmp_path_factory):
    """Work dir of a run over 3 epochs of 3 iterations."""
    work_dir = tmp_path_factory.mktemp('trained')
    code, _, stderr = run_tool('train.py', drawn_config, '--work-dir',
                               work_dir)
    assert code == 0, stderr
    return work_dir


@pytest.fixture(scope='module')
def tested(drawn_config, trained, tmp_path_factory):
    """Metrics and detections of the last checkpoint."""
    folder = tmp_path_factory.mktemp('tested')
    code, _, stderr = run_tool('test.py', drawn_config,
                               trained / 'epoch_3.pth', '--work-dir', folder,
                               '--out', folder / 'metrics.json',
                               '--cfg-options',
                               f'test_evaluator.outfile_prefix={folder}/test')
    assert code == 0, stderr
    return [
        json.loads((folder / name).read_text())
        for name in ('metrics.json', 'test.keypoints.json')
    ]


def test_weights_of_another_model_are_refused(drawn_config, tmp_path):
    wrong = tmp_path / 'wrong.pth'
    torch.save(dict(state_dict=dict(some=torch.zeros(2))), wrong)
    code, _, stderr = run_tool('test.py', drawn_config, wrong, '--work-dir',
                               tmp_path)
    assert code == 2
    assert f'{wrong} does not fit' in stderr


def read_log(work_dir):
    """Training and validation rows of the log of the last run."""
    log = sorted(work_dir.glob('*/vis_data/scalars.json'))[-1]
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    training = [row for row in rows if 'loss' in row]
    return training, [row for row in rows if 'coco/AP' in row]


def test_log(trained):
    training, validation = read_log(trained)
    terms = {
        f'{prefix}loss_{term}'
        for prefix in ('d0.', '', 'enc.')
        for term in ('cls', 'kpt', 'oks')
    }
    assert [row['step'] for row in training] == list(range(1, 10))
    for row in training:
        assert {key for key in row if '_' in key and 'loss_' in key} == terms
        assert row['loss'] == pytest.approx(sum(row[key] for key in terms))
        assert 0 <= row['matched_oks'] <= 1
    assert training[-1]['loss'] < training[0]['loss']
    assert [row['step'] for row in validation] == [1, 2, 3]


def test_metrics_are_those_of_training(trained, tested):
    _, validation = read_log(trained)
    metrics, _ = tested
    for name in ('coco/AP', 'coco/AR'):
        assert metrics[name] == validation[-1][name]


def test_detections(drawn_config, tested):
    """All images get some, those where nobody is annotated, too."""
    _, detections = tested
    assert {entry['image_id'] for entry in detections} == {1, 2, 3, 4}
    for entry in detections:
        assert entry['category_id'] == 1
        assert len(entry['keypoints']) == 51
        assert 0 < entry['score'] < 1
        assert set(entry['keypoints'][2::3]) == {entry['score']}
    for image_id in range(1, 5):
        scores = [
            entry['score'] for entry in detections
            if entry['image_id'] == image_id
        ]
        assert scores == sorted(scores, reverse=True)


def read_weights(work_dir):
    """Weights at the end of a run."""
    return torch.load(
        work_dir / 'epoch_3.pth', map_location='cpu')['state_dict']


def test_resume_after_a_kill(drawn_config, trained, tmp_path):
    """Weights come out bit-identical to those of the unbroken run, which
    loads its images without worker processes."""
    process = start_tool('train.py', drawn_config, '--work-dir', tmp_path,
                         '--cfg-options', *WORKERS)
    try:
        # It is written after the checkpoint that it names.
        mark = tmp_path / 'last_checkpoint'
        while not (mark.exists() and mark.read_text()):
            assert process.poll() is None, 'training ended early'
            time.sleep(0.01)
    finally:
        kill_tool(process)
    assert not (tmp_path / 'epoch_3.pth').exists(), 'killed too late'

    code, _, stderr = run_tool('train.py', drawn_config, '--resume',
                               '--work-dir', tmp_path, '--cfg-options',
                               *WORKERS)
    assert code == 0, stderr
    training, _ = read_log(tmp_path)
    assert training[0]['step'] in (4, 7)
    torch.testing.assert_close(
        read_weights(tmp_path), read_weights(trained), rtol=0, atol=0)


def test_resume_without_a_fixed_seed(drawn_config, tmp_path):
    """The checkpoint says which seed the run had."""
    for name in ('unbroken', 'resumed'):
        cfg = Config.fromfile(drawn_config)
        cfg.work_dir = str(tmp_path / name)
        cfg.experiment_name = f'{tmp_path.name}_{name}'
        cfg.randomness = dict(seed=None)
        cfg.train_dataloader.num_workers = 2
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.default_hooks.checkpoint.save_best = None
        if name == 'resumed':
            cfg.resume = True
            cfg.load_from = str(tmp_path / 'unbroken/epoch_1.pth')
        runner = Runner.from_cfg(cfg)
        runner.train()
        assert runner.iter == 9
    assert not (tmp_path / 'resumed/epoch_1.pth').exists()
    torch.testing.assert_close(
        read_weights(tmp_path / 'resumed'),
        read_weights(tmp_path / 'unbroken'),
        rtol=0,
        atol=0)


def test_show_predictions(drawn_config, trained, tmp_path):
    picture = tmp_path / 'poses.png'
    code, stdout, stderr = run_tool('analysis_tools/show_predictions.py',
                                    drawn_config, trained / 'epoch_3.pth',
                                    picture, '--score-thr', '0', '--height',
                                    '64')
    assert code == 0, stderr
    assert 'poses.png written' in stdout
    # Of the images where somebody is annotated, one below the other.
    truth, predicted = np.split(cv2.imread(str(picture)), 2, axis=1)
    assert len(truth) == 2 * (64 + 8)
    assert (truth != predicted).any()

    code, stdout, stderr = run_tool('analysis_tools/show_predictions.py',
                                    drawn_config, trained / 'epoch_3.pth',
                                    picture, '--height', '64', '--every', '2',
                                    '--columns', '3', '--blank')
    assert code == 0, stderr
    # The first of the images, on gray, and room for two more.
    row = cv2.imread(str(picture))
    assert len(row) == 64 + 8
    pair, empty = np.split(row, [row.shape[1] // 3], axis=1)
    assert (empty == 255).all()
    colors, counts = np.unique(
        pair[:64, :-8].reshape(-1, 3), axis=0, return_counts=True)
    assert colors[counts.argmax()].tolist() == [128, 128, 128]


def test_poses_are_in_the_frame_of_the_original_image(tmp_path):
    """The pipeline of the R50 config and back, landscape next to portrait."""
    sizes = np.array([(97, 64), (64, 97), (300, 45)])
    images = []
    for i, (width, height) in enumerate(sizes.tolist()):
        image = np.random.randint(0, 256, (height, width, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f'{i}.png'), image)
        images.append(
            dict(id=i, file_name=f'{i}.png', width=width, height=height))
    (tmp_path / 'ann.json').write_text(
        json.dumps(dict(images=images, annotations=[], categories=[])))
    loader = Config.fromfile(R50_CONFIG).test_dataloader
    loader.update(num_workers=0, persistent_workers=False)
    loader.dataset.dataset.update(
        data_root=str(tmp_path), ann_file='ann.json', data_prefix=dict(img=''))

    model = build_small_model(17).eval()
    samples, expected = [], []
    with torch.no_grad():
        for batch in Runner.build_dataloader(loader):
            data = model.data_preprocessor(copy.deepcopy(batch))
            outputs = model.head(
                model.extract_feat(data['inputs']),
                data['data_samples'])['last']
            for logits, keypoints in zip(outputs['logits'],
                                         outputs['keypoints']):
                expected.append(
                    keypoints[logits[:, 1].argsort(descending=True)].numpy())
            samples += model.test_step(batch)

    assert [sample.img_id for sample in samples] == list(range(len(sizes)))
    for sample, normalized, size in zip(samples, expected, sizes):
        poses = sample.pred_instances.keypoints
        np.testing.assert_allclose(poses, normalized * size, rtol=0, atol=1e-3)


def test_missing_annotation_file(drawn_config, tmp_path):
    code, _, stderr = run_tool(
        'train.py', drawn_config, '--work-dir', tmp_path, '--cfg-options',
        'train_dataloader.dataset.dataset.ann_file=none.json')
    assert code == 1
    last = stderr.strip().splitlines()[-1]
    assert last.startswith('FileNotFoundError: ')
    assert 'none.json: annotation file not found. Check `data_root`' in last


@pytest.mark.parametrize('num_workers', [0, 1])
def test_missing_image(drawn_config, tmp_path, num_workers):
    code, _, stderr = run_tool(
        'train.py', drawn_config, '--work-dir', tmp_path, '--cfg-options',
        'train_dataloader.dataset.dataset.data_prefix.img=none/',
        f'train_dataloader.num_workers={num_workers}')
    assert code == 1
    last = stderr.strip().splitlines()[-1]
    assert last.startswith('FileNotFoundError: ')
    assert '.jpg: image not found. Check `data_root` and' in last
