_base_ = './grouppose_swin-t_8xb2-60e_coco-800x1333.py'

model = dict(
    # Swin-L, pretrained on ImageNet-22k at 384 x 384, hence larger windows
    backbone=dict(
        embed_dims=192,
        depths=(2, 2, 18, 2),
        num_heads=(6, 12, 24, 48),
        window_size=12,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_large_patch4_window12_384_22k.pth')),
    neck=dict(in_channels=[384, 768, 1536]))

# The total batch stays 16. Published results are of one image per device in
# evaluation, too.
train_dataloader = dict(batch_size=1)
val_dataloader = dict(batch_size=1)
test_dataloader = val_dataloader
