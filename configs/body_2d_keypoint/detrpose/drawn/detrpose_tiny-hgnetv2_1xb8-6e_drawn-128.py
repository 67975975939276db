_base_ = [
    '../../../_base_/detrpose_hgnetv2-s.py', '../../../_base_/detrpose_coco.py'
]

# A small DETRPose that learns drawn people from scratch on a CPU, in about the
# time of the quickstart's Group Pose. The data set is made by
# tools/dataset_converters/draw_people.py.

# model: narrow, two levels, two decoder layers
model = dict(
    data_preprocessor=dict(pad_size_divisor=16, batch_augments=None),
    backbone=dict(
        arch=dict(
            _delete_=True,
            stem=(16, 16),
            stages=((16, 32, 1), (24, 64, 1), (32, 128, 1)),
            num_layers=2,
            use_lab=True),
        out_indices=(1, 2),  # strides 8 and 16
        norm_cfg=dict(type='BN'),  # trained: there is nothing to freeze
        init_cfg=None),
    neck=dict(
        in_channels=[64, 128],
        embed_dims=64,
        num_heads=4,
        feedforward_channels=128,
        block_channels=32,
        num_blocks=1),
    head=dict(
        num_queries=10,  # at most 8 people are drawn
        data_decoder=dict(metainfo=_base_.metainfo),
        decoder=dict(
            num_layers=2,
            layer_cfg=dict(
                embed_dims=64,
                num_heads=4,
                num_levels=2,
                num_points=4,
                feedforward_channels=256)),
        # Negative queries cost a seventh of a step, and gave a lower AP.
        training_queries=dict(
            denoising=dict(num_queries=8, negative=None, num_labels=2)),
        # From scratch, people must be found before joints can be: scores
        # weigh more than in the published recipe, distances less.
        criterion=dict(
            losses=dict(
                loss_cls=dict(loss_weight=4.0), loss_kpt=dict(
                    loss_weight=2.0)))))

# runtime
max_epochs = 6
train_cfg = dict(max_epochs=max_epochs)
randomness = dict(seed=0)

# optimizer: convolutions without pretraining want larger steps than attention
optim_wrapper = dict(
    optimizer=dict(lr=3e-4),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(
        custom_keys={
            'backbone': dict(lr_mult=8.0),
            'neck': dict(lr_mult=8.0),
            'neck.encoder': dict(lr_mult=1.0)
        }))

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
    dict(type='PoseFixedResize', size=128),
    dict(type='GenerateTarget', encoder=dict(type='OKSKeypointCodec')),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadPoseImage'),
    dict(type='PoseFixedResize', size=128),
    _base_.val_pipeline[-1],
]

# data loaders: a process of its own would take a core from training
data_root = 'data/drawn_people/'
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        pipeline=train_pipeline,
        dataset=dict(
            data_root=data_root,
            ann_file='annotations/person_keypoints_train.json',
            data_prefix=dict(img='train/'))))
val_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        pipeline=val_pipeline,
        dataset=dict(
            data_root=data_root,
            ann_file='annotations/person_keypoints_val.json',
            data_prefix=dict(img='val/'))))
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(ann_file=data_root +
                     'annotations/person_keypoints_val.json')
test_evaluator = val_evaluator
