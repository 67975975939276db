"""The weighted sum of deformable attention on a CPU, as an embedding bag.

A sampling point takes its value from the rows of the four tokens around it,
by bilinear weights. With the attention weight multiplied in, the points on
all maps make one bag of ``4 * L * P`` rows for each query and head, which
``torch.nn.functional.embedding_bag`` sums up without storing what it reads.
All bags together are a sparse matrix by which the value is multiplied; the
gradients are products of sparse matrices of the same pattern.
"""
import warnings
from typing import Iterator, Tuple

import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.autograd.function import once_differentiable

# Rows looked up at a time: bounds the memory that rows and weights take.
BLOCK = 2**18

warnings.filterwarnings('ignore', 'Sparse CSR tensor support is in beta')


def sum_bags(value: Tensor, spatial_shapes: Tensor, locations: Tensor,
             weights: Tensor) -> Tensor:
    """Sample all maps and sum by attention weights.

    Computes what mmcv's ``multi_scale_deformable_attn_pytorch`` does: samples
    are bilinear, and zero outside of a map.

    Args:
        value (Tensor): Rows of all maps, float32 or float64, (B, S, M, D).
        spatial_shapes (Tensor): Heights and widths, int64, (L, 2).
        locations (Tensor): Sampling locations (x, y), normalized by the size
            of the map, of the dtype of ``value``, (B, T, M, L, P, 2).
        weights (Tensor): Attention weights, of the same dtype,
            (B, T, M, L, P).

    Returns:
        Tensor: (B, T, M * D). It has first derivatives only.
    """
    return _BagSum.apply(value, spatial_shapes, locations, weights)


