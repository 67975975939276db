"""What makes inference on a CPU faster, step by step.

    python tools/analysis_tools/benchmark_cpu.py --out DIR

1. Deformable attention of the encoder: the sum of weighted bags beside mmcv's
   PyTorch path, forward and backward, time and memory.
2. The whole model: with mmcv's path, then with each step of the project added
   to those before.
3. Products that were tried in other forms.

Everything is checked to compute the same and timed in turns. DIR gets a table
of each as .md and .json.
"""
import argparse
import copy
import sys
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import torch
import torch.nn.functional as F
from mmcv.ops.multi_scale_deform_attn import \
    multi_scale_deformable_attn_pytorch
from torch import Tensor, nn
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from projects.grouppose.benchmark import added_memory  # noqa: E402
from projects.grouppose.benchmark import in_fresh_process  # noqa: E402
from projects.grouppose.benchmark import take_turns, time_once  # noqa: E402
from projects.grouppose.benchmark.methods import find_methods  # noqa: E402
from projects.grouppose.benchmark.tables import Results, spread  # noqa: E402
from projects.grouppose.inference import speed  # noqa: E402
from projects.grouppose.model import deformable_attention  # noqa: E402
from projects.grouppose.model.sampling.cpu import sum_bags  # noqa: E402

CONFIG = ('configs/body_2d_keypoint/grouppose/coco/'
          'grouppose_res50_8xb2-60e_coco-800x1333.py')
SAMPLINGS = {'mmcv': multi_scale_deformable_attn_pytorch, 'bags': sum_bags}
STRIDES = (8, 16, 32, 64)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--config', default=str(ROOT / CONFIG))
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(1333, 800),
        metavar=('W', 'H'),
        help='size of the image (1333 800)')
    parser.add_argument(
        '--repeats', type=int, default=5, help='timings of each (5)')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    return parser.parse_args()


# --- 1. Deformable attention ------------------------------------------------


