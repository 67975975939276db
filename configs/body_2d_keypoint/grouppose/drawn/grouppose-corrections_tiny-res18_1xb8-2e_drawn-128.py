_base_ = 'grouppose-fast_tiny-res18_1xb8-6e_drawn-128.py'

# Finished weights of the base config learn to refine a pose around the
# keypoints that somebody has put right.
load_from = ('work_dirs/grouppose-fast_tiny-res18_1xb8-6e_drawn-128/'
             'epoch_6.pth')

# runtime
max_epochs = 2
train_cfg = dict(max_epochs=max_epochs)

# learning policy
param_scheduler = [
    _base_.param_scheduler[0],
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.001,
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True),
]

# model
model = dict(
    head=dict(
        decoder=dict(fixed_embedding=True),
        training_queries=dict(
            corrections=dict(
                type='CorrectionQueries', metainfo=_base_.metainfo))))
