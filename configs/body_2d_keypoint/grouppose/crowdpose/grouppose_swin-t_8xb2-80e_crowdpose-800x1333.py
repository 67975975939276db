_base_ = './grouppose_res50_8xb2-80e_crowdpose-800x1333.py'

model = dict(
    # Swin-T, as in the config for COCO
    backbone=dict(
        _delete_=True,
        type='mmdet.SwinTransformer',
        embed_dims=96,
        depths=(2, 2, 6, 2),
        num_heads=(3, 6, 12, 24),
        window_size=7,
        out_indices=(1, 2, 3),
        drop_path_rate=0.2,
        convert_weights=True,  # the file has the names of the original
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_tiny_patch4_window7_224.pth')),
    neck=dict(in_channels=[192, 384, 768]))