class _BagSum(torch.autograd.Function):
    """Keeps only its arguments; the backward pass finds the bags again."""

    @staticmethod
    def forward(ctx, value: Tensor, spatial_shapes: Tensor, locations: Tensor,
                weights: Tensor) -> Tensor:
        ctx.save_for_backward(value, spatial_shapes, locations, weights)
        table = value.flatten(0, 2)
        bags = _Bags(value, spatial_shapes, locations, weights)
        result = table.new_empty(bags.count, table.shape[1])
        for block in bags.blocks():
            result[block.bags] = F.embedding_bag(
                block.rows,
                table,
                per_sample_weights=block.row_weights,
                mode='sum')
        return result.view(*locations.shape[:2], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> Tuple[Tensor, None, Tensor, Tensor]:
        value, spatial_shapes, locations, weights = ctx.saved_tensors
        table = value.flatten(0, 2)
        bags = _Bags(value, spatial_shapes, locations, weights)
        grad = grad.reshape(bags.count, -1)
        rows = torch.empty(bags.count, bags.size, dtype=torch.int32)
        row_weights = table.new_empty(bags.count, bags.size)
        grad_locations = torch.empty_like(bags.locations)
        grad_weights = torch.empty_like(bags.weights)
        for block in bags.blocks():
            rows[block.bags] = block.rows
            row_weights[block.bags] = block.row_weights
            matrix = torch.sparse_csr_tensor(
                starts_of(block.rows), block.rows.flatten(),
                block.row_weights.flatten(), (len(block.rows), len(table)))
            grad_rows = torch.sparse.sampled_addmm(
                matrix, grad[block.bags], table.t(), beta=0).values()
            (grad_locations[:, block.queries],
             grad_weights[block.queries]) = block.backward(grad_rows)

        # scipy's, as PyTorch has no transposed sparse product on CPUs.
        matrix = csr_matrix((row_weights.numpy().ravel(), rows.numpy().ravel(),
                             starts_of(rows).numpy()),
                            (bags.count, len(table)))
        grad_value = torch.from_numpy(matrix.T @ grad.numpy())
        return (grad_value.reshape(value.shape), None,
                grad_locations.movedim(0, -1).reshape(locations.shape),
                grad_weights.reshape(weights.shape))


def starts_of(rows: Tensor) -> Tensor:
    """Where each of the bags starts in the flattened rows, and the end."""
    return torch.arange(0, rows.numel() + 1, rows.shape[1], dtype=torch.int32)


class _Bags:
    """The bags of all queries and heads, in the order (B, T, M).

    The points of a query, for all heads, levels and numbers, are laid out in
    one dimension of ``M * L * P``, so that loops over it are long.

    Attributes:
        count (int): Number of bags.
        size (int): Rows in each.
        locations (Tensor): (2, B * T, M * L * P).
        weights (Tensor): (B * T, M * L * P).
    """

    def __init__(self, value: Tensor, spatial_shapes: Tensor,
                 locations: Tensor, weights: Tensor):
        batch, tokens, heads, _ = value.shape
        queries, (levels, points) = locations.shape[1], weights.shape[3:]
        self.count = batch * queries * heads
        self.size = 4 * levels * points
        self.locations = locations.reshape(batch * queries, -1,
                                           2).movedim(-1, 0)
        self.weights = weights.reshape(batch * queries, -1)
        self.maps = _Maps(spatial_shapes, heads, points, value.dtype)
        images = torch.arange(batch, dtype=torch.int32) * (tokens * heads)
        self.images = images.repeat_interleave(queries)[:, None]

    def blocks(self) -> Iterator['_Block']:
        """Some queries at a time."""
        heads = self.maps.heads
        step = max(1, BLOCK // (heads * self.size))
        for start in range(0, len(self.weights), step):
            queries = slice(start, start + step)
            yield _Block(self.maps, queries, self.images[queries],
                         self.locations[:, queries], self.weights[queries])


class _Maps:
    """Where tokens lie in the table of rows, (B * S * M, D).

    Attributes:
        heads (int): Number of heads M.
        sizes (Tensor): Width and height of the map of each point, in tokens,
            (2, 1, M * L * P); the others likewise.
        last (Tensor): Last column and row that have a next one, or 0.
        has_next (Tensor): 0 where a map has but one column or row.
        first (Tensor): Table row of the first token.
        line (Tensor): Table rows from one row of tokens to the next.
        corners (Tensor): Table rows from the token above and left of a point
            to all four around it, (4, L * P).
    """

    def __init__(self, spatial_shapes: Tensor, heads: int, points: int,
                 dtype: torch.dtype):
        height, width = spatial_shapes.t()
        starts = (height * width).cumsum(0) - height * width
        right, below = (width > 1) * heads, (height > 1) * width * heads
        corners = torch.stack([0 * right, right, below, right + below])
        first = starts * heads + torch.arange(heads)[:, None]

        def of_points(values: Tensor) -> Tensor:
            """Repeat the last dimension, of levels, for each point."""
            return values.repeat_interleave(points, -1)

        self.heads = heads
        sizes = of_points(torch.stack([width, height])[:, None])
        sizes = sizes.repeat(1, 1, heads)
        self.sizes = sizes.to(dtype)
        self.last = (sizes - 2).clamp(min=0).to(dtype)
        self.has_next = (sizes > 1).to(dtype)
        self.first = of_points(first).flatten().int()
        self.line = of_points(width * heads).repeat(heads).int()
        self.corners = of_points(corners).int()


class _Block:
    """The bags of t queries.

    Attributes:
        queries (slice): The queries.
        bags (slice): Their bags.
        rows (Tensor): Rows of the table, int32, (t * M, 4 * L * P).
        row_weights (Tensor): Their weights, of the same shape.
    """

    def __init__(self, maps: _Maps, queries: slice, images: Tensor,
                 locations: Tensor, weights: Tensor):
        self.maps = maps
        self.queries = queries
        self.bags = slice(queries.start * maps.heads,
                          queries.stop * maps.heads)
        self.weights = weights

        offsets = (locations * maps.sizes).sub_(0.5)
        # Unlike a clamp, these turn NaN to a number: it may be in the
        # weights, but in no index.
        tokens = torch.fmin(offsets.floor(), maps.last)
        tokens = torch.fmax(tokens, tokens.new_zeros(()))
        self.offsets = offsets.sub_(tokens)
        x, y = tokens.int()
        first = (y * maps.line).add_(x, alpha=maps.heads)
        first += maps.first
        first += images
        self.rows = (self._of_bags(first)[:, None] + maps.corners).flatten(1)

        # Of the tokens on the left and above, and of those on the right and
        # below. Beyond the last token and before the first, one of them is 0.
        self.near = (1 - self.offsets.abs()).clamp_(min=0)
        self.far = (1 - (self.offsets - 1).abs_()).clamp_(min=0)
        self.far *= maps.has_next
        (left, above), (right, below) = self.near, self.far
        above, below = above * weights, below * weights
        self.row_weights = torch.stack([
            self._of_bags(left * above),
            self._of_bags(right * above),
            self._of_bags(left * below),
            self._of_bags(right * below)
        ], 1).flatten(1)

    def _of_bags(self, values: Tensor) -> Tensor:
        """From (t, M * L * P) to (t * M, L * P)."""
        return values.view(len(values) * self.maps.heads, -1)

    def backward(self, grad: Tensor) -> Tuple[Tensor, Tensor]:
        """Gradients of the locations, (2, t, M * L * P), and of the weights,
        (t, M * L * P), from those of the flattened row weights."""
        above_left, above_right, below_left, below_right = (
            part.reshape(self.weights.shape)
            for part in grad.view(-1, *self.maps.corners.shape).unbind(1))
        (left, above), (right, below) = self.near, self.far
        at_above = above_left * left + above_right * right
        at_below = below_left * left + below_right * right
        grad_weights = at_above * above + at_below * below

        # On a token, the slope is the one to the right and below.
        near = torch.where(self.offsets < 0, 1., -1.)
        near *= (self.offsets >= -1) & (self.offsets < 1)
        far = torch.where(self.offsets < 1, 1., -1.)
        far *= (self.offsets >= 0) & (self.offsets < 2)
        far *= self.maps.has_next
        (near_x, near_y), (far_x, far_y) = near, far
        grad_x = ((above_left * near_x + above_right * far_x) * above +
                  (below_left * near_x + below_right * far_x) * below)
        grad_y = at_above * near_y + at_below * far_y
        grad_offsets = torch.stack([grad_x, grad_y]).mul_(self.weights)
        return grad_offsets.mul_(self.maps.sizes), grad_weights
