_base_ = '../coco/grouppose_res50_8xb2-60e_coco-800x1333.py'

# keypoints: 14 of the body, head and neck
metainfo = dict(from_file='configs/_base_/datasets/crowdpose.py')
model = dict(head=dict(data_decoder=dict(metainfo=metainfo)))

# runtime: a smaller data set is seen more often
train_cfg = dict(max_epochs=80)
param_scheduler = [
    dict(type='MultiStepLR', milestones=[70], gamma=0.1, by_epoch=True)
]
default_hooks = dict(checkpoint=dict(save_best='crowdpose/AP'))

# data loaders: MMPose's annotation files, not the original ones, which have
# width and height of the images swapped
data_root = 'data/crowdpose/'
dataset = dict(
    type='CrowdPoseDataset',
    data_root=data_root,
    data_prefix=dict(img='images/'))
train_dataloader = dict(
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
