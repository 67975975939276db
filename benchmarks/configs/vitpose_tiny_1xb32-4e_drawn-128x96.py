_base_ = 'rtmpose_tiny_1xb32-4e_drawn-128x96.py'

# ViTPose with a small transformer, patches of 8 pixels, from random weights.
# Its backbone is MMPretrain's.

codec = dict(
    type='UDPHeatmap', input_size=(96, 128), heatmap_size=(24, 32), sigma=1.5)

# model
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VisionTransformer',
        arch=dict(
            embed_dims=96,
            num_layers=6,
            num_heads=4,
            feedforward_channels=96 * 4),
        img_size=(128, 96),
        patch_size=8,
        qkv_bias=True,
        with_cls_token=False,
        out_type='featmap'),
    head=dict(
        _delete_=True,
        type='HeatmapHead',
        in_channels=96,
        out_channels=17,
        deconv_out_channels=(96, ),
        deconv_kernel_sizes=(4, ),
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=codec))

# optimizer
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.1),
    paramwise_cfg=dict(
        _delete_=True,
        custom_keys=dict(
            pos_embed=dict(decay_mult=0.0), norm=dict(decay_mult=0.0))),
    clip_grad=dict(max_norm=1.0))

# pipelines
train_pipeline = [
    *_base_.train_pipeline[:4],
    dict(type='TopdownAffine', input_size=codec['input_size'], use_udp=True),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    *_base_.val_pipeline[:2],
    dict(type='TopdownAffine', input_size=codec['input_size'], use_udp=True),
    dict(type='PackPoseInputs'),
]

# data loaders
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
