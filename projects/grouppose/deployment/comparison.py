"""A graph beside the model that it was made of, on the same images."""
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

import mmcv
import numpy as np
import onnxruntime
import torch
from mmengine.dataset import Compose
from mmengine.structures import InstanceData
from mmpose.models.pose_estimators.base import BasePoseEstimator
from mmpose.structures import PoseDataSample
from torch import Tensor

from ..model.joint_scores import joint_fields, score_joints
from ..synthetic import draw_image

# Widths and heights of the images that a graph of any size is compared on.
FRAMES = ((288, 224), (192, 256))


class Difference(NamedTuple):
    """How far apart the same people are, an entry for each pose.

    Attributes:
        pixels (np.ndarray): Of the keypoint that is farthest off, (n, ).
        scores (np.ndarray): Of the pose or one of its keypoints, (n, ).
    """
    pixels: np.ndarray
    scores: np.ndarray


class Batch(NamedTuple):
    """Images as a model wants them.

    Attributes:
        images (Tensor): Normalized and padded, (B, 3, H, W).
        valid_sizes (Tensor): Widths and heights, int64, (B, 2).
    """
    images: Tensor
    valid_sizes: Tensor

    def arrays(self) -> Dict[str, np.ndarray]:
        """The inputs of a graph."""
        return {
            name: values.numpy()
            for name, values in zip(self._fields, self)
        }


