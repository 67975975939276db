# ED-Pose with ResNet-50, to evaluate and to measure Group Pose beside it.
# Backbone, neck and images are those of Group Pose. There is no training.
_base_ = [
    '../../../_base_/default_runtime.py', '../../../_base_/grouppose_res50.py'
]

metainfo = dict(from_file='configs/_base_/datasets/coco.py')
embed_dims = 256
model = dict(
    head=dict(
        _delete_=True,
        type='EDPoseInferenceHead',
        num_queries=900,
        positional_encoding=dict(
            num_pos_feats=128,
            temperatureH=20,
            temperatureW=20,
            normalize=True),
        encoder=dict(
            num_layers=6,
            layer_cfg=dict(
                self_attn_cfg=dict(
                    embed_dims=embed_dims,
                    num_heads=8,
                    num_levels=4,
                    num_points=4,
                    dropout=0.0,
                    batch_first=True),
                ffn_cfg=dict(embed_dims=embed_dims,
                             feedforward_channels=2048))),
        decoder=dict(
            num_layers=6,  # of which the first two refine boxes
            num_box_decoder_layers=2,
            embed_dims=embed_dims,
            layer_cfg=dict(
                self_attn_cfg=dict(
                    embed_dims=embed_dims, num_heads=8, batch_first=True),
                cross_attn_cfg=dict(
                    embed_dims=embed_dims,
                    num_heads=8,
                    num_levels=4,
                    num_points=4,
                    dropout=0.0,
                    batch_first=True),
                ffn_cfg=dict(embed_dims=embed_dims,
                             feedforward_channels=2048)),
            num_feature_levels=4,
            num_group=100,  # people
            return_intermediate=True),
        out_head=dict(num_classes=2),
        denosing_cfg=dict(dn_labelbook_size=100),  # rows of a trained table
        data_decoder=dict(type='OKSKeypointCodec', metainfo=metainfo)))

# runtime
test_cfg = dict()

# pipelines
test_pipeline = [
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
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='PoseImageDataset',
        metainfo=metainfo,
        pipeline=test_pipeline,
        dataset=dict(
            type='CocoDataset',
            data_root=data_root,
            data_mode=data_mode,
            ann_file='annotations/person_keypoints_val2017.json',
            data_prefix=dict(img='val2017/'),
            test_mode=True)))

# evaluators
test_evaluator = dict(
    type='PoseCocoMetric',
    ann_file=data_root + 'annotations/person_keypoints_val2017.json',
    score_mode='bbox',
    nms_mode='none')
