_base_ = [
    '../../../_base_/default_runtime.py',
    '../../../_base_/grouppose_res50.py',
]

# A small Group Pose that learns drawn people from scratch on a CPU. The data
# set is made by tools/dataset_converters/draw_people.py.

# keypoints
codec = dict(
    type='OKSKeypointCodec',
    metainfo=dict(from_file='configs/_base_/datasets/coco.py'))

# model: narrow, two levels, two decoder layers
attention = dict(embed_dims=128, num_heads=4, num_levels=2, num_points=4)
model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=18,
        stem_channels=32,
        base_channels=32,  # half as wide, from scratch
        out_indices=(1, 2)),  # strides 8 and 16
    neck=dict(in_channels=[64, 128], out_channels=128, num_outs=2),
    head=dict(
        num_queries=16,
        data_decoder=codec,
        positional_encoding=dict(num_pos_feats=64),
        encoder=dict(
            num_layers=1,
            layer_cfg=dict(
                self_attn_cfg=attention,
                ffn_cfg=dict(embed_dims=128, feedforward_channels=256))),
        decoder=dict(
            num_layers=2,
            layer_cfg=dict(feedforward_channels=256, **attention))))

# runtime
max_epochs = 10
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()

# optimizer: from scratch, all parts learn at one rate
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-2),
    clip_grad=dict(max_norm=1.0, norm_type=2))

# learning policy
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        begin=0,
        end=200,
        by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-6,
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True),
]

# pipelines
short_side = 96
train_pipeline = [
    dict(type='LoadPoseImage'),
    dict(type='PoseInstanceFilter'),
    dict(type='PoseRandomFlip', prob=0.5),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadPoseImage'),
    dict(type='PoseResize', short_side=short_side, max_size=128),
    dict(
        type='PackPoseInputs',
        # without category_id, whose lists the metric cannot use
        meta_keys=('id', 'img_id', 'img_path', 'crowd_index', 'ori_shape',
                   'img_shape', 'input_size', 'input_center', 'input_scale',
                   'flip', 'flip_direction', 'flip_indices', 'raw_ann_info',
                   'skeleton_links'))
]

# data loaders
data_root = 'data/drawn_people/'
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='PoseImageDataset',
        dataset=dict(
            type='CocoDataset',
            data_root=data_root,
            data_mode='bottomup',
            ann_file='annotations/person_keypoints_train.json',
            data_prefix=dict(img='train/'),
            pipeline=train_pipeline)))
val_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='PoseImageDataset',
        dataset=dict(
            type='CocoDataset',
            data_root=data_root,
            data_mode='bottomup',
            ann_file='annotations/person_keypoints_val.json',
            data_prefix=dict(img='val/'),
            test_mode=True,
            pipeline=val_pipeline)))
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(
    type='CocoMetric',
    ann_file=data_root + 'annotations/person_keypoints_val.json',
    score_mode='bbox',
    nms_mode='none')
test_evaluator = val_evaluator
