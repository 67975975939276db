_base_ = '../drawn/grouppose_tiny-res18_1xb8-6e_drawn-128.py'

# A small Group Pose that learns the photographs of Leeds Sports Pose and of
# its extended training set from scratch on a CPU.

metainfo = dict(from_file='configs/_base_/datasets/lsp.py')

# runtime
max_epochs = 20
train_cfg = dict(max_epochs=max_epochs)

# learning policy
param_scheduler = [
    _base_.param_scheduler[0],
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.001,
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True),
]

# model
model = dict(head=dict(data_decoder=dict(metainfo=metainfo)))

# pipelines: one person is labeled on each photograph, mosaics have four
load_pipeline = [dict(type='LoadPoseImage'), dict(type='PoseInstanceFilter')]
train_pipeline = [
    *load_pipeline,
    dict(
        type='ScheduledTransforms',
        schedule='mosaic',
        prob=0.5,
        transforms=[
            dict(
                type='PoseMosaic', short_side=128, pre_transform=load_pipeline)
        ]),
    dict(type='PoseRandomFlip', prob=0.5),
    dict(
        type='PoseRandomAffine', rotate_factor=30.0, scale_factor=(0.75, 1.5)),
    dict(type='PoseResize', short_side=128, max_size=128),
    dict(type='GenerateTarget', encoder=dict(type='OKSKeypointCodec')),
    dict(type='PackPoseInputs'),
]

# data loaders
lsp_root, lspet_root = 'data/lsp/', 'data/lspet/'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CombinedDataset',
        metainfo=metainfo,
        pipeline=train_pipeline,
        datasets=[
            dict(
                type='PoseImageDataset',
                metainfo=metainfo,
                dataset=dict(
                    type='CocoDataset',
                    data_root=root,
                    data_mode=_base_.data_mode,
                    ann_file=ann_file,
                    data_prefix=dict(img='images/')))
            for root, ann_file in ((lsp_root, 'annotations/lsp_train.json'),
                                   (lspet_root,
                                    'annotations/lspet_train.json'))
        ]))
# while it trains, on the tenth of the extended set that is kept aside
val_dataloader = dict(
    dataset=dict(
        metainfo=metainfo,
        dataset=dict(
            data_root=lspet_root,
            ann_file='annotations/lspet_val.json',
            data_prefix=dict(img='images/'))))
test_dataloader = dict(
    dataset=dict(
        metainfo=metainfo,
        dataset=dict(
            data_root=lsp_root,
            ann_file='annotations/lsp_test.json',
            data_prefix=dict(img='images/'))))

# evaluators: also the share of correct keypoints, which is usual for this data
val_evaluator = dict(
    ann_file=lspet_root + 'annotations/lspet_val.json', pck=(0.2, ))
test_evaluator = dict(
    ann_file=lsp_root + 'annotations/lsp_test.json', pck=(0.2, ))
