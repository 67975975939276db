_base_ = './detrpose_hgnetv2-s.py'

# DETRPose-L: HGNetv2-B4, a deeper neck, six decoder layers.
model = dict(
    data_preprocessor=dict(batch_augments=[
        dict(
            type='BatchRandomResize',
            schedule='multi_scale',
            sizes=[480, 512, 544, 576, 608] + 4 * [640] +
            [672, 704, 736, 768, 800])
    ]),
    backbone=dict(
        arch='b4',
        init_cfg=dict(
            checkpoint='https://github.com/Peterande/storage/releases/'
            'download/dfinev1.0/PPHGNetV2_B4_stage1.pth')),
    neck=dict(in_channels=[512, 1024, 2048], block_channels=128, num_blocks=3),
    head=dict(decoder=dict(num_layers=6)))
