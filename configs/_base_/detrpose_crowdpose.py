_base_ = './detrpose_coco.py'

# The recipe of DETRPose on CrowdPose, but for what differs by size.

metainfo = dict(from_file='configs/_base_/datasets/crowdpose.py')

# hooks
default_hooks = dict(checkpoint=dict(save_best='crowdpose/AP'))

# optimizer: two batches of 2 images an update. QUIRK: the official program
# adds up their gradients, MMEngine takes the mean, so half of the published
# norm is the limit. The size of gradients matters to AdamW by `eps` only.
optim_wrapper = dict(
    accumulative_counts=2,
    optimizer=dict(eps=5e-9),
    clip_grad=dict(max_norm=0.05),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))

# data loaders: MMPose's annotation files, not the original ones, which have
# width and height of the images swapped
data_root = 'data/crowdpose/'
dataset = dict(
    type='CrowdPoseDataset',
    data_root=data_root,
    data_prefix=dict(img='images/'))
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        metainfo=metainfo,
        dataset=dict(
            dataset, ann_file='annotations/mmpose_crowdpose_trainval.json')))
val_dataloader = dict(
    dataset=dict(
        metainfo=metainfo,
        dataset=dict(
            dataset, ann_file='annotations/mmpose_crowdpose_test.json')))
test_dataloader = val_dataloader

# evaluators: AP by crowding, and areas from the boxes: none are annotated
val_evaluator = dict(
    ann_file=data_root + 'annotations/mmpose_crowdpose_test.json',
    iou_type='keypoints_crowd',
    use_area=False,
    prefix='crowdpose')
test_evaluator = val_evaluator
