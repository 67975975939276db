"""What is predicted of each joint beside its place: whether it is labeled,
whether it can be seen, and how far off it may be, from which its expected OKS
follows."""
from typing import Any, Dict, Sequence, Tuple, Union

import numpy as np
import torch
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from mmpose.models.heads.transformer_heads.transformers.utils import FFN
from mmpose.registry import MODELS
from scipy.optimize import brentq
from torch import Tensor, nn

from ..data.instances import BOX_SHARE, MARGIN, ONE_PLACE, POINT_SIDE
from .flip_test import pose_areas
from .initialization import init_pose_embed

# Standard deviations lie within exp(-5) and exp(5) tolerances, correlations
# within -0.99 and 0.99: no covariance is singular in float32.
LOG_LIMIT = 5.0
MAX_CORRELATION = 0.99
# Normal distributions that the distribution of errors is mixed of.
NUM_COMPONENTS = 3
# Weights and scales of a mixture, see :class:`JointScores`, and the one of a
# single normal distribution.
Mixture = Union[Tensor, np.ndarray, Sequence[Sequence[float]]]
NORMAL = ((1.0, ), (1.0, ))


@MODELS.register_module()
class JointScores(BaseModule):
    """Predicts for each joint the probability that it is labeled, the
    probability that it is visible if it is labeled, and the covariance of the
    error of its position, from its query in the last decoder layer.

    Errors are predicted in units of the tolerance of each joint, see
    :func:`tolerances`. The covariance has three numbers without limits: the
    logarithms of both standard deviations, and a correlation; both are
    squashed by a hyperbolic tangent, so that any covariance is positive
    definite, and x and y are treated alike.

    Args:
        embed_dims (int): Width of the queries C.
        detach (bool): Learn from the queries as they are, so that the
            training of poses is the same with this head as without it.
            Defaults to True.
        reweight (bool): Multiply the class scores of each instance by the
            OKS that its joints are expected to have, in evaluation and
            export. Defaults to False.

    Attributes:
        temperatures (Tensor): By which both logits are divided, and the
            covariance is multiplied, in evaluation, (3, ). 1 after training.
        mixture (Tensor): Weights, and scales s of the covariance S, of the
            normal distributions N(0, s S) that the distribution of an error
            is mixed of, (2, 3). Weights sum to 1, and so do their products
            with the scales: S is the covariance of the whole. After training
            it is N(0, S) alone.

    Both are fitted by ``tools/analysis_tools/calibrate_joint_scores.py``, and
    are saved with the weights, so that whatever loads these uses them.
    """

    full_precision = ('', )

    def __init__(self,
                 embed_dims: int,
                 detach: bool = True,
                 reweight: bool = False):
        super().__init__()
        self.detach = detach
        self.reweight = reweight
        self.embed = FFN(embed_dims, embed_dims, 5, 2)
        self.temperatures: Tensor
        self.register_buffer('temperatures', torch.ones(3))
        self.mixture: Tensor
        self.register_buffer('mixture', torch.ones(2, NUM_COMPONENTS))
        self.reset_calibration()

    def init_weights(self) -> None:
        """Both probabilities start at 0.5, errors at one tolerance."""
        init_pose_embed(self.embed)

    def reset_calibration(self) -> None:
        """Predict what was learned, with errors of one normal
        distribution."""
        self.temperatures.fill_(1)
        self.mixture.fill_(1)
        self.mixture[0, 1:] = 0

    def forward(self, queries: Tensor) -> Tensor:
        """Predict from the queries of joints.

        Args:
            queries (Tensor): (B, N, K, C).

        Returns:
            Tensor: Of each joint the logits of being labeled, and of being
            visible if it is labeled; the logarithms of the standard
            deviations of the errors of x and y in tolerances; and the
            correlation of both errors, (B, N, K, 5).
        """
        if self.detach:
            queries = queries.detach()
        raw = self.embed(queries).to(self.temperatures.dtype)
        logits, deviations, correlation = raw.split([2, 2, 1], -1)
        deviations = LOG_LIMIT * (deviations / LOG_LIMIT).tanh()
        correlation = MAX_CORRELATION * correlation.tanh()
        if not self.training:
            logits = logits / self.temperatures[:2]
            deviations = deviations + self.temperatures[2].log() / 2
        return torch.cat([logits, deviations, correlation], -1)

    def reweigh(self, logits: Tensor, joints: Tensor) -> Tensor:
        """Class logits whose scores are multiplied by the expected OKS.

        The expected OKS of an instance is the mean of those of its joints,
        each weighted by the probability that it is labeled, in units of
        :func:`tolerances`: with the area of the pose's box, and x and y
        normalized, as in training.

        Args:
            logits (Tensor): Class logits, (B, N, Q).
            joints (Tensor): From :meth:`forward`, (B, N, K, 5).

        Returns:
            Tensor: Class logits, (B, N, Q).
        """
        labeled = joints[..., 0].sigmoid()
        oks = labeled * expected_oks(covariances(joints), self.mixture)
        tiny = torch.finfo(oks.dtype).tiny
        mean = oks.sum(-1) / labeled.sum(-1).clamp(min=tiny)
        scores = logits.sigmoid() * mean[..., None]
        return scores.log() - (1 - scores).log()


