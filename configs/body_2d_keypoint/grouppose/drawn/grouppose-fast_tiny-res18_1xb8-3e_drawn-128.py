_base_ = 'grouppose_tiny-res18_1xb8-6e_drawn-128.py'

# The small Group Pose with what makes it learn faster, part by part in
# docs/learning_fast.md, on calm images of drawn people: the model of
# tools/quickstart.sh.

# model
model = dict(
    head=dict(
        # queries for more people: no copies of those who are easy to see
        query_selection=dict(type='PoseQuerySelection', distinct=0.1),
        decoder=dict(
            # a third layer costs a tenth of a step
            num_layers=3,
            # the frame of each pose: where keypoints are in it, and its size
            # as the unit of sampling and refinement
            relative_positions=True,
            relative_offsets=True,
            # quirks of the official program that only its weights need
            instance_content=True,
            official_aux=False,
            # scores that rank poses
            predicted_oks=True),
        criterion=dict(
            losses=dict(loss_quality=dict(type='PredictedOKSLoss')))))

# optimizer: orthogonal updates of matrices, at one rate for the whole model
optim_wrapper = dict(
    optimizer=dict(type='MuonAdamW', lr=4e-3, momentum=0.9, foreach=True),
    clip_grad=dict(foreach=True),
    paramwise_cfg=dict(_delete_=True))

# runtime
max_epochs = 3
train_cfg = dict(max_epochs=max_epochs)

# learning policy
param_scheduler = [
    dict(_base_.param_scheduler[0], end=100),
    dict(_base_.param_scheduler[1], end=max_epochs, T_max=max_epochs),
]

# hooks: convolutions on a CPU take less time with channels last
custom_hooks = [*_base_.custom_hooks, dict(type='ChannelsLastHook')]

# pipelines: images are stretched to a square, in which people are larger
train_pipeline = [*_base_.train_pipeline]
train_pipeline[3] = dict(type='PoseFixedResize', size=128)
val_pipeline = [*_base_.val_pipeline]
val_pipeline[1] = train_pipeline[3]

# data loaders
data_root = 'data/drawn_calm/'
train_dataloader = dict(
    dataset=dict(pipeline=train_pipeline, dataset=dict(data_root=data_root)))
val_dataloader = dict(
    dataset=dict(pipeline=val_pipeline, dataset=dict(data_root=data_root)))
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(ann_file=data_root +
                     'annotations/person_keypoints_val.json')
test_evaluator = val_evaluator
