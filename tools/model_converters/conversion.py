"""What the converters share: which config a checkpoint is for, whether it
fits, and how results are written."""
import argparse
import os
import os.path as osp
import sys
import tempfile
from typing import Callable, Dict, Optional

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
sys.path.insert(0, ROOT)

from mmpose.registry import MODELS  # noqa: E402

from projects.grouppose.checkpoints import fit  # noqa: E402

CONFIG_DIR = osp.join(ROOT, 'configs/body_2d_keypoint/grouppose')

# Configs of the published family by backbone and number of keypoints.
CONFIGS = {
    ('res50', 17): 'coco/grouppose_res50_8xb2-60e_coco-800x1333.py',
    ('swin-t', 17): 'coco/grouppose_swin-t_8xb2-60e_coco-800x1333.py',
    ('swin-l', 17): 'coco/grouppose_swin-l_16xb1-60e_coco-800x1333.py',
    ('res50', 14): 'crowdpose/grouppose_res50_8xb2-80e_crowdpose-800x1333.py',
    ('swin-t', 14):
    'crowdpose/grouppose_swin-t_8xb2-80e_crowdpose-800x1333.py',
    ('swin-l', 14):
    'crowdpose/grouppose_swin-l_16xb1-80e_crowdpose-800x1333.py',
}

# An entry of each backbone and its length.
BACKBONES = {
    ('backbone.layer1.0.conv3.weight', 256): 'res50',
    ('backbone.patch_embed.projection.weight', 96): 'swin-t',
    ('backbone.patch_embed.projection.weight', 192): 'swin-l',
}


def choose_config(src: str, weights: Dict[str, Tensor]) -> str:
    """Find the config of the published family that weights are for.

    Args:
        src (str): Where they come from, for the message.
        weights (dict[str, Tensor]): Weights by our name.

    Returns:
        str: Path of the config.

    Raises:
        ValueError: If they are of none.
    """
    lengths = {
        name: value.shape[0]
        for name, value in weights.items() if value.dim()
    }
    backbones = [
        backbone for (name, length), backbone in BACKBONES.items()
        if lengths.get(name) == length
    ]
    num_keypoints = lengths.get('head.decoder.keypoint_embedding.weight')
    config = CONFIGS.get((*backbones, num_keypoints))
    if config is None:
        raise ValueError(
            f'{src}: no published config has its backbone (found: '
            f'{backbones}) and number of keypoints (found: {num_keypoints}). '
            'Give the config of this checkpoint with --config.')
    return osp.join(CONFIG_DIR, config)


def check_fit(src: str, weights: Dict[str, Tensor],
              config: Optional[str]) -> None:
    """Refuse weights that do not fill a model exactly.

    Args:
        src (str): Where they come from, for the message.
        weights (dict[str, Tensor]): Weights by our name.
        config (str, optional): Config of the model. Defaults to the one that
            the weights are for.

    Raises:
        ValueError: If they do not fit; the message has a table of what does
            not.
    """
    config = config or choose_config(src, weights)
    print(f'config: {osp.relpath(config)}')
    init_default_scope('mmpose')
    model = MODELS.build(Config.fromfile(config).model)
    problems = fit.compare_with_model(weights, model)
    if problems:
        width = max(len(name) for name, _ in problems)
        table = '\n'.join(f'  {name:{width}}  {what}'
                          for name, what in problems)
        raise ValueError(
            f'{src} does not fit {config}:\n{table}\n'
            f'{len(problems)} entries do not fit, nothing was written. '
            'Choose the config of this checkpoint with --config.')


def save(content: dict, path: str) -> None:
    """Write a file at once: a conversion that is stopped leaves none.

    Args:
        content (dict): What to write.
        path (str): Where; folders are made.
    """
    folder = osp.dirname(osp.abspath(path))
    os.makedirs(folder, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        try:
            torch.save(content, file)
        except BaseException:
            os.remove(file.name)
            raise
    os.chmod(file.name, 0o644)  # a temporary file is for its owner only
    os.replace(file.name, path)


def main(description: str, convert: Callable) -> None:
    """Run a converter from the command line.

    Args:
        description (str): What it does.
        convert (Callable): It, called with the file to read, the file to
            write and the path of a config or None.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('src', help='checkpoint to read')
    parser.add_argument('dst', help='file to write')
    parser.add_argument(
        '--config',
        help='config that the checkpoint is for (default: the published one '
        'with its backbone and number of keypoints)')
    args = parser.parse_args()
    try:
        convert(args.src, args.dst, args.config)
    except (ValueError, OSError) as error:
        sys.exit(f'{parser.prog}: {error}')
