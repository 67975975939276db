"""Every config in the project builds what it says."""
from glob import glob

import pytest
from conftest import R50_CONFIG
from mmengine.config import Config
from mmpose.registry import MODELS

CONFIGS = sorted(glob('configs/body_2d_keypoint/**/*.py', recursive=True))


@pytest.mark.parametrize('path', CONFIGS)
def test_config_is_consistent(path):
    cfg = Config.fromfile(path)
    model = MODELS.build(cfg.model)
    codec = model.head.codec
    pipeline = cfg.train_dataloader.dataset.pipeline
    encoder, = [t.encoder for t in pipeline if t.type == 'GenerateTarget']
    assert encoder == dict(type='OKSKeypointCodec')
    assert codec.num_keypoints == 17
    assert cfg.optim_wrapper.clip_grad.max_norm > 0
    for name in ('val', 'test'):
        dataset = cfg[f'{name}_dataloader'].dataset.dataset
        assert dataset.test_mode
        metric = cfg[f'{name}_evaluator']
        assert metric.ann_file == dataset.data_root + dataset.ann_file
        assert metric.score_mode == 'bbox' and metric.nms_mode == 'none'
        pipeline = cfg[f'{name}_dataloader'].dataset.pipeline
        pack, = [t for t in pipeline if t.type == 'PackPoseInputs']
        assert 'category_id' not in pack.meta_keys


def test_published_recipe():
    cfg = Config.fromfile(R50_CONFIG)
    model = MODELS.build(cfg.model)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == 49_095_996  # of the official program
    assert cfg.optim_wrapper.optimizer == dict(
        type='AdamW', lr=1e-4, weight_decay=1e-4)
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult == 0.1
    assert cfg.optim_wrapper.clip_grad.max_norm == 0.1
    assert cfg.train_cfg.max_epochs == 60
    assert cfg.param_scheduler[0].milestones == [50]
    assert cfg.train_dataloader.batch_size == 2
    assert cfg.auto_scale_lr.base_batch_size == 16
