"""The description of the keypoints of a data set, with one message for each
way in which it can be unusable."""
import os.path as osp
from typing import Dict

from mmengine.config import Config, ConfigDict
from mmpose.datasets.datasets.utils import parse_pose_metainfo

FIELDS = ('dataset_name', 'keypoint_info', 'skeleton_info', 'joint_weights',
          'sigmas')
# What is detected where no classes are told apart, by the `id` with which
# detections are then written.
ONE_CLASS = {1: 'object'}
SIGMAS_HINT = ('Sigmas are the spread of annotations, as a part of the size '
               'of a person; 0.05 to 0.1 is usual where none were measured.')


def load_metainfo(metainfo: ConfigDict) -> dict:
    """Read and check a description of keypoints.

    Beside what MMPose's descriptions have, there may be ``classes``: the
    categories with these keypoints that are told apart, names by the ``id``
    that annotation files give them, for instance ``{1: 'cat', 18: 'dog'}``,
    also beside ``from_file``. The label of a class is its place in the order
    of the ids, from 0.

    Args:
        metainfo (dict): As in MMPose's configs: the description itself or
            ``dict(from_file=...)``. A file that does not exist is looked up
            by its name in MMPose's ``configs/_base_/datasets``.

    Returns:
        dict: What MMPose's ``parse_pose_metainfo`` makes of it, with the
        classes in the order of their labels, if there are any.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a field is missing or does not fit the others; the
            message names the file, the field and the remedy.
    """
    source = metainfo.get('from_file', 'the given metainfo')
    try:
        described = metainfo
        if osp.isfile(metainfo.get('from_file', '')):
            described = Config.fromfile(metainfo['from_file']).dataset_info
        parsed = parse_pose_metainfo(described)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'{source}: metainfo file not found. Check `from_file` of '
            '`metainfo` in the config: it is a path from the current folder, '
            "or the name of one of MMPose's own files, e.g. "
            'configs/_base_/datasets/coco.py.') from error
    except (AttributeError, AssertionError) as error:
        raise ValueError(f'{source}: the metainfo is incomplete. '
                         f'{_find_missing(metainfo)}') from error
    except KeyError as error:
        raise ValueError(
            f'{source}: `swap` in keypoint_info or `link` in skeleton_info '
            f'names the keypoint {error}, which keypoint_info does not have. '
            'Correct the name.') from error

    num_keypoints, num_sigmas = parsed['num_keypoints'], len(parsed['sigmas'])
    if num_sigmas != num_keypoints:
        raise ValueError(
            f'{source}: `sigmas` must hold one number for each of the '
            f'{num_keypoints} keypoints, got {num_sigmas}. {SIGMAS_HINT}')
    # Poses would be mirrored wrongly without an error.
    swapped = parsed['flip_indices']
    for i, other in enumerate(swapped):
        if swapped[other] != i:
            first, second = [parsed['keypoint_id2name'][k] for k in (i, other)]
            raise ValueError(
                f'{source}: `swap` of {first} is {second}, but not the other '
                'way round. Correct keypoint_info.')
    classes = metainfo.get('classes') or described.get('classes')
    if classes is not None:
        parsed['classes'] = _check_classes(classes, source)
    return parsed


def classes_of(dataset_meta: dict) -> Dict[int, str]:
    """Names of the classes by the ``id`` of their category, in the order of
    their labels.

    Args:
        dataset_meta (dict): From :func:`load_metainfo`.

    Returns:
        dict[int, str]: :data:`ONE_CLASS` if no classes are told apart.
    """
    return dataset_meta.get('classes') or ONE_CLASS


def _check_classes(classes: dict, source: str) -> Dict[int, str]:
    """Classes in the order of their ids."""
    if not isinstance(classes, dict) or not classes or not all(
            isinstance(i, int) and isinstance(name, str)
            for i, name in classes.items()) or \
            len(set(classes.values())) < len(classes):
        raise ValueError(
            f'{source}: `classes` must hold a name for the `id` of each '
            "category, no two alike, such as {1: 'cat', 2: 'dog'}, got "
            f'{classes}.')
    return {i: classes[i] for i in sorted(classes)}


def _find_missing(metainfo: ConfigDict) -> str:
    """Say what an incomplete description lacks."""
    if 'from_file' in metainfo:
        metainfo = Config.fromfile(metainfo['from_file']).get('dataset_info')
        if metainfo is None:
            return 'It must define the dict `dataset_info`.'
    missing = [field for field in FIELDS if field not in metainfo]
    hint = f' {SIGMAS_HINT}' if 'sigmas' in missing else ''
    return f'Add {" and ".join(missing)}.{hint}'
