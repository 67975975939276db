"""OKS sigmas: the spread of annotations per keypoint, from known data sets or
measured on people who were annotated twice."""
from typing import Dict, List, Optional, Tuple

import numpy as np

from .coco_file import KeypointFile
from .known_datasets import GivenInfo, KnownDataset
from .names import canonical_names

# What CrowdPose took for the joints that it has beyond COCO's, and about the
# size of COCO's shoulder. COCO's own range from 0.025 (eye) to 0.107 (hip).
DEFAULT_SIGMA = 0.079
DEFAULT = 'default'
ERROR = 0.1  # of an object's size: the example of what sigmas do
THRESHOLDS = np.arange(50, 100, 5) / 100  # of OKS, over which AP is the mean
# With so many pairs, an estimated sigma is within 16% of the true one in two
# of three cases.
MIN_PAIRS = 10
MIN_IOU = 0.5


def choose_sigmas(
    names: List[str],
    known: List[KnownDataset],
    estimates: Optional[Tuple[np.ndarray, np.ndarray]] = None,
    given: Optional[GivenInfo] = None,
) -> List[Tuple[float, str]]:
    """Choose a sigma for each keypoint and say where it comes from.

    A measured sigma is preferred to that of a given description, that to the
    one of a known data set, and that to the default.

    Args:
        names (list[str]): Names of the K keypoints.
        known (list[KnownDataset]): The closest first.
        estimates (tuple[np.ndarray], optional): Measured sigmas, from
            :func:`estimate_sigmas`.
        given (GivenInfo, optional): Description that the user names.

    Returns:
        list[tuple]: Per keypoint the sigma and a text that names its source.
    """
    chosen = []
    joints = canonical_names(names)
    for i, joint in enumerate(joints):
        options: List[Tuple[Optional[float], str]] = []
        if estimates is not None and estimates[1][i] >= MIN_PAIRS:
            options.append(
                (estimates[0][i], f'measured on {estimates[1][i]} pairs'))
        if given is not None and given.metainfo['sigmas'][i] > 0:
            options.append((given.metainfo['sigmas'][i], given.source))
        options += [(dataset.find_sigma(joint, {*joints}), dataset.name)
                    for dataset in known]
        options.append((DEFAULT_SIGMA, DEFAULT))
        sigma, source = next(
            (s, source) for s, source in options if s is not None)
        chosen.append((float(f'{sigma:.3g}'), source))
    return chosen


def explain_default(sources: List[str]) -> str:
    """Say what default sigmas do to AP.

    Args:
        sources (list[str]): Where the sigma of each keypoint comes from.

    Returns:
        str: Sentences, '' if no sigma is the default.
    """
    count = sources.count(DEFAULT)
    if not count:
        return ''
    sigmas = (DEFAULT_SIGMA, DEFAULT_SIGMA / 2, DEFAULT_SIGMA * 2)
    oks = [np.exp(-ERROR**2 / 2 / (2 * sigma)**2) for sigma in sigmas]
    passed = [int((value >= THRESHOLDS).sum()) for value in oks]
    return (
        f'{count} of {len(sources)} keypoints have the default sigma '
        f'{DEFAULT_SIGMA}, which is a guess. AP depends on it: an error of '
        f"{ERROR:.0%} of the object's size (the square root of its area) is "
        f'an OKS of {oks[0]:.2f}. Half the sigma, {sigmas[1]:.2g}, makes it '
        f'{oks[1]:.2f}, and twice the sigma, {sigmas[2]:.2g}, {oks[2]:.2f}. '
        f'AP is the mean over {len(THRESHOLDS)} thresholds of OKS from 0.5 to '
        f'0.95, of which an object whose keypoints are all so far off passes '
        f'{passed[0]}, {passed[1]} or {passed[2]}. So compare AP only between '
        'equal sigmas; PCK beside it does not depend on them. Measure sigmas '
        'with --redundant, or find an upper bound from the errors of a '
        'trained model with tools/analysis_tools/estimate_sigmas.py.')


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
