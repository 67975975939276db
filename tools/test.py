"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``.

For several processes, see tools/dist_test.sh and tools/slurm_test.sh.
"""
import argparse

import mmengine
from mmengine.dist import is_main_process
from mmengine.runner import Runner

import launch
from projects.grouppose.inference import read_fitting_weights
from projects.grouppose.model import GroupPoseHead


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
    parser.add_argument(
        'config', type=launch.existing_file, help='config file')
    parser.add_argument(
        'checkpoint',
        type=launch.existing_file,
        help='checkpoint file, or its URL')
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


def apply_arguments(args, cfg):
    """Apply what only testing has to the config."""
    cfg.load_from = args.checkpoint
    if args.dump is not None:
        evaluators = cfg.test_evaluator
        if not isinstance(evaluators, (list, tuple)):
            evaluators = [evaluators]
        cfg.test_evaluator = [
            *evaluators,
            dict(type='DumpResults', out_file_path=args.dump)
        ]


def check_weights(parser, args, model):
    """Stop if a file does not fill a Group Pose model exactly.

    MMEngine would warn, and evaluate weights that are random in part.
    """
    model = getattr(model, 'module', model)  # of several processes
    is_ours = isinstance(getattr(model, 'head', None), GroupPoseHead)
    if is_ours and '://' not in args.checkpoint:
        try:
            read_fitting_weights(args.checkpoint, model, args.config)
        except (OSError, ValueError) as error:
            parser.error(str(error))


def main(argv=None):
    parser, args = parse_args(argv)
    cfg = launch.load_config(parser, args)
    apply_arguments(args, cfg)
    launch.prepare_processes(parser, cfg)
    runner = Runner.from_cfg(cfg)
    check_weights(parser, args, runner.model)
    metrics = runner.test()
    if args.out is not None and is_main_process():
        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    main()
