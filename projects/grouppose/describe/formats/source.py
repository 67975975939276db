"""What a user gives to be read: a file, and what can be told from its
content."""
import json
import mmap
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Optional

import yaml  # type: ignore[import-untyped]

HDF5 = b'\x89HDF\r\n\x1a\n'
ZIP = b'PK\x03\x04'
LARGEST_YAML = 1 << 20  # bytes; settings are small, and YAML is slow


@dataclass
class Source:
    """A file or folder with annotations.

    Args:
        path (Path): Its path.
        images (Path, optional): Where the images are, if the user says so.
        extract_to (Path, optional): Where to write images that are inside
            the file.
    """
    path: Path
    images: Optional[Path] = None
    extract_to: Optional[Path] = None

    @property
    def folder(self) -> Path:
        """Path: What names of images are relative to."""
        if self.images is not None:
            return self.images
        return self.path if self.path.is_dir() else self.path.parent

    @cached_property
    def head(self) -> bytes:
        """bytes: How the file begins; nothing for a folder."""
        if self.path.is_dir():
            return b''
        with open(self.path, 'rb') as file:
            return file.read(4096)

    @cached_property
    def json(self) -> Any:
        """dict | list | None: What the file holds, None if it is no JSON."""
        if self.head.lstrip(b'\xef\xbb\xbf \t\r\n')[:1] not in (b'{', b'['):
            return None
        try:
            return json.loads(self.path.read_bytes())
        except (ValueError, RecursionError):
            return None

    @cached_property
    def yaml(self) -> dict:
        """dict: What the file holds, nothing if it is no YAML."""
        if b':' not in self.head or self.head.startswith(HDF5) or \
                self.path.stat().st_size > LARGEST_YAML:
            return {}
        try:
            # The safe one makes plain values only.
            content = yaml.safe_load(self.path.read_bytes())
        except (yaml.YAMLError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    def names(self, *parts: bytes) -> bool:
        """Whether an HDF5 file has groups of these names, as far as can be
        told without a library for it."""
        if not self.head.startswith(HDF5):
            return False
        with open(self.path, 'rb') as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return all(data.find(part) >= 0 for part in parts)

    def need_extraction(self) -> Path:
        """The folder for images that are inside the file.

        Raises:
            ValueError: If none is given.
        """
        if self.extract_to is None:
            raise ValueError(f'{self.path}: holds the images themselves. '
                             'Give a folder to write them to.')
        return self.extract_to
