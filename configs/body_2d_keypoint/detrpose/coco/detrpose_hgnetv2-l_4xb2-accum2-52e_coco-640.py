_base_ = [
    '../../../_base_/detrpose_hgnetv2-l.py', '../../../_base_/detrpose_coco.py'
]

model = dict(head=dict(data_decoder=dict(metainfo=_base_.metainfo)))

# runtime
train_cfg = dict(max_epochs=52)

# hooks
default_hooks = dict(
    augmentation=dict(mosaic=(5, 29), zoom_out=(5, 48), multi_scale=(0, 48)))

# optimizer: two batches of 2 images an update. QUIRK: the official program
# adds up their gradients, MMEngine takes the mean, so half of the published
# norm is the limit. The size of gradients matters to AdamW by `eps` only.
optim_wrapper = dict(
    accumulative_counts=2,
    optimizer=dict(eps=5e-9),
    clip_grad=dict(max_norm=0.05),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))
train_dataloader = dict(batch_size=2)
