"""Losses of the same training steps on a GPU and on the CPU.

    python benchmarks/loss_curves.py METHOD ... --out DIR

Each model takes a few optimizer steps with the same random batch from the same
weights: on the CPU in float32, and on the GPU in float32, float16 and
bfloat16. What is drawn on the way, such as the noise of denoising queries, is
drawn on the CPU for both. DIR gets loss_curves.md and loss_curves.json.
"""
from typing import List

import torch
from program import ArgumentParser
from torch.overrides import TorchFunctionMode

from benchmarks.lib.case import Load, TrainingCase
from benchmarks.lib.gpu_tables import CURVES
from benchmarks.lib.method import Method, find_method
from benchmarks.lib.modes import PRECISIONS, why_not
from benchmarks.lib.results import Results
from benchmarks.lib.turns import shorten

RANDOM = (torch.rand, torch.randn, torch.randint, torch.randperm)


class DrawOnCPU(TorchFunctionMode):
    """Draws random numbers on the CPU, whatever the device, so that they are
    the same on all."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        device = kwargs.get('device')
        if func in RANDOM and device is not None:
            return func(*args, **dict(kwargs, device='cpu')).to(device)
        return func(*args, **kwargs)


def take_steps(method: Method, load: Load, device: str,
               steps: int) -> List[float]:
    """The loss before each step."""
    case = TrainingCase(method, load, device)
    losses = []
    torch.manual_seed(0)
    with DrawOnCPU():
        for _ in range(steps):
            case()
            losses.append(case.loss.item())
    return losses


def largest_difference(losses: List[float], expected: List[float]) -> float:
    """Relative to what was expected; of numbers that are none, infinite."""
    apart = [abs(a / b - 1) for a, b in zip(losses, expected)]
    return max(x if x == x else float('inf') for x in apart)


def main(argv=None) -> None:
    parser = ArgumentParser(__doc__)
    parser.add_argument('methods', nargs='+', metavar='METHOD')
    parser.add_size((256, 256), 'the images')
    parser.add_number('--batch-size', 2, 'images')
    parser.add_number('--steps', 5, 'optimizer steps')
    parser.add_device()
    args = parser.parse_args(argv)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    results = Results(
        args.out / 'loss_curves', 'Loss curves',
        f'{args.steps} steps with a batch of {args.batch_size} random images '
        f'of {args.size[0]} x {args.size[1]} pixels with 5 people, the same '
        'each time, at the learning rate of the config, without TF32.', CURVES)
    runs = dict.fromkeys([('cpu', 'fp32'),
                          *((args.device, x) for x in PRECISIONS)])
    for text in args.methods:
        method = find_method(text, tuple(args.size))
        expected = None
        for device, precision in runs:
            row = dict(model=method.name, device=device, precision=precision)
            load = Load(precision, batch_size=args.batch_size)
            try:
                reason = why_not(precision, 'eager', device)
                if reason:
                    raise RuntimeError(f'skipped: {reason}')
                row['losses'] = take_steps(method, load, device, args.steps)
                expected = expected or row['losses']
                row['difference'] = largest_difference(row['losses'], expected)
            except Exception as error:  # of any model
                row['failed'] = shorten(error)
            results.add(row)
    print(results.markdown())


if __name__ == '__main__':
    main()
