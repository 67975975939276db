"""Group Pose for MMPose.

Importing the package registers its modules with MMPose; a config does so by
``custom_imports = dict(imports=['projects.grouppose'])``.
"""
from . import visualization  # noqa: F401
from . import baselines, codec, data, engine, evaluation, model  # noqa: F401
from .checkpoints.safe_unpickler import allow_runs
from .version import __version__

__all__ = ['__version__']

allow_runs()