def load_graph(content: bytes, num_threads: int = 0) -> Callable:
    """A graph as a function in ONNX Runtime, on the CPU.

    Args:
        content (bytes): The ONNX file.
        num_threads (int): Defaults to 0, one for each core.

    Returns:
        Callable: From a :class:`Batch` to the outputs of
        :meth:`PoseGraph.forward`.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = num_threads
    session = onnxruntime.InferenceSession(
        content, options, providers=['CPUExecutionProvider'])
    return lambda batch: session.run(None, batch.arrays())


def compare(model: BasePoseEstimator, run: Callable,
            batches: Sequence[Batch]) -> Difference:
    """Measure how far a graph is from its model.

    Args:
        model (BasePoseEstimator): From :func:`load_model`.
        run (Callable): As from :func:`load_graph`.
        batches (Sequence[Batch]): What to compare on.

    Returns:
        Difference: Of all people of all batches; infinite where their
        numbers differ, or nobody of the same class is found.
    """
    differences = []
    for batch in batches:
        for expected, (width, height), *outputs in zip(
                predict_batch(model, batch), batch.valid_sizes.tolist(),
                *run(batch)):
            found = as_instances(*outputs)
            if 'covariances' in found:
                score_joints(found, dict(img_shape=(height, width)),
                             model.head.codec.sigmas,
                             model.head.decoder.joint_scores.mixture.tolist())
            differences.append(distance(expected, found))
    return Difference(*map(np.concatenate, zip(*differences)))


def as_instances(keypoints: np.ndarray, scores: np.ndarray, *more:
                 np.ndarray) -> InstanceData:
    """The poses of an image that a graph has found.

    Args:
        keypoints (np.ndarray): (n, K, 2).
        scores (np.ndarray): -1 where there is no pose, (n, ).
        more (np.ndarray): Labels (n, ), which default to 0, and what is
            predicted of each joint (n, K, 5), where the graph has them.

    Returns:
        InstanceData: See :meth:`GroupPoseHead.predict`; covariances are in
        pixels of the input image.
    """
    by_axes = {values.ndim: values for values in more}
    kept = scores >= 0
    labels = by_axes.get(1, np.zeros(len(scores), dtype=np.int64))
    joints = joint_fields(by_axes[3][kept]) if 3 in by_axes else {}
    keypoints, scores = keypoints[kept], scores[kept]
    return InstanceData(
        keypoints=keypoints,
        keypoint_scores=scores[:, None].repeat(keypoints.shape[1], 1),
        bbox_scores=scores,
        labels=labels[kept],
        **joints)


def distance(expected: InstanceData, found: InstanceData) -> Difference:
    """Compare the poses of an image, each with the nearest one of its class.

    Equal scores may come in any order, so ranks say nothing.

    Args:
        expected (InstanceData): n poses.
        found (InstanceData): As many, or they are infinitely far apart.
    """
    if len(expected) != len(found):
        return Difference(*np.full((2, len(expected)), np.inf))
    apart = np.abs(expected.keypoints[:, None] - found.keypoints).max((2, 3))
    apart[expected.labels[:, None] != found.labels] = np.inf
    partner = apart.argmin(1)
    scores = [
        np.column_stack([poses.bbox_scores, poses.keypoint_scores])
        for poses in (expected, found)
    ]
    return Difference(
        apart.min(1),
        np.abs(scores[0] - scores[1][partner]).max(1))


@torch.no_grad()
def predict_batch(model: BasePoseEstimator, batch: Batch) -> List:
    """What a model predicts, without a flip test or a threshold.

    Returns:
        list[InstanceData]: See :meth:`GroupPoseHead.predict`.
    """
    shape = tuple(batch.images.shape[2:])
    samples = [
        PoseDataSample(
            metainfo=dict(img_shape=(height, width), batch_input_shape=shape))
        for width, height in batch.valid_sizes.tolist()
    ]
    return model.head.predict(model.extract_feat(batch.images), samples)


def make_batch(model: BasePoseEstimator,
               images: Sequence[np.ndarray],
               frame: Optional[Sequence[int]] = None) -> Batch:
    """Normalize and pad images.

    Args:
        model (BasePoseEstimator): Whose preprocessor does it.
        images (Sequence[np.ndarray]): BGR, uint8, (h, w, 3).
        frame (Sequence[int], optional): Width and height to pad to. Defaults
            to those of the largest image.
    """
    shape = frame[::-1] if frame else np.max([x.shape[:2] for x in images], 0)
    canvas = torch.zeros(len(images), 3, *shape)
    for place, image in zip(canvas, images):
        tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())
        data = dict(inputs=[tensor], data_samples=[PoseDataSample()])
        height, width = image.shape[:2]
        normalized = model.data_preprocessor(data)['inputs']
        place[:, :height, :width] = normalized[0, :, :height, :width]
    sizes = [image.shape[1::-1] for image in images]
    return Batch(canvas, torch.tensor(sizes))


def resized_batches(model: BasePoseEstimator,
                    images: Sequence[np.ndarray],
                    fixed_size: Optional[Sequence[int]] = None,
                    batch_size: Optional[int] = None) -> List[Batch]:
    """Images of any size as a graph gets them, in batches.

    Args:
        model (BasePoseEstimator): Whose test pipeline resizes them.
        images (Sequence[np.ndarray]): BGR, uint8, (h, w, 3).
        fixed_size (Sequence[int], optional): Width and height that they fit
            into instead.
        batch_size (int, optional): Of a batch; images that fill none are left
            out. Defaults to 1.
    """
    resize = Compose(model.cfg.test_dataloader.dataset.pipeline[:-1])
    resized = []
    for image in images:
        image = resize(dict(img=image))['img']
        if fixed_size is not None:
            ratio = min(np.divide(fixed_size, image.shape[1::-1]))
            if ratio != 1:
                image = mmcv.imrescale(image, ratio, backend='pillow')
        resized.append(image)
    count = batch_size or 1
    return [
        make_batch(model, resized[start:start + count], fixed_size)
        for start in range(0,
                           len(resized) - count + 1, count)
    ]


def drawn_batches(model: BasePoseEstimator,
                  fixed_size: Optional[Sequence[int]] = None,
                  batch_size: Optional[int] = None) -> List[Batch]:
    """Two batches of drawn people, of different sizes where that may be.

    Args:
        model (BasePoseEstimator): Whose preprocessor makes them.
        fixed_size (Sequence[int], optional): Width and height of both.
        batch_size (int, optional): Of both. Defaults to one and two images.

    Returns:
        list[Batch]: Some images are smaller than their batch.
    """
    batches = []
    for number, frame in enumerate([fixed_size] * 2 if fixed_size else FRAMES):
        images = []
        for i in range(batch_size or number + 1):
            # One fills the frame, the next is narrower, and so on.
            width = frame[0] - (number + i) % 3 * (frame[0] // 8)
            height = frame[1] - i % 2 * (frame[1] // 5)
            image, _ = draw_image(10 * number + i)
            images.append(mmcv.imresize(image, (width, height)))
        batches.append(make_batch(model, images, frame))
    return batches
