"""Stand-in weights in the layout of the official checkpoints.

Every tensor is drawn from numpy's frozen legacy generator with the CRC32 of
its name as seed, so that the same numbers come out on every machine. Nothing
was trained; the scales keep activations in a sane range.
"""
import json
import os.path as osp
import re
import zlib
from typing import Callable, Optional

import numpy as np
import torch

DATA = osp.join(osp.dirname(osp.dirname(__file__)), 'golden')


def official_state_dict(keys_file: str = 'official_keys_r50_k17.json',
                        draw: Optional[Callable] = None) -> dict:
    """Tensors for all names of a key list, aliases being equal.

    Args:
        keys_file (str): Rows of names, shapes and dtypes in tests/golden.
        draw (Callable, optional): Makes a float tensor of a name and a
            shape. Defaults to the one of the golden numbers.
    """
    draw = draw or _draw
    with open(osp.join(DATA, keys_file)) as file:
        rows = json.load(file)
    return {
        name:
        torch.as_tensor(
            _window_index(shape) if dtype ==
            'int64' else draw(_canonical(name), shape))
        for name, shape, dtype in rows
    }


def cut_keypoints(weights: dict, num_keypoints: int) -> dict:
    """Official weights for the first so many keypoints."""
    rows = {
        'transformer.keypoint_embedding.weight': num_keypoints,
        'transformer.enc_pose_embed.layers.3.weight': 2 * num_keypoints,
        'transformer.enc_pose_embed.layers.3.bias': 2 * num_keypoints
    }
    return {name: value[:rows.get(name)] for name, value in weights.items()}


def _canonical(name: str) -> str:
    """The name under which a tensor that is stored twice is drawn."""
    return re.sub(r'^transformer\.decoder\.((class|pose)_embed\.)', r'\1',
                  name)


def _window_index(shape: list) -> np.ndarray:
    """Swin's buffer: which bias belongs to a pair of pixels of a window, one
    for each distance in rows and columns."""
    size = int(shape[0]**0.5)
    y, x = np.divmod(np.arange(size**2), size)
    rows = y[:, None] - y + size - 1
    columns = x[:, None] - x + size - 1
    return rows * (2 * size - 1) + columns


def _draw(name: str, shape: list) -> np.ndarray:
    # The salt was chosen so that the encoder's selection has no near ties.
    salt = '10' if name.startswith('transformer.enc_') else ''
    random = np.random.RandomState(zlib.crc32((salt + name).encode()))
    noise = np.asarray(random.standard_normal(shape), dtype=np.float32)
    mean, spread, fan_in = _scales(name, shape)
    if name.endswith('running_var'):
        noise = np.abs(noise)
    noise = spread * noise / np.sqrt(fan_in)
    return (mean + noise).astype(np.float32)


def _scales(name: str, shape: list) -> tuple:
    """Mean, spread and fan-in that keep the activations sane."""
    if name.endswith('running_var'):
        return 1, 0.1, 1
    if name.endswith('running_mean'):
        return 0, 0.1, 1
    if name.endswith('sampling_offsets.bias'):
        return 0, 1.5, 1
    if name.endswith('level_embed') or 'embedding' in name:
        return 0, 0.5, 1
    if len(shape) == 1 and name.endswith('weight'):
        return 1, 0.1, 1  # gain of a norm
    if len(shape) == 1:
        return (-2, 0.5, 1) if 'class_embed' in name else (0, 0.05, 1)
    gain = 1.0
    if 'sampling_offsets' in name:
        gain = 0.5
    elif re.search(r'pose_embed\..*layers\.[23]\.weight', name):
        gain = 0.3
    return 0, gain, np.prod(shape[1:])
