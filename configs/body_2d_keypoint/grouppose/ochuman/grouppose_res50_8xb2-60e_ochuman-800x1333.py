_base_ = '../coco/grouppose_res50_8xb2-60e_coco-800x1333.py'

# Training is on COCO, evaluation on OCHuman, which is made for evaluation only
# and has the keypoints of COCO.

# data loaders
data_root = 'data/ochuman/'
val_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type='OCHumanDataset',
            data_root=data_root,
            ann_file='annotations/'
            'ochuman_coco_format_val_range_0.00_1.00.json',
            data_prefix=dict(img='images/'))))
test_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type='OCHumanDataset',
            data_root=data_root,
            ann_file='annotations/'
            'ochuman_coco_format_test_range_0.00_1.00.json',
            data_prefix=dict(img='images/'))))

# evaluators
val_evaluator = dict(
    ann_file=data_root +
    'annotations/ochuman_coco_format_val_range_0.00_1.00.json')
test_evaluator = dict(
    ann_file=data_root +
    'annotations/ochuman_coco_format_test_range_0.00_1.00.json')
