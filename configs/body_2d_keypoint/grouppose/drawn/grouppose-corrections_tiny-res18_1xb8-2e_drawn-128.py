_base_ = 'grouppose-fast_tiny-res18_1xb8-3e_drawn-128.py'

# The weights of tools/quickstart.sh learn to refine a pose around the
# keypoints that somebody has put right.
load_from = 'work_dirs/quickstart/epoch_3.pth'

# runtime
max_epochs = 2
train_cfg = dict(max_epochs=max_epochs)

# optimizer: small steps for what is finished
optim_wrapper = dict(optimizer=dict(lr=1e-3))

# learning policy
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_epochs, T_max=max_epochs),
]

# model
model = dict(
    head=dict(
        decoder=dict(fixed_embedding=True),
        training_queries=dict(
            corrections=dict(
                type='CorrectionQueries', metainfo=_base_.metainfo))))