def find_joint_scores(model: nn.Module, config: str) -> JointScores:
    """The part of a model that scores joints.

    Args:
        model (nn.Module): Any model.
        config (str): Name of its config, for the message.

    Raises:
        ValueError: If it has none.
    """
    decoder = getattr(getattr(model, 'head', None), 'decoder', None)
    part = getattr(decoder, 'joint_scores', None)
    if part is None:
        raise ValueError(
            f'{config}: the model has no scores of joints. Give a config with '
            'model.head.decoder.joint_scores, and its weights.')
    return part


def tolerances(poses: Tensor, sigmas: Tensor) -> Tensor:
    """The unit in which errors of joints are predicted: twice its OKS sigma
    times the square root of the pose's area, by :func:`pose_areas`.

    Like the poses, it is normalized: x by the width, y by the height of the
    image.

    Args:
        poses (Tensor): Normalized keypoints, (..., K, 2).
        sigmas (Tensor): OKS sigmas, (K, ).

    Returns:
        Tensor: Detached, (..., K).
    """
    areas = pose_areas(poses.detach(), (1, 1))
    return 2 * sigmas * areas.sqrt()[..., None]


def covariances(joints: Tensor) -> Tensor:
    """Covariances of errors in squared tolerances.

    Args:
        joints (Tensor): From :class:`JointScores`, (..., 5).

    Returns:
        Tensor: Of x and x, x and y, y and y, (..., 3).
    """
    x, y = joints[..., 2].exp(), joints[..., 3].exp()
    return torch.stack([x * x, joints[..., 4] * x * y, y * y], -1)


def expected_oks(covariance, mixture: Mixture = NORMAL):
    """The OKS that a joint is expected to have, in closed form.

    Let its error d be distributed as N(0, S). Its OKS is
    ``exp(-d' d / (2 t^2))`` with the tolerance ``t = 2 sigma sqrt(area)``,
    and the mean of that is

    ``integral exp(-d' (I / t^2 + S^-1) d / 2) / (2 pi det(S)^(1/2))``
    ``= (det(I / t^2 + S^-1) det(S))^(-1/2) = det(I + S / t^2)^(-1/2)``,

    as the integral of ``exp(-d' A d / 2)`` is ``2 pi det(A)^(-1/2)``. That of
    a mixture is the weighted mean of those of its distributions.

    Args:
        covariance (Tensor or np.ndarray): S / t^2 as the terms of x and x, x
            and y, y and y, (..., 3).
        mixture (Mixture): See :class:`JointScores`. Defaults to N(0, S).

    Returns:
        Tensor or np.ndarray: In (0, 1), (...).
    """
    xx, xy, yy = (covariance[..., i] for i in range(3))
    determinant, trace = xx * yy - xy * xy, xx + yy
    # 1 is added last, for float32.
    return sum(weight * (scale * scale * determinant + scale * trace + 1)**-0.5
               for weight, scale in zip(*mixture))


def ellipse_radius(share: float, mixture: Mixture = NORMAL) -> float:
    """Radius of the ellipse that holds a share of the errors.

    Of N(0, S), ``exp(-r^2 / 2)`` lies outside of the ellipse
    ``d' S^-1 d = r^2``; of a mixture the weighted mean of
    ``exp(-r^2 / (2 s))``, which is solved for r.

    Args:
        share (float): Greater than 0 and less than 1.
        mixture (Mixture): See :class:`JointScores`. Defaults to N(0, S).

    Returns:
        float: In standard deviations: along each axis of the ellipse it is
        multiplied by the root of the covariance's eigenvalue.
    """
    weights, scales = np.asarray(mixture, np.float64)
    weights = weights / weights.sum()  # float32 is not exact

    def missing(square: float) -> float:
        return float(weights @ np.exp(-square / (2 * scales)) - (1 - share))

    # All that lies outside of the widest distribution's.
    limit = -2 * np.log1p(-share) * scales.max()
    return float(np.sqrt(brentq(missing, 0, 1.01 * limit)))


