_base_ = './detrpose_hgnetv2-s.py'

# DETRPose-M: HGNetv2-B2, a deeper neck, four decoder layers.
model = dict(
    data_preprocessor=dict(batch_augments=[
        dict(
            type='BatchRandomResize',
            schedule='multi_scale',
            sizes=[480, 512, 544, 576, 608] + 6 * [640] +
            [672, 704, 736, 768, 800])
    ]),
    backbone=dict(
        arch='b2',
        init_cfg=dict(
            checkpoint='https://github.com/Peterande/storage/releases/'
            'download/dfinev1.0/PPHGNetV2_B2_stage1.pth')),
    neck=dict(in_channels=[384, 768, 1536], block_channels=128, num_blocks=2),
    head=dict(decoder=dict(num_layers=4)))
