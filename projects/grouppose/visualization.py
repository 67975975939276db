"""Pictures of poses, drawn on the image that the network sees."""
from typing import Sequence, Tuple

import cv2
import numpy as np
from mmengine.structures import InstanceData
from mmpose.registry import VISUALIZERS
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer
from torch import Tensor

MAX_ASPECT = 8  # a panorama that is wider than this is drawn less high


@VISUALIZERS.register_module()
class PoseVisualizer(PoseLocalVisualizer):
    """MMPose's visualizer, able to draw with NumPy 2.4 and later.

    They refuse to turn arrays of one radius into a number, as MMPose does.
    """

    def draw_circles(self, center, radius, *args, **kwargs):
        """Draw a circle. Arguments and result are those of MMPose."""
        if self.backend == 'opencv':
            radius = np.squeeze(radius)
        return super().draw_circles(center, radius, *args, **kwargs)


def input_image(inputs: Tensor) -> np.ndarray:
    """The image that the network sees, before it is normalized and padded.

    The pipeline alone knows where a file comes from, which way up it is and
    which colors it gets: a picture is drawn on what the pipeline made.

    Args:
        inputs (Tensor): One of ``data_batch['inputs']``: BGR or gray, in
            [0, 255], (C, h, w).

    Returns:
        np.ndarray: uint8 BGR, (h, w, 3).
    """
    image = inputs.clamp(0, 255).byte().cpu().permute(1, 2, 0).numpy()
    return np.broadcast_to(image, (*image.shape[:2], 3)).copy()


def to_input(points: np.ndarray, meta: dict) -> np.ndarray:
    """Points of the original image in pixels of the input image.

    Args:
        points (np.ndarray): Pixels of the original image, (..., 2).
        meta (dict): Of the image: ``input_size``, ``input_center`` and
            ``input_scale``, each (w, h).

    Returns:
        np.ndarray: Pixels of the input image, (..., 2).
    """
    corner = meta['input_center'] - meta['input_scale'] / 2
    return (points - corner) / meta['input_scale'] * meta['input_size']


def annotated_in_file(sample: PoseDataSample) -> bool:
    """Whether the annotations of a sample are in pixels of the original
    image, as MMPose's ``BottomupResize`` leaves them, and not of the input.

    Args:
        sample (PoseDataSample): With ``gt_instances``, and ``raw_ann_info``
            in its metainfo.
    """
    annotations = sample.metainfo.get('raw_ann_info')
    if not annotations:
        return False
    triplets = np.array([ann['keypoints'] for ann in annotations], np.float32)
    in_file = triplets.reshape(len(annotations), -1, 3)[..., :2]
    return np.array_equal(sample.gt_instances.get('keypoints'), in_file)


def annotated_poses(sample: PoseDataSample) -> Tuple[np.ndarray, np.ndarray]:
    """The truth of an image that went through an evaluation pipeline.

    Args:
        sample (PoseDataSample): With ``gt_instances``.

    Returns:
        tuple[np.ndarray]: keypoints in pixels of the input image, (n, K, 2),
        and a positive number where they are labeled, (n, K).
    """
    instances = sample.gt_instances
    if 'keypoints' not in instances:  # nobody is annotated
        return np.empty((0, 0, 2)), np.empty((0, 0))
    keypoints = instances.keypoints
    if annotated_in_file(sample):
        keypoints = to_input(keypoints, sample.metainfo)
    return keypoints, instances.keypoints_visible


