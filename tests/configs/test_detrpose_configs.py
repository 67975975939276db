"""The configs of DETRPose say what its authors have published."""
import math
import re
from glob import glob
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from tests.helpers.detrpose import DETRPOSE_DIR, SIZES

PATHS = sorted(glob(f'{DETRPOSE_DIR}c*/*-640.py'))
# Parameters of the official models, with two that are constants.
PARAMETERS = dict(
    coco=dict(
        n=(4116691, 1838124, 703824),
        s=(11595395, 1838124, 4021504),
        m=(21096694, 5999930, 7799040),
        l=(33272550, 13507680, 9343232),
        x=(74359398, 33231840, 20700032)),
    crowdpose=dict(
        n=(4102861, 1838124, 703824),
        s=(11579261, 1838124, 4021504),
        m=(21076720, 5999930, 7799040),
        l=(33244896, 13507680, 9343232),
        x=(74329440, 33231840, 20700032)))
# Epochs, the ends of mosaic and of zoom-out, the learning rate of the
# backbone and the parts of the batch of a GPU.
RECIPES = dict(
    coco=dict(
        n=(160, 83, 156, 1e-4, 1),
        s=(100, 53, 96, 1e-4, 1),
        m=(64, 35, 60, 1e-5, 1),
        l=(52, 29, 48, 1e-5, 2),
        x=(52, 29, 48, 5e-5, 1)),
    crowdpose=dict(
        n=(284, 137, 264, 1e-5, 2),
        s=(176, 83, 156, 1e-5, 2),
        m=(76, 41, 72, 1e-5, 2),
        l=(64, 29, 60, 1e-5, 2),
        x=(52, 29, 60, 1e-5, 2)))
REPEATS = dict(s=20, m=6, l=4, x=4)


def read(path):
    """Size, data set and content of a config."""
    size, dataset = re.search(r'hgnetv2-(.)_.*_(\w+)-640', path).groups()
    return size, dataset, Config.fromfile(path)


def test_all_sizes_are_there():
    assert {read(path)[:2]
            for path in PATHS} == {(size, dataset)
                                   for dataset in RECIPES
                                   for size in SIZES}
    assert len(PATHS) == 10


@pytest.mark.parametrize('path', PATHS, ids=lambda path: Path(path).stem)
def test_model_is_the_published_one(path):
    size, dataset, cfg = read(path)
    model = MODELS.build(cfg.model)
    total, backbone, neck = PARAMETERS[dataset][size]

    def count(module):
        return sum(p.numel() for p in module.parameters() if p.requires_grad)

    assert count(model) == total - 2
    assert (count(model.backbone), count(model.neck)) == (backbone, neck)
    for part in ('backbone', 'neck'):
        for key, value in SIZES[size][part].items():
            found = cfg.model[part][key]
            assert value == (
                tuple(found) if isinstance(found, list) else found)
    assert (model.head.num_queries, model.head.codec.max_per_img) == (60, 60)
    assert model.head.decoder.distribution.reg_scale == \
        (8 if size == 'x' else 4)
    assert not any(
        isinstance(module, torch.nn.BatchNorm2d)
        for module in model.backbone.modules())
    arch = cfg.model.backbone.arch.upper()
    assert cfg.model.backbone.init_cfg.checkpoint.endswith(
        f'/dfinev1.0/PPHGNetV2_{arch}_stage1.pth')


@pytest.mark.parametrize('path', PATHS, ids=lambda path: Path(path).stem)
def test_recipe_is_the_published_one(path):
    size, dataset, cfg = read(path)
    epochs, mosaic_end, end, backbone_lr, parts = RECIPES[dataset][size]
    assert cfg.train_cfg.max_epochs == epochs
    hook = cfg.default_hooks.augmentation
    assert hook.mosaic == (5, mosaic_end) and hook.zoom_out == (5, end)
    augments = cfg.model.data_preprocessor.batch_augments
    if size == 'n':
        assert augments is None and 'multi_scale' not in hook
    else:
        assert hook.multi_scale == (0, end)
        sizes = sorted(augments[0].sizes)
        assert sizes == sorted([*range(480, 801, 32)] +
                               (REPEATS[size] - 1) * [640])

    wrapper = cfg.optim_wrapper
    assert wrapper.optimizer.type == 'AdamW'
    assert wrapper.optimizer.lr == wrapper.optimizer.weight_decay == 1e-4
    rates = wrapper.paramwise_cfg.custom_keys
    assert set(rates) == {'backbone'}
    assert math.isclose(1e-4 * rates.backbone.lr_mult, backbone_lr)
    # The official program adds up the gradients of parts of a batch.
    assert wrapper.get('accumulative_counts', 1) == parts
    assert wrapper.clip_grad.max_norm == 0.1 / parts
    assert wrapper.optimizer.get('eps', 1e-8) == 1e-8 / parts
    if (size, dataset) == ('m', 'coco'):
        schedule, = cfg.param_scheduler
        assert schedule == dict(
            type='MultiStepLR', milestones=[15], gamma=0.1, by_epoch=True)
    else:
        assert cfg.param_scheduler is None
    assert cfg.train_dataloader.drop_last and cfg.sync_bn == 'torch'

    pattern = r'_4xb(\d)-(?:accum(\d)-)?(\d+)e_'
    batch, named_parts, named_epochs = re.search(pattern, path).groups()
    assert cfg.train_dataloader.batch_size == int(batch)
    assert int(named_parts or 1) == parts and int(named_epochs) == epochs
    assert 4 * int(batch) * parts == cfg.auto_scale_lr.base_batch_size == 16


@pytest.mark.parametrize('path', PATHS, ids=lambda path: Path(path).stem)
def test_keypoints_are_those_of_the_data_set(path):
    _, dataset, cfg = read(path)
    info = dict(from_file=f'configs/_base_/datasets/{dataset}.py')
    assert cfg.model.head.data_decoder.metainfo == info
    for split in ('train', 'val', 'test'):
        assert cfg[f'{split}_dataloader'].dataset.metainfo == info
    assert cfg.default_hooks.checkpoint.save_best == f'{dataset}/AP'
    assert cfg.val_evaluator == cfg.test_evaluator
    assert cfg.val_dataloader == cfg.test_dataloader
