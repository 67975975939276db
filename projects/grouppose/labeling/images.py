"""The images of a folder, by their names. Nothing else is ever read."""
import os
import os.path as osp
from typing import Dict, Iterator, List, Tuple

import numpy as np

from ..data.loading import (SIDEWAYS, decode_image, find_orientation,
                            is_unicode, read_header)
from ..inference.sources import IMAGE_SUFFIXES

# What every browser shows as it is, with its type.
SHOWN = {
    b'\xff\xd8\xff': 'image/jpeg',
    b'\x89PNG': 'image/png',
    b'GIF8': 'image/gif',
    b'BM': 'image/bmp',
}


class ImageList:
    """Images of a folder and its subfolders.

    Files and folders whose names start with a dot are left out, and so are
    links that lead out of the folder.

    Args:
        folder (str): The folder. It is listed once; no image is opened.

    Attributes:
        names (list[str]): Paths from the folder, with ``/``, sorted.
        notes (list[str]): What was left out that looked like an image.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If there is no image in it.
    """

    def __init__(self, folder: str):
        if not osp.isdir(folder):
            raise FileNotFoundError(f'{folder}: no such folder of images')
        self.folder = folder
        self._root = osp.realpath(folder)
        self.notes: List[str] = []
        self.names = sorted(self._find(self._root, ''))
        self.places: Dict[str, int] = {
            name: place
            for place, name in enumerate(self.names)
        }
        if not self.names:
            raise ValueError(
                f'{folder}: no image in this folder ({"; ".join(self.notes)})'
                if self.notes else f'{folder}: no image in this folder. '
                f'Images end in {", ".join(IMAGE_SUFFIXES)}.')

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def next_name(self, name: str) -> str:
        """The image after another one, the first after the last."""
        return self.names[(self.places[name] + 1) % len(self.names)]

    def path(self, name: str) -> str:
        """Where an image is.

        Args:
            name (str): One of ``names``.

        Raises:
            FileNotFoundError: If it is not in the list, or has become a link
                that leads out of the folder.
        """
        path = osp.join(self._root, *name.split('/'))
        if name not in self.places or not self._is_inside(path):
            raise FileNotFoundError(f'{name}: no image of this name')
        return path

    def size(self, name: str) -> Tuple[int, int]:
        """Width and height as a viewer shows the image, from its header.

        Raises:
            OSError: If the file is gone or cannot be read.
            ValueError: If it is no image.
        """
        (width, height), orientation = read_header(self.path(name))
        return (height, width) if orientation in SIDEWAYS else (width, height)

    def read(self, name: str) -> np.ndarray:
        """The pixels as a viewer shows them, BGR, uint8, (H, W, 3).

        Raises:
            OSError: If the file is gone or cannot be read.
            ValueError: If it cannot be decoded.
        """
        return decode_image(self._content(name), name)

    def content(self, name: str) -> Tuple[bytes, str]:
        """What a browser shows like :meth:`read` does: the file, or else its
        pixels as a PNG file.

        Returns:
            tuple[bytes, str]: The content and its media type.
        """
        import cv2  # not before somebody needs it
        content = self._content(name)
        kind = next(
            (kind for head, kind in SHOWN.items() if content.startswith(head)),
            None)
        # Browsers follow the orientation of JPEG files only.
        if kind and (kind == 'image/jpeg' or find_orientation(content) == 1):
            return content, kind
        pixels = decode_image(content, name)
        return cv2.imencode('.png', pixels)[1].tobytes(), 'image/png'

    def _content(self, name: str) -> bytes:
        with open(self.path(name), 'rb') as file:
            return file.read()

    def _is_inside(self, path: str) -> bool:
        return osp.realpath(path).startswith(osp.join(self._root, ''))

    def _find(self, folder: str, prefix: str) -> Iterator[str]:
        """Names below a folder."""
        with os.scandir(folder) as entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.name.startswith('.'):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from self._find(entry.path, f'{name}/')
                    continue
                if not name.lower().endswith(IMAGE_SUFFIXES):
                    continue
                if not is_unicode(name):
                    self.notes.append(f'{name!a}: the name is not UTF-8; '
                                      'rename the file')
                elif entry.is_symlink() and not self._is_inside(entry.path):
                    self.notes.append(f'{name}: links to a file outside of '
                                      'the folder; put the file itself there')
                elif entry.is_file():
                    yield name
