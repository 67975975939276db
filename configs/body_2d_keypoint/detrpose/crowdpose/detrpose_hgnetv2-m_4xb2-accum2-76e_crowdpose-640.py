_base_ = [
    '../../../_base_/detrpose_hgnetv2-m.py',
    '../../../_base_/detrpose_crowdpose.py'
]

model = dict(head=dict(data_decoder=dict(metainfo=_base_.metainfo)))

# runtime
train_cfg = dict(max_epochs=76)

# hooks
default_hooks = dict(
    augmentation=dict(mosaic=(5, 41), zoom_out=(5, 72), multi_scale=(0, 72)))