def draw_poses(visualizer: PoseVisualizer, image: np.ndarray,
               keypoints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Draw poses in the colors of the data set.

    Args:
        visualizer (PoseVisualizer): With the data set's metainfo.
        image (np.ndarray): uint8 BGR.
        keypoints (np.ndarray): Pixels, (n, K, 2).
        visible (np.ndarray): Positive where a keypoint is drawn, (n, K).

    Returns:
        np.ndarray: uint8 BGR.
    """
    poses = InstanceData(
        keypoints=keypoints,
        keypoints_visible=(visible > 0).astype(np.float32))
    image = np.ascontiguousarray(image[..., ::-1])
    return visualizer._draw_instances_kpts(image, poses, 0.5)[..., ::-1]


def draw_ellipses(image: np.ndarray, points: np.ndarray,
                  covariances: np.ndarray, radius: float, line: int) -> None:
    """Draw ellipses of covariances around points, in place.

    Args:
        image (np.ndarray): uint8 BGR.
        points (np.ndarray): Pixels, (n, 2).
        covariances (np.ndarray): Square pixels, (n, 2, 2).
        radius (float): In standard deviations.
        line (int): Width of the lines in pixels.
    """
    values, vectors = np.linalg.eigh(covariances)
    axes = radius * np.sqrt(values.clip(0))
    angles = np.degrees(np.arctan2(vectors[:, 1, 1], vectors[:, 0, 1]))
    for point, (minor, major), angle in zip(
            points.clip(-1e6, 1e6), axes.clip(0, 1e6), angles):
        ellipse = point.tolist(), (2 * float(major), 2 * float(minor)), angle
        cv2.ellipse(image, ellipse, (255, 255, 255), line, cv2.LINE_AA)


def write_classes(image: np.ndarray, keypoints: np.ndarray,
                  names: Sequence[str]) -> None:
    """Write the names of classes above poses, in place.

    Args:
        image (np.ndarray): uint8 BGR.
        keypoints (np.ndarray): Pixels, (n, K, 2).
        names (Sequence[str]): A name for each pose. Letters that OpenCV has
            no shapes for become question marks.
    """
    scale = max(0.4, 0.0012 * float(np.hypot(image.shape[0], image.shape[1])))
    for corner, name in zip(keypoints.min(1).tolist(), names):
        place = [int(x) for x in np.clip(corner, (0, 20 * scale), 1e6)]
        for color, width in (((0, 0, 0), 4), ((255, 255, 255), 1)):
            cv2.putText(image, name, place, cv2.FONT_HERSHEY_SIMPLEX, scale,
                        color, max(1, round(width * scale)), cv2.LINE_AA)


def draw_pair(visualizer: PoseVisualizer,
              inputs: Tensor,
              sample: PoseDataSample,
              score_thr: float,
              height: int,
              classes: Sequence[str] = ()) -> np.ndarray:
    """Draw the truth on the left and the prediction on the right.

    Args:
        visualizer (PoseVisualizer): With the data set's metainfo.
        inputs (Tensor): The image, see :func:`input_image`.
        sample (PoseDataSample): Of it, with ``gt_instances``, see
            :func:`annotated_poses`, and ``pred_instances`` in pixels of the
            original image.
        score_thr (float): Least score of a drawn pose.
        height (int): Height of the picture in pixels, less if the image is
            wider than 8 times its height.
        classes (Sequence[str]): Names of the classes by their labels, to be
            written beside what is predicted. Defaults to none.

    Returns:
        np.ndarray: uint8 BGR.
    """
    image = input_image(inputs)
    old = np.array(image.shape[1::-1])
    scale = min(height / old[1], MAX_ASPECT * height / old[0])
    size = np.maximum(1, (old * scale).round()).astype(int)
    image = cv2.resize(image, size.tolist(), interpolation=cv2.INTER_CUBIC)

    truth, visible = annotated_poses(sample)
    pred = sample.pred_instances
    pred = pred[pred.bbox_scores >= score_thr]
    scale = size / old
    poses = to_input(pred.keypoints, sample.metainfo) * scale
    found = draw_poses(visualizer, image, poses, np.ones(poses.shape[:2]))
    if classes:
        found = np.ascontiguousarray(found)
        write_classes(found, poses, [classes[label] for label in pred.labels])
    return np.hstack(
        [draw_poses(visualizer, image, truth * scale, visible), found])


def stack_pictures(pictures: Sequence[np.ndarray],
                   columns: int = 1) -> np.ndarray:
    """Put pictures of any widths, and of the same height, below each other on
    white, or row by row in several columns."""
    width = max(picture.shape[1] for picture in pictures)
    gap = 8 if columns > 1 else 0
    cells = [
        cv2.copyMakeBorder(
            picture,
            0,
            8,
            0,
            width - picture.shape[1] + gap,
            cv2.BORDER_CONSTANT,
            value=(255, 255, 255)) for picture in pictures
    ]
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    return np.vstack([
        np.hstack(cells[start:start + columns])
        for start in range(0, len(cells), columns)
    ])
