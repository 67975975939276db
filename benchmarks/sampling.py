"""Deformable attention on a GPU: mmcv's kernel and deformops side by side.

    python benchmarks/sampling.py --out DIR

Layers of an encoder and of decoders, forward, and forward and backward, in
float32 and, where the library takes it, in half precision beside locations in
float32. All are compared with what a CPU computes in float32, and timed in
turns. The environment variable GROUPPOSE_GPU_SAMPLING is set by what comes out
here. DIR gets sampling.md and sampling.json.
"""
from functools import partial
from typing import Callable, Dict, Iterator, List, Tuple

import torch
from program import ArgumentParser
from torch import Tensor

from benchmarks.lib.gpu_tables import SAMPLING
from benchmarks.lib.modes import PRECISIONS
from benchmarks.lib.results import Results
from benchmarks.lib.sampling_inputs import Inputs, make_attention_inputs
from benchmarks.lib.turns import clock, shorten, take_turns
from projects.grouppose.model.sampling import gpu
from projects.grouppose.model.sampling.cpu import sum_bags

IM2COL_STEP = 64  # of mmcv's module, by default
# deformops first: mmcv's kernel may have to be compiled.
LIBRARIES = ('deformops', 'mmcv')


def load(library: str, device: str) -> gpu.Sampling:
    """An implementation; a CPU has its own only.

    Raises:
        ImportError: If it is not installed.
        RuntimeError: If the device cannot run it.
    """
    if device == 'cpu' and library != 'sum_bags':
        raise RuntimeError(f'skipped: {library} needs a GPU')
    if library == 'sum_bags':
        return gpu.Sampling(
            lambda value, shapes, _, locations, weights, step: sum_bags(
                value, shapes, locations, weights), False)
    return gpu.LOADERS[library]()


def make_pass(sampling: gpu.Sampling, inputs: Inputs, precision: str,
              device: str, backward: bool) -> Callable[[], List[Tensor]]:
    """A pass with inputs on the device, values and weights in a precision."""
    value, shapes, locations, weights = [x.detach().to(device) for x in inputs]
    dtype = PRECISIONS[precision] or torch.float32
    value, weights = value.to(dtype), weights.to(dtype)
    areas = shapes.prod(1)
    starts = areas.cumsum(0) - areas
    leaves = [value, locations, weights]

    def forward() -> List[Tensor]:
        with torch.no_grad():
            return [
                sampling.sample(value, shapes, starts, locations, weights,
                                IM2COL_STEP)
            ]

    def both() -> List[Tensor]:
        result = sampling.sample(value, shapes, starts, locations, weights,
                                 IM2COL_STEP)
        return [result, *torch.autograd.grad(result, leaves, cotangent)]

    result, = forward()
    generator = torch.Generator().manual_seed(1)
    cotangent = torch.randn(result.shape, generator=generator).to(result)
    for leaf in leaves:
        leaf.requires_grad_(backward)
    return both if backward else forward


def relative_error(computed: List[Tensor], expected: List[Tensor]) -> float:
    """The largest norm of a difference by that of what was expected."""
    return max(
        float((ours.float().cpu() - exact).norm() / exact.norm())
        for ours, exact in zip(computed, expected))


def time_calls(calls: int, run: Callable) -> float:
    """Seconds of a call, of a number of them in a row."""
    start = clock()
    for _ in range(calls):
        run()
    return (clock() - start) / calls


def measure(what: str, inputs: Inputs, args) -> Iterator[dict]:
    """Rows of a layer."""
    libraries = LIBRARIES if args.device == 'cuda' else ('sum_bags',
                                                         *LIBRARIES)
    for backward in (False, True):
        reference = make_pass(
            load('sum_bags', 'cpu'), inputs, 'fp32', 'cpu', backward)()
        facts = dict(what=what)
        facts['pass'] = 'forward and backward' if backward else 'forward'
        rows: Dict[Tuple, dict] = {}
        runs = {}
        for library in libraries:
            try:
                sampling = load(library, args.device)
            except (ImportError, RuntimeError) as error:
                rows[library, None] = dict(
                    facts, library=library, failed=shorten(error))
                continue
            for precision in PRECISIONS if sampling.takes_half else ['fp32']:
                row = dict(facts, library=library, precision=precision)
                try:
                    run = make_pass(sampling, inputs, precision, args.device,
                                    backward)
                    row['error'] = relative_error(run(), reference)
                    runs[library, precision] = run
                except Exception as error:  # of any library
                    row['failed'] = shorten(error)
                rows[library, precision] = row
        results = take_turns(what, runs, args.settings,
                             partial(time_calls, args.calls))
        for name, result in results.items():
            if isinstance(result, Exception):
                rows[name]['failed'] = shorten(result)
            else:
                rows[name]['seconds'] = result
        yield from rows.values()


def main(argv=None) -> None:
    parser = ArgumentParser(__doc__, repeats=10)
    parser.add_size((1333, 800), 'the image, for Group Pose')
    parser.add_number('--real-time-size', 640, 'its side, for DETRPose')
    parser.add_number('--instances', 100, 'instances N')
    parser.add_number('--keypoints', 17, 'keypoints K')
    parser.add_number('--batch-size', 1, 'images')
    parser.add_number('--calls', 20, 'calls in a row')
    parser.add_device()
    args = parser.parse_args(argv)
    queries = args.instances * (args.keypoints + 1)
    size, side = tuple(args.size), args.real_time_size
    make = partial(make_attention_inputs, batch_size=args.batch_size)
    layers = {
        'decoder':
        partial(make, size, queries=queries),
        'encoder':
        partial(make, size),
        "DETRPose's decoder":
        partial(
            make, (side, side),
            strides=(8, 16, 32),
            queries=60 * (args.keypoints + 1))
    }
    results = Results(
        args.out / 'sampling', 'Deformable attention on a GPU',
        f'Batch of {args.batch_size}, {size[0]} x {size[1]} pixels with four '
        f'maps, {queries} queries in the decoder; DETRPose: {side} x {side} '
        'with three maps, 60 instances. 8 heads of 32 channels, 4 points. '
        f'{args.device}; medians (least to most) of {args.repeats} turns of '
        f'{args.calls} calls. The difference is the largest, of result and '
        'gradients, by its norm.', SAMPLING)
    for what, make_inputs in layers.items():
        for row in measure(what, make_inputs(), args):
            results.add(row)
    print(results.markdown())


if __name__ == '__main__':
    main()
