"""Stand-in weights in the layout of DETRPose's checkpoints, and what its
official program computes with them.

As in ``stand_in.py``, every tensor is drawn with its name as seed. The running
statistics of batch norms were measured, so that activations stay of order one.
"""
import json
import re
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Dict, Sequence

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS
from torch import nn

from tests.helpers.models import build_small_model, small_config

DETRPOSE_DIR = 'configs/body_2d_keypoint/detrpose/'
# Where golden files are: the small ones in the repository, others beside it.
FOLDERS = (Path(__file__).parents[1] / 'golden/detrpose',
           Path(__file__).parents[3] / 'shared/golden/detrpose')

# Backbone and neck by size of the model.
SIZES = dict(
    n=dict(
        backbone=dict(arch='b0', out_indices=(2, 3)),
        neck=dict(
            in_channels=(512, 1024),
            embed_dims=128,
            feedforward_channels=512,
            block_channels=21,
            num_blocks=2)),
    s=dict(
        backbone=dict(arch='b0'),
        neck=dict(
            in_channels=(256, 512, 1024), block_channels=64, num_blocks=1)),
    m=dict(
        backbone=dict(arch='b2'),
        neck=dict(in_channels=(384, 768, 1536), num_blocks=2)),
    l=dict(backbone=dict(arch='b4'), neck=dict(in_channels=(512, 1024, 2048))),
    x=dict(
        backbone=dict(arch='b5'),
        neck=dict(
            in_channels=(512, 1024, 2048),
            embed_dims=384,
            feedforward_channels=2048,
            block_channels=192)))

# Prefixes of official names and ours.
OURS = ((r'encoder\.encoder\.0\.layers\.0\.', 'neck.encoder.'),
        (r'encoder\.downsample_convs\.(\d+)\.0\.',
         r'neck.downsample_convs.\1.'), (r'encoder\.', 'neck.'))

# Gains of matrices whose names match; the last one counts.
GAINS = ((r'_embed|ref_point_head', 1.4), (r'sampling_offsets', 0.3),
         (r'pre_pose_embed\.layers\.2\.|enc_pose_embed\.layers\.3\.',
          0.5), (r'class_embed', 1.5), (r'reg_conf\.layers\.1\.', 0.3),
         (r'\.pose_embed\.\d+\.layers\.2\.', 0.45))


def golden_file(name: str) -> Path:
    """Path of a golden file. Skips the test where there is none."""
    for folder in FOLDERS:
        if (folder / name).exists():
            return folder / name
    pytest.skip(f'there is no {name} in ../shared/golden/detrpose')


def official_rows(size: str, num_keypoints: int = 17) -> Dict[str, tuple]:
    """Shape and dtype of the entries of official checkpoints."""
    name = f'official_keys_{size}_k{num_keypoints}.json'
    rows = json.loads(golden_file(name).read_text())
    return {name: (tuple(shape), dtype) for name, shape, dtype in rows}


def our_name(name: str) -> str:
    """Our name of an entry of backbone or hybrid encoder."""
    for prefix, ours in OURS:
        if re.match(prefix, name):
            return re.sub(prefix, ours, name, count=1)
    return name


def detrpose_state_dict(
    size: str,
    num_keypoints: int = 17,
    salt: str = '0',
    parts: Sequence[str] = ('backbone.', 'encoder.', 'transformer.')
) -> Dict[str, torch.Tensor]:
    """Stand-in weights by official name.

    Args:
        size (str): One of :data:`SIZES`.
        num_keypoints (int): 17, or 14 for size s.
        salt (str): That of the golden file they are for; it decides about
            the selected tokens and their order.
        parts (Sequence[str]): Prefixes of the entries that are wanted.
    """
    rows = official_rows(size, num_keypoints)
    statistics = {}
    if size != 'x':
        statistics = dict(np.load(golden_file(f'bn_stats_{size}.npz')))
    constants = _constants(size, rows)
    weights = {}
    for name, (shape, _) in rows.items():
        leaf = name.rpartition('.')[2]
        value = constants.get(name)
        if leaf in statistics:  # in the order of the rows
            value, statistics[leaf] = np.split(statistics[leaf], shape)
            value = value.astype(np.float32)
        elif leaf == 'num_batches_tracked':
            value = np.int64(0)
        if name.startswith(tuple(parts)):
            if value is None:
                value = _draw(name, shape, salt)
            weights[name] = torch.as_tensor(value)
    return weights


def build_maps(size: str) -> nn.Module:
    """Backbone and neck of a model, in evaluation mode."""
    parts = SIZES[size]
    backbone = MODELS.build(dict(parts['backbone'], type='HGNetV2'))
    neck = MODELS.build(dict(parts['neck'], type='DFineHybridEncoder'))
    return nn.ModuleDict(dict(backbone=backbone, neck=neck)).eval()


