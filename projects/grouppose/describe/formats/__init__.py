"""Keypoint annotations as labeling tools write them, as COCO content.

Each format has one file here with ``matches``, which recognizes it by what is
in it, and ``read``. :func:`read_labels` chooses among them.
"""
from .content import Converted
from .read import read_labels

__all__ = ['Converted', 'read_labels']
