"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``.

For several processes, see tools/dist_test.sh and tools/slurm_test.sh.
"""
import threads  # noqa: F401  (before PyTorch)

# isort: split

import argparse
import sys

import mmengine
from mmengine.dist import is_main_process

import launch
from projects.grouppose.engine import SafeRunner


def file_ending_in(*suffixes):
    """Make a type of argument: a file name with one of these suffixes."""

    def check(path):
        if not path.endswith(suffixes):
            raise argparse.ArgumentTypeError(
                f'{path} must end in {" or ".join(suffixes)}')
        return path

    return check


def parse_args(argv=None):
    """Define and read the arguments.

    Args:
        argv (list[str], optional): Instead of the command line's.

    Returns:
        tuple: The parser, for errors found later, and the arguments.
    """
    parser = launch.ArgumentParser('Evaluate a checkpoint')
    parser.add_argument('config', help='config file, or its name')
    parser.add_argument(
        'checkpoint',
        type=launch.existing_file,
        help='checkpoint file, or its URL, or what export_onnx.py made of it, '
        'which runs in ONNX Runtime')
    parser.add_argument(
        '--out',
        type=file_ending_in('.json', '.yaml', '.yml', '.pkl'),
        help='save the metrics in this file')
    parser.add_argument(
        '--dump',
        type=file_ending_in('.pkl', '.pickle'),
        help='save the predictions in this pickle file')
    parser.add_shared_arguments()
    return parser, parser.parse_args(argv)


def exported_model(model, path):
    """Config of a model that computes with an ONNX file."""
    try:
        from projects.grouppose import deployment
    except ModuleNotFoundError as missing:
        if missing.name not in ('onnx', 'onnxruntime'):
            raise
        sys.exit(f'test.py: error: {missing.name} is not installed. Run: '
                 'pip install -r requirements/deployment.txt')
    return deployment.exported_model(model, path)


def apply_arguments(args, cfg):
    """Apply what only testing has to the config."""
    if args.checkpoint.endswith('.onnx'):
        cfg.model = exported_model(cfg.model, args.checkpoint)
    else:
        cfg.load_from = args.checkpoint
    if args.dump is not None:
        evaluators = cfg.test_evaluator
        if not isinstance(evaluators, (list, tuple)):
            evaluators = [evaluators]
        cfg.test_evaluator = [
            *evaluators,
            dict(type='DumpResults', out_file_path=args.dump)
        ]


def main(argv=None):
    parser, args = parse_args(argv)
    cfg = launch.load_config(parser, args)
    apply_arguments(args, cfg)
    launch.prepare_processes(parser, cfg)
    runner = launch.build_runner(cfg)
    if isinstance(runner, SafeRunner):
        try:
            runner.check_evaluation('test')
        except (OSError, ValueError) as error:
            parser.error(str(error))
    metrics = runner.test()
    if args.out is not None and is_main_process():
        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    main()
