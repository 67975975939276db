"""What training offers beside the published recipe: accumulation, averaged
weights, gradient checkpointing, frozen stages, early stopping, pictures."""
import sys
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmpose.registry import MODELS

from tests.helpers.models import (CONFIG_DIR, R50_CONFIG, build_small_model,
                                  compute_losses, make_batch, small_config)
from tests.helpers.tool_runs import TOOLS, load_tool

STAGE2 = 'coco/grouppose_tiny-res18_1xb4-250e_coco-16-images-stage2.py'
EMA = dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.1, gamma=5)


@pytest.fixture
def tool(monkeypatch):
    """tools/train.py as a module."""
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.delitem(sys.modules, 'launch', raising=False)
    return load_tool('train')


@pytest.fixture
def train(drawn_config):
    """Train the tiny model on drawn images; answer with the runner."""

    def call(work_dir, hooks, options=None, watch=None):
        cfg = Config.fromfile(drawn_config)
        cfg.merge_from_dict(options or {})
        cfg.work_dir = str(work_dir)
        # MMEngine keeps one of a name in a process.
        cfg.experiment_name = cfg.visualizer.name = str(work_dir)
        cfg.custom_hooks = [dict(type='EpochSeedHook'), *hooks]
        runner = Runner.from_cfg(cfg)
        if watch is not None:
            runner.register_hook(watch)
        runner.train()
        return runner

    return call


def gradients(model, batch):
    """Gradient of every trained parameter after a training step."""
    model.train().zero_grad()
    compute_losses(model, batch)[0].backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def update(model, batches):
    """Change of all weights by one update from one or more batches."""
    before = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    wrapper = OptimWrapper(
        torch.optim.SGD(model.parameters(), lr=1.0),
        accumulative_counts=len(batches),
        clip_grad=dict(max_norm=0.1))
    for batch in batches:
        wrapper.update_params(compute_losses(model, batch)[0])
    after = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    torch.nn.utils.vector_to_parameters(before, model.parameters())
    return after - before


@pytest.mark.parametrize('people, equal', [([2, 1, 1, 2], True),
                                           ([3, 1, 1, 1], False)])
def test_accumulation_is_a_larger_batch(people, equal):
    """If the batches hold as many people; else they weigh the same."""
    model = build_small_model().train()
    batch = make_batch(4 * [(64, 96)], people)
    halves = [{
        key: value[i:i + 2]
        for key, value in batch.items()
    } for i in (0, 2)]
    whole, accumulated = update(model, [batch]), update(model, halves)
    assert whole.norm().item() == pytest.approx(0.1, rel=1e-4)
    assert ((whole - accumulated).norm() < 1e-3 * whole.norm()) == equal


@pytest.mark.parametrize('counts, rate', [(1, 1.5e-4), (8, 1.2e-3)])
def test_scaled_learning_rate_counts_accumulated_batches(
        drawn_config, tmp_path, counts, rate):
    """3e-4 for 8 images; here, batches of 4."""
    cfg = Config.fromfile(drawn_config)
    cfg.work_dir = str(tmp_path)
    cfg.optim_wrapper.accumulative_counts = counts
    cfg.auto_scale_lr.enable = True
    cfg.experiment_name = str(tmp_path)
    runner = Runner.from_cfg(cfg)
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.scale_lr(wrapper, runner.auto_scale_lr)
    # Of a part with lr_mult=1.
    assert wrapper.get_lr()['lr'][-1] == pytest.approx(rate)


def test_recipe_for_one_gpu():
    """As many images an update as in the published recipe."""
    published, single = [
        Config.fromfile(path)
        for path in (R50_CONFIG, R50_CONFIG.replace('8xb2', '1xb2-accum8'))
    ]
    counts = single.optim_wrapper.pop('accumulative_counts')
    images = counts * single.train_dataloader.batch_size
    assert images == published.auto_scale_lr.base_batch_size == 16
    assert single.optim_wrapper == published.optim_wrapper
    assert single.model.head.encoder.layer_cfg.pop('with_cp')
    assert single.model == published.model


class WeightsInValidation(Hook):
    """Remembers a weight at the last iteration of each validation."""

    def __init__(self):
        self.seen = []

    def after_val_iter(self, runner, **_):
        self.weight = runner.model.head.level_embed.detach().clone()

    def after_val_epoch(self, runner, metrics=None):
        self.seen.append(self.weight)


def read(work_dir, epoch):
    return torch.load(work_dir / f'epoch_{epoch}.pth', map_location='cpu')


