"""Whether scores of joints hold what they promise: predictions beside the
annotated people, and the temperatures that correct them."""
from typing import Iterable, NamedTuple

import numpy as np
import torch
from mmpose.structures import PoseDataSample
from scipy.optimize import minimize_scalar

from ..data.instances import BOX_SHARE
from ..oks import object_keypoint_similarity

# The least OKS of a pose that was predicted of a person.
MIN_OKS = 0.1
# Ellipses whose coverage a temperature is fitted to.
SHARES = (0.5, 0.9)


class JointSamples(NamedTuple):
    """Joints of the people of whom a pose was predicted.

    Attributes:
        labeled_probabilities (np.ndarray): (n, ).
        labeled (np.ndarray): Whether they are, bool, (n, ).
        visible_probabilities (np.ndarray): Of the labeled ones, that they are
            visible, (m, ).
        visible (np.ndarray): Whether they are, bool, (m, ).
        squares (np.ndarray): Squared error of the labeled ones in units of
            the predicted covariance (squared Mahalanobis distance), (m, ).
    """
    labeled_probabilities: np.ndarray
    labeled: np.ndarray
    visible_probabilities: np.ndarray
    visible: np.ndarray
    squares: np.ndarray

    def coverage(self, share: float) -> float:
        """Share of the joints within the ellipse that should hold a share of
        them, whose squared radius is -2 log(1 - share)."""
        return float((self.squares <= -2 * np.log(1 - share)).mean())


class Temperatures(NamedTuple):
    """See :class:`JointScores`."""
    labeled: float
    visible: float
    covariance: float


def collect_joints(samples: Iterable[PoseDataSample],
                   sigmas: np.ndarray) -> JointSamples:
    """Put predicted joints beside annotated ones.

    Of the poses of an image, the best first, each takes the person with the
    highest OKS that is not taken yet, if it is at least 0.1.

    Args:
        samples (Iterable[PoseDataSample]): Predictions of a model with
            :class:`JointScores`, with ``raw_ann_info`` in their metainfo.
        sigmas (np.ndarray): OKS sigmas, (K, ).

    Raises:
        ValueError: If no labeled joint was found.
    """
    found = []
    for sample in samples:
        people = [
            ann for ann in sample.metainfo.get('raw_ann_info') or []
            if not ann.get('iscrowd') and any(ann['keypoints'][2::3])
        ]
        if not people:
            continue
        truth = np.array([ann['keypoints'] for ann in people], np.float32)
        truth = truth.reshape(len(people), -1, 3)
        areas = np.array([
            ann.get('area', BOX_SHARE * ann['bbox'][2] * ann['bbox'][3])
            for ann in people
        ], np.float32)
        poses = sample.pred_instances
        for pose, person in _match(poses.keypoints, truth, areas, sigmas):
            found.append(
                np.column_stack([
                    poses.labeled_probabilities[pose],
                    poses.visible_probabilities[pose], truth[person, :, 2],
                    _squares(truth[person, :, :2] - poses.keypoints[pose],
                             poses.covariances[pose])
                ]))
    joints = np.concatenate(found) if found else np.zeros((0, 4))
    labeled = joints[:, 2] > 0
    if not labeled.any():
        raise ValueError('no pose was predicted of any annotated person. Give '
                         'trained weights, and images with people.')
    of_labeled = joints[labeled]
    return JointSamples(joints[:, 0], labeled,
                        of_labeled[:, 1] / of_labeled[:, 0], of_labeled[:, 2]
                        > 1, of_labeled[:, 3])


def fit_temperatures(joints: JointSamples) -> Temperatures:
    """Fit the temperatures of predictions that have none.

    Those of both probabilities minimize the binary cross-entropy (Guo et al.,
    ICML 2017); that of the covariance minimizes the larger of the differences
    from nominal of the coverages of the 50 % and the 90 % ellipse.

    Args:
        joints (JointSamples): Predicted with temperatures of 1.
    """
    exact = np.array([
        np.quantile(joints.squares, p) / (-2 * np.log(1 - p)) for p in SHARES
    ])
    low, high = np.log(exact.clip(1e-6)).min(), np.log(exact.clip(1e-6)).max()
    candidates = np.exp(np.linspace(low, high, 201))
    off = [
        max(
            abs(joints._replace(squares=joints.squares / t).coverage(p) - p)
            for p in SHARES) for t in candidates
    ]
    return Temperatures(
        _fit_probabilities(joints.labeled_probabilities, joints.labeled),
        _fit_probabilities(joints.visible_probabilities, joints.visible),
        float(candidates[np.argmin(off)]))


def _fit_probabilities(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The temperature of logits; 1 where all truths are alike, which any
    certainty would fit."""
    if truth.all() or not truth.any():
        return 1.0
    p = probabilities.clip(1e-6, 1 - 1e-6)
    logits = np.where(truth, 1, -1) * np.log(p / (1 - p))

    def entropy(log_temperature):
        return np.logaddexp(0, -logits / np.exp(log_temperature)).mean()

    bounds = (-np.log(20), np.log(20))
    best = minimize_scalar(entropy, bounds=bounds, method='bounded')
    return float(np.exp(best.x))


def _match(poses: np.ndarray, truth: np.ndarray, areas: np.ndarray,
           sigmas: np.ndarray) -> list:
    """Pairs of a pose and a person, by their indices."""
    if not len(poses) or not len(truth):
        return []
    oks = object_keypoint_similarity(
        torch.from_numpy(poses).float()[:, None],
        torch.from_numpy(truth[..., :2]),
        torch.from_numpy(truth[..., 2] > 0).float(), torch.from_numpy(areas),
        torch.as_tensor(sigmas)).numpy()
    pairs = []
    for pose, row in enumerate(oks):
        person = int(row.argmax())
        if row[person] >= MIN_OKS:
            pairs.append((pose, person))
            oks[:, person] = -1
    return pairs


def _squares(errors: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distances of errors (K, 2)."""
    solved = np.linalg.solve(covariances, errors[..., None])[..., 0]
    return (errors * solved).sum(-1)
