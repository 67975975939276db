"""What a program must know to use a graph without anything else."""
import json
from typing import Any, Dict, Optional, Sequence, Tuple

from mmpose.models.pose_estimators.base import BasePoseEstimator

from ..data.fixed_size import PoseFixedResize
from ..version import __version__

# The test pipelines that a graph can describe.
PIPELINES = [['LoadPoseImage', resize, 'PackPoseInputs']
             for resize in ('PoseResize', 'PoseFixedResize')]


def describe(model: BasePoseEstimator,
             fixed_size: Optional[Sequence[int]] = None) -> Dict[str, str]:
    """Describe how images enter a model and what its outputs mean.

    Args:
        model (BasePoseEstimator): From :func:`load_model`.
        fixed_size (Sequence[int], optional): Width and height of the only
            images that the graph takes.

    Returns:
        dict[str, str]: JSON by name:

        - plugin: name and version of this package
        - mean, std: of the three channels, for pixels of 0 to 255
        - channel_order: 'rgb' or 'bgr'
        - resize: ``short_side`` and ``max_size`` of :class:`PoseResize`, or
          the ``frame`` (w, h) that images are fitted into, or the ``size``
          (w, h) that they get, whatever their aspect ratio
        - pad_divisor: what width and height are padded to a multiple of
        - dataset, keypoint_names, sigmas, skeleton (pairs of keypoints),
          keypoint_colors and link_colors (RGB)
        - categories: ``id`` and ``name`` of each class in the order of the
          labels, where classes are told apart
        - joint_mixture: weights and scales of the distribution of errors,
          where it is predicted, see :class:`JointScores`

    Raises:
        ValueError: If images enter the model in another way.
    """
    name = model.cfg.filename
    pipeline = model.cfg.test_dataloader.dataset.pipeline
    steps = [step['type'] for step in pipeline]
    if steps not in PIPELINES:
        raise ValueError(
            f'{name}: the test pipeline is {", ".join(steps)}, but a graph '
            f'can describe {" or ".join(map(", ".join, PIPELINES))} only. '
            'Set test_dataloader.dataset.pipeline to these.')
    resize: Dict[str, Any]
    size = network_size(model)
    if size is not None:
        resize = dict(size=list(fixed_size or size))
    elif fixed_size is not None:
        resize = dict(frame=list(fixed_size))
    else:
        resize = dict(
            short_side=pipeline[1]['short_side'],
            max_size=pipeline[1].get('max_size'))
        if not isinstance(resize['short_side'], int):
            raise ValueError(
                f'{name}: short_side of PoseResize in the test pipeline is '
                f'{resize["short_side"]}. Set one length.')

    preprocessor = model.data_preprocessor
    if not preprocessor._enable_normalize or preprocessor.pad_value != 0:
        raise ValueError(
            f'{name}: model.data_preprocessor must have `mean` and `std`, '
            'and a `pad_value` of 0.')
    meta = model.dataset_meta
    values = dict(
        plugin=f'grouppose-mmpose {__version__}',
        mean=preprocessor.mean.flatten().tolist(),
        std=preprocessor.std.flatten().tolist(),
        channel_order='rgb' if preprocessor._channel_conversion else 'bgr',
        resize=resize,
        pad_divisor=preprocessor.pad_size_divisor,
        dataset=meta['dataset_name'],
        keypoint_names=[
            meta['keypoint_id2name'][i] for i in range(meta['num_keypoints'])
        ],
        sigmas=[float(sigma) for sigma in meta['sigmas']],
        skeleton=[list(link) for link in meta['skeleton_links']],
        keypoint_colors=meta['keypoint_colors'].tolist(),
        link_colors=meta['skeleton_link_colors'].tolist())
    if 'classes' in meta:
        values['categories'] = [
            dict(id=i, name=name) for i, name in meta['classes'].items()
        ]
    joint_scores = getattr(model.head.decoder, 'joint_scores', None)
    if joint_scores is not None:
        values['joint_mixture'] = joint_scores.mixture.tolist()
    return {key: json.dumps(value) for key, value in values.items()}


def network_size(model: BasePoseEstimator) -> Optional[Tuple[int, int]]:
    """Width and height that the test pipeline gives every image, or None if
    they depend on the image."""
    for step in model.cfg.test_dataloader.dataset.pipeline:
        if step['type'] == 'PoseFixedResize':
            return PoseFixedResize(step['size']).size
    return None
