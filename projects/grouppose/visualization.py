"""Pictures of poses: truth beside prediction, for tools and, during training,
by :class:`ValidationPicturesHook`."""
from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from mmpose.registry import HOOKS, VISUALIZERS
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer


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


@HOOKS.register_module()
class ValidationPicturesHook(Hook):
    """Draw truth and prediction of a few images at every validation.

    They are the first annotated images of the validation set, the same ones
    every time. The picture goes to the visualizer's backends: in the work
    dir to ``vis_data/vis_image/val_poses_{epoch}.png``, and to TensorBoard
    or W&B if the config has their backend. (MMPose's
    ``PoseVisualizationHook`` draws other images in every epoch, and not the
    truth.)

    Args:
        num_images (int): Images of the picture. Defaults to 4.
        score_thr (float): Least score of a drawn pose. Defaults to 0.3.
        height (int): Height of each image in pixels. Defaults to 256.
    """

    def __init__(self,
                 num_images: int = 4,
                 score_thr: float = 0.3,
                 height: int = 256):
        self.num_images = num_images
        self.score_thr = score_thr
        self.height = height
        self._pairs: List[np.ndarray] = []

    def before_val_epoch(self, runner: Runner) -> None:
        """Start an empty picture."""
        self._pairs = []

    @master_only
    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict,
                       outputs: Sequence[PoseDataSample]) -> None:
        """Draw the images of the first batches."""
        for sample in outputs:
            if len(self._pairs) == self.num_images:
                return
            if annotated_poses(sample)[1].any():
                visualizer = PoseVisualizer(radius=3, line_width=2)
                visualizer.set_dataset_meta(
                    runner.val_dataloader.dataset.metainfo)
                self._pairs.append(
                    draw_pair(visualizer, sample, self.score_thr, self.height))

    @master_only
    def after_val_epoch(self,
                        runner: Runner,
                        metrics: Optional[dict] = None) -> None:
        """Hand the picture to the backends."""
        if self._pairs:
            picture = stack_pictures(self._pairs)[..., ::-1]
            runner.visualizer.add_image('val_poses', picture, runner.epoch)


def annotated_poses(sample: PoseDataSample) -> Tuple[np.ndarray, np.ndarray]:
    """The truth of an image that went through an evaluation pipeline.

    Args:
        sample (PoseDataSample): With ``gt_instances`` in pixels of the input
            image.

    Returns:
        tuple[np.ndarray]: keypoints in pixels of the original image,
        (n, K, 2), and a positive number where they are labeled, (n, K).
    """
    instances = sample.gt_instances
    if 'keypoints' not in instances:  # nobody is annotated
        return np.empty((0, 0, 2)), np.empty((0, 0))
    meta = sample.metainfo
    corner = meta['input_center'] - meta['input_scale'] / 2
    keypoints = instances.keypoints / meta['input_size'] * meta['input_scale']
    return keypoints + corner, instances.keypoints_visible


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


def draw_pair(visualizer: PoseVisualizer, sample: PoseDataSample,
              score_thr: float, height: int) -> np.ndarray:
    """Draw the truth on the left and the prediction on the right.

    Args:
        visualizer (PoseVisualizer): With the data set's metainfo.
        sample (PoseDataSample): With ``gt_instances``, see
            :func:`annotated_poses`, and ``pred_instances`` in pixels of the
            original image.
        score_thr (float): Least score of a drawn pose.
        height (int): Height of the picture in pixels.

    Returns:
        np.ndarray: uint8 BGR.
    """
    image = cv2.imread(sample.img_path,
                       cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    scale = height / image.shape[0]
    image = cv2.resize(
        image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)

    truth, visible = annotated_poses(sample)
    pred = sample.pred_instances
    poses = pred.keypoints[pred.bbox_scores >= score_thr]
    return np.hstack([
        draw_poses(visualizer, image, truth * scale, visible),
        draw_poses(visualizer, image, poses * scale, np.ones(poses.shape[:2]))
    ])


def stack_pictures(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Put pictures of any widths below each other on white."""
    width = max(picture.shape[1] for picture in pictures)
    return np.vstack([
        cv2.copyMakeBorder(
            picture,
            0,
            8,
            0,
            width - picture.shape[1],
            cv2.BORDER_CONSTANT,
            value=(255, 255, 255)) for picture in pictures
    ])
