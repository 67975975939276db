_base_ = './detrpose_hgnetv2-l.py'

# DETRPose-X: HGNetv2-B5, all of it wider, and finer bins around zero.
model = dict(
    backbone=dict(
        arch='b5',
        init_cfg=dict(
            checkpoint='https://github.com/Peterande/storage/releases/'
            'download/dfinev1.0/PPHGNetV2_B5_stage1.pth')),
    neck=dict(embed_dims=384, feedforward_channels=2048, block_channels=192),
    head=dict(decoder=dict(reg_scale=8, layer_cfg=dict(embed_dims=384))))
