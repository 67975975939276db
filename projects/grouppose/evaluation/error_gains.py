"""AP if the errors of one kind were corrected."""
from typing import Dict, List, Optional

import numpy as np
from tqdm import tqdm

from .error_kinds import (GOOD_SIMILARITY, JITTER, KEYPOINT_KINDS, MISS, NEAR,
                          ErrorEvaluation, PoseErrors)

ALL_KEYPOINTS = 'all four'
KINDS = (*KEYPOINT_KINDS[1:], ALL_KEYPOINTS, 'missed', 'doubled', 'background')


def find_gains(evaluation: ErrorEvaluation,
               errors: PoseErrors) -> Dict[str, float]:
    """AP if one kind of error were corrected, and nothing else.

    A keypoint is moved towards its right place. A jitter gets a similarity of
    0.85, a miss one of 0.5, and an inversion or a swap that which it has to
    the place with which the right one was confused, as Ronchi and Perona do.
    Missed people are taken out of the annotations, further poses of a person
    and those in the background out of the predictions.

    Args:
        evaluation (ErrorEvaluation): After :meth:`evaluate`.
        errors (PoseErrors): Its errors.

    Returns:
        dict[str, float]: AP by the kind of error; 'all four' are those of
        keypoints. It is -1 if nobody is left.
    """
    gains = {}
    for kind in tqdm(KINDS, desc='correct', unit=' kinds', disable=None):
        poses: Dict[int, Optional[dict]] = {}
        people: List[int] = []
        if kind == 'missed':
            people = [
                person['id']
                for person, found in zip(errors.people, errors.found)
                if not found
            ]
        elif kind in ('doubled', 'background'):
            wrong = errors.strays if kind == 'background' else sum(
                errors.doubles, [])
            poses = dict.fromkeys(pose['id'] for pose in wrong)
        else:
            wanted = errors.kinds == KEYPOINT_KINDS.index(kind) \
                if kind in KEYPOINT_KINDS else errors.kinds >= JITTER
            poses = _move_keypoints(evaluation, errors, wanted)
        gains[kind] = evaluation.changed_ap(poses, people)
    return gains


def _move_keypoints(evaluation: ErrorEvaluation, errors: PoseErrors,
                    wanted: np.ndarray) -> Dict[int, Optional[dict]]:
    """Poses, by id, of which some keypoints (P, K) are corrected."""
    targets = np.select([errors.kinds == JITTER, errors.kinds == MISS],
                        [GOOD_SIMILARITY, NEAR], errors.similarities)
    moved: Dict[int, Optional[dict]] = {}
    for i in np.flatnonzero(wanted.any(1)):
        pose, keypoints = errors.poses[i], wanted[i]
        values = np.array(pose['keypoints'], dtype=float).reshape(-1, 3)
        places = np.reshape(errors.people[i]['keypoints'], (-1, 3))
        offsets = values[keypoints, :2] - places[keypoints, :2]
        # Of the wanted similarity, see keypoint_similarity.
        distances = 2 * evaluation.sigmas[keypoints] * np.sqrt(
            -2 * errors.areas[i] * np.log(targets[i, keypoints]))
        offsets *= (distances / np.hypot(*offsets.T))[:, None]
        values[keypoints, :2] = places[keypoints, :2] + offsets
        moved[pose['id']] = dict(pose, keypoints=values.ravel().tolist())
    return moved