def test_averaged_weights(train, tmp_path):
    """They are evaluated, saved, and resumed to the same numbers."""
    weights = WeightsInValidation()
    two_epochs = {'train_cfg.max_epochs': 2}
    train(tmp_path / 'whole', [EMA], two_epochs, watch=weights)
    whole = read(tmp_path / 'whole', 2)
    averaged = whole['state_dict']['head.level_embed']
    trained = whole['ema_state_dict']['module.head.level_embed']
    assert not torch.equal(averaged, trained)
    assert torch.equal(weights.seen[-1], averaged)

    first = str(tmp_path / 'whole' / 'epoch_1.pth')
    train(tmp_path / 'resumed', [EMA],
          dict(two_epochs, resume=True, load_from=first))
    resumed = read(tmp_path / 'resumed', 2)
    for field in ('state_dict', 'ema_state_dict'):
        torch.testing.assert_close(
            resumed[field], whole[field], rtol=0, atol=0)


def test_early_stopping_and_pictures(train, tmp_path):
    """Without a gain of 1 in AP, the second validation is the last."""
    hooks = [
        dict(
            type='EarlyStoppingHook',
            monitor='coco/AP',
            rule='greater',
            min_delta=1.0,
            patience=1),
        dict(type='ValidationPicturesHook', num_images=3, score_thr=0.0)
    ]
    runner = train(tmp_path, hooks)
    assert runner.epoch == 2
    folder, = tmp_path.glob('*/vis_data/vis_image')
    pictures = [
        cv2.imread(str(folder / f'val_poses_{epoch}.png')) for epoch in (1, 2)
    ]
    # Two of the four images show annotated people.
    assert all(len(picture) == 2 * (256 + 8) for picture in pictures)
    differs = (pictures[0] != pictures[1]).any(axis=(0, 2))
    half = len(differs) // 2
    assert differs[half:].any() and not differs[:half // 2].any()


@pytest.mark.parametrize('part, layers', [('encoder', 1), ('decoder', 3)])
def test_gradient_checkpointing_of_the_head(part, layers):
    """Same gradients, and every layer runs twice."""
    batch = make_batch([(64, 96), (96, 64)], [2, 1])
    model = build_small_model()
    expected = gradients(model, batch)
    calls = []
    for layer in model.head.get_submodule(part).layers:
        layer.with_cp = True
        called = 'self_attn' if part == 'encoder' else 'linear1'
        getattr(layer,
                called).register_forward_hook(lambda *_: calls.append(1))
    torch.testing.assert_close(
        gradients(model, batch), expected, rtol=0, atol=1e-6)
    assert len(calls) == 2 * layers
    with torch.no_grad():
        compute_losses(model, batch)
    assert len(calls) == 3 * layers


def test_gradient_checkpointing_is_an_option_of_the_config():
    head = build_small_model(
        encoder=dict(layer_cfg=dict(with_cp=True)),
        decoder=dict(layer_cfg=dict(with_cp=True))).head
    layers = [*head.encoder.layers, *head.decoder.layers]
    assert all(layer.with_cp for layer in layers)


@pytest.mark.parametrize('backbone', [
    dict(type='ResNet', depth=18, base_channels=8, stem_channels=8),
    dict(
        type='mmdet.SwinTransformer',
        embed_dims=8,
        depths=(1, 1, 1, 1),
        num_heads=(1, 1, 1, 1),
        drop_path_rate=0.0),
])
def test_gradient_checkpointing_of_the_backbone(backbone):
    plain = MODELS.build(backbone)
    saving = MODELS.build(dict(backbone, with_cp=True))
    saving.load_state_dict(plain.state_dict())
    image = torch.rand(1, 3, 64, 64)
    grads = []
    for model in (plain, saving):
        model.train()
        model(image)[-1].square().sum().backward()
        grads.append(
            [p.grad for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(*grads, rtol=0, atol=1e-6)


@pytest.mark.parametrize('stages', [1, 3])
def test_frozen_stages_get_no_gradient(stages):
    frozen = ['backbone.conv1'
              ] + [f'backbone.layer{i}' for i in range(1, stages + 1)]
    config = small_config()
    config.backbone.frozen_stages = stages
    model = MODELS.build(config)
    model.init_weights()
    buffers = {k: v.clone() for k, v in model.named_buffers()}
    trained = gradients(model, make_batch([(64, 96)], [2]))
    assert not any(name.startswith(tuple(frozen)) for name in trained)
    assert any(
        name.startswith(f'backbone.layer{stages + 1}') for name in trained)
    # Frozen normalization has no statistics to update.
    torch.testing.assert_close(
        dict(model.named_buffers()), buffers, rtol=0, atol=0)


@pytest.mark.parametrize('arguments, message', [
    ([], 'load_from: no such file: work_dirs/'),
    (['--cfg-options', 'load_from'
      ], "--cfg-options: expected KEY=VALUE, got 'load_from'"),
    (['--cfg-options', '=1'], "--cfg-options: expected KEY=VALUE, got '=1'"),
    (['--cfg-options', 'max_epochs.no=1'], '--cfg-options: max_epochs='),
])
def test_wrong_settings_are_one_line(tool, tmp_path, monkeypatch, capsys,
                                     arguments, message):
    """The second stage, which starts from weights only."""
    config = str(Path(CONFIG_DIR + STAGE2).resolve())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        tool.main([config, *arguments])
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
