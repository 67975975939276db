_base_ = [
    '../../../_base_/detrpose_hgnetv2-s.py', '../../../_base_/drawn_people.py'
]

# A small DETRPose that learns drawn people from scratch on a CPU, in about the
# time of the small Group Pose.

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

# optimizer
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'neck.encoder': dict(lr_mult=1.0)}))

# hooks of the published recipe: augmentations by epoch, for pipelines that
# have them, and averaged weights, which are evaluated
default_hooks = dict(
    augmentation=dict(type='AugmentationScheduleHook'),
    ema=dict(
        type='UpdateEMAHook',
        ema_type='ExpMomentumEMA',
        momentum=0.0001,
        gamma=2000,
        update_buffers=True))

# batch norms of the neck see the images of all processes
sync_bn = 'torch'

# pipelines: images are stretched to a square
train_pipeline = [*_base_.train_pipeline]
train_pipeline[3] = dict(type='PoseFixedResize', size=128)
val_pipeline = [*_base_.val_pipeline]
val_pipeline[1] = train_pipeline[3]

# data loaders
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
