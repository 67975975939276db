"""Drawn people: a data set for pose estimation that needs no download.

Draws seeded images of articulated people and writes them with exact
annotations in the COCO keypoint format.
"""
import functools
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

import cv2
import numpy as np
from tqdm import tqdm

from .images import check_people, draw_image
from .skeletons import KEYPOINT_NAMES

VERSION = 1  # raise when the same arguments give other images
CALM_VERSION = 2  # raise when calm images alone are others
SPLITS = ('train', 'val')
COCO_SKELETON = ((16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12),
                 (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11), (2, 3),
                 (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7))


def draw_dataset(out_dir: Union[str, Path],
                 num_train: int,
                 num_val: int,
                 long_side: int = 320,
                 seed: int = 0,
                 num_workers: Optional[int] = None,
                 overwrite: bool = False,
                 people: Optional[Tuple[int, int]] = None,
                 calm: bool = False) -> bool:
    """Draw a data set in the COCO keypoint format.

    Writes ``annotations/person_keypoints_{train,val}.json`` and the images
    ``{train,val}/000000000001.jpg`` and so on into ``out_dir``. The same
    arguments give the same files, whatever the number of workers. The
    annotation files come last: without them, the data set is not complete.

    Args:
        out_dir (str | Path): The folder to write to.
        num_train (int): Number of images to train on.
        num_val (int): Number of images to evaluate on.
        long_side (int): Pixels of the longer side of the images. Defaults to
            320.
        seed (int): The seed of all images. Defaults to 0.
        num_workers (int, optional): Number of processes. Defaults to None,
            one per CPU that this process may use.
        overwrite (bool): Whether to replace a drawn data set that has other
            arguments. Defaults to False.
        people (tuple[int], optional): Least and largest number of people per
            image, see :func:`draw_image`.
        calm (bool): Draw images that are easier to see, see
            :func:`draw_image`. Defaults to False.

    Returns:
        bool: Whether it was drawn; False if it existed with these arguments.

    Raises:
        ValueError: If an argument is out of range.
        FileExistsError: If ``out_dir`` holds other annotations.
    """
    for name, value, least in (('num_train', num_train, 1), ('num_val',
                                                             num_val, 1),
                               ('long_side', long_side, 64), ('seed', seed, 0),
                               ('num_workers', num_workers, 1)):
        if value is not None and value < least:
            raise ValueError(f'{name} must be at least {least}, not {value}')
    check_people(people)
    arguments: Dict[str, Any] = dict(
        version=VERSION,
        num_train=num_train,
        num_val=num_val,
        long_side=long_side,
        seed=seed)
    if people:
        arguments['people'] = list(people)
    if calm:
        arguments['calm'] = CALM_VERSION
    out_dir = Path(out_dir)
    if _clear(out_dir, arguments, overwrite):
        return False

    num_workers = num_workers or _count_cpus()
    for split in SPLITS:
        (out_dir / split).mkdir(parents=True, exist_ok=True)
    counts = dict(train=num_train, val=num_val)
    tasks = [(split, index) for split in SPLITS
             for index in range(1, counts[split] + 1)]
    draw = functools.partial(
        _draw_file,
        out_dir=out_dir,
        long_side=long_side,
        seed=seed,
        people=people,
        calm=calm)
    bar = functools.partial(
        tqdm,
        total=len(tasks),
        desc='drawing',
        unit='image',
        # A log gets a line now and then, not hundreds.
        mininterval=0.1 if sys.stderr.isatty() else 10)
    if num_workers == 1:
        results = list(bar(map(draw, tasks)))
    else:
        with ProcessPoolExecutor(num_workers, initializer=_one_thread) as pool:
            results = list(bar(pool.map(draw, tasks, chunksize=8)))

    (out_dir / 'annotations').mkdir(exist_ok=True)
    for split in SPLITS:
        drawn = [
            result for task, result in zip(tasks, results) if task[0] == split
        ]
        _write_json(
            annotation_file(out_dir, split), _collect(drawn, arguments))
    return True


def _count_cpus() -> int:
    """Count the CPUs that this process may use."""
    if hasattr(os, 'sched_getaffinity'):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _one_thread():
    cv2.setNumThreads(0)


def annotation_file(out_dir: Path, split: str) -> Path:
    """Path of the annotations of a split, 'train' or 'val'."""
    return out_dir / 'annotations' / f'person_keypoints_{split}.json'


def _draw_file(task: Tuple[str, int], out_dir: Path, long_side: int, seed: int,
               people: Optional[Tuple[int, int]],
               calm: bool) -> Tuple[Dict, List[Dict]]:
    """Draw and write one image; return its COCO entry and annotations."""
    split, index = task
    image, annotations = draw_image(
        np.random.SeedSequence([seed, SPLITS.index(split), index]), long_side,
        people, calm)
    name = f'{index:012d}.jpg'
    path = out_dir / split / name
    if not cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 90]):
        raise OSError(f'cannot write {path}')
    height, width = image.shape[:2]
    return dict(
        id=index, file_name=name, width=width, height=height), annotations


def _collect(drawn: List[Tuple[Dict, List[Dict]]], arguments: Dict) -> Dict:
    """Put the results of one split together in the COCO format."""
    annotations: List[Dict] = []
    for image, people in drawn:
        for person in people:
            annotations.append(
                dict(id=len(annotations) + 1, image_id=image['id'], **person))
    return dict(
        info=dict(description='Drawn people', arguments=arguments),
        licenses=[],
        images=[image for image, _ in drawn],
        annotations=annotations,
        categories=[
            dict(
                id=1,
                name='person',
                supercategory='person',
                keypoints=list(KEYPOINT_NAMES),
                skeleton=[list(link) for link in COCO_SKELETON])
        ])


def _write_json(path: Path, content: Dict) -> None:
    """Write a file that is either whole or not there."""
    partial = path.with_suffix('.json.partial')
    partial.write_text(json.dumps(content, separators=(',', ':')))
    os.replace(partial, path)


def _clear(out_dir: Path, arguments: Dict, overwrite: bool) -> bool:
    """Tell if the data set is complete; else make room for a new one.

    Raises:
        FileExistsError: If there are annotations that must be kept.
    """
    found = [
        path for path in (annotation_file(out_dir, split) for split in SPLITS)
        if path.exists()
    ]
    complete, stale = len(found) == len(SPLITS), []
    for path in found:
        try:
            content = json.loads(path.read_text())
            old = content['info']['arguments']
            images = [
                out_dir / path.stem.rsplit('_', 1)[1] / image['file_name']
                for image in content['images']
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise FileExistsError(
                f'{path} was not written by this program; choose another '
                'folder') from error
        if old != arguments and not overwrite:
            raise FileExistsError(
                f'{path} was drawn with {old}, not with {arguments}; choose '
                'another folder or overwrite it')
        complete &= old == arguments and all(image.exists()
                                             for image in images)
        stale += images
    if complete:
        return True
    # The annotations go first, so that no half data set looks whole.
    for path in found + stale:
        path.unlink(missing_ok=True)
    return False
