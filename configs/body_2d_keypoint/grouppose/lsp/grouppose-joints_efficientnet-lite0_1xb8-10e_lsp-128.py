_base_ = 'grouppose-fast_efficientnet-lite0_1xb8-10e_lsp-128.py'

# Scores of joints, added to the finished weights of the base config: nothing
# else is trained, and poses stay as they are.
load_from = ('work_dirs/grouppose-fast_efficientnet-lite0_1xb8-10e_lsp-128/'
             'epoch_10.pth')

# optimizer
optim_wrapper = dict(optimizer=dict(lr=1e-3))

# hooks: no mosaics
default_hooks = dict(augmentation=dict(mosaic=(0, 0)))

# data loaders: without the extended set, where hidden joints are not marked
train_dataloader = dict(
    dataset=dict(datasets=_base_.train_dataloader.dataset.datasets[:1]))
# Errors on images that the poses were learned from are too small to calibrate
# scores with: one half of the test set is for that, the other to measure.
val_dataloader = dict(
    dataset=dict(
        dataset=dict(
            data_root=_base_.lsp_root,
            ann_file='annotations/lsp_test.json',
            indices=500)))
test_dataloader = dict(dataset=dict(dataset=dict(indices=-500)))

# evaluators
val_evaluator = _base_.test_evaluator

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
