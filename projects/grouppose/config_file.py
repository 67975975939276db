"""Reading a config file and building what it describes, with one message that
names the file for whatever is wrong with it."""
import os.path as osp
from contextlib import contextmanager
from typing import Iterator, Optional

from mmengine.config import Config
from mmengine.config.utils import ConfigParsingError

# What constructors raise about their arguments.
WRONG_ARGUMENTS = (ArithmeticError, AssertionError, AttributeError,
                   LookupError, TypeError, ValueError)


def read_config(path: str, options: Optional[dict] = None) -> Config:
    """Read a config and apply ``--cfg-options`` to it.

    Args:
        path (str): The config file.
        options (dict, optional): Settings by their path in the config.

    Returns:
        Config: The config.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If either is wrong; the message says which.
    """
    if not osp.isfile(path):
        raise FileNotFoundError(f'{path}: there is no such config file')
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


@contextmanager
def errors_name(config: str) -> Iterator[None]:
    """Put the name of the config file before errors of what is built.

    Args:
        config (str): The file.

    Raises:
        ValueError: Instead of any error about an argument.
    """
    try:
        yield
    except WRONG_ARGUMENTS as error:
        text = error.args[0] if error.args else type(error).__name__
        raise ValueError(f'{config}: {text}') from error
