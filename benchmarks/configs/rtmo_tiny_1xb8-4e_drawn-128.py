_base_ = 'drawn-128.py'

# RTMO, narrower than RTMO-t and with strides for small images, from random
# weights.

input_size = (128, 128)
codec = dict(type='YOLOXPoseAnnotationProcessor', input_size=input_size)

# model
model = dict(
    base='mmpose::body_2d_keypoint/rtmo/body7/'
    'rtmo-t_8xb32-600e_body7-416x416.py',
    changes={
        'backbone.widen_factor': 0.25,
        'neck.in_channels': [64, 128, 256],
        'neck.widen_factor': 0.5,
        'neck.hidden_dim': 128,
        'neck.output_indices': [0, 1],
        'neck.encoder_cfg.self_attn_cfg.embed_dims': 128,
        'neck.encoder_cfg.self_attn_cfg.num_heads': 4,
        'neck.encoder_cfg.ffn_cfg.embed_dims': 128,
        'neck.encoder_cfg.ffn_cfg.feedforward_channels': 512,
        'neck.projector.in_channels': [128, 128],
        'neck.projector.out_channels': 128,
        'head.featmap_strides': (8, 16),
        'head.head_module_cfg.pose_vec_channels': 128,
        'head.head_module_cfg.widen_factor': 0.25,
        'head.prior_generator.strides': [8, 16],
        'head.dcc_cfg.in_channels': 128,
        'head.dcc_cfg.feat_channels': 64,
        'head.dcc_cfg.num_bins': (96, 128),
        'head.dcc_cfg.spe_channels': 64,
        'head.dcc_cfg.gau_cfg.s': 64,
        'test_cfg.input_size': input_size,
        'test_cfg.score_thr': 0.01,
    })

# optimizer
optim_wrapper = dict(
    constructor='ForceDefaultOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0,
        bias_decay_mult=0,
        bypass_duplicate=True,
        force_default_settings=True,
        custom_keys={'neck.encoder': dict(lr_mult=0.2)}),
    clip_grad=dict(max_norm=0.1, norm_type=2))

# pipelines
train_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='BottomupRandomAffine',
        input_size=input_size,
        shift_prob=0,
        rotate_prob=0,
        scale_prob=0,
        scale_type='long',
        pad_val=(114, 114, 114),
        bbox_keep_corner=False,
        clip_border=True),
    dict(type='RandomFlip'),
    dict(type='FilterAnnotations', by_kpt=True, by_box=True, keep_empty=False),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='BottomupResize', input_size=input_size, pad_val=(114, 114, 114)),
    dict(
        type='PackPoseInputs',
        meta_keys=('id', 'img_id', 'img_path', 'ori_shape', 'img_shape',
                   'input_size', 'input_center', 'input_scale')),
]

# data loaders
data_mode = 'bottomup'
train_dataloader = dict(
    dataset=dict(data_mode=data_mode, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_mode=data_mode, pipeline=val_pipeline))
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(score_mode='bbox', nms_mode='none')
test_evaluator = val_evaluator

# hooks: the second half of MMPose's schedule for RTMO
custom_hooks = [
    dict(
        type='RTMOModeSwitchHook',
        epoch_attributes={
            2: {
                'proxy_target_cc': True,
                'loss_mle.loss_weight': 5.0,
                'loss_oks.loss_weight': 10.0
            },
        },
        priority=48),
]