def predict_joints(joints: Tensor, poses: Tensor, sigmas: Tensor) -> Tensor:
    """Turn the output of :class:`JointScores` into probabilities, and
    covariances in the frame of the poses.

    Args:
        joints (Tensor): (B, N, K, 5).
        poses (Tensor): Normalized keypoints of the same layer, (B, N, K, 2).
        sigmas (Tensor): OKS sigmas, (K, ).

    Returns:
        Tensor: Of each joint the probability that it is labeled, that it is
        labeled and visible, and the normalized covariance of x and x, x and
        y, y and y, (B, N, K, 5).
    """
    labeled, visible = joints[..., :2].sigmoid().unbind(-1)
    units = tolerances(poses, sigmas)[..., None]
    return torch.cat([
        labeled[..., None], (labeled * visible)[..., None],
        covariances(joints) * units * units
    ], -1)


def joint_fields(joints: np.ndarray) -> Dict[str, np.ndarray]:
    """Fields of predicted instances.

    Args:
        joints (np.ndarray): As from :func:`predict_joints`, (n, K, 5).

    Returns:
        dict[str, np.ndarray]: ``labeled_probabilities`` and
        ``visible_probabilities`` (n, K), and ``covariances`` (n, K, 2, 2).
    """
    return dict(
        labeled_probabilities=joints[..., 0],
        visible_probabilities=joints[..., 1],
        covariances=joints[..., [2, 3, 3, 4]].reshape(*joints.shape[:2], 2, 2))


def score_joints(instances: InstanceData,
                 meta: Dict[str, Any],
                 sigmas: Sequence[float],
                 mixture: Mixture = NORMAL) -> None:
    """Score the joints of the instances of an image, in place.

    The score of a joint is the OKS that it is expected to have, times the
    probability that it is labeled: what it adds to the OKS of the pose.
    Distances and areas are those of the original image, as in an evaluation,
    whatever resize was between.

    Args:
        instances (InstanceData): keypoints in pixels of the input image
            (n, K, 2), with :func:`joint_fields`, whose covariances become
            those of pixels of the original image.
        meta (dict): Of the image: ``img_shape``, and ``input_scale`` (w, h);
            without it, the input image is taken for the original one.
        sigmas (Sequence[float]): OKS sigmas, (K, ).
        mixture (Mixture): See :class:`JointScores`. Defaults to one normal
            distribution.
    """
    size = np.array(meta['img_shape'][1::-1], np.float32)
    original = np.asarray(meta.get('input_scale', size), np.float32)
    ratio = original / size
    found = instances.covariances * np.outer(ratio, ratio)
    areas = estimate_areas(instances.keypoints * ratio, tuple(original))
    squares = areas[:, None] * np.square(2 * np.asarray(sigmas, np.float32))
    terms = found.reshape(*found.shape[:2], 4)[..., [0, 1, 3]]
    oks = expected_oks(terms / squares[..., None], mixture)
    scores = instances.labeled_probabilities * oks
    instances.set_field(found.astype(np.float32), 'covariances')
    instances.set_field(scores.astype(np.float32), 'keypoint_scores')


def estimate_areas(keypoints: np.ndarray, size: Tuple[float,
                                                      float]) -> np.ndarray:
    """Areas of people as annotation files would state them, from their poses.

    As for annotations without a box, see :func:`stand_in_for_box`: 0.53 of
    the box of the keypoints, which is larger by 1/8 of its longer extent on
    each side; keypoints in one place get a square with 1/6 of the image's
    shorter side.

    Args:
        keypoints (np.ndarray): Pixels, (n, K, 2).
        size (tuple[float]): Width and height of the image.

    Returns:
        np.ndarray: Square pixels, (n, ).
    """
    sides = keypoints.max(1) - keypoints.min(1)
    longer = sides.max(-1, keepdims=True)
    sides = np.where(longer > ONE_PLACE, sides + 2 * MARGIN * longer,
                     POINT_SIDE * min(size))
    return BOX_SHARE * sides.prod(-1)
