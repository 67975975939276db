"""Inputs of the sampling of deformable attention, as a model makes them."""
from typing import Optional, Tuple

import torch
from torch import Tensor

STRIDES = (8, 16, 32, 64)
Inputs = Tuple[Tensor, ...]


def make_attention_inputs(size: Tuple[int, int],
                          heads: int = 8,
                          width: int = 32,
                          points: int = 4,
                          strides: Tuple[int, ...] = STRIDES,
                          queries: Optional[int] = None,
                          batch_size: int = 1) -> Inputs:
    """value, spatial_shapes, locations and weights of an encoder layer, for
    an image of a size (W, H), or of a decoder layer with a number of queries.

    Every token looks a few tokens around itself on all maps, as the layers
    of an encoder do from their initialization on. Queries of a decoder are
    anywhere.
    """
    torch.manual_seed(0)
    shapes = torch.tensor([[-(-side // stride) for side in reversed(size)]
                           for stride in strides])
    centers = torch.cat([
        torch.stack(
            torch.meshgrid(
                (torch.arange(w) + 0.5) / w, (torch.arange(h) + 0.5) / h,
                indexing='xy'), -1).view(-1, 2) for h, w in shapes.tolist()
    ])
    tokens = len(centers)
    if queries is not None:
        centers = torch.rand(queries, 2)
    samples = (batch_size, len(centers), heads, len(strides), points)
    offsets = 3 * torch.randn(*samples, 2) / shapes.flip(-1)[:, None]
    locations = centers[None, :, None, None, None] + offsets
    weights = torch.rand(*samples).flatten(3).softmax(-1).view(samples)
    value = torch.randn(batch_size, tokens, heads, width)
    return value, shapes, locations, weights
