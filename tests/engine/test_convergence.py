"""A tiny model learns a few images by heart, fast."""
from glob import glob

from mmengine.config import Config

from projects.grouppose.engine import SafeRunner
from projects.grouppose.synthetic import draw_dataset

CONFIG, = glob('configs/*/grouppose/drawn/grouppose-fast_*')
EPOCHS = 80  # of two steps


def test_drawn_images_are_learned(tmp_path, unformatted_configs):
    """The config of the quickstart, smaller, in half a minute of one core."""
    draw_dataset(
        tmp_path, 32, 1, long_side=64, calm=True, people=(1, 1), num_workers=1)
    config = Config.fromfile(CONFIG)
    small_images = [
        dict(step, size=64) if step['type'] == 'PoseFixedResize' else step
        for step in config.val_dataloader.dataset.pipeline
    ]
    loader = dict(
        dataset=dict(
            pipeline=small_images,
            dataset=dict(
                data_root=f'{tmp_path}/',
                ann_file='annotations/person_keypoints_train.json',
                data_prefix=dict(img='train/'))))
    options = {
        'work_dir':
        str(tmp_path / 'work'),
        'train_cfg':
        dict(max_epochs=EPOCHS, val_interval=EPOCHS + 1),
        'param_scheduler.0.end':
        30,
        'param_scheduler.1':
        dict(end=EPOCHS, T_max=EPOCHS),
        'optim_wrapper.optimizer.lr':
        8e-3,
        'default_hooks.checkpoint.interval':
        EPOCHS,
        'model.head':
        dict(num_queries=4, decoder=dict(num_layers=2)),
        'train_dataloader':
        dict(
            batch_size=16,
            dataset=dict(
                pipeline=[
                    dict(step, size=64)
                    if step['type'] == 'PoseFixedResize' else step
                    for step in config.train_dataloader.dataset.pipeline
                    if step['type'] != 'PoseRandomFlip'
                ],
                dataset=dict(data_root=f'{tmp_path}/'))),
        'val_dataloader':
        loader,
        'val_evaluator.ann_file':
        loader['dataset']['dataset']['data_root'] +
        'annotations/person_keypoints_train.json',
    }
    config.merge_from_dict(options)
    runner = SafeRunner.from_cfg(config)
    runner.train()
    metrics = runner.val()
    assert metrics['coco/AP'] >= 0.9
