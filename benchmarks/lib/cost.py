"""Least work of a model: FLOPs, and bytes that must be read and written.

FLOPs are those of matrix products, convolutions, attention and deformable
sampling; a multiplication and an addition are two. Bytes count each of these
operations as if it read its operands once and wrote its result once, and as
if everything between them (norms, activations, copies) were fused into them.
"""
from contextlib import ExitStack
from math import prod

import numpy as np
import torch
from mmcv.ops import DeformConv2d
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import FlopCounterMode

COUNTED = ('aten::mm', 'aten::addmm', 'aten::bmm', 'aten::baddbmm',
           'aten::convolution', 'aten::_native_multi_head_attention')


class CostCounter:
    """Counts what a model does while it is open as a context.

    Args:
        model (nn.Module): Whose deformable attentions and convolutions are
            counted by formula: no counter of PyTorch knows them.
    """

    def __init__(self, model: nn.Module):
        self._model = model
        self._by_formula = np.zeros(2)
        self._flops = FlopCounterMode(
            display=False, custom_mapping=_more_formulas())
        self._bytes = _BytesCounter()

    def __enter__(self) -> 'CostCounter':
        self._stack = ExitStack()
        for module in self._model.modules():
            if hasattr(module, 'sampling_offsets'):
                hook = module.register_forward_pre_hook(
                    self._count_sampling, with_kwargs=True)
            elif isinstance(module, DeformConv2d):
                hook = module.register_forward_hook(self._count_convolution)
            else:
                continue
            self._stack.callback(hook.remove)
        self._stack.enter_context(self._flops)
        self._stack.enter_context(self._bytes)
        return self

    def __exit__(self, *error) -> None:
        self._stack.close()

    def total(self) -> np.ndarray:
        """FLOPs and bytes so far, (2, )."""
        counted = (self._flops.get_total_flops(), self._bytes.total)
        return self._by_formula + np.array(counted, dtype=np.float64)

    def _count_convolution(self, module: nn.Module, args: tuple,
                           output: Tensor) -> None:
        """Those of a convolution without offsets."""
        numbers = sum(x.numel() for x in (*args, module.weight, output))
        flops = 2 * output.numel() * module.weight[0].numel()
        self._by_formula += (flops, 4 * numbers)

    def _count_sampling(self, module: nn.Module, args: tuple,
                        kwargs: dict) -> None:
        """Four rows per sampling point, multiplied and added, in float32.

        The maps are read once, and so are x, y and weight of each point.
        """
        query = args[0] if args else kwargs['query']
        value = kwargs.get('value')
        value = query if value is None else value
        points = (
            prod(query.shape[:2]) * module.num_heads * module.num_levels *
            module.num_points)
        head_dims = module.embed_dims // module.num_heads
        numbers = value.numel() + 3 * points + query.numel()
        self._by_formula += (2 * 4 * points * head_dims, 4 * numbers)


class _BytesCounter(TorchDispatchMode):
    """Adds up the sizes of operands and results of the counted operations."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func._schema.name
        if name in COUNTED or name.startswith('aten::_scaled_dot_product'):
            self.total += sum(x.numel() * x.element_size()
                              for x in tree_flatten((args, kwargs, result))[0]
                              if torch.is_tensor(x))
        return result


def _more_formulas() -> dict:
    """FLOPs of attention operators that some versions do not know."""
    formulas = dict(
        _native_multi_head_attention=_module_flops,
        _scaled_dot_product_flash_attention_for_cpu=_attention_flops)
    return {
        getattr(torch.ops.aten, name): formula
        for name, formula in formulas.items() if hasattr(torch.ops.aten, name)
    }


def _attention_flops(query, key, value, *args, out_shape=None, **kwargs):
    """Of shapes (B, M, T, D), (B, M, S, D) and (B, M, S, E)."""
    return 2 * prod(query[:3]) * key[2] * (query[3] + value[3])


def _module_flops(query, *args, out_shape=None, **kwargs):
    """Of self-attention with its four projections, (B, T, C)."""
    batch_size, tokens, width = query
    return 4 * batch_size * tokens * width * (2 * width + tokens)
