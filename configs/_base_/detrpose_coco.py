_base_ = './default_runtime.py'

# The recipe of DETRPose on COCO, but for what differs by size: epochs, their
# augmentations, and the learning rate of the backbone. The authors train in
# mixed precision: add --amp.

metainfo = dict(from_file='configs/_base_/datasets/coco.py')

# runtime
train_cfg = dict(by_epoch=True, val_interval=1)
val_cfg = dict()
test_cfg = dict()

# hooks
default_hooks = dict(
    # a size says in which epochs: first and one after the last, from 0
    augmentation=dict(type='AugmentationScheduleHook'),
    # update t keeps 0.9999 * (1 - exp(-t / 2000)) of the averaged weights,
    # which are those that are evaluated
    ema=dict(
        type='UpdateEMAHook',
        ema_type='ExpMomentumEMA',
        momentum=0.0001,
        gamma=2000,
        update_buffers=True))

# optimizer
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2))

# batch norms of the neck see the images of all GPUs
sync_bn = 'torch'

# learning policy: the rate stays what it is
param_scheduler = None

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=16)

# pipelines
img_size = 640
load_pipeline = [
    dict(type='LoadPoseImage'),
    dict(type='PoseInstanceFilter', box_share=0.53),  # if without area
]
train_pipeline = [
    *load_pipeline,
    # half of the images in a mosaic; of the others, half are zoomed out
    dict(
        type='ScheduledTransforms',
        schedule='mosaic',
        prob=0.5,
        transforms=[
            dict(
                type='PoseMosaic',
                short_side=img_size // 2,
                pre_transform=load_pipeline)
        ],
        otherwise=[
            dict(
                type='ScheduledTransforms',
                schedule='zoom_out',
                prob=0.5,
                transforms=[dict(type='PoseZoomOut', max_ratio=2.5)])
        ]),
    dict(type='PoseRandomFlip', prob=0.5),
    dict(
        type='PoseColorJitter',
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.4,
        prob=0.5),
    dict(type='PoseFixedResize', size=img_size),
    dict(type='GenerateTarget', encoder=dict(type='OKSKeypointCodec')),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadPoseImage'),
    dict(type='PoseFixedResize', size=img_size),
    dict(
        type='PackPoseInputs',
        # without category_id, whose lists the metric cannot use
        meta_keys=('id', 'img_id', 'img_path', 'crowd_index', 'ori_shape',
                   'img_shape', 'input_size', 'input_center', 'input_scale',
                   'flip', 'flip_direction', 'flip_indices', 'raw_ann_info',
                   'skeleton_links', 'dataset_name'))
]

# data loaders
data_mode = 'bottomup'  # MMPose's inferencer reads it here
data_root = 'data/coco/'
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
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
            ann_file='annotations/person_keypoints_train2017.json',
            data_prefix=dict(img='train2017/'))))
# Results do not depend on the batch: no image is padded.
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
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
            ann_file='annotations/person_keypoints_val2017.json',
            data_prefix=dict(img='val2017/'),
            test_mode=True)))
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(
    type='PoseCocoMetric',
    ann_file=data_root + 'annotations/person_keypoints_val2017.json',
    score_mode='bbox',
    nms_mode='none')
test_evaluator = val_evaluator