def make_attention_case(size: Tuple[int, int],
                        heads: int = 8,
                        width: int = 32,
                        points: int = 4) -> Tuple[Tensor, ...]:
    """value, spatial_shapes, locations and weights of an encoder layer.

    Every token looks a few tokens around itself on all maps, as the layers
    of an encoder do from their initialization on.
    """
    torch.manual_seed(0)
    shapes = torch.tensor([[-(-side // stride) for side in reversed(size)]
                           for stride in STRIDES])
    centers = torch.cat([
        torch.stack(
            torch.meshgrid(
                (torch.arange(w) + 0.5) / w, (torch.arange(h) + 0.5) / h,
                indexing='xy'), -1).view(-1, 2) for h, w in shapes.tolist()
    ])
    samples = (1, len(centers), heads, len(STRIDES), points)
    offsets = 3 * torch.randn(*samples, 2) / shapes.flip(-1)[:, None]
    locations = centers[None, :, None, None, None] + offsets
    weights = torch.rand(*samples).flatten(3).softmax(-1).view(samples)
    value = torch.randn(1, len(centers), heads, width)
    return value, shapes, locations, weights


def forward(sampling: str, case: Tuple[Tensor, ...]) -> Tensor:
    with torch.no_grad():
        return SAMPLINGS[sampling](*case)


def forward_and_backward(sampling: str, case: Tuple[Tensor, ...]) -> list:
    value, shapes, locations, weights = case
    leaves = [leaf.requires_grad_() for leaf in (value, locations, weights)]
    result = SAMPLINGS[sampling](value, shapes, locations, weights)
    return [result, *torch.autograd.grad(result.square().sum(), leaves)]


PASSES = {'forward': forward, 'forward and backward': forward_and_backward}


def attention_memory(name: str, sampling: str, size: Tuple[int, int]) -> float:
    """MiB of a pass beyond its arguments."""
    case = make_attention_case(size)
    # What the libraries allocate once is not the pass's.
    PASSES[name](sampling, make_attention_case((64, 64)))
    return added_memory(partial(PASSES[name], sampling, case), 'cpu')


def benchmark_attention(args: argparse.Namespace, results: Results) -> None:
    case = make_attention_case(args.size)
    ours, mmcvs = (forward_and_backward(name, case) for name in SAMPLINGS)
    for one, other in zip(ours, mmcvs):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    for name, run in PASSES.items():
        cases = {key: partial(run, key, case) for key in SAMPLINGS}
        with progress(name, cases, args) as bar:
            seconds = take_turns(cases, args.repeats, progress=bar)
        for key in SAMPLINGS:
            memory = in_fresh_process(attention_memory, name, key, args.size)
            results.add(
                what=name,
                case=key,
                seconds=raised(seconds[key]),
                first=seconds['mmcv'],
                memory_mib=memory)


# --- 2. The whole model -----------------------------------------------------


def sample_like_mmcv(value: Tensor, spatial_shapes: Tensor,
                     level_start_index: Tensor, locations: Tensor,
                     weights: Tensor, im2col_step: int) -> Tensor:
    """In the place of :func:`deformable_attention.sample_maps`."""
    return multi_scale_deformable_attn_pytorch(value, spatial_shapes,
                                               locations, weights)


STEPS: Dict[str, Callable[[nn.Module], None]] = {
    'bags in place of mmcv': lambda model: None,
    '+ batch norms folded': speed.fold_batch_norms,
    '+ channels last': speed.put_channels_last,
    '+ oneDNN for linear layers': speed.use_onednn,
}


@torch.no_grad()
def run_model(model: nn.Module, sample_maps: Callable,
              images: Tensor) -> Dict[str, Tensor]:
    chosen = deformable_attention.sample_maps
    deformable_attention.sample_maps = sample_maps
    try:
        return model(images, None, mode='tensor')
    finally:
        deformable_attention.sample_maps = chosen


def build_model(config: str) -> nn.Module:
    """The model at its initialization, with heads that are not zero."""
    method, = find_methods([config])
    model = method.build('cpu')
    with torch.no_grad():
        for name, parameter in model.head.named_parameters():
            if 'pose_embed' in name or 'sampling_offsets' in name:
                parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def benchmark_model(args: argparse.Namespace, results: Results) -> None:
    model = build_model(args.config)
    images = torch.randn(1, 3, *reversed(args.size))
    sample_maps = deformable_attention.sample_maps
    cases = {"mmcv's path": partial(run_model, model, sample_like_mmcv)}
    for name, step in STEPS.items():
        model = copy.deepcopy(model)
        step(model)
        cases[name] = partial(run_model, model, sample_maps)
    cases = {name: partial(run, images) for name, run in cases.items()}

    with progress('whole model', cases, args) as bar:
        outputs = {name: run() for name, run in cases.items()}
        seconds = take_turns(
            cases, args.repeats, warmup=0, progress=bar, measure=time_once)
    first = next(iter(cases))
    for name in cases:
        results.add(
            what='image to poses',
            case=name,
            seconds=raised(seconds[name]),
            first=seconds[first],
            pixels=max(args.size) *
            distance(outputs[name], outputs[first], 'keypoints'),
            logits=distance(outputs[name], outputs[first], 'logits'))


def distance(outputs: dict, others: dict, name: str) -> float:
    """Largest difference."""
    return float((outputs[name] - others[name]).abs().max())


# --- 3. Products in other forms ---------------------------------------------


@torch.no_grad()
def benchmark_products(args: argparse.Namespace, results: Results) -> None:
    """Six projections of the memory in one, and MKL beside oneDNN."""
    tokens = sum(-(-args.size[0] // s) * -(-args.size[1] // s)
                 for s in STRIDES)
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
        name = f'linear {layer.in_features} to {layer.out_features}'
        turns[name] = {
            'PyTorch': partial(layer, source),
            'oneDNN': partial(speed.OneDNNLinear(layer), source)
        }
    for what, cases in turns.items():
        with progress(what, cases, args) as bar:
            seconds = take_turns(cases, args.repeats, progress=bar)
        first = next(iter(cases))
        for name in cases:
            results.add(
                what=what,
                case=name,
                seconds=raised(seconds[name]),
                first=seconds[first])


# ----------------------------------------------------------------------------


def raised(seconds) -> List[float]:
    """The timings, or the error in their place."""
    if isinstance(seconds, Exception):
        raise seconds
    return seconds


def progress(name: str, cases: dict, args: argparse.Namespace) -> tqdm:
    return tqdm(desc=name, total=len(cases) * (args.repeats + 1), leave=False)


COLUMNS = {
    'what':
    lambda row: row['what'],
    'computed by':
    lambda row: row['case'],
    'time (ms)':
    lambda row: spread(row['seconds'], 1e3),
    'times as fast as the first':
    lambda row: spread([a / b
                        for a, b in zip(row['first'], row['seconds'])], 1, 2),
}
TABLES = {
    'attention': (benchmark_attention, 'Deformable attention on a CPU',
                  'Memory is what a pass adds to its arguments, its result '
                  'included, at its peak, in a fresh process.', {
                      'memory (MiB)': lambda row: f'{row["memory_mib"]:.0f}'
                  }),
    'model': (benchmark_model, 'The whole model on a CPU, step by step',
              'Each row adds a step to those above it. Differences are the '
              'largest to the first row.', {
                  'pixels': lambda row: f'{row["pixels"]:.1g}',
                  'logits': lambda row: f'{row["logits"]:.1g}'
              }),
    'products': (benchmark_products, 'Matrix products in other forms', '', {}),
}


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    for stem, (run, title, explanation, columns) in TABLES.items():
        explanation = (f'{args.size[0]} x {args.size[1]} pixels, batch 1, '
                       'float32. Cases take turns; medians (least to most) '
                       f'of {args.repeats}. {explanation}')
        results = Results(title, explanation, {
            **COLUMNS,
            **columns
        }, args.out / stem)
        run(args, results)
        print(results.markdown())


if __name__ == '__main__':
    main()
