"""The frame of a pose: how large it is, and where its keypoints are in it.

In this frame a small person and a large one look alike, so that what a decoder
learns about one holds for the other.
"""
import math

import torch
from torch import Tensor

# Least side of a pose, in image sizes: a pose that is a point still has
# neighbors to look at.
LEAST_SIZE = 0.06


def pose_size(poses: Tensor) -> Tensor:
    """Width and height of poses, detached.

    A pose that is much longer than wide counts as half as wide as long: a
    person seen from the side is not a line.

    Args:
        poses (Tensor): Normalized keypoints, (..., K, 2).

    Returns:
        Tensor: In image sizes, at least :data:`LEAST_SIZE`, (..., 1, 2).
    """
    poses = poses.detach()
    span = poses.amax(-2, keepdim=True) - poses.amin(-2, keepdim=True)
    longer = span.amax(-1, keepdim=True)
    return torch.maximum(span, longer / 2).clamp(min=LEAST_SIZE)


def pose_embedding(poses: Tensor, embed_dims: int) -> Tensor:
    """Embed where keypoints are in the image, and in their pose.

    Args:
        poses (Tensor): Normalized keypoints, (..., K, 2).
        embed_dims (int): Width C, a multiple of 4.

    Returns:
        Tensor: Waves of 1 down to 1/32 of the image, then waves of 2 down to
        1/8 of the size of the pose around its center, (..., K, 2 * C).
    """
    center = poses.mean(-2, keepdim=True)
    within = (poses - center) / pose_size(poses)
    return torch.cat([
        wave_embedding(poses, embed_dims, 1, 1 / 32),
        wave_embedding(within, embed_dims, 2, 1 / 8)
    ], -1)


def wave_embedding(points: Tensor, embed_dims: int, longest: float,
                   shortest: float) -> Tensor:
    """Sines, then cosines of x, and the same of y, of waves whose lengths
    fall geometrically.

    Args:
        points (Tensor): (x, y), (..., 2).
        embed_dims (int): Width C, a multiple of 4.
        longest (float): Length of the longest wave.
        shortest (float): Length of the shortest.

    Returns:
        Tensor: (..., C).
    """
    steps = torch.arange(
        embed_dims // 4, dtype=points.dtype, device=points.device)
    share = steps / max(len(steps) - 1, 1)
    frequency = (longest / shortest)**share / longest
    angle = 2 * math.pi * points[..., None] * frequency
    return torch.cat([angle.sin(), angle.cos()], -1).flatten(-2)
