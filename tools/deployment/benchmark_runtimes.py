"""One model in PyTorch, ONNX Runtime and OpenVINO, on a CPU.

    python tools/deployment/benchmark_runtimes.py CONFIG CHECKPOINT IMAGE...
        --out DIR

Exports the model in both precisions, runs it on the images, one at a time,
the runtimes in turns, and compares what they find with what PyTorch finds.
DIR gets runtimes.md, .json and .png, and the ONNX files.
"""
import argparse
import statistics
import sys
from functools import partial
from pathlib import Path

import matplotlib
import torch
from tqdm import tqdm

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]
from mmengine.dataset import Compose  # noqa: E402
from run_onnx import OpenVino  # noqa: E402

import launch  # noqa: E402
from projects.grouppose.benchmark import take_turns  # noqa: E402
from projects.grouppose.benchmark.tables import Results, spread  # noqa: E402
from projects.grouppose.inference import load_model, read_image  # noqa: E402

try:
    import openvino

    from projects.grouppose.deployment import comparison, export
except ModuleNotFoundError as missing:
    if missing.name not in ('onnx', 'onnxruntime', 'openvino'):
        raise
    sys.exit(f'benchmark_runtimes.py: error: {missing.name} is not installed. '
             'Run: pip install -r requirements/deployment.txt')

FIRST = 'PyTorch'


def parse_args(argv=None):
    parser = launch.ArgumentParser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument('config', help='config of the model')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument('images', nargs='+', metavar='IMAGE')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR')
    parser.add_argument(
        '--repeats', type=int, default=5, help='timings of each (5)')
    parser.add_argument(
        '--threads',
        type=int,
        default=torch.get_num_threads(),
        help='of each runtime (as many as PyTorch takes)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=launch.Settings,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config')
    return parser, parser.parse_args(argv)


def load_openvino(path, threads):
    """A graph as a function in OpenVINO, see :func:`comparison.load_graph`.
    """
    run = OpenVino(str(path), 'cpu', INFERENCE_NUM_THREADS=threads)
    return lambda batch: run(batch.arrays())


def predict_in_pytorch(model, batch):
    """Keypoints and scores of each image, as the graphs return them."""
    people = comparison.predict_batch(model, batch)
    return [x.keypoints for x in people], [x.bbox_scores for x in people]


def prepare_images(model, paths):
    """Each image as a batch of its own, resized as in the test pipeline."""
    resize = Compose(model.cfg.test_dataloader.dataset.pipeline[:-1])
    images = [resize(dict(img=read_image(path)))['img'] for path in paths]
    return [comparison.make_batch(model, [image]) for image in images]


def load_runtimes(config, args):
    """What is compared.

    Returns:
        tuple: The model, and by name functions from a batch to keypoints and
        scores.
    """
    model = load_model(config, args.checkpoint, 'cpu', prepare=False)
    prepared = load_model(config, args.checkpoint, 'cpu')
    runtimes = {
        FIRST: partial(predict_in_pytorch, model),
        'PyTorch, prepared': partial(predict_in_pytorch, prepared)
    }
    for suffix, half in (('', False), ('_fp16', True)):
        path = args.out / f'model{suffix}.onnx'
        export(model, str(path), half=half)
        ending = ', fp16' if half else ''
        runtimes[f'ONNX Runtime{ending}'] = comparison.load_graph(
            path.read_bytes(), args.threads)
        runtimes[f'OpenVINO{ending}'] = load_openvino(path, args.threads)
    return model, runtimes


def draw(rows, path):
    """Draw a bar for each runtime, with the spread of its timings."""
    times = [[1e3 * value for value in row['seconds']] for row in rows]
    medians = [statistics.median(values) for values in times]
    low = [median - min(values) for median, values in zip(medians, times)]
    high = [max(values) - median for median, values in zip(medians, times)]
    figure, axis = plt.subplots(figsize=(7, 1 + 0.4 * len(rows)))
    axis.barh([row['runtime'] for row in rows],
              medians,
              xerr=(low, high),
              capsize=3)
    axis.invert_yaxis()
    axis.set(xlabel='ms an image')
    figure.savefig(path, dpi=100, bbox_inches='tight')
    plt.close(figure)


COLUMNS = {
    'runtime':
    lambda row: row['runtime'],
    'ms an image':
    lambda row: spread(row['seconds'], 1e3, 0),
    f'times as fast as {FIRST}':
    lambda row: spread([a / b
                        for a, b in zip(row['first'], row['seconds'])], 1, 2),
    'pixels, most (median)':
    lambda row: _difference(row['pixels']),
    'scores, most (median)':
    lambda row: _difference(row['scores']),
}


def _difference(values):
    return f'{max(values):.1g} ({statistics.median(values):.1g})'


def measure(model, runtimes, batches, args):
    """Measure all runtimes in turns.

    Returns:
        Results: A row for each.
    """
    sizes = ', '.join(f'{batch.images.shape[3]} x {batch.images.shape[2]}'
                      for batch in batches)
    results = Results(
        'One model in several runtimes, on a CPU',
        f'Batch 1, images of {sizes} pixels, threads: {args.threads}; ONNX '
        f'Runtime {comparison.onnxruntime.__version__}, OpenVINO '
        f'{openvino.__version__}. Runtimes take turns; medians (least to '
        f'most) of {args.repeats}. Differences to {FIRST}, of the keypoint '
        'of a pose that is farthest off, in pixels of the input, and of its '
        'score, over all poses.', COLUMNS, args.out / 'runtimes')
    cases = {
        name: partial(lambda run: [run(batch) for batch in batches], run)
        for name, run in runtimes.items()
    }
    total = len(cases) * (args.repeats + 1)
    with tqdm(total=total, leave=False) as progress:
        seconds = take_turns(cases, args.repeats, progress=progress)
    for name, run in runtimes.items():
        if isinstance(seconds[name], Exception):
            raise seconds[name]
        found = comparison.compare(model, run, batches)
        results.add(
            runtime=name,
            seconds=[value / len(batches) for value in seconds[name]],
            first=[value / len(batches) for value in seconds[FIRST]],
            pixels=found.pixels.tolist(),
            scores=found.scores.tolist())
    return results


def main(argv=None):
    """Run the program."""
    parser, args = parse_args(argv)
    torch.set_num_threads(args.threads)
    try:
        config = launch.read_config(args.config, args.cfg_options)
        args.out.mkdir(parents=True, exist_ok=True)
        model, runtimes = load_runtimes(config, args)
        batches = prepare_images(model, args.images)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    results = measure(model, runtimes, batches, args)
    draw(results.rows, args.out / 'runtimes.png')
    print(results.markdown())


if __name__ == '__main__':
    main()
