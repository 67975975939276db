_base_ = 'grouppose_tiny-res18_1xb8-4e_drawn-crowds-128.py'

# A short training by iterations, evaluated every 150, from the weights of a
# training with the config above: see benchmarks/compare_attention.py.

# runtime
max_iters = 750
train_cfg = dict(
    _delete_=True,
    type='IterBasedTrainLoop',
    max_iters=max_iters,
    val_interval=150)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.001,
        begin=0,
        end=max_iters,
        T_max=max_iters,
        by_epoch=False),
]

# hooks
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=150, max_keep_ckpts=1))
custom_hooks = []  # EpochSeedHook is for training by epochs
log_processor = dict(by_epoch=False)

# data
train_dataloader = dict(sampler=dict(type='InfiniteSampler'))

# evaluators: besides the plain AP, that without poses that are nearly the same
val_evaluator = [
    _base_.val_evaluator,
    dict(
        _base_.val_evaluator,
        nms_mode='oks_nms',
        nms_thr=0.5,
        prefix='without_duplicates'),
]
test_evaluator = val_evaluator
