"""Objects of several categories with the same keypoints."""
import json
from pathlib import Path
from typing import Dict

from mmengine.config import Config

from tests.helpers.evaluation import COCO, write_people

CLASSES = {3: 'dog', 18: 'cat'}


def metainfo(classes: Dict[int, str] = CLASSES) -> dict:
    """COCO's keypoints for some classes."""
    return dict(COCO, classes=classes)


def toy_metainfo(num_classes: int, num_keypoints: int = 5) -> dict:
    """Metainfo with keypoints without sides.

    Args:
        num_classes (int): Number of classes, whose ids are 7, 14, ...
        num_keypoints (int): Number of keypoints K.
    """
    return dict(
        dataset_name='toy',
        classes={7 * (i + 1): f'class {i}'
                 for i in range(num_classes)},
        keypoint_info={
            i: dict(name=f'point_{i}', id=i, color=[0] * 3, type='', swap='')
            for i in range(num_keypoints)
        },
        skeleton_info={},
        joint_weights=[1.] * num_keypoints,
        sigmas=[.08] * num_keypoints)


def write_classes(folder: Path,
                  counts=(3, 2, 0, 4),
                  classes: Dict[int, str] = CLASSES) -> Path:
    """Write people whose categories take turns.

    Args:
        folder (Path): Where to write.
        counts (Sequence[int]): Objects of each image.
        classes (dict[int, str]): Names by id, in the order of the file.

    Returns:
        Path: The annotation file.
    """
    path = write_people(folder, counts)
    content = json.loads(path.read_text())
    ids = [*classes]
    for ann in content['annotations']:
        ann['category_id'] = ids[ann['id'] % len(ids)]
    # Not in the order of their ids.
    content['categories'] = [
        dict(id=i, name=name) for i, name in [*classes.items()][::-1]
    ]
    path.write_text(json.dumps(content))
    return path


def set_classes(config: Config, num_classes: int) -> None:
    """Give the codec of a model's config some classes."""
    config.head.num_classes = num_classes
    count = len(config.head.data_decoder.sigmas)
    config.head.data_decoder.metainfo = toy_metainfo(num_classes, count)
