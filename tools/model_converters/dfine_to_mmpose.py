"""Take backbone and neck out of a checkpoint of D-FINE, for a DETRPose of the
same size to start from (load_from=FILE)."""
from typing import Optional

import conversion

from projects.grouppose.checkpoints import official_names
from projects.grouppose.checkpoints.safe_unpickler import load_weights


def convert(src: str, dst: str, config: Optional[str] = None) -> None:
    """Convert a file.

    Args:
        src (str): Checkpoint of D-FINE.
        dst (str): File to write.
        config (str): Config of the DETRPose whose backbone and neck must be
            filled exactly.

    Raises:
        ValueError: If the file is no checkpoint or does not fit the model,
            or there is no config.
    """
    if config is None:
        raise ValueError('name the config of the DETRPose that starts from '
                         'these weights with --config.')
    # QUIRK: DETRPose starts from these, not from the averaged weights.
    weights = official_names.from_dfine(load_weights(src, 'model'))
    conversion.check_fit(src, weights, config, ('backbone.', 'neck.'))
    conversion.save(dict(meta=dict(), state_dict=weights), dst)
    print(f'{dst}: {len(weights)} entries, all that backbone and neck have.')


if __name__ == '__main__':
    conversion.main(__doc__, convert)
