"""Convert a checkpoint of this project for the official Group Pose or DETRPose
program."""
from typing import Optional

import conversion

from projects.grouppose.checkpoints import official_names


def convert(src: str, dst: str, config: Optional[str] = None) -> None:
    """Convert a file, or refuse it with a table of what does not fit.

    The written file holds the weights alone, under ``model``, where the
    official program looks for them.

    Args:
        src (str): Checkpoint of a training here, or a converted one.
        dst (str): File to write.
        config (str, optional): Config of the model that the weights must
            fill exactly. Defaults to the one that they are for.

    Raises:
        ValueError: If the file is no checkpoint or does not fit the model.
    """
    weights = official_names.load_ours(src)
    conversion.check_fit(src, weights, config)
    official = official_names.to_official(weights)
    official.update(official_names.load_constants(src))
    conversion.save(dict(model=official), dst)
    print(f'{src}: {len(weights)} entries, all that the model has.\n'
          f'{dst}: {len(official)} entries, of which '
          f'{len(official) - len(weights)} are stored twice or follow from '
          'the others.')


if __name__ == '__main__':
    conversion.main(__doc__, convert)
