"""Which format a file or folder has, and its content as COCO content."""
import zipfile
from pathlib import Path
from typing import List, Optional, Union

from . import coco, cvat, deeplabcut, label_studio, labelme, sleap, yolo
from .content import Converted
from .source import ZIP, Source

FORMATS = {
    'COCO': coco,
    'YOLO pose': yolo,
    'CVAT for images': cvat,
    'Label Studio': label_studio,
    'SLEAP': sleap,
    'DeepLabCut': deeplabcut,
    'labelme': labelme,
}
# What is looked at in a folder. A file given by itself may have any name.
SUFFIXES = ('.csv', '.json', '.slp', '.xml', '.yaml', '.yml')


def read_labels(path: Union[str, Path],
                images: Union[None, str, Path] = None,
                extract_to: Union[None, str, Path] = None) -> Converted:
    """Read keypoint annotations of any format that is known.

    The content decides about the format, not the name.

    Args:
        path (str | Path): A file, a zip archive, or a folder with files of
            one format.
        images (str | Path, optional): Folder of the images. Defaults to
            where the format has them.
        extract_to (str | Path, optional): Where to unpack an archive, or to
            write images that are inside a file. Not needed for others.

    Returns:
        Converted: COCO content, the folder of its images, and notes.

    Raises:
        FileNotFoundError: If the file, or an image whose size is needed, is
            missing.
        ImportError: If the format needs a library that is not installed.
        ValueError: If no reader knows the format, or something in the file
            is wrong; the message names file, field and remedy.
    """
    source = Source(
        Path(path), None if images is None else Path(images),
        None if extract_to is None else Path(extract_to))
    if not source.path.exists():
        raise FileNotFoundError(f'{path}: no such file or folder.')
    if source.images is not None and not source.images.is_dir():
        raise FileNotFoundError(f'{images}: no such folder of images.')
    if source.head.startswith(ZIP):
        source = _unpack(source)
    files = _find_files(source)
    kinds = sorted({kind for kind in map(find_format, files) if kind})
    if len(kinds) > 1:
        raise ValueError(
            f'{path}: holds files of several formats: {", ".join(kinds)}. '
            'Give the file or folder of one of them.')
    if not kinds:
        raise ValueError(
            f'{path}: no keypoint annotations of a known format found. Known '
            f'are {", ".join(FORMATS)}.')
    reader = FORMATS[kinds[0]]
    chosen = [file for file in files if reader.matches(file)]
    content, folder, notes = reader.read(source, chosen)
    if not any(ann.get('keypoints') for ann in content['annotations']):
        raise ValueError(
            f'{path}: {kinds[0]} without a single labeled keypoint. Give the '
            'annotations of a pose project. ' + ' '.join(notes))
    return Converted(content, folder, [f'Read as {kinds[0]}.', *notes])


def find_format(source: Source) -> Optional[str]:
    """The format of one file by its content, None if none is known."""
    for name, reader in FORMATS.items():
        if reader.matches(source):
            return name
    return None


def _find_files(source: Source) -> List[Source]:
    """The files that may hold annotations."""
    if not source.path.is_dir():
        return [source]
    return [
        Source(path, source.images, source.extract_to)
        for path in sorted(source.path.rglob('*'))
        if path.suffix.lower() in SUFFIXES and path.is_file() and not any(
            part.startswith(('.', '__MACOSX'))
            for part in path.relative_to(source.path).parts)
    ]


def _unpack(source: Source) -> Source:
    """Unpack an archive; answer with its folder."""
    target = source.need_extraction() / source.path.stem
    try:
        with zipfile.ZipFile(source.path) as archive:
            # It writes nothing outside of the folder, whatever names say.
            archive.extractall(target)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError(
            f'{source.path}: cannot be unpacked ({error}). '
            'Export it again, or unpack it and give the folder.') from error
    return Source(target, source.images, source.extract_to)
