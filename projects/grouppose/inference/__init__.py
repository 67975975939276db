"""Poses of any image, without a data set::

    from projects.grouppose.inference import load_model, predict, read_image

    model = load_model('CONFIG.py', 'CHECKPOINT.pth')
    sample, = predict(model, [read_image('people.jpg')])

``sample.pred_instances`` then holds numpy arrays, best person first:
``keypoints`` (n, K, 2) in pixels of the image and ``bbox_scores`` (n, ).
``tools/infer.py`` does the same for folders, videos, cameras and URLs.
"""
from ..data.loading import read_image
from .datasets import DATASETS, DatasetFiles
from .model import check_keypoints, load_model, predict, read_fitting_weights
from .results import PictureFiles, PoseDrawer, ResultFile, coco_results
from .sources import ImageFile, Stream, Video, Webcam, find_sources
from .speed import prepare_for_inference

__all__ = [
    'DATASETS', 'DatasetFiles', 'ImageFile', 'PictureFiles', 'PoseDrawer',
    'ResultFile', 'Stream', 'Video', 'Webcam', 'check_keypoints',
    'coco_results', 'find_sources', 'load_model', 'predict',
    'prepare_for_inference', 'read_fitting_weights', 'read_image'
]
