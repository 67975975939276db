"""Drawn people: a data set for pose estimation that needs no download.

Follow an image through the package: a body and its posture (``skeletons``),
its clothed parts (``figures``, ``heads``, ``parts``), the place (``scenes``),
the picture with its annotations (``images``), and the files (``dataset``).
"""
from .dataset import SPLITS, annotation_file, draw_dataset
from .images import draw_image

__all__ = ['SPLITS', 'annotation_file', 'draw_dataset', 'draw_image']
