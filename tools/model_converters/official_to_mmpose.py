"""Convert a checkpoint of the official Group Pose program to this project."""
import argparse
import os
import os.path as osp
import sys
import tempfile

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
sys.path.insert(0, ROOT)

from mmpose.registry import MODELS  # noqa: E402

from projects.grouppose import checkpoint  # noqa: E402

CONFIG = osp.join(
    ROOT, 'configs/body_2d_keypoint/grouppose/coco/'
    'grouppose_res50_8xb2-60e_coco-800x1333.py')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='checkpoint of the official program')
    parser.add_argument('dst', help='file to write, to use as CHECKPOINT')
    parser.add_argument(
        '--config',
        default=CONFIG,
        help='config that the checkpoint is for (default: R50 on COCO)')
    return parser.parse_args()


def convert(src: str, dst: str, config: str) -> None:
    """Convert a file, or refuse it with a table of what does not fit.

    Args:
        src (str): Official checkpoint.
        dst (str): File to write.
        config (str): Config of the model that must be filled exactly.

    Raises:
        ValueError: If the file is no checkpoint or does not fit the model.
    """
    official = checkpoint.load_official(src)
    weights = checkpoint.from_official(official)
    init_default_scope('mmpose')
    model = MODELS.build(Config.fromfile(config).model)
    problems = checkpoint.compare_with_model(weights, model)
    if problems:
        width = max(len(name) for name, _ in problems)
        table = '\n'.join(f'  {name:{width}}  {what}'
                          for name, what in problems)
        raise ValueError(
            f'{src} does not fit {config}:\n{table}\n{len(problems)} of '
            f'{len(model.state_dict())} entries do not fit, nothing was '
            'written. Choose the config of this checkpoint with --config.')

    # A conversion that is stopped leaves no half a file.
    folder = osp.dirname(osp.abspath(dst))
    os.makedirs(folder, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        try:
            torch.save(dict(meta=dict(), state_dict=weights), file)
        except BaseException:
            os.remove(file.name)
            raise
    os.chmod(file.name, 0o644)  # a temporary file is for its owner only
    os.replace(file.name, dst)
    print(f'{src}: {len(official)} entries, of which '
          f'{len(official) - len(weights)} stored twice.\n'
          f'{dst}: {len(weights)} entries, all that the model has.')


def main() -> None:
    args = parse_args()
    try:
        convert(args.src, args.dst, args.config)
    except (ValueError, OSError) as error:
        sys.exit(f'official_to_mmpose.py: {error}')


if __name__ == '__main__':
    main()
