"""One model in PyTorch, ONNX Runtime and OpenVINO, on a CPU.

    python benchmarks/runtimes.py CONFIG CHECKPOINT IMAGE... --out DIR

Exports the model in both precisions, runs it on the images, one at a time,
the runtimes in turns, and compares what they find with what PyTorch finds.
DIR gets runtimes.md, .json and .png, and the ONNX files.
"""
import argparse
import statistics
import sys
from functools import partial
from typing import Callable, Dict, List, Sequence, Tuple

import torch
from mmengine.config import Config
from program import ROOT, ArgumentParser
from torch import nn

import launch
from benchmarks.lib.charts import draw_bars, plt, save
from benchmarks.lib.results import Results
from benchmarks.lib.variants import COLUMNS, time_variants
from projects.grouppose.config_file import read_config
from projects.grouppose.inference import load_model, read_image

sys.path.append(str(ROOT / 'tools/deployment'))
try:
    import openvino
    from run_onnx import OpenVino

    from projects.grouppose.deployment import comparison, export
except ModuleNotFoundError as missing:
    if missing.name not in ('onnx', 'onnxruntime', 'openvino'):
        raise
    sys.exit(f'runtimes.py: error: {missing.name} is not installed. '
             'Run: pip install -r requirements/deployment.txt')

FIRST = 'PyTorch'


def predict_in_pytorch(model: nn.Module, batch: tuple) -> Tuple[List, List]:
    """Keypoints and scores of each image, as the graphs return them."""
    people = comparison.predict_batch(model, batch)
    return [x.keypoints for x in people], [x.bbox_scores for x in people]


def predict_in_openvino(run: OpenVino, batch: tuple) -> Sequence:
    """Keypoints and scores of a batch."""
    return run(batch.arrays())


def load_runtimes(
        config: Config,
        args: argparse.Namespace) -> Tuple[nn.Module, Dict[str, Callable]]:
    """The model, and by name functions from a batch to keypoints and scores.
    """
    model = load_model(config, args.checkpoint, 'cpu', prepare=False)
    prepared = load_model(config, args.checkpoint, 'cpu')
    runtimes = {
        FIRST: partial(predict_in_pytorch, model),
        'PyTorch, prepared': partial(predict_in_pytorch, prepared)
    }
    threads = torch.get_num_threads()
    for ending, half in (('', False), (', fp16', True)):
        path = args.out / f'model{"_fp16" if half else ""}.onnx'
        export(model, str(path), half=half)
        runtimes[f'ONNX Runtime{ending}'] = comparison.load_graph(
            path.read_bytes(), threads)
        runtimes[f'OpenVINO{ending}'] = partial(
            predict_in_openvino,
            OpenVino(str(path), 'cpu', INFERENCE_NUM_THREADS=threads))
    return model, runtimes


def differences(name: str) -> Callable[[dict], str]:
    """A column: largest (median) of some differences."""
    return lambda row: (f'{max(row[name]):.1g} '
                        f'({statistics.median(row[name]):.1g})')


def measure(model: nn.Module, runtimes: Dict[str, Callable],
            batches: List[tuple], args: argparse.Namespace) -> Results:
    """Measure all runtimes in turns; a row for each."""
    sizes = ', '.join(f'{batch.images.shape[3]} x {batch.images.shape[2]}'
                      for batch in batches)
    results = Results(
        args.out / 'runtimes', 'One model in several runtimes, on a CPU',
        f'Images of {sizes} pixels, one at a time; times are per image; ONNX '
        f'Runtime {comparison.onnxruntime.__version__}, OpenVINO '
        f'{openvino.__version__}. Runtimes take turns; medians (least to '
        f'most) of {args.repeats}. Differences to {FIRST}, of the keypoint '
        'of a pose that is farthest off, in pixels of the input, and of its '
        'score, over all poses.', {
            **COLUMNS, 'pixels, most (median)': differences('pixels'),
            'scores, most (median)': differences('scores')
        })
    cases = {
        name: partial(lambda run: [run(batch) for batch in batches], run)
        for name, run in runtimes.items()
    }
    for row in time_variants('image to poses', cases, args.settings):
        for name in ('seconds', 'first'):  # of all images
            row[name] = [value / len(batches) for value in row[name]]
        found = comparison.compare(model, runtimes[row['case']], batches)
        pixels, scores = found.pixels.tolist(), found.scores.tolist()
        results.add(dict(row, pixels=pixels, scores=scores))
    return results


def main(argv=None) -> None:
    parser = ArgumentParser(__doc__, repeats=5)
    parser.add_argument('config', help='config of the model')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument('images', nargs='+', metavar='IMAGE')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=launch.Settings,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config')
    args = parser.parse_args(argv)
    try:
        config = read_config(args.config, args.cfg_options)
        model, runtimes = load_runtimes(config, args)
        batches = comparison.resized_batches(
            model, [read_image(path) for path in args.images])
    except (OSError, ValueError) as error:
        parser.error(str(error))
    results = measure(model, runtimes, batches, args)
    rows = results.content['rows']
    figure, axis = plt.subplots(figsize=(7, 1 + 0.4 * len(rows)))
    draw_bars(axis, [row['case'] for row in rows],
              [row['seconds'] for row in rows], 'ms per image', 1e3)
    save(figure, args.out / 'runtimes.png')
    print(results.markdown())


if __name__ == '__main__':
    main()
