"""What lower precision does to poses: TF32, channels last, float16, bfloat16.

    python benchmarks/precision.py METHOD ... --out DIR

Each pose in float32 beside the nearest one that the same model finds for the
same images in another precision. Weights are random, so that the scores are
close to each other and other poses may be chosen, too: a trained model has
fewer of these. DIR gets precision.md and precision.json.
"""
import copy
from contextlib import contextmanager
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional

import numpy as np
import torch
from program import ArgumentParser
from torch import nn

from benchmarks.lib.case import InferenceCase, Load
from benchmarks.lib.gpu_tables import PRECISION
from benchmarks.lib.method import find_method
from benchmarks.lib.modes import Inference, why_not
from benchmarks.lib.results import Results
from benchmarks.lib.turns import shorten
from projects.grouppose.inference.speed import put_channels_last
from projects.grouppose.model.sampling import gpu


class Variant(NamedTuple):
    """A way to compute the same: precision, TF32, a change of the model, and
    the implementation of deformable attention on a GPU."""
    precision: str = 'fp32'
    tf32: bool = False
    change: Optional[Callable[[nn.Module], None]] = None
    library: str = gpu.DEFAULT


VARIANTS: Dict[str, Variant] = {
    'TF32': Variant(tf32=True),
    'channels last': Variant(change=put_channels_last),
    'fp16': Variant('fp16'),
    'bf16': Variant('bf16'),
    'fp16, deformops': Variant('fp16', library='deformops'),
    'bf16, deformops': Variant('bf16', library='deformops'),
}


@contextmanager
def tf32(enabled: bool) -> Iterator[None]:
    """Whether matrix products and convolutions may round to TF32."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = enabled
    try:
        yield
    finally:
        for backend, allowed in zip(backends, before):
            backend.allow_tf32 = allowed


def why_not_variant(variant: Variant, device: str) -> Optional[str]:
    """Why it cannot be computed here, None if nothing is known."""
    reason = why_not(variant.precision, 'eager', device)
    if device == 'cpu' and variant.tf32:
        reason = 'TF32 needs a GPU'
    if device == 'cpu' and variant.library != gpu.DEFAULT:
        reason = f'{variant.library} needs a GPU'
    return reason and f'skipped: {reason}'


def spread_out(model: nn.Module) -> None:
    """Move heads away from zero, and scores away from each other."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.head.named_parameters():
            if any(x in name for x in ('pose_embed', 'sampling_offsets')):
                noise = 0.02 * torch.randn(parameter.shape)
                parameter.add_(noise.to(parameter))
            elif 'class_embed' in name and parameter.ndim == 2:
                noise = torch.randn(parameter.shape)
                parameter.copy_(noise / parameter.shape[1]**0.5)


def predict(case: InferenceCase, model: nn.Module, variant: Variant) -> list:
    """Poses of the images of a case."""
    gpu.choose_gpu_sampling(variant.library)
    model = copy.deepcopy(model)
    if variant.change:
        variant.change(model)
    case.infer = Inference(model, variant.precision, 'eager')
    with tf32(variant.tf32):
        return [sample.pred_instances for sample in case()]


def compare(expected: list, found: list) -> Dict[str, float]:
    """Each pose beside the nearest one: median and most (of 90 %) of the
    distance of the keypoint that is farthest off, in pixels, the share that
    is close, within a pixel, and the median difference of scores."""
    pixels: List[float] = []
    scores: List[float] = []
    for ours, theirs in zip(expected, found):
        apart = np.linalg.norm(
            ours.keypoints[:, None] - theirs.keypoints, axis=-1).max(-1)
        partner = apart.argmin(1)
        pixels += apart.min(1).tolist()
        scores += abs(ours.bbox_scores - theirs.bbox_scores[partner]).tolist()
    return dict(
        median=float(np.median(pixels)),
        most=float(np.percentile(pixels, 90)),
        close=float(np.mean(np.array(pixels) <= 1)),
        scores=float(np.median(scores)))


def main(argv=None) -> None:
    parser = ArgumentParser(__doc__)
    parser.add_argument('methods', nargs='+', metavar='METHOD')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('W', 'H'),
        help='of the images (default: that of the config)')
    parser.add_device()
    args = parser.parse_args(argv)
    results = Results(
        args.out / 'precision', 'Precision',
        'Random pixels and weights. Beside float32 without TF32 on the same '
        'device, each pose with the nearest one. The first row of a model is '
        'float32 once more.', PRECISION)
    chosen = gpu._chosen
    for text in args.methods:
        method = find_method(text, args.size and tuple(args.size))
        case = InferenceCase(method, Load(), device=args.device)
        model = case.model
        spread_out(model)
        expected = predict(case, model, Variant())
        for name, variant in {'fp32': Variant(), **VARIANTS}.items():
            row = dict(model=method.name, variant=name)
            try:
                reason = why_not_variant(variant, args.device)
                if reason:
                    raise RuntimeError(reason)
                row.update(compare(expected, predict(case, model, variant)))
            except Exception as error:  # of any model or library
                row['failed'] = shorten(error)
            results.add(row)
    gpu._chosen = chosen
    print(results.markdown())


if __name__ == '__main__':
    main()
