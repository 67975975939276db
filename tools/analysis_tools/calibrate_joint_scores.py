"""Calibrate the scores of joints on images, and write the result into a
checkpoint.

The model finds the people of the images that CONFIG evaluates while it trains
(val_dataloader). Give others than those that are to be reported on, and than
those that it was trained on, for instance

  --cfg-options val_dataloader.dataset.dataset.data_root=DIR/

The joints of the people whom it has found (see measure_joint_scores.py) then
tell

- two temperatures, by which the logits of being labeled and visible are
  divided,
- one by which covariances are multiplied, and
- how heavy the tails of errors are: weights and scales of three normal
  distributions of which that of errors is mixed. Ellipses and expected OKS
  follow from it.

OUT is CHECKPOINT with these numbers, which all programs use: they are among
the weights (head.decoder.joint_scores.temperatures and .mixture), and, for
people to read, in meta.joint_calibration. Nothing else of it differs.
"""
import argparse
import os.path as osp
import sys
from io import BytesIO

import torch
from mmengine.config import DictAction
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from tqdm import tqdm

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
sys.path.insert(0, ROOT)

from projects.grouppose.checkpoints import safe_unpickler  # noqa: E402
from projects.grouppose.config_file import read_config  # noqa: E402
from projects.grouppose.engine import atomic_checkpoint_hook  # noqa: E402
from projects.grouppose.evaluation import joint_calibration  # noqa: E402
from projects.grouppose.inference import load_model  # noqa: E402
from projects.grouppose.model import joint_scores  # noqa: E402

PREFIX = 'head.decoder.joint_scores.'
SHARES = (0.5, 0.9)  # of the ellipses that are printed


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
def collect(args: argparse.Namespace) -> joint_calibration.JointSamples:
    """Predict joints without calibration."""
    cfg = read_config(args.config)
    cfg.merge_from_dict(args.cfg_options)
    model = load_model(cfg, args.checkpoint)
    joint_scores.find_joint_scores(model, args.config).reset_calibration()
    init_default_scope('mmpose')
    loader = Runner.build_dataloader(cfg.val_dataloader)
    samples = (
        sample for data in tqdm(loader, desc='predicting')
        for sample in model.test_step(data))
    try:
        return joint_calibration.collect_joints(samples,
                                                model.head.codec.sigmas)
    except ValueError as error:
        raise ValueError(f'{args.config}: val_dataloader: {error}') from error


def write(args: argparse.Namespace,
          found: joint_calibration.Calibration) -> None:
    """Write the checkpoint with the calibration."""
    content = safe_unpickler.load_from_run(args.checkpoint, 'cpu')
    weights = content.get('state_dict', content)
    weights[f'{PREFIX}temperatures'] = torch.tensor(found[:3])
    weights[f'{PREFIX}mixture'] = torch.from_numpy(found.mixture).float()
    if 'state_dict' in content:
        content.setdefault('meta', {})['joint_calibration'] = found.to_dict()
    buffer = BytesIO()
    torch.save(content, buffer)
    atomic_checkpoint_hook.WholeFileBackend().put(buffer.getvalue(), args.out)


def describe(joints: joint_calibration.JointSamples,
             found: joint_calibration.Calibration) -> None:
    """Print what was found."""
    for name, value in found.to_dict()['temperatures'].items():
        print(f'{name}: temperature {value:.3f}')
    if joints.visible.all() or not joints.visible.any():
        print('visible: no image tells hidden joints from visible ones, so '
              'the temperature stays 1')
    weights, scales = found.mixture
    print('errors: ' + ' + '.join(f'{w:.3f} N(0, {s:.3f} S)'
                                  for w, s in zip(weights, scales)))
    fitted = joints._replace(squares=joints.squares / found.covariance)
    for share in SHARES:
        print(f'ellipses of {share:.0%} hold {joints.coverage(share):.1%} of '
              f'{len(joints.squares)} joints; calibrated, '
              f'{fitted.coverage(share, found.mixture):.1%}')


def main(argv=None) -> None:
    args = parse_args(argv)
    try:
        joints = collect(args)
        found = joint_calibration.calibrate(joints)
        write(args, found)
    except (OSError, ValueError) as error:
        sys.exit(f'calibrate_joint_scores.py: {error}')
    describe(joints, found)
    print(f'{args.out} written')


if __name__ == '__main__':
    main()
