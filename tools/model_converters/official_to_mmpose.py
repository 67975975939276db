"""Convert a checkpoint of the official Group Pose or DETRPose program to this
project."""
from typing import Optional

import conversion

from projects.grouppose.checkpoints import official_names


def convert(src: str, dst: str, config: Optional[str] = None) -> None:
    """Convert a file, or refuse it with a table of what does not fit.

    Args:
        src (str): Official checkpoint.
        dst (str): File to write.
        config (str, optional): Config of the model that must be filled
            exactly. Defaults to the one that the weights are for.

    Raises:
        ValueError: If the file is no checkpoint or does not fit the model.
    """
    official = official_names.load_official(src)
    try:
        weights = official_names.from_official(official)
    except ValueError as error:
        raise ValueError(f'{src}: {error}') from error
    conversion.check_fit(src, weights, config)
    # Kept, as other processors round them differently.
    constants = official_names.take_constants(official)
    conversion.save(
        dict(meta=dict(official_constants=constants), state_dict=weights), dst)
    print(
        f'{src}: {len(official)} entries, of which '
        f'{len(official) - len(weights)} are stored twice or follow from '
        f'the others.\n{dst}: {len(weights)} entries, all that the model has.')


if __name__ == '__main__':
    conversion.main(__doc__, convert)
