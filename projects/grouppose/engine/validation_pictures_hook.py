"""A picture of truth and prediction at every validation."""
from typing import List, Optional, Sequence

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpose.registry import HOOKS
from mmpose.structures import PoseDataSample

from ..visualization import (PoseVisualizer, annotated_poses, draw_pair,
                             stack_pictures)


@HOOKS.register_module()
class ValidationPicturesHook(Hook):
    """Draw truth and prediction of a few images at every validation.

    They are the first annotated images of the validation set, the same ones
    every time, drawn as the network sees them. The picture goes to the
    visualizer's backends: in the work dir to
    ``vis_data/vis_image/val_poses_{epoch}.png``, and to TensorBoard or W&B if
    the config has their backend. (:class:`InputVisualizationHook` draws other
    images in every epoch, and not the truth.)

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
        for inputs, sample in zip(data_batch['inputs'], outputs):
            if len(self._pairs) == self.num_images:
                return
            if annotated_poses(sample)[1].any():
                visualizer = PoseVisualizer(radius=3, line_width=2)
                dataset_meta = runner.val_dataloader.dataset.metainfo
                visualizer.set_dataset_meta(dataset_meta)
                self._pairs.append(
                    draw_pair(visualizer, inputs, sample, self.score_thr,
                              self.height,
                              [*dataset_meta.get('classes', {}).values()]))

    @master_only
    def after_val_epoch(self,
                        runner: Runner,
                        metrics: Optional[dict] = None) -> None:
        """Hand the picture to the backends."""
        if self._pairs:
            picture = stack_pictures(self._pairs)[..., ::-1]
            runner.visualizer.add_image('val_poses', picture, runner.epoch)
