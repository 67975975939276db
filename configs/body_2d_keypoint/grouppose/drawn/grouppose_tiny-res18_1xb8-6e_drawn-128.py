_base_ = [
    '../../../_base_/grouppose_res50.py', '../../../_base_/drawn_people.py'
]

# A small Group Pose, as published but for its size, that learns drawn people
# from scratch on a CPU.

# model: narrow, two levels, one encoder and two decoder layers
attention = dict(embed_dims=64, num_heads=4, num_levels=2, num_points=4)
model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=18,
        stem_channels=32,
        base_channels=32,  # half the usual width, from scratch
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(1, 2)),  # strides 8 and 16
    neck=dict(in_channels=[64, 128], out_channels=64, num_outs=2),
    head=dict(
        num_queries=10,  # at most 8 people are drawn
        data_decoder=dict(type='OKSKeypointCodec', metainfo=_base_.metainfo),
        positional_encoding=dict(num_pos_feats=32),
        encoder=dict(
            num_layers=1,
            layer_cfg=dict(
                self_attn_cfg=attention,
                ffn_cfg=dict(embed_dims=64, feedforward_channels=256))),
        decoder=dict(
            num_layers=2,
            layer_cfg=dict(feedforward_channels=256, **attention)),
        # From scratch, people must be found before joints can be: scores
        # weigh more than in the published recipe, distances less.
        criterion=dict(
            losses=dict(
                loss_cls=dict(loss_weight=4.0), loss_kpt=dict(
                    loss_weight=2.0)))))
