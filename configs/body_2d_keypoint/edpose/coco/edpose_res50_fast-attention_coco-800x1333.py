# With the deformable attention of Group Pose: same weights and results.
_base_ = './edpose_res50_coco-800x1333.py'

model = dict(head=dict(fast_attention=True))
