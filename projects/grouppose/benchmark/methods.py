"""Models to measure and what to feed them: images and people made up."""
import copy
import re
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import mmpose.engine  # noqa: F401  (registers what configs name)
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.hub import get_config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, MODELS
from mmpose.structures import PoseDataSample
from mmpose.structures.bbox import bbox_xyxy2corner
from torch import nn

from ..data.metainfo import load_metainfo
from ..inference import read_fitting_weights

SPECIFICATION = re.compile(r'(?P<config>(\w+::)?.+?)(:(?P<checkpoint>[^:]+))?')


class Method(NamedTuple):
    """A model to measure.

    Attributes:
        name (str): For the report.
        config (str): Its config file, or ``mmpose::`` and the path of one of
            MMPose's own.
        checkpoint (str, optional): Its weights. Random without.
        size (tuple[int]): Width and height of its input images.
    """
    name: str
    config: str
    checkpoint: Optional[str]
    size: Tuple[int, int]

    def read(self) -> Config:
        """Read the config."""
        if '::' in self.config:
            return get_config(self.config)
        return Config.fromfile(self.config)

    def build(self, device: str) -> nn.Module:
        """Build the model, as before training or with its weights."""
        init_default_scope('mmpose')
        return build_model(self.read(), self.config, self.checkpoint, device)


def build_model(config: Config, name: str, checkpoint: Optional[str],
                device: str) -> nn.Module:
    """Build the model of a config, without a download.

    Args:
        config (Config): Of a model whose modules the current scope knows.
        name (str): Its name, for messages.
        checkpoint (str, optional): Its weights. Random without.
        device (str): Where it computes.

    Returns:
        nn.Module: In evaluation mode.
    """
    # Initialization and optimizers list every parameter, frozen ones as
    # warnings.
    MMLogger.get_current_instance().setLevel('ERROR')
    model_config = copy.deepcopy(config.model)
    _drop_pretrained(model_config)
    # Images of other sizes than asked for, during training.
    model_config.data_preprocessor.pop('batch_augments', None)
    torch.manual_seed(0)
    # The same on one device, and a CPU has only these.
    model = revert_sync_batchnorm(MODELS.build(model_config))
    model.init_weights()
    if checkpoint:
        model.load_state_dict(read_fitting_weights(checkpoint, model, name))
    return model.to(device).eval()


def find_methods(texts: Sequence[str],
                 size: Optional[Tuple[int, int]] = None) -> List[Method]:
    """Read what ``CONFIG`` or ``CONFIG:CHECKPOINT`` mean.

    Args:
        texts (Sequence[str]): As on the command line. What is given twice is
            two methods, whose times tell how far to trust a difference.
        size (tuple[int], optional): Width and height of the input. Defaults
            to the largest that a config tests with, in landscape format.

    Returns:
        list[Method]: Whose configs can be read, with names of their own.

    Raises:
        ValueError: If a file is missing, or a config is none of a model that
            takes whole images.
    """
    methods = []
    for text in texts:
        method = _find_method(text, size)
        twins = sum(other.config == method.config for other in methods)
        if twins:
            method = method._replace(name=f'{method.name} ({twins + 1})')
        methods.append(method)
    return methods


def make_images(method: Method, batch_size: int) -> dict:
    """A batch of random images as a data loader collates it for a test."""
    random = np.random.RandomState(0)
    width, height = method.size
    size = np.float32(method.size)
    meta = dict(
        img_shape=(height, width),
        ori_shape=(height, width),
        input_size=size,
        input_scale=size,
        input_center=size / 2,
        img_path='random')
    return dict(
        inputs=[
            torch.from_numpy(
                random.randint(0, 256, (3, height, width)).astype(np.uint8))
            for _ in range(batch_size)
        ],
        data_samples=[
            PoseDataSample(metainfo=dict(meta)) for _ in range(batch_size)
        ])


def make_training_batch(method: Method, batch_size: int, people: int) -> dict:
    """A batch of random images and people, with the config's own targets.

    The last two transforms of every training pipeline, ``GenerateTarget``
    and ``PackPoseInputs``, make it.

    Args:
        method (Method): Whose config is used.
        batch_size (int): Number of images.
        people (int): Number of people on each.

    Returns:
        dict: As a data loader collates it.

    Raises:
        RuntimeError: If the config is for evaluation only.
    """
    init_default_scope('mmpose')
    config = _read_for_training(method)
    pipeline = [
        transform for transform in config.train_dataloader.dataset.pipeline
        if transform.type in ('GenerateTarget', 'PackPoseInputs')
    ]
    make = Compose(pipeline)
    metainfo = _metainfo(config)
    random = np.random.RandomState(0)
    samples = []
    for _ in range(batch_size):
        sample = _random_people(random, method.size, people, metainfo)
        if _keeps_corners(config):
            sample['bbox'] = bbox_xyxy2corner(sample['bbox'])
        samples.append(make(sample))
    return pseudo_collate(samples)


