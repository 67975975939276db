"""The maps of all levels as one sequence of tokens: where each level begins,
and which tokens are padding."""
from typing import Dict, List, Sequence, Tuple

import torch
from mmpose.utils.typing import OptSampleList
from torch import Tensor


def padding_masks(feats: Tuple[Tensor],
                  batch_data_samples: OptSampleList) -> List[Tensor]:
    """Which part of each map comes from the padding of the batch.

    Args:
        feats (tuple[Tensor]): L maps, (B, C, H_l, W_l).
        batch_data_samples (list[:obj:`PoseDataSample`], optional): Their
            ``batch_input_shape`` and ``img_shape``, (h, w), are used.
            Without them nothing is padding.

    Returns:
        list[Tensor]: True on padding, bool, (B, H_l, W_l).
    """
    batch_size, device = len(feats[0]), feats[0].device
    if batch_data_samples is None:
        return [
            torch.zeros(batch_size, *x.shape[-2:], device=device).bool()
            for x in feats
        ]
    sizes = [sample.metainfo['img_shape'][:2] for sample in batch_data_samples]
    return sampled_masks(feats,
                         batch_data_samples[0].metainfo['batch_input_shape'],
                         torch.tensor(sizes, device=device))


def sampled_masks(feats: Tuple[Tensor], input_shape: Sequence[int],
                  image_shapes: Tensor) -> List[Tensor]:
    """Nearest samples of the masks of padded images.

    The same as ``F.interpolate`` of these masks, without making them.

    Args:
        feats (tuple[Tensor]): L maps, (B, C, H_l, W_l).
        input_shape (Sequence[int]): Height and width with padding.
        image_shapes (Tensor): Those without, int64, (B, 2).

    Returns:
        list[Tensor]: True on padding, bool, (B, H_l, W_l).
    """
    masks = []
    for x in feats:
        outside = []
        for axis, length in enumerate(x.shape[-2:]):
            cells = torch.arange(length, device=x.device)
            pixels = (cells * (input_shape[axis] / length)).floor()
            outside.append(pixels >= image_shapes[:, axis, None])
        below, right = outside
        masks.append(below[:, :, None] | right[:, None])
    return masks


def level_index(spatial_shapes: List[tuple],
                device: torch.device) -> Dict[str, Tensor]:
    """Sizes and first tokens of the levels as the attentions want them."""
    # Filled on the device: a copy from the host would wait for a GPU, cannot
    # be part of a CUDA graph, and becomes a constant in an exported model.
    sides = [
        torch.full((1, ), side, dtype=torch.long, device=device)
        for shape in spatial_shapes for side in shape
    ]
    shapes = torch.cat(sides).view(-1, 2)
    sizes = shapes.prod(1)
    return dict(
        spatial_shapes=shapes, level_start_index=sizes.cumsum(0) - sizes)


def token_centers(spatial_shapes: List[tuple], valid_ratios: Tensor) -> Tensor:
    """Where in each level the tokens of all levels are.

    Args:
        spatial_shapes (list[tuple]): Height and width of each level.
        valid_ratios (Tensor): Unpadded share of each level's width and
            height, (B, L, 2).

    Returns:
        Tensor: (x, y), normalized in the padded frame of each level,
        (B, S, L, 2).
    """
    centers = []
    for level, (height, width) in enumerate(spatial_shapes):
        y, x = torch.meshgrid(
            torch.arange(height, device=valid_ratios.device) + 0.5,
            torch.arange(width, device=valid_ratios.device) + 0.5,
            indexing='ij')
        sizes = torch.stack([
            valid_ratios[:, level, 0] * width,
            valid_ratios[:, level, 1] * height
        ], -1)
        centers.append(torch.stack([x, y], -1).view(1, -1, 2) / sizes[:, None])
    return torch.cat(centers, 1)[:, :, None] * valid_ratios[:, None]
