_base_ = 'grouppose_tiny-res18_1xb8-6e_drawn-128.py'

# The small Group Pose with what makes it learn faster, part by part in
# docs/learning_fast.md.

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

# pipelines: images are stretched to a square, in which people are larger
train_pipeline = [*_base_.train_pipeline]
train_pipeline[3] = dict(type='PoseFixedResize', size=128)
val_pipeline = [*_base_.val_pipeline]
val_pipeline[1] = train_pipeline[3]

# data loaders
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

# hooks: convolutions on a CPU take less time with channels last
custom_hooks = [*_base_.custom_hooks, dict(type='ChannelsLastHook')]
