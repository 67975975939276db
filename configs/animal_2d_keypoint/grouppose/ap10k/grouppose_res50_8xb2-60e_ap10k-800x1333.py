_base_ = '../../../body_2d_keypoint/grouppose/coco/grouppose_res50_8xb2-60e_coco-800x1333.py'  # noqa: E501

# keypoints: 17 of an animal
metainfo = dict(from_file='configs/_base_/datasets/ap10k.py')
model = dict(head=dict(data_decoder=dict(metainfo=metainfo)))

# data loaders: 54 species are taken for one class
data_root = 'data/ap10k/'
train_dataloader = dict(
    dataset=dict(
        metainfo=metainfo,
        class_agnostic=True,
        dataset=dict(
            type='AP10KDataset',
            data_root=data_root,
            ann_file='annotations/ap10k-train-split1.json',
            data_prefix=dict(img='data/'))))
val_dataloader = dict(
    dataset=dict(
        metainfo=metainfo,
        class_agnostic=True,
        dataset=dict(
            type='AP10KDataset',
            data_root=data_root,
            ann_file='annotations/ap10k-val-split1.json',
            data_prefix=dict(img='data/'))))
test_dataloader = dict(
    dataset=dict(
        metainfo=metainfo,
        class_agnostic=True,
        dataset=dict(
            type='AP10KDataset',
            data_root=data_root,
            ann_file='annotations/ap10k-test-split1.json',
            data_prefix=dict(img='data/'))))

# evaluators: AP over all animals, where CocoMetric has the mean of species
val_evaluator = dict(
    type='ClassAgnosticCocoMetric',
    ann_file=data_root + 'annotations/ap10k-val-split1.json')
test_evaluator = dict(
    type='ClassAgnosticCocoMetric',
    ann_file=data_root + 'annotations/ap10k-test-split1.json')
