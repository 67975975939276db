"""Poses in COCO's result format, read and checked."""
import json
import os.path as osp
from collections import Counter
from pathlib import Path
from typing import Dict, List, Union

from ..data.instances import find_numbers, is_number

FIELDS = {'image_id', 'category_id', 'keypoints', 'score'}
WANTED = ('a list of poses, as `outfile_prefix` of the metric and '
          'tools/infer.py write it')


def read_results(path: Union[str, Path], images: Dict[int, dict],
                 num_keypoints: int, ann_file: str) -> List[dict]:
    """Read poses, and refuse those that do not belong to the annotations.

    Where poses have a ``file_name``, as those of ``tools/infer.py``, whose
    ``image_id`` only counts, they belong to the image of that name.

    Args:
        path (str | Path): COCO results JSON.
        images (dict[int, dict]): Annotated images by id.
        num_keypoints (int): Number of keypoints K.
        ann_file (str): Where the images are annotated, for messages.

    Returns:
        list[dict]: Of each pose ``image_id``, ``category_id``, ``keypoints``
        (3 K numbers), ``score`` and what else the file has. There may be none.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is something else, or of other images or keypoints.
    """
    try:
        results = json.loads(Path(path).read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path}: no JSON: {error}. Give {WANTED}.') from None
    if not isinstance(results, list) or not all(
            isinstance(entry, dict) and FIELDS <= entry.keys()
            for entry in results):
        raise ValueError(f'{path}: not {WANTED}.')
    if results and all('file_name' in entry for entry in results):
        _find_images(results, path, images, ann_file)
    for number, entry in enumerate(results):
        for field in ('image_id', 'category_id'):
            if not isinstance(entry[field], int):
                raise ValueError(
                    f'{path}: entry {number}: `{field}` must be an integer, '
                    f'got {entry[field]!r}. Give {WANTED}.')
        if entry['image_id'] not in images:
            raise ValueError(
                f'{path}: poses of the image {entry["image_id"]}, which '
                f'{ann_file} does not have. Give the results of its images.')
        values = entry['keypoints']
        values = find_numbers(values) if isinstance(values, list) else None
        if values is None or not is_number(entry['score']):
            raise ValueError(
                f'{path}: entry {number}: `keypoints` and `score` must be '
                f'finite numbers. Give {WANTED}.')
        if len(values) != 3 * num_keypoints:
            raise ValueError(
                f'{path}: {len(values)} numbers in `keypoints`, '
                f'{3 * num_keypoints} are needed: x, y and score of each of '
                f'the {num_keypoints} keypoints of the metainfo.')
    return results


def _find_images(results: List[dict], path: Union[str, Path],
                 images: Dict[int, dict], ann_file: str) -> None:
    """Set ``image_id`` by the name of the file, in place."""
    names = {i: str(image.get('file_name')) for i, image in images.items()}
    last = Counter(osp.basename(name) for name in names.values())
    ids = {osp.basename(name): i for i, name in names.items()}
    ids.update((name, i) for i, name in names.items())
    for entry in results:
        name = str(entry['file_name'])
        found = name if name in ids else osp.basename(name)
        if found not in ids or 'frame' in entry or last[osp.basename(
                found)] > 1 and found not in names.values():
            raise ValueError(
                f'{path}: poses of {name}, which {ann_file} does not have, or '
                'not as one image. Give the results of its images.')
        entry['image_id'] = ids[found]
