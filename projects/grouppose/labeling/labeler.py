"""What a labeling tool needs of a model: proposals, poses refined around the
keypoints that somebody has put right, and a new person from one click."""
from dataclasses import dataclass
from typing import NamedTuple, Optional, Union

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmpose.structures import PoseDataSample
from torch import Tensor

from ..inference.model import load_model
from ..model.head import GroupPoseHead
from ..model.tokens import Tokens, padding_masks


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """An image as the decoder sees it. It can be kept and used often.

    Attributes:
        memory (Tokens): The encoder's output, with a batch of 1.
        sample (PoseDataSample): Which part of the image it shows, and how
            large.
    """
    memory: Tokens
    sample: PoseDataSample

    def normalize(self, points: np.ndarray) -> np.ndarray:
        """From pixels of the image to what the model predicts, (..., 2)."""
        meta = self.sample.metainfo
        return (points - meta['input_center']) / meta['input_scale'] + 0.5

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """The other way round."""
        meta = self.sample.metainfo
        return (points - 0.5) * meta['input_scale'] + meta['input_center']


class Poses(NamedTuple):
    """The people that a model finds in an image, best first.

    Attributes:
        keypoints (np.ndarray): Pixels of the image, float32, (N, K, 2).
        scores (np.ndarray): Of the people, float32, (N, ).
        labels (np.ndarray): Of their classes, from 0 in the order of
            :func:`classes_of`, int64, (N, ).
        keypoint_scores (np.ndarray, optional): Of the keypoints, float32,
            (N, K). None if the model does not predict them, see
            :class:`JointScores`.
    """
    keypoints: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    keypoint_scores: Optional[np.ndarray]


