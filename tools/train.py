"""Train a model: ``python tools/train.py CONFIG``.

For several processes, see tools/dist_train.sh and tools/slurm_train.sh.
"""
import threads  # noqa: F401  (before PyTorch)

# isort: split

from mmengine.device import get_device

import launch


def parse_args(argv=None):
    """Define and read the arguments.

    Args:
        argv (list[str], optional): Instead of the command line's.

    Returns:
        tuple: The parser, for errors found later, and the arguments.
    """
    parser = launch.ArgumentParser('Train a model')
    parser.add_argument('config', help='config file, or its name')
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
        help='train in automatic mixed precision')
    parser.add_argument(
        '--amp-dtype',
        default='float16',
        choices=('float16', 'bfloat16'),
        help='the lower precision of --amp: float16, which needs a GPU '
        '(default), or bfloat16')
    parser.add_argument(
        '--no-validate',
        action='store_true',
        help='do not evaluate during training')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the ratio of the number of images '
        'of an update (processes x batch size x accumulative_counts) to '
        'auto_scale_lr.base_batch_size of the config')
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
        use_mixed_precision(parser, args.amp_dtype, cfg.optim_wrapper)

    if args.auto_scale_lr:
        if not cfg.get('auto_scale_lr', {}).get('base_batch_size'):
            parser.error('--auto-scale-lr needs auto_scale_lr=dict('
                         'base_batch_size=N) in the config')
        cfg.auto_scale_lr.enable = True


def use_mixed_precision(parser, dtype, wrapper):
    """Change the config of the optimizer wrapper to mixed precision.

    Args:
        parser (launch.ArgumentParser): Reports what is wrong.
        dtype (str): 'float16' or 'bfloat16'.
        wrapper (Config): ``optim_wrapper`` of the config.
    """
    if dtype == 'float16' and get_device() in ('cpu', 'mps'):
        parser.error('--amp needs a GPU for float16; on the CPU use '
                     '--amp --amp-dtype bfloat16 or leave it out')
    kind = wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper', 'BFloat16OptimWrapper'):
        parser.error(
            f'--amp does not go with optim_wrapper.type={kind!r} of the '
            'config')
    if dtype == 'float16':
        wrapper.update(type='AmpOptimWrapper', dtype=dtype)
        wrapper.setdefault('loss_scale', 'dynamic')
    else:
        wrapper.type = 'BFloat16OptimWrapper'
        for name in ('dtype', 'loss_scale'):  # of AmpOptimWrapper
            wrapper.pop(name, None)


def main(argv=None):
    parser, args = parse_args(argv)
    cfg = launch.load_config(parser, args)
    if not cfg.get('train_dataloader'):
        parser.error(f'{args.config} is for evaluation only: it has no '
                     'train_dataloader')
    apply_arguments(parser, args, cfg)
    launch.check_load_from(parser, cfg)
    launch.prepare_processes(parser, cfg)
    launch.build_runner(cfg).train()


if __name__ == '__main__':
    main()
