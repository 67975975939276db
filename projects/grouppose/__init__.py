"""Group Pose for MMPose.

Importing the package registers its modules with MMPose; a config does so by
``custom_imports = dict(imports=['projects.grouppose'])``.
"""
from . import visualization  # noqa: F401
from . import baselines, codec, data, engine, evaluation, model  # noqa: F401
from .checkpoints.safe_unpickler import allow_runs
from .config_file import config_path
from .engine.runner import heed_runner_type
from .version import __version__

__all__ = ['__version__', 'config_path']

allow_runs()
heed_runner_type()
