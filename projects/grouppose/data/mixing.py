"""What transforms share that put people of other images into an image."""
import itertools
from typing import Any, Dict, Sequence

import numpy as np
from mmcv.transforms import BaseTransform, Compose
from mmengine.config import ConfigDict

from .results import INSTANCE_KEYS


class MixingTransform(BaseTransform):
    """Base class of transforms that need other images of the data set.

    Args:
        pre_transform (Sequence[dict]): Transforms that load and filter the
            other images; the same as those before this one.
    """

    def __init__(self, pre_transform: Sequence[ConfigDict]):
        self.pre_transform = Compose(pre_transform)

    def load_another(self, results: dict) -> dict:
        """Any image of the data set, loaded.

        Args:
            results (dict): The image that the other one is for.

        Returns:
            dict: What transforms hand on.

        Raises:
            ValueError: If the image is not one of a data set.
        """
        dataset = results.get('dataset')
        if dataset is None:
            raise ValueError(
                f'{results.get("img_path")}: {type(self).__name__} needs the '
                'data set of the image in `dataset`, where MMPose puts it. '
                'Use it in the pipeline of a training data set only.')
        loaded = None
        while loaded is None:  # LoadPoseImage may pass over broken files
            index = np.random.randint(len(dataset))
            info = dict(dataset.get_data_info(index), dataset=dataset)
            loaded = self.pre_transform(info)
        return loaded


def unite_people(parts: Sequence[dict]) -> dict:
    """The values for each person of all images, one image after another.

    Args:
        parts (Sequence[dict]): What transforms hand on, of each image.

    Returns:
        dict: The keys for each instance that all of them have.
    """
    people: Dict[str, Any] = {}
    for key in INSTANCE_KEYS:
        if all(key in part for part in parts):
            values = [part[key] for part in parts]
            people[key] = np.concatenate(values) if isinstance(
                values[0], np.ndarray) else [*itertools.chain(*values)]
    return people


def forget_masks(results: dict, touched: Sequence[bool]) -> None:
    """Take masks that no longer fit out of the annotations, in place.

    Args:
        results (dict): What transforms hand on.
        touched (Sequence[bool]): Whose masks, one for each person.
    """
    if 'raw_ann_info' in results:
        results['raw_ann_info'] = [
            dict(ann, segmentation=[]) if gone else ann
            for ann, gone in zip(results['raw_ann_info'], touched)
        ]
