"""What train.py and test.py share: their arguments, the config, the devices.

Importing this module puts the repository root on ``sys.path``, so that
``projects.grouppose`` is found from any working directory.
"""
import argparse
import ast
import os
import re
import sys
from datetime import timedelta
from pathlib import Path

import torch
from mmengine.config import DictAction
from mmengine.device import get_device
from mmengine.runner import Runner

ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from projects.grouppose.config_file import read_config  # noqa: E402


class Settings(DictAction):
    """MMEngine's action for ``KEY=VALUE`` that takes dicts, too, and explains
    what is wrong."""

    def __call__(self, parser, namespace, values, option_string=None):
        for value in values:
            if not value.partition('=')[1] or value.startswith('='):
                parser.error(f'{option_string}: expected KEY=VALUE, got '
                             f'{value!r}')
            try:
                super().__call__(parser, namespace, [value], option_string)
            # The first two are MMEngine's, for brackets.
            except (AssertionError, RecursionError, SyntaxError, ValueError):
                parser.error(
                    f'{option_string}: {value}: cannot be read. Write lists, '
                    'tuples, dicts, numbers and strings as in Python, and all '
                    'of it in quotes: "KEY=[dict(type=\'A\', b=1)]"')

    @staticmethod
    def _parse_iterable(val):
        """Read a value. MMEngine takes dicts for text, or never ends."""
        if re.search(r'\bdict\(|^[\s([]*{', val):
            return _value(ast.parse(val.strip(), mode='eval').body)
        return DictAction._parse_iterable(val)


def _value(node):
    """What an expression of Python stands for; names are text, as a shell
    may have taken the quotes."""
    if isinstance(node, (ast.List, ast.Tuple)):
        values = [_value(item) for item in node.elts]
        return tuple(values) if isinstance(node, ast.Tuple) else values
    if isinstance(node, ast.Dict):
        return {
            _value(key): _value(item)
            for key, item in zip(node.keys, node.values)
        }
    if isinstance(node, ast.Call) and ast.unparse(node.func) == 'dict':
        if node.args or any(item.arg is None for item in node.keywords):
            raise ValueError('dict() takes KEY=VALUE')
        return {item.arg: _value(item.value) for item in node.keywords}
    if isinstance(node, (ast.Attribute, ast.Name)):
        return ast.unparse(node)
    return ast.literal_eval(node)


class ArgumentParser(argparse.ArgumentParser):
    """A parser that answers a wrong argument with one line and exit code 2."""

    def __init__(self, description):
        super().__init__(description=description)

    def error(self, message):
        self.exit(2, f'{self.prog}: error: {message} (see --help)\n')

    def add_shared_arguments(self):
        """Add the options that training and testing have in common."""
        self.add_argument(
            '--work-dir',
            help='folder for logs and results (default: work_dir of the '
            'config, else ./work_dirs/NAME_OF_CONFIG)')
        self.add_argument(
            '--show-dir',
            help='save images with the predicted poses in this folder')
        self.add_argument(
            '--show',
            action='store_true',
            help='show them in a window; training then saves none')
        self.add_argument(
            '--interval',
            type=int,
            default=1,
            help='show every n-th image (1)')
        self.add_argument(
            '--wait-time',
            type=float,
            default=1,
            help='seconds to show an image for (1)')
        self.add_argument(
            '--cfg-options',
            nargs='+',
            action=Settings,
            default={},
            metavar='KEY=VALUE',
            help='override settings of the config, for instance '
            'train_cfg.max_epochs=1 or img_scale="(640, 640)"')
        self.add_argument(
            '--launcher',
            choices=('none', 'pytorch', 'slurm', 'mpi'),
            default='none',
            help='what started this process')
        # torch.distributed.launch passes either spelling.
        self.add_argument(
            '--local_rank',
            '--local-rank',
            type=int,
            default=0,
            help=argparse.SUPPRESS)


def existing_file(path):
    """Check an argument that names a local file or a URL."""
    if '://' not in path and not os.path.isfile(path):
        raise argparse.ArgumentTypeError(f'no such file: {path}')
    return path


