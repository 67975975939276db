_base_ = 'grouppose_tiny-res18_1xb8-6e_drawn-128.py'

# The same network on drawn crowds, made by
# tools/dataset_converters/draw_people.py with --people 4 8, see
# tools/compare_attention.py.

# model
model = dict(head=dict(num_queries=20))

# runtime
max_epochs = 4
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.001,
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True),
]

# data
data_root = 'data/drawn_crowds/'
train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root +
                     'annotations/person_keypoints_val.json')
test_evaluator = val_evaluator
