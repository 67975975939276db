"""The optimizer Muon for the matrices of a model, and AdamW for all else."""
from collections import defaultdict
from typing import Callable, Dict, List, Optional, Tuple, cast

import torch
from mmpose.registry import OPTIMIZERS
from torch import Tensor
from torch.optim import AdamW

# Coefficients of x, x^3 and x^5 in a step of :func:`orthogonalize`: those of
# Jordan et al., steep at zero.
QUINTIC = 3.4445, -4.7750, 2.0315
STEPS = 5
# Fewer rows or columns than this are vectors rather than a matrix: a class, or
# the x and y of a prediction.
LEAST_SIDE = 5


@OPTIMIZERS.register_module()
class MuonAdamW(AdamW):
    """AdamW, where the updates of matrices are orthogonal (Muon).

    The momentum of a matrix is replaced by the nearest matrix whose singular
    values are all the same, so that what few examples agree on moves as far as
    what all do (K. Jordan et al., *Muon: An optimizer for hidden layers in
    neural networks*, 2024). Its root mean square is ``scale`` times the
    learning rate, about that of AdamW's updates, so one rate serves both
    (J. Liu et al., *Muon is scalable for LLM training*, 2025). The kernel of a
    convolution is a matrix with a row per output channel. Vectors, and
    matrices with fewer than 5 rows or columns, are AdamW's.

    Args:
        params (iterable): Parameters, or groups of them.
        momentum (float): Decay of the momentum, which is Nesterov's, in
            [0, 1). Defaults to 0.95.
        scale (float): Root mean square of an update at a learning rate of 1.
            Defaults to 0.2.
        kwargs: Arguments of :class:`torch.optim.AdamW` but ``maximize``.
            ``lr`` and ``weight_decay`` hold for matrices, too.

    Raises:
        ValueError: If ``momentum`` or ``scale`` is out of range, or
            ``maximize`` is set.
    """

    def __init__(self,
                 params,
                 momentum: float = 0.95,
                 scale: float = 0.2,
                 **kwargs):
        if not 0 <= momentum < 1 or scale <= 0 or kwargs.get('maximize'):
            raise ValueError(
                f'MuonAdamW: momentum={momentum} must be in [0, 1), '
                f'scale={scale} positive, and maximize left out.')
        self.momentum = momentum
        self.scale = scale
        super().__init__(params, **kwargs)

    def add_param_group(self, param_group: dict) -> None:
        """Add the matrices of a group, and what else is in it, as two
        groups, see the base class."""
        params = param_group['params']
        params = [params] if isinstance(params, Tensor) else list(params)
        for matrices in (True, False):
            chosen = [p for p in params if is_matrix(p) == matrices]
            if chosen:
                super().add_param_group(
                    dict(param_group, params=chosen, matrices=matrices))

    @torch.no_grad()
    def step(self, closure: Optional[Callable] = None):
        """Update all parameters, see the base class."""
        groups = self.param_groups
        self.param_groups = [g for g in groups if not g['matrices']]
        try:
            loss = super().step(closure)
        finally:
            self.param_groups = groups
        for group in groups:
            if group['matrices']:
                self._update_matrices(group)
        return loss

    def _update_matrices(self, group: dict) -> None:
        """Update the matrices of a group, those of the same shape at once."""
        alike: Dict[Tuple, List[Tensor]] = defaultdict(list)
        for param in group['params']:
            if param.grad is not None:
                shape = len(param), param[0].numel()
                alike[shape, param.device, param.dtype].append(param)
        for (shape, *_), params in alike.items():
            updates = orthogonalize(
                torch.stack([self._momentum(p).view(shape) for p in params]))
            # An orthogonal matrix of r rows and c columns has min(r, c)
            # singular values of 1: a mean square of 1 / max(r, c).
            size = group['lr'] * self.scale * max(shape)**0.5
            for param, update in zip(params, updates):
                param.mul_(1 - group['lr'] * group['weight_decay'])
                param.add_(update.view_as(param), alpha=-size)

    def _momentum(self, param: Tensor) -> Tensor:
        """Move the momentum of a parameter on, and look ahead of it."""
        gradient = cast(Tensor, param.grad)
        state = self.state[param]
        if 'momentum' not in state:
            # AdamW expects a number of steps in every state that it loads.
            state.update(
                step=torch.tensor(0.0), momentum=torch.zeros_like(param))
        state['step'] += 1
        momentum = state['momentum'].lerp_(gradient, 1 - self.momentum)
        return gradient.lerp(momentum, self.momentum).contiguous()


def is_matrix(param: Tensor) -> bool:
    """Whether a parameter counts as a matrix."""
    return param.ndim > 1 and param.numel() > 0 and min(
        len(param), param[0].numel()) >= LEAST_SIDE


def orthogonalize(matrices: Tensor) -> Tensor:
    """Bring all singular values near 1 by a Newton-Schulz iteration.

    Args:
        matrices (Tensor): (..., rows, columns).

    Returns:
        Tensor: Of the same shape. Singular values that were at least a
        thousandth of the Frobenius norm are between 0.6 and 1.2.
    """
    tall = matrices.size(-2) > matrices.size(-1)
    wide = matrices.mT if tall else matrices
    norm = torch.linalg.matrix_norm(wide, keepdim=True)
    wide = wide / norm.clamp(min=torch.finfo(wide.dtype).tiny)
    a, b, c = QUINTIC
    # Every step multiplies the matrix X from the left by p(X X'), a polynomial
    # of its small square. These all commute, so that X itself is needed only
    # in the end.
    square = wide @ wide.mT
    identity = torch.eye(square.size(-1), dtype=wide.dtype, device=wide.device)
    product = identity
    for _ in range(STEPS):
        factor = a * identity + b * square + c * square @ square
        product = factor @ product
        square = factor @ factor @ square
    result = product @ wide
    return result.mT if tall else result
