"""A model rewritten to take less time for the same results, for inference
only."""
from inspect import signature
from typing import Callable

import torch
from mmcv.cnn import fuse_conv_bn
from mmpose.models.pose_estimators.base import BasePoseEstimator
from mmpose.models.utils import FrozenBatchNorm2d
from torch import Tensor, nn


def prepare_for_inference(model: nn.Module) -> nn.Module:
    """Rewrite a model in place so that it computes the same in less time.

    Lets modules take their deploy form, folds batch norms into convolutions
    and, on a CPU, takes oneDNN's paths. Results agree to about 1e-6 of their
    size. The weights are no longer those of the config: do not train or save
    the model.

    Args:
        model (nn.Module): Any model, on the device where it will run.

    Returns:
        nn.Module: The same model, in evaluation mode.
    """
    prepare_for_export(model.eval())
    if next(model.parameters()).device.type == 'cpu':
        put_channels_last(model)
        use_onednn(model)
    return model


def prepare_for_export(model: nn.Module) -> None:
    """Let modules take their deploy form, and fold batch norms into
    convolutions, in place. All that remains can be exported."""
    switch_to_deploy(model)
    fold_batch_norms(model)


def switch_to_deploy(model: nn.Module) -> None:
    """Let modules take their deploy form, e.g. merge parallel convolutions.

    Their method for it, ``switch_to_deploy``, is a convention of MMPose and
    mmpretrain. One that needs an argument ties the module to one size of
    images and is not called, nor is a pose estimator's, which calls all.
    """
    for module in list(model.modules()):
        switch = getattr(module, 'switch_to_deploy', None)
        if switch is None or isinstance(module, BasePoseEstimator):
            continue
        parameters = signature(switch).parameters.values()
        if all(p.default is not p.empty for p in parameters):
            switch()


def fold_batch_norms(model: nn.Module) -> None:
    """Fold batch norms, frozen ones too, into the convolutions before them:
    one pass over the maps less for each."""
    _replace(model, FrozenBatchNorm2d, _as_batch_norm)
    fuse_conv_bn(model)


def put_channels_last(model: nn.Module) -> None:
    """Let convolutions compute with the channels of a pixel side by side,
    the order that oneDNN's kernels are fastest in."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.to(  # type: ignore[call-overload]
                memory_format=torch.channels_last)


def use_onednn(model: nn.Module) -> None:
    """Let linear layers compute in oneDNN, see :class:`OneDNNLinear`."""
    if torch.backends.mkldnn.is_available():
        _replace(model, nn.Linear, OneDNNLinear)


def _replace(parent: nn.Module, kind: type, make: Callable) -> None:
    """Put ``make(module)`` in place of all modules of a kind."""
    for name, module in parent.named_children():
        if isinstance(module, kind):
            setattr(parent, name, make(module))
        else:
            _replace(module, kind, make)


def _as_batch_norm(frozen: FrozenBatchNorm2d) -> nn.BatchNorm2d:
    """The same as a module that mmcv knows how to fold."""
    norm = nn.BatchNorm2d(len(frozen.weight), eps=frozen.eps)
    norm.load_state_dict(frozen.state_dict(), strict=False)
    return norm.to(frozen.weight.device).eval()


class OneDNNLinear(nn.Linear):
    """A linear layer that calls oneDNN's matrix product.

    PyTorch calls MKL's for float32, which takes twice as long on processors
    that are not Intel's. The operator is the one that ``torch.compile`` puts
    in the place of linear layers. It has no gradient.

    Args:
        linear (nn.Linear): Layer whose parameters it takes.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__(
            linear.in_features,
            linear.out_features,
            linear.bias is not None,
            device='meta')
        self.weight = linear.weight
        self.bias = linear.bias

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        if tokens.dtype != torch.float32 or torch.is_grad_enabled():
            return super().forward(tokens)
        return torch.ops.mkldnn._linear_pointwise(tokens.contiguous(),
                                                  self.weight, self.bias,
                                                  'none', [], '')
