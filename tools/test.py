"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``.

For several processes, see tools/dist_test.sh and tools/slurm_test.sh.
"""
import argparse

import mmengine
from mmengine.dist import is_main_process
from mmengine.runner import Runner

import launch
from projects.grouppose.checkpoints import mmengine_loading
from projects.grouppose.config_file import errors_name
from projects.grouppose.engine import check_evaluators
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


def check_fit(parser, args, runner):
    """Stop if weights do not fill a Group Pose model exactly, or it predicts
    other keypoints than the data set has.

    MMEngine would warn, and evaluate weights that are random in part.
    """
    model = getattr(runner.model, 'module', runner.model)  # of several
    if isinstance(getattr(model, 'head', None), GroupPoseHead):
        try:
            file = mmengine_loading.fetch(args.checkpoint)
            if '://' not in file:
                read_fitting_weights(file, model, args.config)
            with errors_name(args.config):
                check_evaluators(model, runner.test_loop.evaluator)
        except (OSError, ValueError) as error:
            parser.error(str(error))


def main(argv=None):
    parser, args = parse_args(argv)
    cfg = launch.load_config(parser, args)
    apply_arguments(args, cfg)
    launch.prepare_processes(parser, cfg)
    with errors_name(args.config), mmengine_loading.executing_nothing():
        runner = Runner.from_cfg(cfg)
    check_fit(parser, args, runner)
    with mmengine_loading.executing_nothing():
        metrics = runner.test()
    if args.out is not None and is_main_process():
        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    main()