@lru_cache(maxsize=None)
def golden_maps(name: str) -> Dict[str, tuple]:
    """Maps of backbone and neck: ours, sampled, and the official ones.

    Args:
        name (str): Golden file, e.g. 'n_k17'.
    """
    golden = dict(np.load(golden_file(f'{name}.npz')))
    size, num_keypoints = name.split('_k')
    weights = detrpose_state_dict(
        size, int(num_keypoints), parts=('backbone.', 'encoder.'))
    model = build_maps(size)
    model.load_state_dict({our_name(k): v for k, v in weights.items()})
    images = np.stack([golden['image0'], golden['image1']]) / np.float32(255)
    outs = {}
    with torch.no_grad():
        maps = torch.from_numpy(images).permute(0, 3, 1, 2)
        for part, module in model.items():
            maps = module(maps)
            for level, computed in enumerate(maps):
                official = golden[f'{part}{level}_sample']
                steps = np.array(computed.shape) // official.shape
                slices = tuple(slice(None, None, step) for step in steps)
                outs[f'{part}{level}'] = computed[slices].numpy(), official
    return outs


def _draw(name: str, shape: tuple, salt: str) -> np.ndarray:
    """A learned tensor."""
    salt = salt if name.startswith('transformer.enc_') else ''
    random = np.random.RandomState(zlib.crc32((salt + name).encode()))
    noise = random.standard_normal(shape).astype(np.float32)
    leaf = name.rpartition('.')[2]
    if re.search(r'embedding\.|tgt_embed\.|label_enc\.|pose_enc\.', name):
        value = noise
    elif len(shape) > 1:
        gain = [g for pattern, g in GAINS if re.search(pattern, name)] or [1]
        value = gain[-1] * noise
        value = value.astype(np.float64) / np.sqrt(np.prod(shape[1:]))
    elif name.endswith('sampling_offsets.bias'):
        value = 1.5 * noise
    elif leaf == 'running_var':
        value = 1 + 0.1 * np.abs(noise)
    elif leaf == 'running_mean':
        value = 0.1 * noise
    elif re.search(r'\.bn\.|^encoder\..*\.norm\.', name):
        # Mostly in the linear part of what follows: rounding stays small.
        value = 1 + 0.2 * noise if leaf == 'bias' else 0.6 * (1 + 0.1 * noise)
    elif leaf in ('weight', 'scale'):
        value = 1 + 0.1 * noise
    elif 'class_embed' in name:
        value = np.array([-3.5, -0.5]) + 0.5 * noise
    else:
        value = 0.05 * noise
    return value.astype(np.float32)


def _constants(size: str, rows: Dict[str, tuple]) -> Dict[str, np.ndarray]:
    """Entries that are not learned."""
    half = rows['transformer.decoder.dim_t'][0][0]
    channel = np.arange(half, dtype=np.float32)
    centers = []
    for cells in (40, 20) if size == 'n' else (80, 40, 20):
        axis = (np.arange(cells, dtype=np.float32) + np.float32(0.5)) / cells
        y, x = np.meshgrid(axis.astype(np.float32), axis, indexing='ij')
        centers.append(np.stack([x, y], -1).reshape(-1, 2))
    centers = np.concatenate(centers).astype(np.float32)[None]
    inside = (centers > np.float32(0.01)) & (centers < np.float32(0.99))
    return {
        'transformer.up':
        np.float32([0.5]),
        'transformer.reg_scale':
        np.array([8 if size == 'x' else 4]),
        'transformer.anchors':
        np.log(centers / (1 - centers)).astype(np.float32),
        'transformer.valid_mask':  # where it is not valid
        ~inside.all(-1, keepdims=True),
        'transformer.decoder.dim_t':
        np.float32(10000)**(2 * np.floor(channel / 2) / np.float32(half))
    }


def model_config(size: str, num_keypoints: int) -> Config:
    """Config of the published model of a size, without pretrained weights."""
    dataset = {17: 'coco', 14: 'crowdpose'}[num_keypoints]
    path, = Path(DETRPOSE_DIR).glob(f'{dataset}/detrpose_hgnetv2-{size}_*')
    model = Config.fromfile(path).model
    model.backbone.init_cfg = None
    return model


def small_detrpose(num_keypoints: int = 5) -> Config:
    """Config of the small model with the parts of DETRPose."""
    return small_config(num_keypoints, **_small_parts())


def build_small_detrpose(num_keypoints: int = 5, **decoder):
    """Build :func:`small_detrpose`.

    Args:
        num_keypoints (int): Number of keypoints K.
        decoder: Changes to the decoder's config.
    """
    return build_small_model(num_keypoints, **_small_parts(**decoder))


def _small_parts(**decoder) -> dict:
    """What the head has in place of the parts of Group Pose."""
    layer = dict(
        embed_dims=32,
        num_heads=4,
        num_levels=3,
        num_points=2,
        feedforward_channels=64)
    return dict(
        encoder=None,
        positional_encoding=None,
        query_selection=dict(type='LearnedContentSelection'),
        decoder=dict(
            dict(type='DETRPoseDecoder', num_layers=3, layer_cfg=layer),
            _delete_=True,
            **decoder),
        training_queries=dict(denoising=dict(type='OKSDenoisingQueries')),
        criterion=dict(
            matcher=dict(type='UnionMatcher'),
            losses=dict(
                loss_cls=dict(
                    _delete_=True, type='OKSVarifocalLoss', loss_weight=2.0))))
