_base_ = 'grouppose_res50_8xb2-60e_coco-800x1333.py'

# COCO mixed with AI Challenger, MMPose's way: each data set converts its
# keypoints to those of COCO. (AI Challenger, COCO); the head top and the neck
# have no counterpart, nor have COCO's nose, eyes and ears.
aic_to_coco = [(0, 6), (1, 8), (2, 10), (3, 5), (4, 7), (5, 9), (6, 12),
               (7, 14), (8, 16), (9, 11), (10, 13), (11, 15)]

# data loaders
aic_root = 'data/aic/'
coco = dict(
    type='PoseImageDataset', dataset=_base_.train_dataloader.dataset.dataset)
aic = dict(
    type='PoseImageDataset',
    dataset=dict(
        type='AicDataset',
        data_root=aic_root,
        data_mode=_base_.data_mode,
        ann_file='annotations/aic_train.json',
        data_prefix=dict(img='ai_challenger_keypoint_train_20170902/'
                         'keypoint_train_images_20170902/')),
    pipeline=[
        dict(type='KeypointConverter', num_keypoints=17, mapping=aic_to_coco)
    ])
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CombinedDataset',
        metainfo=_base_.metainfo,
        datasets=[coco, aic],
        sample_ratio_factor=[1, 0.3],  # in each epoch 0.3 of AI Challenger
        pipeline=_base_.train_pipeline))
