"""Cases of the sampling of deformable attention."""
import torch

# Maps of one column, one row and one token have no next one to blend with.
SHAPES = [(5, 7), (3, 1), (1, 4), (1, 1)]


def make_case(dtype=torch.float64, batch=2, queries=30, heads=2, width=3):
    """value, spatial_shapes, locations and weights, also far outside."""
    torch.manual_seed(0)
    shapes = torch.tensor(SHAPES)
    samples = (batch, queries, heads, len(SHAPES), 4)
    value = torch.randn(
        batch, int(shapes.prod(1).sum()), heads, width, dtype=dtype)
    locations = torch.rand(*samples, 2, dtype=dtype) * 1.8 - 0.4
    weights = torch.rand(*samples, dtype=dtype)
    return value, shapes, locations, weights


def compute(sampling, value, shapes, locations, weights):
    """Result and gradients."""
    leaves = [
        leaf.clone().requires_grad_() for leaf in (value, locations, weights)
    ]
    result = sampling(leaves[0], shapes, *leaves[1:])
    torch.manual_seed(1)
    return [
        result, *torch.autograd.grad(result, leaves, torch.randn_like(result))
    ]
