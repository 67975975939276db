"""From annotated poses to training targets, and from the network's output to
poses in the input image: :class:`OKSKeypointCodec`."""
from typing import Optional, Sequence, Tuple

import numpy as np
import torch
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import KEYPOINT_CODECS
from torch import Tensor

from .data.metainfo import ONE_CLASS, load_metainfo
from .data.results import check_image_size


@KEYPOINT_CODECS.register_module()
class OKSKeypointCodec(BaseKeypointCodec):
    """Codec of methods that regress whole poses and compare them by OKS.

    Coordinates are (x, y), normalized by the width and height of the image
    as it enters the network, before the batch is padded: 1.0 is the right or
    bottom edge of that image. Areas are normalized by the area of the image.

    The head's codec is the single owner of the number of keypoints K and of
    their OKS sigmas. Encoding needs neither, so that one pipeline serves all
    data sets: the codec of a pipeline may be given no metainfo, and takes
    the keypoints that the data set has.

    If the metainfo has ``classes``, see :func:`load_metainfo`, the class
    logits are theirs, in the order of their labels. Otherwise one logit,
    ``person_label``, stands for all people, whose label is 0.

    Attributes:
        metainfo (dict, optional): The description of the keypoints, as
            MMPose's ``parse_pose_metainfo`` returns it, if it was given and
            describes as many keypoints as there are sigmas.
        classes (dict[int, str]): Names of the classes by the ``id`` of their
            category, in the order of their labels;
            :data:`~projects.grouppose.data.metainfo.ONE_CLASS` if none are
            told apart.
        first_label (int): Index of the class logit of label 0.

    Args:
        metainfo (dict, optional): MMPose's dataset metainfo, as written in
            a dataset's config, e.g.
            ``dict(from_file='configs/_base_/datasets/coco.py')``.
        sigmas (Sequence[float], optional): OKS sigmas, one for a keypoint.
            They replace those of ``metainfo``.
        person_label (int): Index of the class logit that stands for a
            person, where the metainfo has no ``classes``. Defaults to 1:
            index 0 of the official model is never a positive.
        max_per_img (int): The largest number of (instance, class) pairs
            that :meth:`decode` keeps. Defaults to 50.

    Raises:
        FileNotFoundError: If the metainfo file is missing.
        ValueError: If the metainfo is unusable or a sigma is not a positive
            number.
    """

    auxiliary_encode_keys = {
        'area', 'bbox', 'img_shape', 'input_size', 'img', 'class_label'
    }

    instance_mapping_table = dict(
        bbox='bboxes',
        bbox_score='bbox_scores',
        keypoints='keypoints',
        keypoints_visible='keypoints_visible')

    label_mapping_table = dict(
        labels='labels',
        keypoint_labels='keypoint_labels',
        keypoint_weights='keypoint_weights',
        seen_labels='seen_labels',
        area_labels='area_labels',
        box_labels='box_labels')

    def __init__(self,
                 metainfo: Optional[dict] = None,
                 sigmas: Optional[Sequence[float]] = None,
                 person_label: int = 1,
                 max_per_img: int = 50):
        super().__init__()
        self.metainfo: Optional[dict] = None
        self._sigmas: Optional[np.ndarray] = None
        self.classes = ONE_CLASS
        self.person_label = self.first_label = person_label
        if metainfo is not None:
            self.metainfo = load_metainfo(metainfo)
            if 'classes' in self.metainfo:
                self.classes = self.metainfo['classes']
                self.first_label = 0
            source = metainfo.get('from_file', 'the given metainfo')
            self._sigmas = _check_sigmas(self.metainfo['sigmas'], source)
        if sigmas is not None:
            self._sigmas = _check_sigmas(
                sigmas, 'the argument `sigmas` of OKSKeypointCodec')
            if self.metainfo is not None and \
                    len(self._sigmas) != self.metainfo['num_keypoints']:
                self.metainfo = None  # of other keypoints
        self.max_per_img = max_per_img

    @property
    def sigmas(self) -> np.ndarray:
        """np.ndarray: OKS sigmas, float32, (K, ).

        Raises:
            ValueError: If the codec was given none.
        """
        if self._sigmas is None:
            raise ValueError(
                'OKSKeypointCodec needs the OKS sigmas of the data set: set '
                "`metainfo`, e.g. dict(from_file='configs/_base_/datasets/"
                "coco.py'), or `sigmas`, one number for each keypoint.")
        return self._sigmas

    @property
    def num_keypoints(self) -> int:
        """int: Number of keypoints of a person, K."""
        return len(self.sigmas)

    def encode(self,
               keypoints: np.ndarray,
               keypoints_visible: Optional[np.ndarray] = None,
               area: Optional[np.ndarray] = None,
               img_shape: Optional[Tuple[int, int]] = None,
               bbox: Optional[np.ndarray] = None,
               input_size: Optional[Sequence[float]] = None,
               img: Optional[np.ndarray] = None,
               class_label: Optional[np.ndarray] = None) -> dict:
        """Turn the poses of an image into training targets.

        People without a labeled keypoint are left out: there is nothing to
        learn from them.

        Args:
            keypoints (np.ndarray): Pixels of the input image, (n, K, 2).
            keypoints_visible (np.ndarray, optional): Positive where a
                keypoint is labeled, greater than 1 where it is visible, too,
                (n, K). Defaults to all labeled.
            area (np.ndarray): Square pixels of the input image, (n, ).
            img_shape (tuple[int]): Height and width of the input image.
            bbox (np.ndarray, optional): Corners of the boxes (x1, y1, x2,
                y2) in pixels of the input image, (n, 4).
            input_size (Sequence[float], optional): Its width and height.
            img (np.ndarray, optional): The input image, (H, W, 3), to be
                compared with both.
            class_label (np.ndarray, optional): The label of each person's
                class, int, (n, ), where classes are told apart.

        Returns:
            dict: float32 arrays of the m people with a labeled keypoint,
            unless said otherwise.

            - labels (int64): the class logit of each person, (m, )
            - keypoint_labels: normalized coordinates, (m, K, 2)
            - keypoint_weights: 1 where a keypoint is labeled, (m, K)
            - seen_labels: 1 where it is visible, too, (m, K)
            - area_labels: normalized areas, (m, )
            - box_labels: normalized center and size of the boxes, (m, 4), if
              they are given

        Raises:
            ValueError: If the codec has sigmas of another number of
                keypoints, areas or the image size are missing, or the image
                has another size.
        """
        if self._sigmas is not None and \
                keypoints.shape[1] != self.num_keypoints:
            raise ValueError(
                f'The data set annotates {keypoints.shape[1]} keypoints per '
                f'person, the codec has sigmas for {self.num_keypoints}. '
                'Give the codec the metainfo of this data set '
                "(codec = dict(type='OKSKeypointCodec', metainfo=...)).")
        if area is None or img_shape is None:
            raise ValueError(
                'OKSKeypointCodec needs the keys `area` and `img_shape` in '
                'the pipeline. Put PoseInstanceFilter and PoseResize before '
                'GenerateTarget.')
        check_image_size(img, img_shape, input_size)
        if keypoints_visible is None:
            keypoints_visible = np.ones(keypoints.shape[:2])
        labeled = keypoints_visible > 0
        people = labeled.any(1)

        height, width = img_shape[:2]
        size = np.array([width, height], dtype=np.float32)
        if class_label is None:
            class_label = np.full(len(people), self.person_label)
        labels = dict(
            labels=class_label[people].astype(np.int64),
            keypoint_labels=keypoints[people].astype(np.float32) / size,
            keypoint_weights=labeled[people].astype(np.float32),
            seen_labels=(keypoints_visible[people] > 1).astype(np.float32),
            # A large Python number would make float64 of it.
            area_labels=area[people].astype(np.float32) /
            np.float32(width * height))
        if bbox is not None:
            corners = bbox[people].astype(np.float32).reshape(-1, 2, 2) / size
            labels['box_labels'] = np.concatenate(
                [corners.mean(1), corners[:, 1] - corners[:, 0]], 1)
        return labels

    def decode(self,
               logits: Tensor,
               keypoints: Tensor,
               input_size: Tuple[int, int],
               joints: Optional[Tensor] = None) -> Tuple[np.ndarray, ...]:
        """Turn the network's output for one image into poses in pixels.

        Those that :meth:`choose` keeps. No threshold, no suppression of
        overlaps.

        Args:
            logits (Tensor): Class logits, (N, Q).
            keypoints (Tensor): Normalized coordinates, (N, K, 2).
            input_size (tuple[int]): Width and height of the input image
                without padding.
            joints (Tensor, optional): What is predicted of each joint, see
                :func:`predict_joints`, (N, K, 5).

        Returns:
            tuple[np.ndarray]: float32, best instance first; an instance may
            come as several classes.

            - keypoints: pixels of the input image, (n, K, 2)
            - keypoint_scores: the instance's score for every keypoint, (n, K)
            - scores: (n, )
            - labels: of the classes, int64, (n, )
            - joints: in pixels of the input image, if they are given,
              (n, K, 5)
        """
        outputs = [logits, keypoints] + ([] if joints is None else [joints])
        on_host = [values[None].detach().float().cpu() for values in outputs]
        chosen = self.choose(on_host[0], on_host[1],
                             torch.tensor([input_size]), *on_host[2:])
        kept = chosen[1][0] != -1
        poses, scores, labels, *more = (
            values[0][kept].numpy() for values in chosen)
        keypoint_scores = np.repeat(scores[:, None], self.num_keypoints, 1)
        return (poses, keypoint_scores, scores, labels, *more)

    def choose(self,
               logits: Tensor,
               keypoints: Tensor,
               input_sizes: Tensor,
               joints: Optional[Tensor] = None) -> Tuple[Tensor, ...]:
        """Choose the people among the instances of each image.

        The ``max_per_img`` best pairs of an instance and a class logit are
        kept, as the official program does, then those of :attr:`classes`, or
        the best of these if there is none among them.

        Args:
            logits (Tensor): Class logits, (B, N, Q).
            keypoints (Tensor): Normalized coordinates, (B, N, K, 2).
            input_sizes (Tensor): Width and height of the input images
                without padding, int64, (B, 2).
            joints (Tensor, optional): What is predicted of each joint, see
                :func:`predict_joints`, (B, N, K, 5).

        Returns:
            tuple[Tensor]: keypoints in pixels (B, n, K, 2), scores (B, n) and
            labels (B, n) of n = ``max_per_img`` pairs, or as many as there
            are, best first. Those behind the last that is kept have the
            score -1. With ``joints``, these in pixels, too (B, n, K, 5).
        """
        probabilities = logits.sigmoid()
        best = probabilities.flatten(1)
        best = best.topk(min(self.max_per_img, best.shape[1])).values
        count = len(self.classes)
        people = probabilities[..., self.first_label:self.first_label + count]
        people = people.flatten(1)
        scores, pairs = people.topk(min(self.max_per_img, people.shape[1]))
        instances, labels = pairs // count, pairs % count
        # QUIRK: pairs of the class that is never a person take places among
        # the best. The best person always stays, for an untrained model: the
        # metric cannot evaluate no pose at all.
        least = torch.minimum(best[:, -1:], scores[:, :1])
        sizes = input_sizes[:, None, None].to(keypoints.dtype)
        poses = _take(keypoints, instances, 2) * sizes
        scores = scores.masked_fill(scores < least, -1)
        if joints is None:
            return poses, scores, labels
        width, height = sizes[..., :1], sizes[..., 1:]
        ones = torch.ones_like(width)
        units = [ones, ones, width * width, width * height, height * height]
        return (poses, scores, labels,
                _take(joints, instances, 5) * torch.cat(units, -1))


def _take(values: Tensor, instances: Tensor, width: int) -> Tensor:
    """Values (B, N, K, width) of some instances (B, n), (B, n, K, width)."""
    flat = values.flatten(2)
    index = instances[..., None].expand(-1, -1, flat.shape[-1])
    return flat.gather(1, index).unflatten(-1, (-1, width))


def _check_sigmas(sigmas: Sequence[float], source: str) -> np.ndarray:
    """Sigmas (K, ) in float32, from what the message calls ``source``."""
    try:
        values = np.asarray(sigmas, dtype=np.float32)
    except (TypeError, ValueError):  # no numbers
        values = np.empty(0, np.float32)
    usable = (values > 0) & np.isfinite(values)
    if values.ndim != 1 or not len(values) or not usable.all():
        raise ValueError(
            f'{source}: `sigmas` must hold one positive number for each '
            f'keypoint, got {sigmas}.')
    return values
