"""Other light and other colors."""
from typing import List, Tuple

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmpose.registry import TRANSFORMS
from PIL import Image
from torchvision.transforms import functional


@TRANSFORMS.register_module()
class PoseColorJitter(BaseTransform):
    """Change brightness, contrast, saturation and hue, in random order.

    It does to the image what torchvision's ``ColorJitter`` does, but draws
    from numpy's generator, like all transforms here. (MMPose's and mmdet's
    ``PhotometricDistortion`` compute and draw otherwise.)

    Args:
        brightness (float): The factor is drawn from 1 minus this to 1 plus
            this. Defaults to 0.4.
        contrast (float): Likewise.
        saturation (float): Likewise.
        hue (float): Largest shift, in turns of the color circle, at most
            0.5. Defaults to 0.4.
        prob (float): Probability of a change at all. Defaults to 0.5.

    Raises:
        ValueError: If a range would pass what has a meaning.
    """

    def __init__(self,
                 brightness: float = 0.4,
                 contrast: float = 0.4,
                 saturation: float = 0.4,
                 hue: float = 0.4,
                 prob: float = 0.5):
        self.factors = dict(
            brightness=brightness, contrast=contrast, saturation=saturation)
        self.hue = hue
        self.prob = prob
        if not all(0 <= value <= 1 for value in self.factors.values()) \
                or not 0 <= hue <= 0.5:
            raise ValueError(
                'PoseColorJitter: brightness, contrast and saturation must '
                f'lie in [0, 1] and hue in [0, 0.5], got {self.factors} and '
                f'{hue}.')

    @cache_randomness
    def _choose(self) -> List[Tuple[str, float]]:
        """Which changes, one after another, and by how much."""
        if np.random.rand() >= self.prob:
            return []
        changes = [(name, np.random.uniform(1 - width, 1 + width))
                   for name, width in self.factors.items()]
        changes.append(('hue', np.random.uniform(-self.hue, self.hue)))
        return [changes[i] for i in np.random.permutation(len(changes))]

    def transform(self, results: dict) -> dict:
        """Change the colors of one image."""
        changes = self._choose()
        if changes:
            rgb = np.ascontiguousarray(results['img'][..., ::-1])
            image = Image.fromarray(rgb)
            for name, amount in changes:
                image = getattr(functional, f'adjust_{name}')(image, amount)
            results['img'] = np.ascontiguousarray(np.asarray(image)[..., ::-1])
        return results
