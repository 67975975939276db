"""OKS sigmas: the spread of annotations per keypoint, from known data sets or
measured on people who were annotated twice."""
import warnings
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

import numpy as np
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from .coco_file import KeypointFile
from .names import canonical_names

# MMPose's descriptions of data sets with measured or adopted sigmas; where
# two share as many joints with a file, the first one counts.
KNOWN_DATASETS = ('coco', 'coco_wholebody', 'crowdpose', 'ap10k')
# What CrowdPose took for the joints that it has beyond COCO's, and about the
# size of COCO's shoulder. COCO's own range from 0.025 (eye) to 0.107 (hip).
DEFAULT_SIGMA = 0.079
# With so many pairs, an estimated sigma is within 16% of the true one in two
# of three cases.
MIN_PAIRS = 10
MIN_IOU = 0.5


@dataclass
class KnownDataset:
    """A data set that MMPose describes.

    Args:
        name (str): Name of its file in MMPose.
        joints (dict[str, int]): Index of each joint by canonical name.
        metainfo (dict): The file as MMPose parses it.
    """
    name: str
    joints: Dict[str, int]
    metainfo: dict

    @classmethod
    def load(cls, name: str) -> 'KnownDataset':
        """Read MMPose's description of a data set."""
        with warnings.catch_warnings():
            # That the file is found in MMPose, not here.
            warnings.simplefilter('ignore')
            metainfo = parse_pose_metainfo(
                dict(from_file=f'configs/_base_/datasets/{name}.py'))
        names = canonical_names(list(metainfo['keypoint_id2name'].values()))
        return cls(name, {joint: i for i, joint in enumerate(names)}, metainfo)


def find_known(names: List[str]) -> List[KnownDataset]:
    """Known data sets that share joints with a file, the closest first."""
    joints = set(canonical_names(names))
    known = [KnownDataset.load(name) for name in KNOWN_DATASETS]
    known.sort(key=lambda dataset: -len(joints & dataset.joints.keys()))
    return [dataset for dataset in known if joints & dataset.joints.keys()]


def choose_sigmas(
    names: List[str],
    known: List[KnownDataset],
    estimates: Optional[Tuple[np.ndarray, np.ndarray]] = None
) -> List[Tuple[float, str]]:
    """Choose a sigma for each keypoint and say where it comes from.

    A measured sigma is preferred to that of a known data set, and that to
    the default.

    Args:
        names (list[str]): Names of the K keypoints.
        known (list[KnownDataset]): The closest first.
        estimates (tuple[np.ndarray], optional): Measured sigmas, from
            :func:`estimate_sigmas`.

    Returns:
        list[tuple]: Per keypoint the sigma and a text that names its source.
    """
    chosen = []
    for i, joint in enumerate(canonical_names(names)):
        source = next((d for d in known if joint in d.joints), None)
        if estimates is not None and estimates[1][i] >= MIN_PAIRS:
            sigma = float(f'{estimates[0][i]:.3g}')
            chosen.append((sigma, f'measured on {estimates[1][i]} pairs'))
        elif source is not None:
            sigma = source.metainfo['sigmas'][source.joints[joint]]
            chosen.append((float(f'{sigma:.3g}'), source.name))
        else:
            chosen.append((DEFAULT_SIGMA, 'default'))
    return chosen


def estimate_sigmas(first: KeypointFile,
                    second: KeypointFile) -> Tuple[np.ndarray, np.ndarray]:
    """Measure sigmas on people who were annotated twice.

    https://cocodataset.org/#keypoints-eval defines the square of a sigma as
    the mean of d^2 / s^2 over redundant annotations: d is the distance from
    the true place, s^2 the area of the object. Here, d is the distance of
    two annotators, whose mean square is twice that of one annotator from the
    true place; so it is halved.

    Args:
        first (KeypointFile): Annotations.
        second (KeypointFile): Annotations of the same images by others, or
            the same object as ``first`` if one file holds both, linked by
            ``instance_id``.

    Returns:
        tuple[np.ndarray]: sigmas, NaN without pairs, and numbers of pairs,
        both (K, ).

    Raises:
        ValueError: If the files have different keypoints.
    """
    if first.num_keypoints != second.num_keypoints:
        raise ValueError(
            f'{second.path}: {second.num_keypoints} keypoints per person, '
            f'{first.path} has {first.num_keypoints}. Redundant annotations '
            'need the same keypoints in the same order.')
    pairs = match_people(first, second)
    a, b = np.array(pairs, dtype=int).reshape(-1, 2).T
    distances = first.keypoints[a, :, :2] - second.keypoints[b, :, :2]
    scales = (first.scales[a] + second.scales[b]) / 2
    squares = (distances**2).sum(-1) / scales[:, None] / 2
    both = first.labeled[a] & second.labeled[b] & (scales > 0)[:, None]
    counts = both.sum(0)
    sums = np.where(both, squares, 0).sum(0)
    means = np.full(len(counts), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return np.sqrt(means), counts


def match_people(first: KeypointFile,
                 second: KeypointFile) -> List[Tuple[int, int]]:
    """Find the people who are annotated twice.

    Images with the same file name are the same. Within an image, people with
    the same ``instance_id`` are the same. So are people of two files without
    ``instance_id`` whose boxes have an IoU of 0.5 or more and are each
    other's best match.

    Returns:
        list[tuple[int]]: Indices of people in the two files.
    """
    by_name: Dict[Optional[str], List[int]] = {}
    for i, ann in enumerate(second.people):
        name = second.images.get(ann['image_id'], {}).get('file_name')
        by_name.setdefault(name, []).append(i)
    pairs = []
    for image_id, own in _group(first.image_ids.tolist()).items():
        name = first.images.get(image_id, {}).get('file_name')
        pairs += _match(first, own, second, by_name.get(name, []))
    return pairs


def box_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """IoU of boxes (n, 4) and (m, 4) in xywh, (n, m)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, :2] + first[:, None, 2:],
                      second[None, :, :2] + second[None, :, 2:])
    shared = (high - low).clip(0).prod(-1)
    sizes = first[:, 2:].prod(1)[:, None] + second[:, 2:].prod(1)[None]
    return shared / np.maximum(sizes - shared, 1e-9)


def _match(first: KeypointFile, own: List[int], second: KeypointFile,
           others: List[int]) -> List[Tuple[int, int]]:
    """Pairs among the people of one image."""
    marks = [[file.people[i].get('instance_id') for i in people]
             for file, people in ((first, own), (second, others))]
    pairs = [(i, j) for i, mark in zip(own, marks[0])
             for j, other in zip(others, marks[1])
             if mark is not None and mark == other and (
                 first is not second or i < j)]
    own = [i for i, mark in zip(own, marks[0]) if mark is None]
    others = [j for j, mark in zip(others, marks[1]) if mark is None]
    if first is not second and own and others:
        iou = box_iou(first.boxes[own], second.boxes[others])
        for i, j in enumerate(iou.argmax(1)):
            if iou[i, j] >= MIN_IOU and iou[:, j].argmax() == i:
                pairs.append((own[i], others[j]))
    return pairs


def _group(values: list) -> Dict[int, List[int]]:
    """Indices by value."""
    groups: Dict[int, List[int]] = {}
    for i, value in enumerate(values):
        groups.setdefault(value, []).append(i)
    return groups
