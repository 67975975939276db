_base_ = './grouppose_tiny-res18_1xb4-500e_coco-16-images.py'

# The second stage: people are found again, the last pixels are not right yet.
# It starts from the weights of the first stage, and does not start without.
load_from = ('work_dirs/grouppose_tiny-res18_1xb4-500e_coco-16-images/'
             'epoch_500.pth')

model = dict(
    # four images are too few for statistics that hold in evaluation, so those
    # of the first stage are kept
    backbone=dict(norm_eval=True),
    # what the metric measures gets most of the weight
    head=dict(criterion=dict(losses=dict(loss_oks=dict(loss_weight=20.0)))))

max_epochs = 250
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_epochs, T_max=max_epochs),
]
