"""What makes inference on a CPU faster, step by step.

    python benchmarks/cpu_steps.py --out DIR

1. Deformable attention of the encoder: the sum of weighted bags beside mmcv's
   PyTorch path, forward and backward, time and memory.
2. The whole model: with mmcv's path, then with each step of the project added
   to those before.
3. Products that were tried in other forms.

Everything is checked to compute the same and timed in turns. DIR gets
cpu_steps.md and cpu_steps.json.
"""
import argparse
import copy
from functools import partial
from typing import Callable, Dict, Iterator, Tuple

import torch
import torch.nn.functional as F
from mmcv.ops.multi_scale_deform_attn import \
    multi_scale_deformable_attn_pytorch
from program import ArgumentParser
from torch import Tensor, nn

from benchmarks.lib.method import find_method
from benchmarks.lib.mmcv_path import mmcv_sampling
from benchmarks.lib.results import Results
from benchmarks.lib.sampling_inputs import (STRIDES, Inputs,
                                            make_attention_inputs)
from benchmarks.lib.variants import (COLUMNS, MEMORY, measure_variants,
                                     time_variants)
from projects.grouppose.inference import speed
from projects.grouppose.model.sampling.cpu import sum_bags

SAMPLINGS = {'mmcv': multi_scale_deformable_attn_pytorch, 'bags': sum_bags}
STEPS: Dict[str, Callable[[nn.Module], None]] = {
    'bags in place of mmcv': lambda model: None,
    '+ batch norms folded': speed.fold_batch_norms,
    '+ channels last': speed.put_channels_last,
    '+ oneDNN for linear layers': speed.use_onednn,
}


@torch.no_grad()
def forward(sampling: str, inputs: Inputs) -> Tensor:
    return SAMPLINGS[sampling](*inputs)


def forward_and_backward(sampling: str, inputs: Inputs) -> list:
    value, shapes, locations, weights = inputs
    leaves = [leaf.requires_grad_() for leaf in (value, locations, weights)]
    result = SAMPLINGS[sampling](value, shapes, locations, weights)
    return [result, *torch.autograd.grad(result.square().sum(), leaves)]


PASSES = {'forward': forward, 'forward and backward': forward_and_backward}


def prepare_pass(name: str, sampling: str, size: Tuple[int, int]) -> Callable:
    """What memory is measured of: a pass beyond its arguments."""
    inputs = make_attention_inputs(size)
    # What the libraries allocate once is not the pass's.
    PASSES[name](sampling, make_attention_inputs((64, 64)))
    return partial(PASSES[name], sampling, inputs)


def measure_attention(args: argparse.Namespace) -> Iterator[dict]:
    """Rows of both passes with both samplings."""
    inputs = make_attention_inputs(args.size)
    ours, mmcvs = (forward_and_backward(name, inputs) for name in SAMPLINGS)
    for one, other in zip(ours, mmcvs):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    for name in PASSES:
        yield from measure_variants(
            name, {
                key: partial(prepare_pass, name, key, args.size)
                for key in SAMPLINGS
            }, args.settings)


@torch.no_grad()
def run_model(model: nn.Module, images: Tensor) -> Dict[str, Tensor]:
    return model(images, None, mode='tensor')


def run_with_mmcv(model: nn.Module, images: Tensor) -> Dict[str, Tensor]:
    with mmcv_sampling():
        return run_model(model, images)


@torch.no_grad()
def build_model(config: str) -> nn.Module:
    """The model at its initialization, with heads that are not zero."""
    model = find_method(config).build()
    for name, parameter in model.head.named_parameters():
        if 'pose_embed' in name or 'sampling_offsets' in name:
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def measure_model(args: argparse.Namespace) -> Iterator[dict]:
    """Rows of the model with one step more in each."""
    model = build_model(args.config)
    images = torch.randn(1, 3, *reversed(args.size))
    cases = {"mmcv's path": partial(run_with_mmcv, model, images)}
    for name, step in STEPS.items():
        model = copy.deepcopy(model)
        step(model)
        cases[name] = partial(run_model, model, images)
    outputs = {name: run()['last'] for name, run in cases.items()}
    expected, *_ = outputs.values()
    for row in time_variants('image to poses', cases, args.settings):
        keypoints, logits = [
            float((outputs[row['case']][name] - expected[name]).abs().max())
            for name in ('keypoints', 'logits')
        ]
        yield dict(row, pixels=max(args.size) * keypoints, logits=logits)


def measure_products(args: argparse.Namespace) -> Iterator[dict]:
    """Rows of six projections of the memory, one by one and in one, and of
    linear layers by MKL and by oneDNN."""
    width, height = args.size
    tokens = sum(-(-width // s) * -(-height // s) for s in STRIDES)
    memory, wide = torch.randn(1, tokens, 256), torch.randn(1, tokens, 2048)
    layers = [nn.Linear(256, 256) for _ in range(6)]
    merged = torch.cat([layer.weight for layer in layers])
    bias = torch.cat([layer.bias for layer in layers])
    turns = {
        'values of 6 decoder layers': {
            'one by one': lambda: [layer(memory) for layer in layers],
            'in one product': lambda: F.linear(memory, merged, bias)
        }
    }
    for source, layer in ((memory, layers[0]), (memory, nn.Linear(256, 2048)),
                          (wide, nn.Linear(2048, 256))):
        turns[f'linear {layer.in_features} to {layer.out_features}'] = {
            'PyTorch': partial(layer, source),
            'oneDNN': partial(speed.OneDNNLinear(layer), source)
        }
    with torch.no_grad():
        for what, cases in turns.items():
            yield from time_variants(what, cases, args.settings)


def main(argv=None) -> None:
    parser = ArgumentParser(__doc__, repeats=5)
    parser.add_argument(
        '--config', default='grouppose-r50', help='the model (%(default)s)')
    parser.add_size((1333, 800), 'the image')
    args = parser.parse_args(argv)
    results = Results(
        args.out / 'cpu_steps', 'Inference on a CPU',
        f'{args.size[0]} x {args.size[1]} pixels, batch 1, float32. Cases '
        f'take turns; medians (least to most) of {args.repeats}. "Forward" is '
        'the deformable attention of a layer of the encoder; memory is what '
        'it adds to its arguments, its result included, at its peak, in a '
        'fresh process. Of the whole model, each row adds a step to those '
        'above it, and differences are the largest to the first row.', {
            **COLUMNS,
            **MEMORY, 'pixels': lambda row: f'{row["pixels"]:.1g}',
            'logits': lambda row: f'{row["logits"]:.1g}'
        })
    for measure in (measure_attention, measure_model, measure_products):
        for row in measure(args):
            results.add(row)
    print(results.markdown())


if __name__ == '__main__':
    main()
