"""From the keypoints of one data set to those of another, so that data sets
can be mixed."""
from collections import defaultdict
from typing import Dict, List, Optional, Sequence

import numpy as np
from mmpose.datasets.transforms import KeypointConverter as _KeypointConverter
from mmpose.registry import TRANSFORMS


@TRANSFORMS.register_module(force=True)
class KeypointConverter(_KeypointConverter):
    """MMPose's ``KeypointConverter``, with the right ``flip_indices``.

    It has the place of MMPose's in the registry: there, ``flip_indices`` stay
    those of the source, or become wrong for means of two keypoints, unless a
    ``CombinedDataset`` replaces them later. Here they follow from the mapping
    and those of the source: two converted keypoints trade places in a flip
    if what they are made of does.

    ``flip_indices`` is None for a keypoint whose mirror image is not among
    the converted ones, e.g. of a left wrist without the right one. The
    metainfo of a ``CombinedDataset`` says what to do with it.

    Images without annotations pass, as an evaluation has them.

    Args:
        num_keypoints (int): Number of converted keypoints.
        mapping (list[tuple]): (source index, index) for each keypoint that
            the source has; for the mean of two, ((source index, source
            index), index). All others become unlabeled.
    """

    def transform(self, results: dict) -> dict:
        """Convert the people of an image."""
        order = results.get('flip_indices')
        if 'keypoints' in results:
            # MMPose's changes the list.
            copied = None if order is None else list(order)
            results = super().transform(dict(results, flip_indices=copied))
            if self.interpolation:
                # It is the product of two: 4 where both can be seen, 2 where
                # one is hidden, 1 where both are.
                visible = results['keypoints_visible']
                results['keypoints_visible'] = np.where(
                    visible > 1, visible / 2, visible)
        if order is not None:
            results['flip_indices'] = self._flip_indices(order)
        return results

    def _flip_indices(self, order: Sequence[int]) -> List[Optional[int]]:
        """Where each converted keypoint is taken from in a mirror image.

        Args:
            order (Sequence[int]): The same for the keypoints of the source.
        """
        second = self.source_index2 if hasattr(
            self, 'source_index2') else self.source_index
        sources = [frozenset(pair) for pair in zip(self.source_index, second)]
        targets: Dict[frozenset, List[int]] = defaultdict(list)
        for source, target in zip(sources, self.target_index):
            targets[source].append(target)
        flipped: List[Optional[int]] = list(range(self.num_keypoints))
        for source, ours in targets.items():
            others = targets.get(frozenset(order[i] for i in source), [])
            # Several keypoints may be made of the same ones.
            for i, target in enumerate(ours):
                flipped[target] = others[i] if i < len(others) else None
        return flipped
