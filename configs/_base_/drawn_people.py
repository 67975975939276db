_base_ = './default_runtime.py'

# What small models share that learn drawn people from scratch on a CPU. The
# data set is made by tools/dataset_converters/draw_people.py.

metainfo = dict(from_file='configs/_base_/datasets/coco.py')

# runtime
max_epochs = 6
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()
randomness = dict(seed=0)

# optimizer: convolutions without pretraining want larger steps than attention
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=1.0, norm_type=2),
    paramwise_cfg=dict(
        custom_keys=dict(backbone=dict(lr_mult=8.0), neck=dict(lr_mult=8.0))))

auto_scale_lr = dict(base_batch_size=8)

# learning policy
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=50, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.001,
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True),
]

# hooks
default_hooks = dict(logger=dict(interval=100))

# pipelines: the quickstart draws images in this size
train_pipeline = [
    dict(type='LoadPoseImage'),
    dict(type='PoseInstanceFilter'),
    dict(type='PoseRandomFlip', prob=0.5),
    dict(type='PoseResize', short_side=128, max_size=128),
    dict(type='GenerateTarget', encoder=dict(type='OKSKeypointCodec')),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadPoseImage'),
    dict(type='PoseResize', short_side=128, max_size=128),
    dict(
        type='PackPoseInputs',
        # without category_id, whose lists the metric cannot use
        meta_keys=('id', 'img_id', 'img_path', 'crowd_index', 'ori_shape',
                   'img_shape', 'input_size', 'input_center', 'input_scale',
                   'flip', 'flip_direction', 'flip_indices', 'raw_ann_info',
                   'skeleton_links', 'dataset_name'))
]

# data loaders: a process of its own would take a core from training
data_mode = 'bottomup'  # MMPose's inferencer reads it here
data_root = 'data/drawn_people/'
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='PoseImageDataset',
        metainfo=metainfo,
        pipeline=train_pipeline,
        dataset=dict(
            type='CocoDataset',
            data_root=data_root,
            data_mode=data_mode,
            ann_file='annotations/person_keypoints_train.json',
            data_prefix=dict(img='train/'))))
val_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='PoseImageDataset',
        metainfo=metainfo,
        pipeline=val_pipeline,
        dataset=dict(
            type='CocoDataset',
            data_root=data_root,
            data_mode=data_mode,
            ann_file='annotations/person_keypoints_val.json',
            data_prefix=dict(img='val/'),
            test_mode=True)))
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(
    type='PoseCocoMetric',
    ann_file=data_root + 'annotations/person_keypoints_val.json',
    score_mode='bbox',
    nms_mode='none')
test_evaluator = val_evaluator