def load_config(parser, args):
    """Read the config and apply the shared arguments to it.

    ``--cfg-options`` are edits of the file: they come first, and what the
    other arguments say prevails.

    Args:
        parser (ArgumentParser): Reports what is wrong.
        args (argparse.Namespace): With ``config`` and the shared arguments.

    Returns:
        Config: Whose ``work_dir`` and ``launcher`` are set.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    try:
        cfg = read_config(args.config, args.cfg_options)
    except (OSError, ValueError) as error:
        parser.error(str(error))

    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('work_dirs', Path(args.config).stem)

    if args.show or args.show_dir is not None:
        hooks = cfg.get('default_hooks') or {}
        if 'visualization' not in hooks:
            parser.error(
                f'{args.config}: --show and --show-dir need a hook to draw: '
                "visualization=dict(type='PoseVisualizationHook') in "
                'default_hooks')
        hooks.visualization.update(
            enable=True,
            show=args.show,
            interval=args.interval,
            wait_time=args.wait_time)
    if args.show_dir is not None:
        save_pictures(cfg, os.path.abspath(args.show_dir))
    return cfg


def save_pictures(cfg, folder):
    """Have predictions drawn to a folder.

    A relative one would be below the work dir for MMPose's hook. It writes
    there in tests only; in validation, it hands pictures to the visualizer,
    whose local backend has a folder of its own for them.

    Args:
        cfg (Config): Whose visualizer and hook are changed.
        folder (str): An absolute path.
    """
    cfg.default_hooks.visualization.out_dir = folder
    visualizer = cfg.get('visualizer') or dict(type='PoseVisualizer')
    backends = visualizer.get('vis_backends') or []
    backends = [backends] if isinstance(backends, dict) else list(backends)
    local = [
        item for item in backends
        if item['type'].rpartition('.')[2] == 'LocalVisBackend'
    ] or [dict(type='LocalVisBackend')]
    for backend in local:
        backend['img_save_dir'] = folder
    others = [item for item in backends if item not in local]
    cfg.visualizer = dict(visualizer, vis_backends=others + local)


def build_runner(cfg):
    """Build what runs a config: what its ``runner_type`` names, or
    :class:`SafeRunner`.

    Raises:
        OSError: If a file is missing or cannot be read.
        ValueError: If something does not fit; the message names the file.
    """
    cfg.setdefault('runner_type', 'mmpose.SafeRunner')
    return Runner.from_cfg(cfg)


def check_load_from(parser, cfg):
    """Stop early if the checkpoint to start from is not there."""
    if cfg.get('load_from') is not None:
        try:
            existing_file(cfg.load_from)
        except argparse.ArgumentTypeError as error:
            parser.error(f'load_from: {error}')


def prepare_processes(parser, cfg):
    """Make a job of several processes possible on what this machine has.

    With a GPU for each process, MMEngine does it all. Without any, it cannot:
    it selects a CUDA device whatever the backend. So the processes are
    connected over gloo here, which MMEngine then finds done, and the model
    is wrapped without a device.

    Args:
        parser (ArgumentParser): Reports what is wrong.
        cfg (Config): Whose ``env_cfg`` and ``model_wrapper_cfg`` are changed
            if there is no GPU.
    """
    if cfg.launcher == 'none':
        return
    if cfg.launcher == 'pytorch' and 'RANK' not in os.environ:
        parser.error('--launcher pytorch is for processes started by '
                     'tools/dist_train.sh, tools/dist_test.sh or torchrun')

    device = get_device()
    local_rank = int(os.environ['LOCAL_RANK'])
    if device == 'cuda' and cfg.launcher == 'pytorch':
        gpus = torch.cuda.device_count()
        if local_rank >= gpus:
            parser.error(f'process {local_rank + 1} on this machine has no '
                         f'GPU: {gpus} visible; start at most that many')
    if device not in ('cpu', 'mps'):
        return

    if cfg.launcher != 'pytorch':
        parser.error(f'--launcher {cfg.launcher} needs a GPU; on CPUs use '
                     'tools/dist_train.sh or tools/dist_test.sh')
    if os.environ['RANK'] == '0':
        print('No GPU found: connecting the processes over gloo, on the CPU')
        if cfg.get('sync_bn'):
            print('Batch norms see the images of each process only: PyTorch '
                  'has no SyncBatchNorm for CPUs')
    cfg.sync_bn = None
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
    timeout = timedelta(seconds=cfg.env_cfg.dist_cfg.get('timeout', 1800))
    torch.distributed.init_process_group('gloo', timeout=timeout)
    wrapper = cfg.get('model_wrapper_cfg') or dict(
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False))
    cfg.model_wrapper_cfg = dict(wrapper, device_ids=None)
