"""Fit the temperatures of the scores of joints, and write them into a
checkpoint.

The model finds the people of the images that CONFIG evaluates
(val_dataloader; give others than those that are to be reported on). The
logits of being labeled and visible are then divided by a temperature each that
makes the probabilities most likely, and the covariances are multiplied by one
that lets the 50 % and the 90 % ellipse hold as many joints as they say.

OUT is CHECKPOINT with these three numbers, which all programs use: they are
among the weights (head.decoder.joint_scores.temperatures). It is written as a
whole, and nothing else of it differs.
"""
import argparse
import os.path as osp
import sys
from io import BytesIO

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
sys.path.insert(0, ROOT)

from projects.grouppose.checkpoints import safe_unpickler  # noqa: E402
from projects.grouppose.engine import atomic_checkpoint_hook  # noqa: E402
from projects.grouppose.evaluation import joint_calibration  # noqa: E402
from projects.grouppose.inference import load_model  # noqa: E402

NAME = 'head.decoder.joint_scores.temperatures'


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of a model with JointScores')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument('out', help='checkpoint to write')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config')
    return parser.parse_args(argv)


@torch.no_grad()
def fit(args: argparse.Namespace):
    """Fit the temperatures.

    Returns:
        tuple: Joints predicted with temperatures of 1, and the temperatures.
    """
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    model = load_model(cfg, args.checkpoint)
    decoder = getattr(model.head, 'decoder', None)
    part = getattr(decoder, 'joint_scores', None)
    if part is None:
        raise ValueError(
            f'{args.config}: the model has no scores of joints. Give a config '
            'with model.head.decoder.joint_scores.')
    part.temperatures.fill_(1)
    init_default_scope('mmpose')
    loader = Runner.build_dataloader(cfg.val_dataloader)
    samples = (sample for data in loader for sample in model.test_step(data))
    try:
        joints = joint_calibration.collect_joints(samples,
                                                  model.head.codec.sigmas)
    except ValueError as error:
        raise ValueError(f'{args.config}: val_dataloader: {error}') from error
    return joints, joint_calibration.fit_temperatures(joints)


def write(args: argparse.Namespace, temperatures) -> None:
    """Write the checkpoint with them."""
    content = safe_unpickler.load_from_run(args.checkpoint, 'cpu')
    weights = content.get('state_dict', content)
    weights[NAME] = torch.tensor(temperatures)
    if 'state_dict' in content:
        content.setdefault('meta', {})['joint_temperatures'] = \
            temperatures._asdict()
    buffer = BytesIO()
    torch.save(content, buffer)
    atomic_checkpoint_hook.WholeFileBackend().put(buffer.getvalue(), args.out)


def main(argv=None) -> None:
    args = parse_args(argv)
    try:
        joints, temperatures = fit(args)
        write(args, temperatures)
    except (OSError, ValueError) as error:
        sys.exit(f'fit_temperature.py: {error}')
    fitted = joints._replace(squares=joints.squares / temperatures.covariance)
    for name, value in temperatures._asdict().items():
        print(f'{name}: temperature {value:.3f}')
    for share in joint_calibration.SHARES:
        print(f'ellipses of {share:.0%}: hold {joints.coverage(share):.1%} of '
              f'{len(joints.squares)} joints, with the temperature '
              f'{fitted.coverage(share):.1%}')
    print(f'{args.out} written')


if __name__ == '__main__':
    main()
