"""Export a trained model to ONNX:
``python tools/deployment/export_onnx.py CONFIG CHECKPOINT OUT.onnx``.
"""
import argparse
import os
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import launch  # noqa: E402

try:
    from projects.grouppose.deployment import export
except ModuleNotFoundError as missing:
    if missing.name not in ('onnx', 'onnxruntime'):
        raise
    sys.exit(f'export_onnx.py: error: {missing.name} is not installed. Run: '
             'pip install -r requirements/deployment.txt')
from projects.grouppose.inference import find_sources, load_model  # noqa: E402

DESCRIPTION = """Export a trained model to ONNX (opset 17, standard operators).

Inputs: images (B, 3, H, W), float32, normalized, zeros as padding on the
right and at the bottom; valid_sizes (B, 2), int64, width and height without
padding. Outputs: keypoints (B, n, K, 2) in pixels of the input, and scores
(B, n), best first; rows behind an image's last person have the score -1. A
model that tells classes apart has the output labels (B, n), int64, too: places
in the list "categories" of the file's metadata. A model with JointScores has
the output joints (B, n, K, 5): probabilities of being labeled, and of being
labeled and visible, and the covariance of x and x, x and y, y and y in pixels
of the input; "joint_mixture" of the metadata has weights and scales of the
distributions that errors are mixed of.

The file is written only if ONNX Runtime computes from it what PyTorch does.
tools/deployment/run_onnx.py infers with it."""


def positive(text):
    """Check an argument that counts something."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'must be positive, not {text}')
    return value


def read_images(sources):
    """Read images and the images of folders.

    Returns:
        list[np.ndarray]: BGR, uint8, (H, W, 3).
    """
    return [
        image for source in tqdm(find_sources(sources), desc='reading images')
        for image in source.frames()
    ]


def parse_args(argv=None):
    """Define and read the arguments.

    Returns:
        tuple: The parser, for errors found later, and the arguments.
    """
    parser = launch.ArgumentParser(DESCRIPTION)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument('config', help='config of the model')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument('out', metavar='OUT.onnx', help='file to write')
    parser.add_argument(
        '--fixed-size',
        type=positive,
        nargs=2,
        metavar=('W', 'H'),
        help='take images of this width and height only (default: any)')
    parser.add_argument(
        '--batch',
        type=positive,
        metavar='N',
        help='take batches of this size only (default: any)')
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument(
        '--fp16',
        action='store_true',
        help='let convolutions and matrix products with weights compute in '
        'half precision; all else, inputs and outputs stay float32')
    precision.add_argument(
        '--int8',
        nargs='+',
        metavar='IMAGE',
        help='let convolutions compute in 8-bit integers, with the ranges '
        'that some hundred images or folders of images like those to come '
        'show')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=launch.Settings,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config')
    return parser, parser.parse_args(argv)


def main(argv=None):
    """Run the program.

    Returns:
        int: Exit code.
    """
    parser, args = parse_args(argv)
    folder = os.path.dirname(os.path.abspath(args.out))
    if not os.path.isdir(folder):
        parser.error(f'{args.out}: there is no folder {folder}')
    try:
        config = launch.read_config(args.config, args.cfg_options)
        model = load_model(config, args.checkpoint, 'cpu', prepare=False)
        found = export(model, args.out, args.fixed_size, args.batch, args.fp16,
                       args.int8 and read_images(args.int8))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    size = os.path.getsize(args.out) / 1e6
    pixels, scores = [
        f'{np.median(values):.1g} (at most {values.max():.2g})'
        for values in found
    ]
    print(f'{args.out}: {size:.1f} MB; ONNX Runtime differs from PyTorch by '
          f'{pixels} pixels and {scores} in scores, the median of '
          f'{len(found.pixels)} poses in drawn images')
    return 0


if __name__ == '__main__':
    sys.exit(main())
