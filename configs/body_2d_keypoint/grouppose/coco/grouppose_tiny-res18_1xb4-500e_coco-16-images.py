_base_ = '../drawn/grouppose_tiny-res18_1xb8-6e_drawn-128.py'

# Learns 16 real images by heart, from scratch on a CPU: what it reaches says
# that all parts of training and evaluation work together, and nothing about
# other images. The list of images is made by
# tools/dataset_converters/select_images.py. This is the first of two stages;
# see the config with `-stage2`.

# model: more people than drawn ones, one more layer, a third level
attention = dict(num_levels=3)
model = dict(
    backbone=dict(
        num_stages=4,
        strides=(1, 2, 2, 2),
        dilations=(1, 1, 1, 1),
        out_indices=(1, 2, 3)),  # strides 8, 16 and 32
    neck=dict(in_channels=[64, 128, 256], num_outs=3),
    head=dict(
        num_queries=20,
        encoder=dict(layer_cfg=dict(self_attn_cfg=attention)),
        decoder=dict(num_layers=3, layer_cfg=attention),
        criterion=dict(losses=dict(loss_kpt=dict(loss_weight=5.0)))))

# runtime
max_epochs = 500
train_cfg = dict(max_epochs=max_epochs, val_interval=50)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys=dict(backbone=dict(lr_mult=4.0), neck=dict(lr_mult=4.0))))
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_epochs, T_max=max_epochs),
]
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(
    logger=dict(interval=4), checkpoint=dict(interval=50, max_keep_ckpts=1))

# pipelines: the same for training and evaluation, without augmentation
resize = dict(type='PoseResize', short_side=160, max_size=240)
train_pipeline = [
    dict(type='LoadPoseImage'),
    dict(type='PoseInstanceFilter'),
    resize,
    dict(type='GenerateTarget', encoder=dict(type='OKSKeypointCodec')),
    dict(type='PackPoseInputs'),
]
val_pipeline = [dict(type='LoadPoseImage'), resize, _base_.val_pipeline[-1]]

# data loaders
data_root = 'data/coco_mini/'
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        pipeline=train_pipeline,
        dataset=dict(
            data_root=data_root,
            ann_file='annotations/first_16.json',
            data_prefix=dict(img='train2017/'))))
val_dataloader = dict(
    batch_size=4,
    dataset=dict(
        pipeline=val_pipeline,
        dataset=dict(
            data_root=data_root,
            ann_file='annotations/first_16.json',
            data_prefix=dict(img='train2017/'))))
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(ann_file=data_root + 'annotations/first_16.json')
test_evaluator = val_evaluator
