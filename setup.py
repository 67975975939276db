"""Everything is in setup.cfg, but that a wheel holds the configs, too."""
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithConfigs(build_py):
    """Puts the configs where OpenMMLab's packages have theirs. An editable
    installation finds them in the checkout."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, 'projects/grouppose/.mim')
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(
            ROOT / 'configs',
            target / 'configs',
            ignore=shutil.ignore_patterns('__pycache__'))
        shutil.copy(ROOT / 'model-index.yml', target)


setup(cmdclass=dict(build_py=BuildWithConfigs))
