_base_ = ('../../configs/body_2d_keypoint/grouppose/drawn/'
          'grouppose_tiny-res18_1xb8-6e_drawn-128.py')

# The network of the small Group Pose of drawn people.
max_epochs = 4
train_cfg = dict(max_epochs=max_epochs)
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
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))
