"""Self-distillation: the last decoder layer teaches those before it."""
import torch
import torch.nn.functional as F
from mmpose.registry import MODELS
from torch import Tensor

from .losses import SetLoss


@MODELS.register_module()
class DistributionDistillationLoss(SetLoss):
    """The distributions of offsets of the last layer teach those of the
    layers before it (GO-LSD of D-FINE,
    `arXiv 2410.13842 <https://arxiv.org/abs/2410.13842>`_).

    For a query i of layer l, z being the logits of the bins of a coordinate
    and L the last layer,

    ``d_i = T^2 * mean over coordinates of
    KL(softmax(z_L / T) || softmax(z_l / T))``.

    A matched query weighs as much as the OKS of its pose, any other as its
    score in layer L. The loss of a layer is the mean over the M matched and
    the mean over the U other queries of the batch,
    ``(sqrt(M) * m + sqrt(U) * u) / (sqrt(M) + sqrt(U))``: few matched ones
    are not lost among many others. That of the last layer is 0.

    For decoders that predict distributions, such as
    :class:`DETRPoseDecoder`.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.5, as in the
            paper.
        temperature (float): T: the larger, the more the tails of the
            distributions count. Defaults to 5.
    """

    keys = ('logits', 'keypoints', 'corners')
    of_poses = True

    def __init__(self, loss_weight: float = 1.5, temperature: float = 5.0):
        super().__init__(loss_weight)
        self.temperature = temperature

    def forward(self, outputs, targets, matches):
        # The sets of a stack come in the order of the layers.
        bins = outputs['corners'].unflatten(-1, (2, -1)) / self.temperature
        shares = bins.log_softmax(-1)
        divergence = F.kl_div(
            shares,
            shares[-1:].detach().expand_as(shares),
            reduction='none',
            log_target=True)
        divergence = self.temperature**2 * divergence.sum(-1).mean((-2, -1))

        scores = outputs['logits'][-1:].detach().sigmoid().amax(-1)
        weights = scores.expand_as(divergence).clone()
        matched = torch.zeros_like(weights, dtype=torch.bool)
        sets = torch.arange(len(weights), device=weights.device)[:, None]
        pairs = sets, matches.images, matches.queries
        weights[pairs] = matches.poses(outputs, targets).oks.detach()
        matched[pairs] = True
        others = ~matched
        if matches.ignored is not None:
            others = others & ~matches.ignored

        total = torch.zeros_like(divergence[:, 0, :0].sum(-1))
        norm = torch.zeros_like(total)
        for chosen in (matched, others):
            mean, count = _masked_mean(weights * divergence, chosen)
            total = total + count.sqrt() * mean
            norm = norm + count.sqrt()
        # The criterion divides by the count, which is in the means already.
        return self.loss_weight * matches.count * total / norm.clamp(min=1)


def _masked_mean(values: Tensor, mask: Tensor):
    """Mean of the values (O, B, N) of each set where the mask is True, or 0,
    and their number, (O, )."""
    count = mask.flatten(1).sum(1).to(values.dtype)
    total = values.masked_fill(~mask, 0).flatten(1).sum(1)
    return total / count.clamp(min=1), count
