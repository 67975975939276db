_base_ = './detrpose_hgnetv2-s.py'

# DETRPose-N: the backbone of S, but the maps of strides 16 and 32 only, half
# as wide; more sampling points; images of one size.
model = dict(
    data_preprocessor=dict(batch_augments=None),
    backbone=dict(out_indices=(2, 3)),
    neck=dict(
        in_channels=[512, 1024],
        embed_dims=128,
        feedforward_channels=512,
        block_channels=21,
        num_blocks=2),
    head=dict(
        decoder=dict(
            layer_cfg=dict(
                embed_dims=128,
                num_levels=2,
                num_points=6,
                feedforward_channels=512))))
