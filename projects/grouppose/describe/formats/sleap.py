"""SLEAP: .slp files, read by sleap-io (https://io.sleap.ai)."""
import os.path as osp
from pathlib import Path
from typing import Any, List, Optional, Tuple

import numpy as np
from PIL import Image

from .content import ContentBuilder, Converted
from .image_files import ImageFiles
from .source import Source

CATEGORY = 'animal'


def matches(source: Source) -> bool:
    """Whether a file is HDF5 with the groups of SLEAP's labels."""
    return source.names(b'videos_json', b'tracks_json')


def read(whole: Source, sources: List[Source]) -> Converted:
    """Read what people labeled in all files.

    Frames of videos, and those inside a package (.pkg.slp), are written as
    PNG files.

    Args:
        whole (Source): What the user gave.
        sources (list[Source]): The files.

    Returns:
        Converted: Content, folder and notes.

    Raises:
        FileNotFoundError: If an image or video is missing.
        ImportError: If sleap-io is not installed.
        ValueError: If a file cannot be read, or its skeletons differ.
    """
    try:
        import sleap_io
    except ImportError as error:
        raise ImportError(
            f'{sources[0].path}: sleap-io, which reads SLEAP files, is not '
            'installed. Install it (pip install -r requirements/formats.txt '
            '-c requirements/runtime.txt), or export the labels from SLEAP as '
            'COCO.') from error
    builder: Optional[ContentBuilder] = None
    found, predicted = [], 0
    folder = whole.folder
    for source in sources:
        for frame in _load(sleap_io, source.path):
            if not frame.user_instances:
                predicted += 1
                continue
            if builder is None:
                builder = _describe(whole.path,
                                    frame.user_instances[0].skeleton)
            for instance in frame.user_instances:
                if instance.skeleton.node_names != builder.keypoints:
                    raise ValueError(
                        f'{source.path}: frame {frame.frame_idx}: a skeleton '
                        'with other nodes than the first. Give files with '
                        'one skeleton.')
            if not isinstance(frame.video.filename, list):
                folder = source.need_extraction()
            found.append((*_image(source, frame), frame.user_instances))
    if builder is None:
        raise ValueError(
            f'{whole.path}: no frame was labeled by people; what SLEAP '
            'predicted is left out. Correct predictions in SLEAP and save.')
    for image, size, instances in found:
        name = osp.relpath(image, folder).replace(osp.sep, '/')
        image_id = builder.add_image(name, size)
        for instance in instances:
            builder.add_object(image_id, CATEGORY, _points(instance))
    notes = []
    if predicted:
        notes.append(f'{predicted} frames that nobody labeled are left out, '
                     'with what SLEAP predicted there.')
    return Converted(builder.content, folder, notes)


def _load(sleap_io: Any, path: Path) -> Any:
    """The labels of a file."""
    try:
        return sleap_io.load_slp(str(path))
    except Exception as error:  # of many kinds
        raise ValueError(
            f'{path}: sleap-io cannot read it ({type(error).__name__}: '
            f'{error}). Save it again in SLEAP, or update sleap-io.'
        ) from error


def _describe(path: Path, skeleton: Any) -> ContentBuilder:
    """A builder for the nodes, edges and symmetries of a skeleton."""
    flip = list(range(len(skeleton.node_names)))
    for symmetry in skeleton.symmetries:
        a, b = (skeleton.index(node) for node in symmetry.nodes)
        flip[a], flip[b] = b, a
    stated = flip if skeleton.symmetries else None
    return ContentBuilder(path, skeleton.node_names, skeleton.edge_inds,
                          stated)


def _points(instance: Any) -> np.ndarray:
    """x, y and visibility (K, 3). SLEAP marks as not visible what is not
    there; it does not train on it."""
    points = instance.numpy()[:, :2]
    visible = np.where(np.isfinite(points).all(1), 2, 0)
    return np.column_stack([points, visible])


def _image(source: Source, frame: Any) -> Tuple[Path, Tuple[int, int]]:
    """The file of a frame, which is written if there is none, and its
    size."""
    video, index = frame.video, frame.frame_idx
    if isinstance(video.filename, list):
        files = ImageFiles(source.folder, source.path)
        name, size = files.measure(str(video.filename[index]))
        files.check()
        return source.folder / str(name), size or (0, 0)
    try:
        pixels = np.asarray(frame.image)
    except Exception as error:  # of many kinds
        raise FileNotFoundError(
            f'{source.path}: frame {index} of {video.filename} cannot be read '
            f'({error}). Put the video where SLEAP had it, or give a package '
            'with images (.pkg.slp), which SLEAP exports.') from error
    # A package has several videos, each in a group of its own.
    group = str(getattr(video.backend, 'dataset', None) or '').split('/')[0]
    stem = Path(str(video.filename).replace('\\', '/')).stem
    folder = source.need_extraction() / '_'.join(filter(None, [stem, group]))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'{index:06d}.png'
    # Gray frames have one channel.
    Image.fromarray(pixels.squeeze()).save(path)
    return path, (pixels.shape[1], pixels.shape[0])
