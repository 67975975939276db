_base_ = 'drawn-128.py'

# RTMPose-t on crops of 96 x 128 pixels, from random weights. Boxes are the
# true ones unless test_dataloader.dataset.bbox_file names a detector's.

codec = dict(
    type='SimCCLabel',
    input_size=(96, 128),
    sigma=(3.5, 4.0),  # of MMPose's 192 x 256, by the root of the size
    simcc_split_ratio=2.0,
    normalize=False,
    use_dark=False)

# model
model = dict(
    base='mmpose::body_2d_keypoint/rtmpose/coco/'
    'rtmpose-t_8xb256-420e_coco-256x192.py',
    changes={
        'backbone.norm_cfg': dict(type='BN'),
        'head.input_size': codec['input_size'],
        'head.in_featuremap_size': (3, 4),
        'head.final_layer_kernel_size': 3,  # the map has 3 x 4 cells
        'head.decoder': codec,
        'test_cfg.flip_test': False,
    })

# optimizer
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.),
    paramwise_cfg=dict(
        norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True))

# pipelines
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(
        type='RandomBBoxTransform',
        scale_factor=[0.75, 1.25],
        rotate_factor=30),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='PackPoseInputs'),
]

# data loaders: 32 crops come from 14 images on average
data_mode = 'topdown'
train_dataloader = dict(
    batch_size=32, dataset=dict(data_mode=data_mode, pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=64, dataset=dict(data_mode=data_mode, pipeline=val_pipeline))
test_dataloader = val_dataloader
