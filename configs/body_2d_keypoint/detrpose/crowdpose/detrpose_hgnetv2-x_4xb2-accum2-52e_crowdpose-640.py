_base_ = [
    '../../../_base_/detrpose_hgnetv2-x.py',
    '../../../_base_/detrpose_crowdpose.py'
]

model = dict(head=dict(data_decoder=dict(metainfo=_base_.metainfo)))

# runtime
train_cfg = dict(max_epochs=52)

# hooks. QUIRK: zoom-out and sizes stay on to the end, as published.
default_hooks = dict(
    augmentation=dict(mosaic=(5, 29), zoom_out=(5, 60), multi_scale=(0, 60)))
