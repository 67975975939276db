"""Object keypoint similarity: the one formula that the matching costs, the
loss, the training log and the tests share."""
import math

import torch
from torch import Tensor


def object_keypoint_similarity(pred: Tensor, gt: Tensor, visible: Tensor,
                               area: Tensor, sigmas: Tensor) -> Tensor:
    """Compute the OKS of predicted and annotated poses.

    As COCO defines it: the mean over the labeled keypoints of
    ``exp(-d^2 / (2 * area * (2 * sigma)^2))``. All arguments broadcast over
    their leading dimensions. Distances and area must be in the same units:
    pixels, or image sizes (x divided by the width, y by the height, the area
    by both), as in training.

    Args:
        pred (Tensor): Predicted keypoints (x, y), float, (..., K, 2).
        gt (Tensor): Annotated keypoints (x, y), float, (..., K, 2).
        visible (Tensor): 1 where a keypoint is labeled, else 0, (..., K).
        area (Tensor): Area of each annotated person, (...).
        sigmas (Tensor): Standard deviation of each keypoint's annotation
            in units of the person's scale, (K, ).

    Returns:
        Tensor: OKS in [0, 1], shape (...). It is 0 where no keypoint is
        labeled.
    """
    # Coordinate by coordinate: a sum over a dimension of two is slow.
    (x, y), (gt_x, gt_y) = pred.unbind(-1), gt.unbind(-1)
    squared_distance = (x - gt_x).square() + (y - gt_y).square()
    # A power of two: the exponential function of CPUs (MKL's) takes up to 35
    # times as long where it underflows, as it does for most pairs.
    variance = math.log(2) * (2 * sigmas).square()
    # An area of zero leaves a similarity of 1 for exact hits, else 0.
    spread = (2 * area[..., None] *
              variance).clamp(min=torch.finfo(pred.dtype).tiny)
    similarity = torch.exp2(squared_distance / -spread) * visible
    # The official program adds 1e-6 to the number of labeled keypoints, so
    # an exact hit scores 1 - 1e-6/n; kept for equal losses.
    return similarity.sum(-1) / (visible.sum(-1) + 1e-6)
