"""A small model, and batches made up for it."""
import copy
from glob import glob
from typing import List, Optional, Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

CONFIG_DIR = 'configs/body_2d_keypoint/grouppose/'
R50_CONFIG = CONFIG_DIR + 'coco/grouppose_res50_8xb2-60e_coco-800x1333.py'


def small_config(num_keypoints: int = 5, **head) -> Config:
    """The R50 model, shrunk to what a test needs.

    Args:
        num_keypoints (int): Number of keypoints K.
        head: Changes to the head's config.
    """
    config = Config(dict(model=Config.fromfile(R50_CONFIG).model))
    attention = dict(embed_dims=32, num_heads=4, num_levels=3, num_points=2)
    small = dict(
        backbone=dict(
            depth=18, base_channels=8, stem_channels=8, init_cfg=None),
        neck=dict(
            in_channels=[16, 32, 64],
            out_channels=32,
            norm_cfg=dict(num_groups=8),
            num_outs=3),
        head=dict(
            num_queries=12,
            data_decoder=dict(sigmas=[0.08] * num_keypoints),
            positional_encoding=dict(num_pos_feats=16),
            encoder=dict(
                num_layers=1,
                layer_cfg=dict(
                    self_attn_cfg=attention,
                    ffn_cfg=dict(embed_dims=32, feedforward_channels=64))),
            decoder=dict(
                num_layers=3,
                layer_cfg=dict(attention, feedforward_channels=64))))
    config.merge_from_dict(dict(model=small))
    config.merge_from_dict(dict(model=dict(head=head)))
    return config.model


def build_small_model(num_keypoints: int = 5, perturb=True, **head):
    """Build :func:`small_config`.

    Args:
        num_keypoints (int): Number of keypoints K.
        perturb (bool): Move all heads away from their initial zeros.
        head: Changes to the head's config.
    """
    model = MODELS.build(small_config(num_keypoints, **head))
    model.init_weights()
    if perturb:
        with torch.no_grad():
            for name, parameter in model.head.named_parameters():
                if 'pose_embed' in name or 'sampling_offsets' in name:
                    parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def drawn_config(method: str, **head) -> Config:
    """Config of the tiny model that learns drawn people.

    Args:
        method (str): 'grouppose' or 'detrpose'.
        head: Changes to the head's config.
    """
    path, = glob(f'configs/body_2d_keypoint/{method}/drawn/{method}_*.py')
    config = Config(dict(model=Config.fromfile(path).model))
    config.merge_from_dict(dict(model=dict(head=head)))
    return config.model


def build_drawn(method: str, seed: int = 0, **head):
    """Build :func:`drawn_config`, with people who are not at the anchors.

    Args:
        method (str): 'grouppose' or 'detrpose'.
        seed (int): Of the weights that every variant has.
        head: Changes to the head's config.
    """
    torch.manual_seed(seed)
    model = MODELS.build(drawn_config(method, **head))
    model.init_weights()
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if 'pose_embed' in name and 'training_queries' not in name:
                generator = torch.Generator().manual_seed(len(name))
                parameter.add_(
                    0.05 * torch.randn(parameter.shape, generator=generator))
    return model


def make_sample(size: Sequence[int],
                num_people: int,
                num_keypoints: int = 5,
                batch_size: Optional[Sequence[int]] = None) -> PoseDataSample:
    """A data sample with random people.

    Args:
        size (Sequence[int]): Height and width of the image.
        num_people (int): How many.
        num_keypoints (int): Number of keypoints K.
        batch_size (Sequence[int]): Height and width of the padded batch.
    """
    height, width = size
    sample = PoseDataSample(
        metainfo=dict(
            img_shape=tuple(size),
            ori_shape=tuple(size),
            batch_input_shape=tuple(batch_size or size),
            input_size=np.float32((width, height)),
            input_scale=np.float32((width, height)),
            input_center=np.float32((width, height)) / 2,
            img_path='made_up.jpg'))
    visible = (torch.rand(num_people, num_keypoints) > 0.2).float()
    if num_people:
        visible[:, 0] = 1
    sample.gt_instance_labels = InstanceData(
        labels=torch.ones(num_people, dtype=torch.long),
        keypoint_labels=torch.rand(num_people, num_keypoints, 2),
        keypoint_weights=visible,
        area_labels=0.05 + 0.3 * torch.rand(num_people))
    sample.gt_instances = InstanceData()
    return sample


def make_batch(sizes: Sequence[Sequence[int]],
               people: Sequence[int],
               num_keypoints: int = 5) -> dict:
    """Data of a batch as a data loader collates it."""
    samples: List[PoseDataSample] = []
    images = []
    for size, num_people in zip(sizes, people):
        samples.append(make_sample(size, num_people, num_keypoints))
        images.append(torch.randint(0, 256, (3, *size)).to(torch.uint8))
    return dict(inputs=images, data_samples=samples)


def compute_losses(model, batch: dict):
    """Total loss and all losses of a batch in training mode."""
    data = model.data_preprocessor(copy.deepcopy(batch), training=True)
    losses = model(**data, mode='loss')
    return model.parse_losses(losses)[0], losses


def compute_gradients(model, batch):
    """Total loss and gradients of a batch, as a training step has them.

    Args:
        model (nn.Module): Wrapped or not.
        batch (dict): As a data loader collates it.
    """
    module = getattr(model, 'module', model)
    data = module.data_preprocessor(batch, training=True)
    total, _ = module.parse_losses(model(**data, mode='loss'))
    total.backward()
    gradients = {
        name: parameter.grad
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }
    return total.detach(), gradients


def stack_sets(outputs: dict) -> dict:
    """Entries of all output sets that have them, stacked, (O, B, N, ...)."""
    keys = {key: None for values in outputs.values() for key in values}
    return {
        key:
        torch.stack(
            [values[key] for values in outputs.values() if key in values])
        for key in keys
    }
