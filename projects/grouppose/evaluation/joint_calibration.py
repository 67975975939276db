"""Scores of joints beside the annotated people, and what corrects them."""
from typing import Any, Dict, Iterable, NamedTuple, Tuple

import numpy as np
import torch
from mmpose.structures import PoseDataSample
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from ..data.instances import BOX_SHARE
from ..model.joint_scores import (NORMAL, NUM_COMPONENTS, Mixture,
                                  ellipse_radius)
from ..oks import object_keypoint_similarity

# The least OKS of a pose that was predicted of a person.
MIN_OKS = 0.1
MAX_STEPS = 500  # of expectation maximization


class JointSamples(NamedTuple):
    """The n joints of the people of whom a pose was predicted, of which m are
    labeled.

    Attributes:
        labeled_probabilities (np.ndarray): (n, ).
        labeled (np.ndarray): Whether they are, bool, (n, ).
        visible_probabilities (np.ndarray): Of the labeled ones, that they are
            visible, (m, ).
        visible (np.ndarray): Whether they are, bool, (m, ).
        squares (np.ndarray): Squared errors of the labeled ones in units of
            the predicted covariance (squared Mahalanobis distance), (m, ).
        expected_oks (np.ndarray): Of the labeled ones, (m, ).
        oks (np.ndarray): Their true one, with the annotated area, (m, ).
    """
    labeled_probabilities: np.ndarray
    labeled: np.ndarray
    visible_probabilities: np.ndarray
    visible: np.ndarray
    squares: np.ndarray
    expected_oks: np.ndarray
    oks: np.ndarray

    def coverage(self, share: float, mixture: Mixture = NORMAL) -> float:
        """Share of the labeled joints within the ellipse that should hold a
        share of them, see :func:`ellipse_radius`."""
        radius = ellipse_radius(share, mixture)
        return float((self.squares <= radius**2).mean())


class Calibration(NamedTuple):
    """Temperatures, and weights and scales of the mixture (2, M), see
    :class:`JointScores`."""
    labeled: float
    visible: float
    covariance: float
    mixture: np.ndarray

    def to_dict(self) -> Dict[str, Any]:
        """Everything as numbers and lists."""
        weights, scales = self.mixture.tolist()
        return dict(
            temperatures=dict(
                labeled=self.labeled,
                visible=self.visible,
                covariance=self.covariance),
            mixture=dict(weights=weights, scales=scales))


def collect_joints(samples: Iterable[PoseDataSample],
                   sigmas: np.ndarray) -> JointSamples:
    """Put predicted joints beside annotated ones.

    Of the poses of an image, the best first, each takes the person with the
    highest OKS that is not taken yet, if it is at least 0.1. People of whom
    no pose was predicted, and poses of nobody, do not count; nor do crowd
    regions and people without labeled joints.

    Args:
        samples (Iterable[PoseDataSample]): Predictions of a model with
            :class:`JointScores`, with ``raw_ann_info`` in their metainfo.
        sigmas (np.ndarray): OKS sigmas, (K, ).

    Raises:
        ValueError: If people have another number of joints, or no labeled
            joint was found.
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
        if truth.shape[1] != len(sigmas):
            raise ValueError(
                f'{sample.metainfo.get("img_path")}: people have '
                f'{truth.shape[1]} keypoints, the model predicts '
                f'{len(sigmas)}. Give images annotated with its keypoints.')
        areas = np.array([
            ann.get('area', BOX_SHARE * ann['bbox'][2] * ann['bbox'][3])
            for ann in people
        ], np.float32)
        poses = sample.pred_instances
        for pose, person in _match(poses.keypoints, truth, areas, sigmas):
            errors = truth[person, :, :2] - poses.keypoints[pose]
            spread = 2 * areas[person] * (2 * sigmas)**2
            found.append(
                np.column_stack([
                    poses.labeled_probabilities[pose],
                    poses.visible_probabilities[pose], truth[person, :, 2],
                    _squares(errors, poses.covariances[pose]),
                    poses.keypoint_scores[pose],
                    np.exp(-(errors**2).sum(-1) / spread)
                ]))
    joints = np.concatenate(found) if found else np.zeros((0, 6))
    labeled = joints[:, 2] > 0
    if not labeled.any():
        raise ValueError('no pose was predicted of any annotated person. Give '
                         'trained weights, and images with people.')
    certainty, visible, truth, squares, scores, oks = joints[labeled].T
    return JointSamples(joints[:, 0], labeled, visible / certainty, truth > 1,
                        squares, scores / certainty, oks)


def calibrate(joints: JointSamples) -> Calibration:
    """Find what makes predictions likely that have not been calibrated.

    The temperatures of both probabilities minimize the binary cross-entropy
    (Guo et al., ICML 2017). That of the covariance, and the mixture, are of
    the largest likelihood, see :func:`fit_mixture`.

    Args:
        joints (JointSamples): Predicted with temperatures of 1 and one normal
            distribution.
    """
    return Calibration(
        _fit_probabilities(joints.labeled_probabilities, joints.labeled),
        _fit_probabilities(joints.visible_probabilities, joints.visible),
        *fit_mixture(joints.squares))


def fit_mixture(squares: np.ndarray) -> Tuple[float, np.ndarray]:
    """Fit the distribution of errors, by expectation maximization.

    Errors have heavier tails than a normal distribution: a joint may be
    mistaken for that of the other side, or of somebody else. No scale of the
    covariance then lets ellipses of 50 % and of 90 % both hold what they
    should; that of three normal distributions with three scales does. Under
    N(0, s S), half of the squared distance ``d' S^-1 d`` is exponentially
    distributed with the mean s.

    Args:
        squares (np.ndarray): Squared distances, (n, ).

    Returns:
        tuple: The temperature of the covariance, and weights and scales
        of the mixture relative to it, (2, M).
    """
    halves = squares.astype(np.float64)[:, None].clip(min=1e-9) / 2
    weights = np.full(NUM_COMPONENTS, 1 / NUM_COMPONENTS)
    scales = np.quantile(halves, weights.cumsum() - weights / 2)
    for _ in range(MAX_STEPS):
        likelihood = np.log(weights / scales) - halves / scales
        shares = softmax(likelihood, 1)
        weights = shares.mean(0).clip(min=1e-9)
        before = scales
        scales = ((shares * halves).mean(0) / weights).clip(min=1e-9)
        if np.allclose(scales, before, rtol=1e-4, atol=0):
            break
    weights /= weights.sum()
    temperature = weights @ scales
    return float(temperature), np.stack([weights, scales / temperature])


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
    if not len(poses):
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
