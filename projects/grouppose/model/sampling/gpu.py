"""The weighted sum of deformable attention on a GPU, by one of two libraries:
mmcv's CUDA kernel, or the Triton kernels of deformops.

mmcv's is the default. deformops, an optional requirement of the modern stack
(``requirements/modern/gpu.txt``), is used where the environment variable
``GROUPPOSE_GPU_SAMPLING`` or :func:`choose_gpu_sampling` says so. It also
takes half precision: there, in mixed precision, the values and the weights
that are multiplied with them are in the lower precision, and the sampling
locations in float32.
"""
import os
from typing import Callable, Dict, NamedTuple, Optional

from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from torch import Tensor

VARIABLE = 'GROUPPOSE_GPU_SAMPLING'
DEFAULT = 'mmcv'


class Sampling(NamedTuple):
    """An implementation: what samples, with the arguments of
    :func:`~projects.grouppose.model.deformable_attention.sample_maps`, and
    whether values and weights may be in half precision beside locations in
    float32."""
    sample: Callable[..., Tensor]
    takes_half: bool


def _load_mmcv() -> Sampling:
    """Locations, values and weights have one dtype, float32 or float64: in
    half precision, locations would be rounded to it."""
    return Sampling(MultiScaleDeformableAttnFunction.apply, False)


def _load_deformops() -> Sampling:
    """float32, float16 and bfloat16. Gradients of values are added up in
    float32, which its own choice does not do on every GPU."""
    try:
        from deformops.registry import Backend, msda
    except (ImportError, SyntaxError) as error:
        raise ImportError(
            'deformops was chosen for deformable attention, but cannot be '
            f'imported ({error}). It needs Python 3.12 and PyTorch 2.11: pip '
            'install -r requirements/modern/gpu.txt. Or choose mmcv, for '
            f'instance by {VARIABLE}=mmcv') from error

    def sample(value: Tensor, spatial_shapes: Tensor,
               level_start_index: Tensor, locations: Tensor, weights: Tensor,
               im2col_step: int) -> Tensor:
        return msda(
            value,
            spatial_shapes,
            level_start_index,
            locations,
            weights,
            backend=Backend.TRITON)

    return Sampling(sample, True)


LOADERS: Dict[str, Callable[[], Sampling]] = dict(
    mmcv=_load_mmcv, deformops=_load_deformops)
_chosen: Optional[Sampling] = None  # until it is needed or chosen


def choose_gpu_sampling(name: str) -> None:
    """Choose the implementation of deformable attention on GPUs, for this
    process, from now on.

    Args:
        name (str): 'mmcv' or 'deformops'.

    Raises:
        ValueError: If it is neither.
        ImportError: If it is not installed.
    """
    if name not in LOADERS:
        raise ValueError(
            f'{name!r} is no implementation of deformable attention on GPUs '
            f'(see {VARIABLE}); there are {" and ".join(LOADERS)}')
    global _chosen
    _chosen = LOADERS[name]()


def gpu_sampling() -> Sampling:
    """The implementation that was chosen, by :func:`choose_gpu_sampling` or
    the environment."""
    if _chosen is None:
        choose_gpu_sampling(os.environ.get(VARIABLE) or DEFAULT)
    assert _chosen is not None
    return _chosen


def takes_half(device: str) -> bool:
    """Whether values and weights may be in half precision there, beside
    locations in float32."""
    return device == 'cuda' and gpu_sampling().takes_half
