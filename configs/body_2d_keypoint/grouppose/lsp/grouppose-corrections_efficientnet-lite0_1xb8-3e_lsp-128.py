_base_ = 'grouppose-fast_efficientnet-lite0_1xb8-10e_lsp-128.py'

# Finished weights of the base config learn to refine a pose around the
# keypoints that somebody has put right.
load_from = ('work_dirs/grouppose-fast_efficientnet-lite0_1xb8-10e_lsp-128/'
             'epoch_10.pth')

# runtime
max_epochs = 3
train_cfg = dict(max_epochs=max_epochs)

# learning policy
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_epochs, T_max=max_epochs),
]

# hooks: no mosaics
default_hooks = dict(augmentation=dict(mosaic=(0, 0)))

# model: the backbone is finished
model = dict(
    backbone=dict(frozen_stages=6),
    head=dict(
        decoder=dict(fixed_embedding=True),
        training_queries=dict(
            corrections=dict(
                type='CorrectionQueries', metainfo=_base_.metainfo))))
