"""The description of the keypoints of a data set, with one message for each
way in which it can be unusable."""
from mmengine.config import Config, ConfigDict
from mmpose.datasets.datasets.utils import parse_pose_metainfo

FIELDS = ('dataset_name', 'keypoint_info', 'skeleton_info', 'joint_weights',
          'sigmas')
SIGMAS_HINT = ('Sigmas are the spread of annotations, as a part of the size '
               'of a person; 0.05 to 0.1 is usual where none were measured.')


def load_metainfo(metainfo: ConfigDict) -> dict:
    """Read and check a description of keypoints.

    Args:
        metainfo (dict): As in MMPose's configs: the description itself or
            ``dict(from_file=...)``. A file that does not exist is looked up
            by its name in MMPose's ``configs/_base_/datasets``.

    Returns:
        dict: What MMPose's ``parse_pose_metainfo`` makes of it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a field is missing or does not fit the others; the
            message names the file, the field and the remedy.
    """
    source = metainfo.get('from_file', 'the given metainfo')
    try:
        parsed = parse_pose_metainfo(metainfo)
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
    return parsed


def _find_missing(metainfo: ConfigDict) -> str:
    """Say what an incomplete description lacks."""
    if 'from_file' in metainfo:
        metainfo = Config.fromfile(metainfo['from_file']).get('dataset_info')
        if metainfo is None:
            return 'It must define the dict `dataset_info`.'
    missing = [field for field in FIELDS if field not in metainfo]
    hint = f' {SIGMAS_HINT}' if 'sigmas' in missing else ''
    return f'Add {" and ".join(missing)}.{hint}'
