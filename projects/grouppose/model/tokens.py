"""The maps of all levels as one sequence of tokens: where each level begins,
which tokens are padding, and where in the image they are."""
from dataclasses import dataclass, replace
from functools import cached_property
from typing import List, Optional, Sequence, Tuple

import torch
from mmpose.utils.typing import OptSampleList
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Tokens:
    """The S cells of the maps of L levels, level by level, row by row.

    The encoder takes the features of a neck and returns the memory; both are
    tokens of the same places.

    Attributes:
        features (Tensor): Features of the cells, (B, S, C).
        mask (Tensor, optional): True on padding, bool, (B, S). None if
            nothing is padding.
        valid_sizes (Tensor): Width and height of the part of each level
            that is not padding, in cells, float, (B, L, 2).
        shapes (list[tuple[int]]): Height and width of each level.
        spatial_shapes (Tensor): The same as a tensor, int64, (L, 2).
        level_start_index (Tensor): First token of each level, int64, (L, ).
    """
    features: Tensor
    mask: Optional[Tensor]
    valid_sizes: Tensor
    shapes: List[Tuple[int, int]]
    spatial_shapes: Tensor
    level_start_index: Tensor

    @cached_property
    def valid_ratios(self) -> Tensor:
        """Tensor: Share of each level's width and height that is not
        padding, (B, L, 2)."""
        return self.valid_sizes / self.spatial_shapes.flip(-1)

    def centers(self) -> Tensor:
        """Compute the centers of all cells.

        Returns:
            Tensor: (x, y), relative to the part of their level that is not
            padding, (B, S, 2).
        """
        centers, device = [], self.features.device
        for level, (height, width) in enumerate(self.shapes):
            y, x = torch.meshgrid(
                torch.arange(height, device=device) + 0.5,
                torch.arange(width, device=device) + 0.5,
                indexing='ij')
            grid = torch.stack([x, y], -1).view(1, -1, 2)
            centers.append(grid / self.valid_sizes[:, level, None])
        return torch.cat(centers, 1)

    def masks(self) -> List[Tensor]:
        """Compute the padding of each level as a map.

        Returns:
            list[Tensor]: True on padding, bool, (B, H_l, W_l).
        """
        mask = self.mask
        if mask is None:
            mask = torch.zeros(
                self.features.shape[:2],
                dtype=torch.bool,
                device=self.features.device)
        return [
            part.unflatten(1, shape)
            for part, shape in zip(self._by_level(mask), self.shapes)
        ]

    def map_of(self, level: int) -> Tensor:
        """Features of a level as a map, (B, C, H, W)."""
        rows = self._by_level(self.features)[level]
        return rows.transpose(1, 2).unflatten(2, self.shapes[level])

    def _by_level(self, values: Tensor) -> Tuple[Tensor, ...]:
        """The values (B, S, ...) of the tokens of each level."""
        return values.split([height * width for height, width in self.shapes],
                            1)

    def with_features(self, features: Tensor) -> 'Tokens':
        """Copy with other features, (B, S, C)."""
        return replace(self, features=features)


def flatten_maps(feats: Sequence[Tensor], masks: Optional[Sequence[Tensor]],
                 dtype: torch.dtype) -> Tokens:
    """Flatten the maps of all levels into one sequence of tokens.

    Args:
        feats (Sequence[Tensor]): L maps, (B, C, H_l, W_l).
        masks (Sequence[Tensor], optional): True on padding, bool,
            (B, H_l, W_l). None if nothing is padding.
        dtype (torch.dtype): Of sizes and coordinates, which stay in full
            precision where features are in mixed precision.

    Returns:
        Tokens: On the device of the maps.
    """
    shapes = [(height, width)
              for height, width in (x.shape[-2:] for x in feats)]
    # Filled on the device: a copy from the host would wait for a GPU, cannot
    # be part of a CUDA graph, and becomes a constant in an exported model.
    sides = [
        torch.full((1, ), side, dtype=torch.long, device=feats[0].device)
        for shape in shapes for side in shape
    ]
    spatial_shapes = torch.cat(sides).view(-1, 2)
    lengths = spatial_shapes.prod(1)
    if masks is None:
        mask = None
        valid_sizes = spatial_shapes.flip(-1).expand(len(feats[0]), -1, -1)
    else:
        mask = torch.cat([mask.flatten(1) for mask in masks], 1)
        # QUIRK: the part without padding is read off the first row and column.
        valid_sizes = torch.stack([
            torch.stack([(~mask[:, 0]).sum(1), (~mask[:, :, 0]).sum(1)], -1)
            for mask in masks
        ], 1)
    return Tokens(
        features=torch.cat([x.flatten(2).transpose(1, 2) for x in feats], 1),
        mask=mask,
        valid_sizes=valid_sizes.to(dtype),
        shapes=shapes,
        spatial_shapes=spatial_shapes,
        level_start_index=lengths.cumsum(0) - lengths)


def padding_masks(feats: Sequence[Tensor],
                  batch_data_samples: OptSampleList) -> Optional[List[Tensor]]:
    """Compute which cells of each map come from the padding of the batch.

    Args:
        feats (Sequence[Tensor]): L maps, (B, C, H_l, W_l).
        batch_data_samples (list[:obj:`PoseDataSample`], optional): Their
            ``batch_input_shape`` and ``img_shape``, (h, w), are used.
            Defaults to no padding.

    Returns:
        list[Tensor], optional: True on padding, bool, (B, H_l, W_l). None if
        nothing is padding, so that nothing needs to be masked.
    """
    if batch_data_samples is None:
        return None
    frame = tuple(batch_data_samples[0].metainfo['batch_input_shape'])
    sizes = [
        tuple(sample.metainfo['img_shape'][:2])
        for sample in batch_data_samples
    ]
    if all(size == frame for size in sizes):
        return None
    return sampled_masks(feats, frame,
                         torch.tensor(sizes, device=feats[0].device))


def sampled_masks(feats: Sequence[Tensor], input_shape: Sequence[int],
                  image_shapes: Tensor) -> List[Tensor]:
    """Compute padding masks at the resolution of the maps.

    Equal to full-size masks resized by ``F.interpolate`` (nearest), without
    building these.

    Args:
        feats (Sequence[Tensor]): L maps, (B, C, H_l, W_l).
        input_shape (Sequence[int]): Height and width with padding.
        image_shapes (Tensor): Heights and widths without, int64, (B, 2).

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
