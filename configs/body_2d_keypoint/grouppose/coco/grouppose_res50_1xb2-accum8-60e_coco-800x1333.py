_base_ = './grouppose_res50_8xb2-60e_coco-800x1333.py'

# One GPU in place of eight: an update sees 8 batches of 2 images, as many
# images as in the published recipe, at the same learning rate.
optim_wrapper = dict(accumulative_counts=8)

# Encoder layers compute their forward pass twice instead of keeping it. They
# hold most of the memory; gradients stay the same.
model = dict(head=dict(encoder=dict(layer_cfg=dict(with_cp=True))))
