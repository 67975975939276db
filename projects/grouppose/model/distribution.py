"""Offsets of keypoints as distributions over bins, and how good a pose looks
in the image."""
import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpose.models.heads.transformer_heads.transformers.utils import FFN
from mmpose.registry import MODELS
from torch import Tensor, nn

from .initialization import init_pose_embed


class OffsetDistribution(nn.Module):
    """From logits of bins to offsets (D-FINE).

    An offset is the expectation of R + 1 values that are close to each other
    around zero and far apart at the ends:

    ``W = [-2 u, -(s^(R/2 - 1) - 1), ..., -(s - 1), 0, s - 1, ..., 2 u] / r``
    with ``u = up * r`` and ``s = (u + 1)^(2 / (R - 2))``.

    Args:
        reg_max (int): R, an even number. Defaults to 32.
        up (float): Where half of the values are within, in image sizes.
            Defaults to 0.5.
        reg_scale (int): r: the larger, the closer the values around zero.
            Defaults to 4.
    """

    up: Tensor
    reg_scale: Tensor
    fixed_values: Tensor  # once deployed

    def __init__(self, reg_max: int = 32, up: float = 0.5, reg_scale: int = 4):
        super().__init__()
        if reg_max < 4 or reg_max % 2:
            raise ValueError('OffsetDistribution: reg_max must be an even '
                             f'number of at least 4, not {reg_max}.')
        self.reg_max = reg_max
        # In checkpoints, as in those of the official program.
        self.register_buffer('up', torch.tensor([up]))
        self.register_buffer('reg_scale', torch.tensor([reg_scale]))

    def switch_to_deploy(self) -> None:
        """Compute the values once."""
        self.register_buffer('fixed_values', self.values, persistent=False)

    @property
    def values(self) -> Tensor:
        """Tensor: Offset of each bin in image sizes, (R + 1, )."""
        if hasattr(self, 'fixed_values'):
            return self.fixed_values
        scale = self.reg_scale.abs().to(self.up.dtype)
        bound = self.up.abs() * scale
        step = (bound + 1)**(2 / (self.reg_max - 2))
        half = torch.arange(
            1, self.reg_max // 2, device=step.device, dtype=step.dtype)
        right = torch.cat([step**half - 1, 2 * bound])
        return torch.cat([-right.flip(0),
                          torch.zeros_like(step), right]) / scale

    def forward(self, logits: Tensor) -> Tensor:
        """Expected offsets.

        Args:
            logits (Tensor): Of the bins of x, then of y, (..., 2 * (R + 1)).

        Returns:
            Tensor: (dx, dy) in image sizes, (..., 2).
        """
        shares = logits.unflatten(-1, (2, -1)).softmax(-1)
        return F.linear(shares, self.values.to(shares.dtype)[None]).squeeze(-1)


# Registered so that weights of it are known to depend on K.
@MODELS.register_module()
class PoseQuality(BaseModule):
    """A term of the class score from what is in the image at the keypoints.

    The largest channels of the finest map at each keypoint, and their mean,
    go through a small network.

    Args:
        num_keypoints (int): Number of keypoints K.
        num_channels (int): Channels that are kept. Defaults to 4.
        hidden_dims (int): Width of the network. Defaults to 256.
    """

    # Weights that depend on K: the axis, and entries per keypoint.
    per_keypoint = {r'reg_conf\.layers\.0\.weight': (1, 5)}

    def __init__(self,
                 num_keypoints: int,
                 num_channels: int = 4,
                 hidden_dims: int = 256):
        super().__init__()
        self.num_channels = num_channels
        self.reg_conf = FFN(num_keypoints * (num_channels + 1), hidden_dims, 1,
                            2)

    def init_weights(self) -> None:
        """The term starts at zero."""
        init_pose_embed(self.reg_conf)

    def forward(self, poses: Tensor, finest: Tensor) -> Tensor:
        """Judge poses.

        Args:
            poses (Tensor): Normalized keypoints, (B, N, K, 2).
            finest (Tensor): Map of the finest level, (B, C, H, W).

        Returns:
            Tensor: What is added to all class logits, (B, N, 1).
        """
        samples = F.grid_sample(
            finest, (2 * poses - 1).to(finest.dtype), align_corners=False)
        largest = samples.topk(self.num_channels, dim=1).values
        seen = torch.cat([largest, largest.mean(1, keepdim=True)], 1)
        return self.reg_conf(seen.permute(0, 2, 3, 1).flatten(2))
