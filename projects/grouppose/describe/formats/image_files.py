"""Image files by the names that annotation files give them."""
import os.path as osp
import re
from collections import defaultdict
from functools import cached_property
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple
from urllib.parse import parse_qs, unquote, urlsplit

from PIL import Image

from ...data.loading import ORIENTATION

SUFFIXES = ('.avif', '.bmp', '.gif', '.jfif', '.jpeg', '.jpg', '.png', '.tif',
            '.tiff', '.webp')


class ImageFiles:
    """The images of an annotation file.

    Tools name images by paths of other machines, with either slash, or by
    addresses. An image is found by the longest end of its name that exists
    in the folder, else by its last part alone, if that is unique below it,
    also as Label Studio calls an uploaded file (``0fa3b9c1-a_b.png`` for
    ``a b.png``).

    Args:
        folder (Path): The folder to look in.
        source (Path): The annotation file, for messages.
    """

    def __init__(self, folder: Path, source: Path):
        self.folder = folder
        self.source = source
        self._missing: List[str] = []

    def find(self, name: str, base: Optional[Path] = None) -> Optional[str]:
        """Find an image.

        Args:
            name (str): As the tool gives it.
            base (Path, optional): Where the tool starts from. Defaults to
                the folder.

        Returns:
            str, optional: Its path relative to the folder; None if there is
            no such file.

        Raises:
            ValueError: If it could be one of several.
        """
        exact = (base or self.folder) / name.replace('\\', '/')
        if len(name) < 4096 and exact.is_file():
            return osp.relpath(exact, self.folder).replace(osp.sep, '/')
        parts = name_parts(name)
        for start in range(len(parts)):
            path = '/'.join(parts[start:])
            if '..' not in parts[start:] and (self.folder / path).is_file():
                return path
        last = parts[-1] if parts else ''
        below = self._below.get(last, [])
        if not below:
            # Label Studio puts this before names, and changes them.
            uploaded = re.sub('^[0-9a-f]{8}-', '', last)
            below = [] if uploaded == last else [
                path for name, paths in self._below.items()
                if _uploaded(name) == uploaded for path in paths
            ]
        if len(below) == 1:
            return below[0]
        if below:
            raise ValueError(
                f'{self.source}: the image {name!r} could be any of '
                f'{", ".join(below[:3])} in {self.folder}. Give a folder in '
                'which only one has this name by --images.')
        return None

    def measure(self,
                name: str) -> Tuple[Optional[str], Optional[Tuple[int, int]]]:
        """Find an image whose size the annotations do not tell.

        Args:
            name (str): As the tool gives it.

        Returns:
            tuple: Its path relative to the folder, and width and height as
            viewers show it, turned by EXIF; None and None if there is no
            such file, see :meth:`check`.
        """
        path = self.find(name)
        if path is None:
            self._missing.append(name)
            return None, None
        return path, image_size(self.folder / path)

    def name(self, name: str, base: Optional[Path] = None) -> str:
        """The same as :meth:`find`; for a missing file, what the tool calls
        it, with forward slashes."""
        return self.find(name, base) or '/'.join(name_parts(name))

    def check(self) -> None:
        """Refuse images that :meth:`measure` did not find.

        Raises:
            FileNotFoundError: If there are any.
        """
        if self._missing:
            names = ', '.join(self._missing[:3])
            more = ', ...' * (len(self._missing) > 3)
            raise FileNotFoundError(
                f'{self.source}: {len(self._missing)} images are not in '
                f'{self.folder} ({names}{more}). The format does not tell '
                'their sizes, so the files are needed: give their folder by '
                '--images, or remove them from the annotations.')

    @cached_property
    def _below(self) -> Dict[str, List[str]]:
        """Paths of all images below the folder, by their last part."""
        found = defaultdict(list)
        for path in list_images(self.folder):
            found[path.name].append(path.relative_to(self.folder).as_posix())
        return found


def name_parts(name: str) -> List[str]:
    """Take the name of an image apart.

    Args:
        name (str): A path with either slash, or an address. Of an address,
            the path counts, or what the parameter ``d`` says, as in the
            local files of Label Studio (``/data/local-files/?d=a/b.jpg``).

    Returns:
        list[str]: Folders and file.
    """
    if re.match(r'[A-Za-z][\w+.-]+://', name) or '/local-files/?' in name:
        address = urlsplit(name)
        stated = parse_qs(address.query).get('d')
        name = stated[0] if stated else unquote(address.path)
    parts = re.split(r'[\\/]+', name)
    return [part for part in parts if part not in ('', '.')]


def _uploaded(name: str) -> str:
    """What an upload to Label Studio makes of the name of a file."""
    return re.sub(r'[^-\w.]', '', name.strip().replace(' ', '_'))


def image_size(path: Path) -> Tuple[int, int]:
    """Width and height of an image as viewers show it, turned by EXIF.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        with Image.open(path) as picture:
            size = picture.size
            sideways = picture.getexif().get(ORIENTATION, 1) >= 5
    except Exception as error:  # of Pillow's many formats
        raise ValueError(f'{path}: cannot be read as an image ({error}). '
                         'Replace the file.') from error
    return size[::-1] if sideways else size


def list_images(folder: Path,
                suffixes: Sequence[str] = SUFFIXES) -> List[Path]:
    """All images below a folder, sorted, without hidden ones."""
    return sorted(
        path for path in folder.rglob('*') if path.suffix.lower() in suffixes
        and not path.name.startswith('.') and path.is_file())
