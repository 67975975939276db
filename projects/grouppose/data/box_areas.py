"""Areas of people whose annotation has none."""
import numpy as np
from mmcv.transforms import BaseTransform
from mmpose.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PoseBoxAreas(BaseTransform):
    """Take a share of the box for the area of people without an annotated one.

    It follows :class:`PoseInstanceFilter`, which takes the whole box, as
    Group Pose does.

    Args:
        share (float): Defaults to 0.53, that of the official DETRPose and of
            COCO's evaluation.
    """

    def __init__(self, share: float = 0.53):
        self.share = share

    def transform(self, results: dict) -> dict:
        """Set the areas of one image."""
        annotations = results.get('raw_ann_info')
        if annotations:
            missing = np.array(['area' not in ann for ann in annotations])
            sides = results['bbox'][:, 2:] - results['bbox'][:, :2]
            results['area'] = np.where(missing, self.share * sides.prod(1),
                                       results['area']).astype(np.float32)
        return results
