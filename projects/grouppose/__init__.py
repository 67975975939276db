"""Group Pose for MMPose.

Importing the package registers its modules with MMPose; a config does so by
``custom_imports = dict(imports=['projects.grouppose'])``.
"""
from . import visualization  # noqa: F401
from . import amp, baselines, codec, data, hooks, metric, model  # noqa: F401
from .gradient_guard import GradientGuardHook  # noqa: F401
from .safe_loading import allow_runs
from .version import __version__
from .whole_checkpoints import WholeCheckpointHook  # noqa: F401

__all__ = ['__version__']

allow_runs()
