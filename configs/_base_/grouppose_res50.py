# Group Pose with ResNet-50, as published. A config on top of it gives the head
# a codec with the metainfo of its data set.
model = dict(
    type='BottomupPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1),  # no padding but to the largest of the batch
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type='FrozenBatchNorm2d', requires_grad=False),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
    neck=dict(
        type='ChannelMapper',
        in_channels=[512, 1024, 2048],
        kernel_size=1,
        out_channels=256,
        bias=True,  # 'auto' would drop it before the norm
        act_cfg=None,
        norm_cfg=dict(type='GN', num_groups=32),
        num_outs=4),
    head=dict(
        type='GroupPoseHead',
        num_queries=100,
        num_classes=2,
        positional_encoding=dict(
            type='PositionEmbeddingSineHW',
            num_pos_feats=128,
            temperatureH=20,
            temperatureW=20,
            normalize=True),
        encoder=dict(
            type='DeformableEncoder',
            num_layers=6,
            layer_cfg=dict(
                self_attn_cfg=dict(
                    embed_dims=256,
                    num_heads=8,
                    num_levels=4,
                    num_points=4,
                    dropout=0.0,
                    batch_first=True),
                ffn_cfg=dict(
                    embed_dims=256, feedforward_channels=2048, ffn_drop=0.0))),
        decoder=dict(
            type='GroupPoseDecoder',
            num_layers=6,
            layer_cfg=dict(
                type='GroupAttentionDecoderLayer',
                embed_dims=256,
                num_heads=8,
                num_levels=4,
                num_points=4,
                feedforward_channels=2048)),
        criterion=dict(
            type='SetCriterion',
            matcher=dict(
                type='KeypointQueryMatcher',
                costs=[
                    dict(type='FocalCost', weight=2.0),
                    dict(type='KeypointL1Cost', weight=10.0),
                    dict(type='KeypointOKSCost', weight=4.0),
                ]),
            losses=dict(
                loss_cls=dict(
                    type='QueryFocalLoss',
                    gamma=2.0,
                    alpha=0.25,
                    loss_weight=2.0),
                loss_kpt=dict(type='KeypointL1Loss', loss_weight=10.0),
                loss_oks=dict(type='KeypointOKSLoss', loss_weight=4.0)))),
    test_cfg=dict(score_thr=0.0))  # MMPose's inferencer sets it to bbox_thr
