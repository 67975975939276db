"""Keypoint annotations as labeling tools write them, as COCO content.

Each format has one file here with ``matches``, which recognizes it by what is
in it, and ``read``. :func:`read_annotations` chooses among them.
"""
from .content import Converted
from .read import read_annotations

__all__ = ['Converted', 'read_annotations']
