"""Flip test: predict a batch and its mirror image, and merge the poses."""
from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from mmpose.utils.typing import SampleList
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..oks import object_keypoint_similarity

# Poses that are less similar than this are not taken for the same person.
MIN_OKS = 0.5
# Fields with an entry per keypoint, beside its place.
PER_JOINT = ('keypoint_scores', 'labeled_probabilities',
             'visible_probabilities', 'covariances')
# Side of a person of whom the pose does not tell it, as a share of the image.
ASSUMED_SIDE = 0.3


def predict_both_ways(
        predict: Callable,
        feats: List[Tuple[Tensor, ...]],
        samples: SampleList,
        sigmas: Tensor,
        flip_indices: Optional[Sequence[int]] = None) -> List[InstanceData]:
    """Merge what is predicted from a batch and from its mirror image.

    MMPose mirrors the padded batch as a whole, so that an image narrower than
    its batch gets its padding on the left. That padding is then counted as a
    blank part of the image: coordinates need no shift by fractions of a cell
    of the feature maps, and return exactly.

    Args:
        predict (Callable): Makes instances of maps and samples, see
            :meth:`GroupPoseHead.predict`.
        feats (list[tuple[Tensor]]): Maps of the batch, and of the mirrored
            one.
        samples (list[:obj:`PoseDataSample`]): Of the batch as it is.
        sigmas (Tensor): OKS sigmas, (K, ).
        flip_indices (Sequence[int], optional): Index of the mirror image of
            each keypoint. Defaults to that of each sample.

    Returns:
        list[InstanceData]: For each image, see :func:`merge_instances`.

    Raises:
        ValueError: If a sample has no ``flip_indices``, or for another number
            of keypoints.
    """
    mirrored_samples = []
    for sample in samples:
        meta = sample.metainfo
        order = flip_indices or meta.get('flip_indices')
        if order is None:
            raise ValueError(
                f'{meta.get("img_path")}: flip_test needs `flip_indices`. '
                'Add it to meta_keys of PackPoseInputs in the test pipeline.')
        if len(order) != len(sigmas):
            raise ValueError(
                f'{meta.get("img_path")}: the data set has {len(order)} '
                f'keypoints, the head predicts {len(sigmas)}. Give '
                'model.head.data_decoder the metainfo of the data set that '
                'the model was trained on.')
        size = (meta['img_shape'][0], meta['batch_input_shape'][1])
        mirrored_samples.append(
            PoseDataSample(
                metainfo=dict(meta, img_shape=size, flip_indices=order)))

    straight = predict(feats[0], samples)
    mirrored = predict(feats[1], mirrored_samples)
    return [
        merge_instances(instances, mirror(others, flipped.metainfo), sigmas,
                        sample.metainfo['img_shape']) for instances, others,
        sample, flipped in zip(straight, mirrored, samples, mirrored_samples)
    ]


def mirror(instances: InstanceData, meta: dict) -> InstanceData:
    """Mirror the poses in an image.

    Args:
        instances (InstanceData): keypoints in pixels of the input image,
            (n, K, 2), keypoint_scores (n, K), bbox_scores (n, ), labels (n, )
            and, if they are predicted, :func:`joint_fields`.
        meta (dict): Of the image: ``img_shape``, ``flip_indices``, and
            ``input_size`` and ``input_scale`` (w, h).

    Returns:
        InstanceData: As in training, where x becomes w - 1 - x in pixels of
        the original image, see :class:`PoseRandomFlip`.
    """
    order = meta['flip_indices']
    original_pixel = meta['input_size'][0] / meta['input_scale'][0]
    keypoints = instances.keypoints[:, order].copy()
    keypoints[..., 0] = (
        meta['img_shape'][1] - original_pixel - keypoints[..., 0])
    mirrored = instances.clone()
    for key in PER_JOINT:
        if key in instances:
            mirrored.set_field(instances[key][:, order], key)
    mirrored.set_field(keypoints, 'keypoints')
    if 'covariances' in instances:
        signs = np.array([[1, -1], [-1, 1]], dtype=np.float32)
        mirrored.set_field(mirrored.covariances * signs, 'covariances')
    return mirrored


def merge_instances(instances: InstanceData, others: InstanceData,
                    sigmas: Tensor, img_shape: Tuple[int,
                                                     int]) -> InstanceData:
    """Average the poses that two predictions of an image agree on.

    Each instance has at most one partner, of its class: pairs are chosen to
    maximize the sum of OKS times both scores over all pairs of an OKS of at
    least 0.5.
    The scores keep a confident pose from being paired with a duplicate of
    its partner. OKS is taken relative to the area of the first pose, see
    :func:`pose_areas`. Keypoints and scores of a pair are averaged. Instances
    without a partner stay as they are; those of ``others`` are dropped.

    Args:
        instances (InstanceData): keypoints in pixels (n, K, 2),
            keypoint_scores (n, K), bbox_scores (n, ) and labels (n, ).
        others (InstanceData): The other prediction, in the same pixels.
        sigmas (Tensor): OKS sigmas, (K, ).
        img_shape (tuple[int]): Height and width of the image in pixels.

    Returns:
        InstanceData: n instances, best first.
    """
    keypoints = torch.from_numpy(instances.keypoints)
    oks = object_keypoint_similarity(
        torch.from_numpy(others.keypoints), keypoints[:, None],
        torch.ones_like(keypoints[:, None, :, 0]),
        pose_areas(keypoints, img_shape)[:, None], sigmas.cpu()).numpy()
    gain = oks * np.outer(instances.bbox_scores, others.bbox_scores)
    same = instances.labels[:, None] == others.labels
    gain = np.where(same & (oks >= MIN_OKS), np.nan_to_num(gain), 0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    agree = gain[rows, columns] > 0
    rows, columns = rows[agree], columns[agree]

    merged = instances.clone()
    for key in ('keypoints', 'bbox_scores', *PER_JOINT):
        if key not in instances:
            continue
        values = merged[key].copy()
        values[rows] = (values[rows] + others[key][columns]) / 2
        merged.set_field(values, key)
    return merged[np.argsort(-merged.bbox_scores, kind='stable')]


def pose_areas(keypoints: Tensor, img_shape: Tuple[int, int]) -> Tensor:
    """Areas of people, from their poses alone.

    The area is that of the box around the keypoints. One keypoint has no
    extent, and a straight or collapsed pose has none in some direction,
    though the person has; OKS relative to no area would be 0 for all but
    equal poses. So a side of the box is taken to be at least what K keypoints
    can resolve: a K-th of the side of a person, as far apart as they are if
    they are spread evenly. A person who cannot be measured is taken for a
    large one, whose side is 0.3 of that of the image (the geometric mean of
    its height and width): too small a scale misses partners, too large a one
    does little harm, as each pose gets one partner at most, the best. In an
    image of 800 x 1066 pixels, a side is thus at least 277 pixels for one
    keypoint and 16 for 17 keypoints. Longer sides stay as they are.

    Args:
        keypoints (Tensor): Pixels, (..., K, 2).
        img_shape (tuple[int]): Height and width of the image in pixels.

    Returns:
        Tensor: Square pixels, (...).
    """
    height, width = img_shape
    person = ASSUMED_SIDE * (height * width)**0.5
    sides = keypoints.amax(-2) - keypoints.amin(-2)
    return sides.clamp(min=person / keypoints.shape[-2]).prod(-1)
