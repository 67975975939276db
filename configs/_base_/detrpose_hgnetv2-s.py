# DETRPose-S, as published. A config on top of it gives the head's codec the
# metainfo of its data set.
model = dict(
    type='BottomupPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[0, 0, 0],  # RGB from 0 to 1, no more
        std=[255, 255, 255],
        bgr_to_rgb=True,
        pad_size_divisor=32,  # the neck needs it; 640 has it
        batch_augments=[
            dict(
                type='BatchRandomResize',
                schedule='multi_scale',
                sizes=[480, 512, 544, 576, 608] + 20 * [640] +
                [672, 704, 736, 768, 800])
        ]),
    backbone=dict(
        type='HGNetV2',
        arch='b0',
        out_indices=(1, 2, 3),
        norm_cfg=dict(type='FrozenBatchNorm2d'),  # convolutions are trained
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/Peterande/storage/releases/'
            'download/dfinev1.0/PPHGNetV2_B0_stage1.pth')),
    neck=dict(
        type='DFineHybridEncoder',
        in_channels=[256, 512, 1024],
        embed_dims=256,
        feedforward_channels=1024,
        block_channels=64,
        num_blocks=1,
        norm_cfg=dict(type='BN')),
    head=dict(
        type='GroupPoseHead',
        num_queries=60,
        num_classes=2,
        data_decoder=dict(type='OKSKeypointCodec', max_per_img=60),
        query_selection=dict(type='LearnedContentSelection'),
        decoder=dict(
            type='DETRPoseDecoder',
            num_layers=3,
            reg_max=32,
            up=0.5,
            reg_scale=4,
            layer_cfg=dict(
                type='DETRPoseDecoderLayer',
                embed_dims=256,
                num_heads=8,
                num_levels=3,
                num_points=4,
                feedforward_channels=1024)),
        # Noise as the paper means it. ReleasedDenoisingQueries is the one of
        # the official program, with its defects.
        training_queries=dict(
            denoising=dict(
                type='OKSDenoisingQueries',
                num_queries=20,
                positive=(0.5, 1.0),
                negative=(0.1, 0.5),
                num_labels=81)),  # rows in official checkpoints
        criterion=dict(
            type='SetCriterion',
            matcher=dict(
                type='UnionMatcher',
                costs=[
                    dict(type='FocalCost', weight=2.0),
                    dict(type='KeypointL1Cost', weight=10.0),
                    dict(type='KeypointOKSCost', weight=4.0),
                ]),
            losses=dict(
                loss_cls=dict(
                    type='OKSVarifocalLoss',
                    gamma=2.0,
                    alpha=0.25,
                    loss_weight=2.0),
                loss_kpt=dict(type='KeypointL1Loss', loss_weight=10.0),
                loss_oks=dict(type='KeypointOKSLoss', loss_weight=4.0)))),
    test_cfg=dict(score_thr=0.0))  # MMPose's inferencer sets it to bbox_thr
