_base_ = '../../../body_2d_keypoint/grouppose/coco/grouppose_res50_8xb2-60e_coco-800x1333.py'  # noqa: E501

# keypoints: 17 of the body, 6 of the feet, 68 of the face, 42 of the hands
metainfo = dict(from_file='configs/_base_/datasets/coco_wholebody.py')
model = dict(head=dict(data_decoder=dict(metainfo=metainfo)))

# hooks: the metric has a name of its own
default_hooks = dict(checkpoint=dict(save_best='coco-wholebody/AP'))

# data loaders: the images of COCO with other annotations
train_dataloader = dict(
    dataset=dict(
        metainfo=metainfo,
        dataset=dict(
            type='CocoWholeBodyDataset',
            ann_file='annotations/coco_wholebody_train_v1.0.json')))
val_dataloader = dict(
    dataset=dict(
        metainfo=metainfo,
        dataset=dict(
            type='CocoWholeBodyDataset',
            ann_file='annotations/coco_wholebody_val_v1.0.json')))
test_dataloader = val_dataloader

# evaluators: AP of all keypoints; those of the parts are printed
val_evaluator = dict(
    type='PoseCocoWholeBodyMetric',
    ann_file=_base_.data_root + 'annotations/coco_wholebody_val_v1.0.json')
test_evaluator = val_evaluator
