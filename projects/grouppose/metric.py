"""Evaluation of data sets whose categories need not be told apart."""
from mmpose.evaluation import CocoMetric
from mmpose.registry import METRICS

from .data.annotations import merge_categories


@METRICS.register_module()
class ClassAgnosticCocoMetric(CocoMetric):
    """MMPose's ``CocoMetric`` with all categories taken for one.

    AP and AR are over all instances. ``CocoMetric`` averages them over the
    categories instead, and counts no detection that does not name the right
    one. Crowd regions are ignored as ever.

    Args:
        kwargs: Arguments of ``CocoMetric``.
    """

    def _do_python_keypoint_eval(self, outfile_prefix: str) -> list:
        """Merge the categories of the annotations, then evaluate."""
        merge_categories(self.coco.dataset)
        self.coco.createIndex()
        return super()._do_python_keypoint_eval(outfile_prefix)
