"""Finding and reading config files, and building what they describe, with one
message that names the file for whatever is wrong with it."""
import difflib
import os.path as osp
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, Optional

from mmengine.config import Config
from mmengine.config.utils import ConfigParsingError

PACKAGE = Path(__file__).resolve().parent
# What constructors raise about their arguments.
WRONG_ARGUMENTS = (ArithmeticError, AssertionError, AttributeError,
                   LookupError, TypeError, ValueError)


def shipped(name: str) -> Path:
    """Find what comes with the package, outside of its modules.

    Args:
        name (str): ``configs``, or what a checkout of the repository has
            besides, such as ``tools``.

    Returns:
        Path: In a checkout it is beside ``projects``, in an installed package
        in ``.mim``, where OpenMMLab's packages have theirs.

    Raises:
        FileNotFoundError: If it is not there; the message says why.
    """
    for folder in (PACKAGE / '.mim', PACKAGE.parents[1]):
        if (folder / 'model-index.yml').is_file():
            if (folder / name).exists():
                return folder / name
            raise FileNotFoundError(
                f'{folder} has no {name}: an installed package has configs '
                'only. Run this in a checkout of the repository.')
    raise FileNotFoundError(
        f'{PACKAGE} came without {name}: it was copied, not installed. '
        'Install it with pip, or put a checkout of the repository on '
        'PYTHONPATH.')


def config_path(name: str) -> str:
    """Find a config of this project by its name.

    Args:
        name (str): The name of the file without its folder, e.g.
            ``grouppose_res50_8xb2-60e_coco-800x1333``; ``.py`` may follow.

    Returns:
        str: The path of the file.

    Raises:
        FileNotFoundError: If there is no such config; the message has names
            that are like it.
    """
    paths = _named_configs()
    name = name.removesuffix('.py')
    if name not in paths:
        similar = difflib.get_close_matches(name, paths, n=3)
        raise FileNotFoundError(f'there is no config named {name!r}. ' + (
            'Similar names: ' if similar else 'There are: ') +
                                ', '.join(similar or sorted(paths)))
    return str(paths[name])


def _named_configs() -> Dict[str, Path]:
    """Configs by name, without those that others start from."""
    return {
        path.stem: path
        for path in sorted(shipped('configs').rglob('*.py'))
        if '_base_' not in path.parts
    }


def read_config(path: str, options: Optional[dict] = None) -> Config:
    """Read a config and apply ``--cfg-options`` to it.

    Args:
        path (str): The config file, or the name of a config of this project,
            see :func:`config_path`.
        options (dict, optional): Settings by their path in the config.

    Returns:
        Config: The config.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If either is wrong; the message says which.
    """
    if not osp.isfile(path):
        path = _find(path)
    try:
        config = Config.fromfile(path)
    except (ConfigParsingError, OSError, SyntaxError) as error:
        raise ValueError(f'{path}: {error}') from error
    except Exception as error:  # a config is a program and may raise anything
        kind = type(error).__name__
        raise ValueError(f'{path}: {kind}: {error}') from error
    try:
        config.merge_from_dict(options or {})
    except (KeyError, TypeError) as error:
        raise ValueError(f'--cfg-options: {error.args[0]}') from error
    return config


def _find(name: str) -> str:
    """The path of a config that was given by its name."""
    problem = f'{name}: there is no such config file'
    if osp.basename(name) != name:
        raise FileNotFoundError(problem)
    try:
        return config_path(name)
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{problem}, and {error}') from error


@contextmanager
def errors_name(config: Optional[str]) -> Iterator[None]:
    """Put the name of the config file before errors of what is built.

    Args:
        config (str, optional): The file. Without one, errors pass as they
            are.

    Raises:
        ValueError: Instead of any error about an argument.
    """
    try:
        yield
    except WRONG_ARGUMENTS as error:
        if config is None:
            raise
        text = error.args[0] if error.args else type(error).__name__
        raise ValueError(f'{config}: {text}') from error
