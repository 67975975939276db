"""Group Pose for MMPose.

Importing the package registers its modules with MMPose; a config does so by
``custom_imports = dict(imports=['projects.grouppose'])``.
"""
from . import codec, data, hooks, model  # noqa: F401  (register modules)
from .version import __version__

__all__ = ['__version__']
