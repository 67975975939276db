_base_ = 'grouppose-fast_tiny-res18_1xb8-3e_drawn-128.py'

# Scores of joints, added to the weights of tools/quickstart.sh: nothing else
# is trained, and poses stay as they are.
load_from = 'work_dirs/quickstart/epoch_3.pth'

# runtime
max_epochs = 2
train_cfg = dict(max_epochs=max_epochs)

# optimizer
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=1e-4))

# learning policy
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_epochs, T_max=max_epochs),
]

# model
model = dict(
    type='PartlyTrainedEstimator',
    trained=['joint_scores'],
    head=dict(
        decoder=dict(joint_scores=dict(type='JointScores')),
        criterion=dict(
            losses=dict(
                loss_cls=None,
                loss_kpt=None,
                loss_oks=None,
                loss_quality=None,
                loss_labeled=dict(type='LabeledJointLoss'),
                loss_visible=dict(type='VisibleJointLoss'),
                loss_error=dict(type='JointErrorLoss')))))
