"""Train a model: ``python tools/train.py CONFIG``.

For several processes, see tools/dist_train.sh and tools/slurm_train.sh.
"""
from mmengine.device import get_device
from mmengine.runner import Runner

import launch


def parse_args(argv=None):
    """Define and read the arguments.

    Args:
        argv (list[str], optional): Instead of the command line's.

    Returns:
        tuple: The parser, for errors found later, and the arguments.
    """
    parser = launch.ArgumentParser('Train a model')
    parser.add_argument(
        'config', type=launch.existing_file, help='config file')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from this checkpoint, or with no value from the latest '
        'one in the work dir')
    parser.add_argument(
        '--amp',
        action='store_true',
        help='train in automatic mixed precision (needs a GPU)')
    parser.add_argument(
        '--no-validate',
        action='store_true',
        help='do not evaluate during training')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the ratio of the actual total batch '
        'size to auto_scale_lr.base_batch_size of the config')
    parser.add_shared_arguments()
    return parser, parser.parse_args(argv)


def apply_arguments(parser, args, cfg):
    """Apply what only training has to the config."""
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume

    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None

    if args.amp:
        if get_device() in ('cpu', 'mps'):
            parser.error('--amp needs a GPU; leave it out on the CPU')
        wrapper = cfg.optim_wrapper
        if wrapper.get('type', 'OptimWrapper') not in ('OptimWrapper',
                                                       'AmpOptimWrapper'):
            parser.error(f'--amp does not go with optim_wrapper.type='
                         f'{wrapper.type!r} of the config')
        wrapper.type = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')

    if args.auto_scale_lr:
        if not cfg.get('auto_scale_lr', {}).get('base_batch_size'):
            parser.error('--auto-scale-lr needs auto_scale_lr=dict('
                         'base_batch_size=N) in the config')
        cfg.auto_scale_lr.enable = True


def main(argv=None):
    parser, args = parse_args(argv)
    cfg = launch.load_config(parser, args)
    apply_arguments(parser, args, cfg)
    launch.check_load_from(parser, cfg)
    launch.prepare_processes(parser, cfg)
    Runner.from_cfg(cfg).train()


if __name__ == '__main__':
    main()
