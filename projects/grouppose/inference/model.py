"""A trained model from a config and a checkpoint, and what it predicts."""
from typing import List, Optional, Sequence, Union

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmpose.apis import init_model
from mmpose.models.pose_estimators.base import BasePoseEstimator
from mmpose.structures import PoseDataSample
from torch import nn

from ..checkpoints.fit import check_keypoints, read_fitting_weights
from ..checkpoints.mmengine_loading import executing_nothing
from ..config_file import errors_name, read_config
from ..data.metainfo import load_metainfo
from .speed import prepare_for_inference


def load_model(config: Union[str, Config],
               checkpoint: str,
               device: Optional[str] = None,
               prepare: bool = True) -> BasePoseEstimator:
    """Build a model and fill it with the weights of a checkpoint.

    Unlike MMPose's ``init_model``, it executes nothing that the checkpoint
    says, and takes only weights that fill the model exactly.

    Args:
        config (str | Config): Config of the model, its file, or its name, see
            :func:`projects.grouppose.config_path`.
        checkpoint (str): File with its weights, from training or from
            ``official_to_mmpose.py``.
        device (str, optional): Where it computes, e.g. 'cuda:1'. Defaults to
            the accelerator that training takes, or the CPU without one.
        prepare (bool): Make it faster by :func:`prepare_for_inference`,
            after which its weights are no longer those of the checkpoint.
            Set it to False to train or save the model. Defaults to True.

    Returns:
        BasePoseEstimator: The model in evaluation mode, with ``cfg`` and
        ``dataset_meta``.

    Raises:
        FileNotFoundError: If the config or checkpoint is missing.
        ValueError: If the config describes no model with a test pipeline, or
            the checkpoint cannot be read or does not fit the model.
    """
    name = config if isinstance(config, str) else config.filename
    if isinstance(config, str):
        config = read_config(config)
    for field in ('model', 'test_dataloader'):
        if not config.get(field):
            raise ValueError(f'{name}: `{field}` is missing. Give the config '
                             'that the model was trained with.')
    dataset = config.test_dataloader.dataset
    for field in ('pipeline', 'metainfo'):
        if not dataset.get(field):
            raise ValueError(
                f'{name}: `{field}` of test_dataloader.dataset is missing. '
                'Give it to PoseImageDataset rather than to the data set '
                'inside.')
    if device is None:
        device = get_device()
    with errors_name(name), executing_nothing():
        model = init_model(config, device=device)
        model.dataset_meta = _describe_keypoints(model, config)
        Compose(dataset.pipeline)  # as predict() will
    model.load_state_dict(read_fitting_weights(checkpoint, model, name))
    return prepare_for_inference(model) if prepare else model


def _describe_keypoints(model: nn.Module, config: Config) -> dict:
    """The metainfo of the keypoints that a model predicts."""
    codec = getattr(getattr(model, 'head', None), 'codec', None)
    evaluators = config.get('test_evaluator') or []
    if isinstance(evaluators, dict):
        evaluators = [evaluators]
    converted = any(
        evaluator.get('pred_converter') or evaluator.get('gt_converter')
        for evaluator in evaluators)
    own = getattr(codec, 'metainfo', None)
    if converted and own is not None:
        return own  # the data set has other keypoints
    described = load_metainfo(config.test_dataloader.dataset.metainfo)
    check_keypoints(model, described)
    return described


@torch.no_grad()
def predict(model: BasePoseEstimator,
            images: Sequence[np.ndarray]) -> List[PoseDataSample]:
    """Find the people in a batch of images.

    The images of a batch influence each other slightly through their
    padding, unless they have the same size.

    Args:
        model (BasePoseEstimator): From :func:`load_model`.
        images (Sequence[np.ndarray]): BGR, uint8, (H, W, 3), from
            :func:`read_image` or OpenCV.

    Returns:
        list[PoseDataSample]: For each image, with ``pred_instances`` of
        numpy arrays, best first: ``keypoints`` in pixels of the image
        (n, K, 2), ``keypoint_scores`` (n, K) and ``bbox_scores`` (n, ).
    """
    if not len(images):
        return []
    pipeline = Compose(model.cfg.test_dataloader.dataset.pipeline)
    data = [pipeline(dict(model.dataset_meta, img=image)) for image in images]
    return model.test_step(pseudo_collate(data))
