_base_ = 'grouppose_tiny-res18_1xb8-4e_drawn-128.py'

# The same network on drawn crowds, made by
# tools/dataset_converters/draw_people.py with --people 4 8. Here and for the
# config of 750 iterations: see benchmarks/compare_attention.py.

# model
model = dict(head=dict(num_queries=20))

# data
data_root = 'data/drawn_crowds/'
train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(ann_file=data_root +
                     'annotations/person_keypoints_val.json')
test_evaluator = val_evaluator
