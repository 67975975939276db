_base_ = [
    '../../../_base_/detrpose_hgnetv2-m.py', '../../../_base_/detrpose_coco.py'
]

model = dict(head=dict(data_decoder=dict(metainfo=_base_.metainfo)))

# runtime
train_cfg = dict(max_epochs=64)

# hooks
default_hooks = dict(
    augmentation=dict(mosaic=(5, 35), zoom_out=(5, 60), multi_scale=(0, 60)))

# optimizer
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))

# learning policy. QUIRK: of all sizes, this one alone gets slower.
param_scheduler = [
    dict(type='MultiStepLR', milestones=[15], gamma=0.1, by_epoch=True)
]
