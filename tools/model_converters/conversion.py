"""What the converters share: which config a checkpoint is for, whether it
fits, and how results are written."""
import argparse
import os
import os.path as osp
import sys
import tempfile
from pathlib import Path
from typing import Callable, Dict, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
sys.path.insert(0, ROOT)

from mmpose.registry import MODELS  # noqa: E402

from projects.grouppose.checkpoints import fit  # noqa: E402

CONFIG_DIR = osp.join(ROOT, 'configs/body_2d_keypoint')

# Data sets of the published models by number of keypoints.
DATASETS = {17: 'coco', 14: 'crowdpose'}

# Published models by backbone, width of the head and layers of the decoder;
# backbones by an entry of each and its length.
MODELS_OF = {
    ('res50', 256, 6): 'grouppose_res50_8xb2',
    ('swin-t', 256, 6): 'grouppose_swin-t_8xb2',
    ('swin-l', 256, 6): 'grouppose_swin-l_16xb1',
    ('b0', 128, 3): 'detrpose_hgnetv2-n_4xb',
    ('b0', 256, 3): 'detrpose_hgnetv2-s_4xb',
    ('b2', 256, 4): 'detrpose_hgnetv2-m_4xb',
    ('b4', 256, 6): 'detrpose_hgnetv2-l_4xb',
    ('b5', 384, 6): 'detrpose_hgnetv2-x_4xb',
}
BACKBONES = {
    ('backbone.layer1.0.conv3.weight', 256): 'res50',
    ('backbone.patch_embed.projection.weight', 96): 'swin-t',
    ('backbone.patch_embed.projection.weight', 192): 'swin-l',
    ('backbone.stem.stem4.conv.weight', 16): 'b0',
    ('backbone.stem.stem4.conv.weight', 32): 'b2',
    ('backbone.stem.stem4.conv.weight', 48): 'b4',
    ('backbone.stem.stem4.conv.weight', 64): 'b5',
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
    embedding = weights.get('head.decoder.keypoint_embedding.weight')
    width = 0 if embedding is None else embedding.shape[-1]
    layers = sum(name.endswith('.ffn_norm.weight') for name in weights)
    model = MODELS_OF.get((*backbones, width, layers))
    dataset = DATASETS.get(num_keypoints)
    if model is None or dataset is None:
        raise ValueError(
            f'{src}: no published config has its backbone (found: '
            f'{backbones}), {layers} decoder layers of width {width}, and '
            f'number of keypoints (found: {num_keypoints}). Give the config '
            'of this checkpoint with --config.')
    family = model.partition('_')[0]
    config, = Path(CONFIG_DIR, family, dataset).glob(f'{model}*_{dataset}-*')
    return str(config)


def check_fit(src: str,
              weights: Dict[str, Tensor],
              config: Optional[str],
              parts: Tuple[str, ...] = ('', )) -> None:
    """Refuse weights that do not fill a model exactly.

    Args:
        src (str): Where they come from, for the message.
        weights (dict[str, Tensor]): Weights by our name.
        config (str, optional): Config of the model. Defaults to the one that
            the weights are for.
        parts (tuple[str]): Prefixes of the entries that must be filled.
            Defaults to all.

    Raises:
        ValueError: If they do not fit; the message has a table of what does
            not.
    """
    config = config or choose_config(src, weights)
    print(f'config: {osp.relpath(config)}')
    init_default_scope('mmpose')
    model = MODELS.build(Config.fromfile(config).model)
    problems = [(name, what)
                for name, what in fit.compare_with_model(weights, model)
                if name.startswith(parts)]
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