def make_optimizer(method: Method, model: nn.Module,
                   precision: str) -> OptimWrapper:
    """The optimizer of the config, in one of the precisions.

    Raises:
        RuntimeError: If the config is for evaluation only.
    """
    settings = _read_for_training(method).optim_wrapper
    if precision == 'fp16':
        settings.update(
            type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic')
    elif precision == 'bf16':
        settings.update(type='BFloat16OptimWrapper')
    return build_optim_wrapper(model, settings)


def _drop_pretrained(config: Any) -> None:
    """Forget, anywhere in a config, weights that would be downloaded."""
    if isinstance(config, dict):
        if _is_pretrained(config.get('init_cfg')):
            del config['init_cfg']
        children = config.values()
    elif isinstance(config, (list, tuple)):
        children = config
    else:
        return
    for child in children:
        _drop_pretrained(child)


def _is_pretrained(init_cfg: Any) -> bool:
    if isinstance(init_cfg, (list, tuple)):
        return any(map(_is_pretrained, init_cfg))
    return bool(init_cfg) and init_cfg.get('type') == 'Pretrained'


def _find_method(text: str, size: Optional[Tuple[int, int]]) -> Method:
    """One of :func:`find_methods`."""
    config, checkpoint = SPECIFICATION.fullmatch(text).group(
        'config', 'checkpoint')
    method = Method(Path(config).stem, config, checkpoint, size)
    for path in (config, checkpoint):
        if path and '::' not in path and not Path(path).is_file():
            raise ValueError(f'{path}: no such file')
    try:
        content = method.read()
        kind = content.model.type
    except Exception as error:  # a config is a program
        raise ValueError(f'{config}: cannot be read as a config of a model: '
                         f'{type(error).__name__}: {error}') from error
    if kind != 'BottomupPoseEstimator':
        raise ValueError(f'{config}: model.type is {kind}; only a '
                         'BottomupPoseEstimator takes whole images')
    return method._replace(size=tuple(size or _test_size(content, config)))


def _test_size(config: Config, name: str) -> Tuple[int, int]:
    """Width and height of the largest landscape image in the test."""
    for transform in config.test_dataloader.dataset.pipeline:
        if 'input_size' in transform:
            return transform['input_size']
        if transform.type == 'PoseResize':
            return transform.max_size, transform.short_side
    raise ValueError(f'{name}: the test pipeline does not say the size of '
                     'its images. Give --size W H')


def _read_for_training(method: Method) -> Config:
    """Read the config of a method that can be trained."""
    config = method.read()
    if not config.get('train_dataloader'):
        raise RuntimeError('evaluation only: no train_dataloader in its '
                           'config')
    return config


def _metainfo(config: Config) -> dict:
    """Description of the keypoints that the config trains with."""
    dataset = config.train_dataloader.dataset
    of_class = getattr(DATASETS.get(dataset.type), 'METAINFO', None)
    return load_metainfo(dataset.get('metainfo') or of_class)


def _keeps_corners(config: Config) -> bool:
    """Whether boxes are four corners, (n, 4, 2), when targets are made."""
    return any(transform.type == 'BottomupRandomAffine'
               and transform.get('bbox_keep_corner', True)
               for transform in config.train_dataloader.dataset.pipeline)


def _random_people(random: np.random.RandomState, size: Tuple[int, int],
                   people: int, metainfo: dict) -> dict:
    """What a data set and its augmentation know about an image."""
    num_keypoints = len(metainfo['sigmas'])
    width, height = size
    sides = np.float32(size) * random.uniform(0.1, 0.4, (people, 2))
    corners = random.uniform(0, 1, (people, 2)) * (np.float32(size) - sides)
    inside = random.uniform(0, 1, (people, num_keypoints, 2))
    keypoints = corners[:, None] + inside * sides[:, None]
    return dict(
        img=random.randint(0, 256, (height, width, 3)).astype(np.uint8),
        img_path='random',
        img_id=0,
        id=list(range(people)),
        ori_shape=(height, width),
        img_shape=(height, width),
        input_size=np.float32(size),
        input_scale=np.float32(size),
        input_center=np.float32(size) / 2,
        keypoints=keypoints.astype(np.float32),
        keypoints_visible=np.ones((people, num_keypoints), np.float32),
        bbox=np.concatenate([corners, corners + sides], 1).astype(np.float32),
        bbox_score=np.ones(people, np.float32),
        area=sides.prod(1).astype(np.float32) * 0.53,
        category_id=np.ones(people, np.int64),
        dataset_keypoint_weights=np.ones(num_keypoints, np.float32),
        flip_indices=metainfo['flip_indices'])
