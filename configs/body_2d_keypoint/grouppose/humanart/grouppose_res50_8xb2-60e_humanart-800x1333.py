_base_ = '../coco/grouppose_res50_8xb2-60e_coco-800x1333.py'

# Human-Art has the keypoints of COCO.

# data loaders: as in MMPose's configs, training is on Human-Art and COCO
# together. The annotations name images with their folders.
data_root = 'data/'
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type='HumanArtDataset',
            data_root=data_root,
            ann_file='HumanArt/annotations/training_humanart_coco.json',
            data_prefix=dict(img=''))))
val_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type='HumanArtDataset',
            data_root=data_root,
            ann_file='HumanArt/annotations/validation_humanart.json',
            data_prefix=dict(img=''))))
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(ann_file=data_root +
                     'HumanArt/annotations/validation_humanart.json')
test_evaluator = val_evaluator
