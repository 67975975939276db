"""Predicted poses, drawn on the images that the network saw."""
import os.path as osp
from collections import Counter
from typing import Sequence

from mmengine.runner import Runner
from mmpose.engine.hooks import PoseVisualizationHook
from mmpose.registry import HOOKS
from mmpose.structures import PoseDataSample
from torch import Tensor

from ..visualization import input_image, to_input


@HOOKS.register_module()
class InputVisualizationHook(PoseVisualizationHook):
    """MMPose's ``PoseVisualizationHook``, drawing on what the network saw.

    MMPose's reads each file again by rules of its own: from the local disk,
    and turned by its EXIF orientation, which the data sets here do not
    follow. It fails where the pipeline reads images from elsewhere, e.g. from
    LMDB, and shows poses beside the people of turned images.

    Pictures have the size of the network's input. With ``out_dir``, a name
    below the run's folder in the work dir, they go there as
    ``{name of the image}_{number}.png``, in validation, too.

    Args:
        kwargs: Arguments of ``PoseVisualizationHook``; ``backend_args`` has
            no effect.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._counts: Counter[str] = Counter()  # of pictures by name

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict,
                       outputs: Sequence[PoseDataSample]) -> None:
        """Draw the first image of every ``interval``-th batch."""
        step = runner.iter + batch_idx
        if self.enable and step % self.interval == 0:
            self._visualizer.set_dataset_meta(
                runner.val_evaluator.dataset_meta)
            self._draw(runner, 'val_img', data_batch['inputs'][0], outputs[0],
                       step)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict,
                        outputs: Sequence[PoseDataSample]) -> None:
        """Draw all images."""
        if not self.enable:
            return
        self._visualizer.set_dataset_meta(runner.test_evaluator.dataset_meta)
        for inputs, sample in zip(data_batch['inputs'], outputs):
            self._test_index += 1
            self._draw(runner, 'test_img', inputs, sample, self._test_index)

    def _draw(self, runner: Runner, name: str, inputs: Tensor,
              sample: PoseDataSample, step: int) -> None:
        """Draw the predictions of an image."""
        instances = sample.pred_instances.clone()
        instances.keypoints = to_input(instances.keypoints, sample.metainfo)
        if 'bboxes' in instances:
            corners = instances.bboxes.reshape(-1, 2, 2)
            instances.bboxes = to_input(corners,
                                        sample.metainfo).reshape(-1, 4)
        drawn = PoseDataSample(pred_instances=instances)
        if 'pred_fields' in sample:
            drawn.pred_fields = sample.pred_fields

        stem = osp.splitext(osp.basename(sample.img_path))[0]
        out_file = None
        if self.out_dir is not None:
            out_file = osp.join(runner.work_dir, runner.timestamp,
                                self.out_dir,
                                f'{stem}_{self._counts[stem]}.png')
            self._counts[stem] += 1
        self._visualizer.add_datasample(
            stem if self.show else name,
            input_image(inputs)[..., ::-1],
            drawn,
            draw_gt=False,
            draw_bbox=True,
            draw_heatmap=True,
            show=self.show,
            wait_time=self.wait_time,
            kpt_thr=self.kpt_thr,
            out_file=out_file,
            step=step)
