_base_ = 'rtmpose_tiny_1xb32-4e_drawn-128x96.py'

# ViTPose with a small transformer, patches of 8 pixels, from random weights.
# Its backbone is MMPretrain's.

codec = dict(
    type='UDPHeatmap', input_size=(96, 128), heatmap_size=(24, 32), sigma=1.5)

# model
model = dict(
    _delete_=True,
    base='mmpose::body_2d_keypoint/topdown_heatmap/coco/'
    'td-hm_ViTPose-small_8xb64-210e_coco-256x192.py',
    changes={
        'backbone.arch.embed_dims': 96,
        'backbone.arch.num_layers': 6,
        'backbone.arch.num_heads': 4,
        'backbone.arch.feedforward_channels': 96 * 4,
        'backbone.drop_path_rate': 0.0,
        'backbone.img_size': (128, 96),
        'backbone.patch_size': 8,
        'backbone.patch_cfg': dict(_delete_=True),
        'head.in_channels': 96,
        'head.deconv_out_channels': (96, ),
        'head.deconv_kernel_sizes': (4, ),
        'head.decoder': codec,
        'test_cfg.flip_test': False,
    })

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
