_base_ = [
    '../../../_base_/detrpose_hgnetv2-x.py', '../../../_base_/detrpose_coco.py'
]

model = dict(head=dict(data_decoder=dict(metainfo=_base_.metainfo)))

# runtime
train_cfg = dict(max_epochs=52)

# hooks
default_hooks = dict(
    augmentation=dict(mosaic=(5, 29), zoom_out=(5, 48), multi_scale=(0, 48)))

# optimizer
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.5))))
