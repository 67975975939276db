_base_ = 'drawn-128.py'

# RTMDet, narrower than RTMDet-nano but with full convolutions, from random
# weights: the detector for the top-down networks of this folder.

default_scope = 'mmdet'

# model
batch_norm = dict(type='BN')
model = dict(
    base='mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    changes={
        'data_preprocessor.pad_size_divisor': 32,
        'backbone.widen_factor': 0.25,
        'backbone.norm_cfg': batch_norm,
        'neck.in_channels': [64, 128, 256],
        'neck.out_channels': 64,
        'neck.norm_cfg': batch_norm,
        'bbox_head.num_classes': 1,
        'bbox_head.in_channels': 64,
        'bbox_head.feat_channels': 64,
        'bbox_head.norm_cfg': batch_norm,
        'test_cfg.nms_pre': 1000,
        'test_cfg.score_thr': 0.05,
        'test_cfg.nms.iou_threshold': 0.6,
        'test_cfg.max_per_img': 20,
    })

# optimizer
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True))

# hooks
default_hooks = dict(
    _delete_=True,
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook',
        interval=1,
        max_keep_ckpts=1,
        save_best='coco/bbox_mAP',
        rule='greater'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='DetVisualizationHook'))
visualizer = dict(
    _delete_=True,
    type='DetLocalVisualizer',
    vis_backends=_base_.vis_backends,
    name='visualizer')

# pipelines
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor')),
]

# data loaders
metainfo = dict(classes=('person', ))
train_dataloader = dict(
    dataset=dict(metainfo=metainfo, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(metainfo=metainfo, pipeline=test_pipeline))
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
