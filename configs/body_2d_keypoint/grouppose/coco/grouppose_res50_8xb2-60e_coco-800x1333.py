_base_ = [
    '../../../_base_/default_runtime.py', '../../../_base_/grouppose_res50.py'
]

# keypoints: a config for another data set gives its metainfo to the head and
# to the data sets below, and to nothing else
metainfo = dict(from_file='configs/_base_/datasets/coco.py')
model = dict(
    head=dict(data_decoder=dict(type='OKSKeypointCodec', metainfo=metainfo)))

# runtime
train_cfg = dict(by_epoch=True, max_epochs=60, val_interval=1)
val_cfg = dict()
test_cfg = dict()

# optimizer
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))

# learning policy
param_scheduler = [
    dict(type='MultiStepLR', milestones=[50], gamma=0.1, by_epoch=True)
]

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=16)

# pipelines
short_sides = [480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800]
train_pipeline = [
    dict(type='LoadPoseImage'),
    dict(type='PoseInstanceFilter'),
    dict(type='PoseRandomFlip', prob=0.5),
    dict(
        type='RandomChoice',
        transforms=[
            [
                dict(type='PoseResize', short_side=short_sides, max_size=1333),
            ],
            [
                dict(type='PoseResize', short_side=[400, 500, 600]),
                dict(type='PoseRandomCrop', min_size=384, max_size=600),
                dict(type='PoseResize', short_side=short_sides, max_size=1333),
            ],
        ]),
    dict(type='GenerateTarget', encoder=dict(type='OKSKeypointCodec')),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadPoseImage'),
    dict(type='PoseResize', short_side=800, max_size=1333),
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
    batch_size=2,
    num_workers=2,
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
# The images of a batch influence each other slightly through their padding:
# published results are those of this batch size and order.
val_dataloader = dict(
    batch_size=2,
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