class PoseLabeler:
    """Proposes and refines the poses of one image at a time::

        labeler = PoseLabeler('CONFIG.py', 'CHECKPOINT.pth')
        encoded = labeler.encode(image)  # once per image
        poses = labeler.poses(encoded).keypoints
        poses[0, 3], fixed[0, 3] = place, True
        poses = labeler.refine(encoded, poses, fixed)

    All results are pixels of the image. Poses get better around fixed
    keypoints if the model was trained with :class:`CorrectionQueries`; without
    them, every model of the project is able to refine, but few poses gain.

    Args:
        config (str | Config): Config of the model, its file, or its name. Its
            test pipeline says how images are resized; a flip test is left
            out.
        checkpoint (str): File with its weights.
        device (str, optional): Where it computes. Defaults to 'cpu'; None is
            the accelerator, if there is one.

    Attributes:
        metainfo (dict): Description of the keypoints, see
            :func:`load_metainfo`: names, skeleton, colors, mirror partners,
            sigmas.
        learned_to_refine (bool): Whether the model was trained for it.

    Raises:
        FileNotFoundError: If the config or checkpoint is missing.
        ValueError: If they do not fit, see :func:`load_model`, or the model's
            head has no queries to start from given poses.
    """

    def __init__(self,
                 config: Union[str, Config],
                 checkpoint: str,
                 device: Optional[str] = 'cpu'):
        self.model = load_model(config, checkpoint, device)
        head = getattr(self.model, 'head', None)
        if not isinstance(head, GroupPoseHead):
            name = config if isinstance(config, str) else config.filename
            raise ValueError(
                f'{name}: poses cannot be refined by '
                f'{type(head).__name__}. Give a config whose model.head is a '
                'GroupPoseHead.')
        self.head = head
        self.learned_to_refine = head.decoder.fixed_embedding is not None
        self.metainfo: dict = self.model.dataset_meta
        self.pipeline = Compose(
            self.model.cfg.test_dataloader.dataset.pipeline)

    @torch.no_grad()
    def encode(self, image: np.ndarray) -> EncodedImage:
        """Compute once per image what all other methods need.

        Args:
            image (np.ndarray): BGR, uint8, (h, w, 3), from
                :func:`read_image` or OpenCV.
        """
        data = self.pipeline(dict(self.metainfo, img=image))
        data = self.model.data_preprocessor(pseudo_collate([data]), False)
        feats = self.model.extract_feat(data['inputs'])
        masks = padding_masks(feats, data['data_samples'])
        head = self.head
        memory = head.forward_encoder(head.pre_transformer(feats, masks))
        return EncodedImage(memory, data['data_samples'][0])

    @torch.no_grad()
    def poses(self, encoded: EncodedImage) -> Poses:
        """Find the people in an image.

        As in other predictions, poses below ``score_thr`` of the model's
        test_cfg are left out.

        Args:
            encoded (EncodedImage): The image.

        Returns:
            Poses: Best first.
        """
        queries = self.head.pre_decoder(encoded.memory)
        outputs = self.head.forward_decoder(encoded.memory, queries)['last']
        found, = self.head.decode(outputs, [encoded.sample])
        self.head.score_joints(found, encoded.sample)
        least = (self.model.test_cfg or {}).get('score_thr') or 0
        found = found[found.bbox_scores >= least]
        height, width = encoded.sample.metainfo['img_shape'][:2]
        keypoints = encoded.to_pixels(found.keypoints / (width, height))
        scored = self.head.decoder.joint_scores is not None
        return Poses(
            keypoints.astype(np.float32), found.bbox_scores, found.labels,
            found.keypoint_scores if scored else None)

    def refine(self, encoded: EncodedImage, keypoints: np.ndarray,
               fixed: np.ndarray) -> np.ndarray:
        """Let keypoints follow those that are right.

        Each person is refined alone: the result does not depend on who else
        is given.

        Args:
            encoded (EncodedImage): The image.
            keypoints (np.ndarray): Poses of any number of people, in pixels
                of the image, (N, K, 2).
            fixed (np.ndarray): True for keypoints that are right, bool,
                (N, K).

        Returns:
            np.ndarray: Refined poses, (N, K, 2). Fixed keypoints are exactly
            where they were.

        Raises:
            ValueError: If an array has another shape, or a coordinate is not
                finite.
        """
        keypoints, fixed = np.asarray(keypoints), np.asarray(fixed, bool)
        number = self.head.codec.num_keypoints
        shape = len(keypoints), number
        if keypoints.shape != (*shape, 2) or fixed.shape != shape:
            raise ValueError(
                f'`keypoints` must be (N, {number}, 2) and `fixed` '
                f'(N, {number}), not {keypoints.shape} and {fixed.shape}.')
        if not np.isfinite(keypoints).all():
            raise ValueError('`keypoints` must be finite: give every keypoint '
                             'a place, also one that nobody sees.')
        if not len(keypoints):
            return keypoints
        poses = self._refine(encoded,
                             self._tensor(encoded.normalize(keypoints)[None]),
                             torch.from_numpy(fixed[None]))
        return np.where(fixed[..., None], keypoints, poses[0])

    def person_at(self,
                  encoded: EncodedImage,
                  point: np.ndarray,
                  joint: Optional[int] = None) -> np.ndarray:
        """Find the person at a point that somebody has clicked.

        Args:
            encoded (EncodedImage): The image.
            point (np.ndarray): (x, y) in pixels of the image, (2, ).
            joint (int, optional): Index of the keypoint that is there, and
                stays there. Defaults to none: the point is the middle of
                the person.

        Returns:
            np.ndarray: Their pose, (K, 2).

        Raises:
            ValueError: If the point is not two finite numbers, or there is
                no such keypoint.
        """
        point = np.asarray(point)
        if point.shape != (2, ) or not np.isfinite(point).all():
            raise ValueError('`point` must be x and y, two finite numbers, '
                             f'not {point}.')
        number = self.head.codec.num_keypoints
        if joint is not None and not 0 <= joint < number:
            raise ValueError(f'There is no keypoint {joint} of {number}.')
        place = self._tensor(encoded.normalize(point)[None, None])
        with torch.no_grad():
            poses = self.head.query_selection.pose_at(encoded.memory, place,
                                                      joint)
        fixed = torch.zeros(poses.shape[:-1], dtype=torch.bool)
        if joint is not None:
            poses[0, 0, joint] = place[0, 0]
            fixed[0, 0, joint] = True
        pose = self._refine(encoded, poses, fixed)[0, 0]
        if joint is not None:
            pose[joint] = point
        return pose

    def _tensor(self, values: np.ndarray) -> Tensor:
        """float32, where the model is."""
        return torch.from_numpy(values.astype(np.float32)).to(
            self.head.sigmas.device)

    @torch.no_grad()
    def _refine(self, encoded: EncodedImage, poses: Tensor,
                fixed: Tensor) -> np.ndarray:
        """Refined poses in pixels, from normalized ones, (1, N, K, 2)."""
        outputs = self.head.refine(encoded.memory, poses,
                                   fixed.to(poses.device))
        pixels = encoded.to_pixels(outputs['keypoints'].cpu().numpy())
        return pixels.astype(np.float32)
