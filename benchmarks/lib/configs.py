"""Configs of this repository, MMPose and MMDetection: where they are, their
models, the size of the images, and how they choose people."""
import copy
from importlib import import_module
from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmpose.registry import MODELS
from torch import nn

from projects.grouppose.data.fixed_size import PoseFixedResize

from .machine import ROOT

WHOLE_IMAGE, TOP_DOWN, DETECTOR = 'whole image', 'top-down', 'detector'
STRIDE = 32  # of the coarsest maps: sides of images are a multiple of it
# What heads take if test_cfg does not say it.
SCORE_THRESHOLDS = dict(CIDHead=0.01, RTMOHead=0.01, YOLOXPoseHead=0.01)
Size = Tuple[int, int]


def check_file(path: Optional[str]) -> None:
    """Raise a FileNotFoundError if a path is given and no file."""
    if path and not Path(path).is_file():
        raise FileNotFoundError(f'{path}: no such file or name')


def read_config(name: str) -> Config:
    """Read a config of this repository, of MMPose, or of MMPose's demo.

    In those of ``benchmarks/configs``, a model may be that of another config,
    ``base``, with some ``changes`` by their path in the model.
    """
    config = Config.fromfile(_find_config(name))
    model = config.get('model', {})
    if 'base' in model:
        config.model = read_config(model.base).model
        drop_pretrained(config.model)
        config.model.data_preprocessor.pop('batch_augments', None)
        config.merge_from_dict({
            f'model.{path}': x
            for path, x in model.changes.items()
        })
    return config


def _find_config(name: str) -> Path:
    """The file of a config."""
    package, _, relative = name.rpartition('::')
    if package:
        # Not by MMEngine, which reads all metafiles first.
        wheel = Path(import_module(package).__file__).parent / '.mim'
        folder = 'configs' if (wheel / 'configs' / relative).is_file() else ''
        path = wheel / folder / relative
    else:
        path = Path(name) if Path(name).is_file() else ROOT / name
    check_file(str(path) if path.is_file() else name)
    return path


def build_model(config: Config) -> nn.Module:
    """Build the model of a config in the current scope, with random weights
    and without a download."""
    # Initialization and optimizers list every parameter, frozen ones as
    # warnings.
    MMLogger.get_current_instance().setLevel('ERROR')
    model_config = copy.deepcopy(config.model)
    drop_pretrained(model_config)
    # Images of other sizes than asked for, during training.
    model_config.data_preprocessor.pop('batch_augments', None)
    torch.manual_seed(0)
    # The same on one device, and a CPU has only these.
    model = revert_sync_batchnorm(MODELS.build(model_config))
    model.init_weights()
    return model


def _children(config: Any) -> Sequence:
    """What a part of a config holds."""
    if isinstance(config, dict):
        return list(config.values())
    return config if isinstance(config, (list, tuple)) else ()


def drop_pretrained(config: Any) -> None:
    """Forget, anywhere in a config, weights that would be downloaded."""
    if isinstance(config, dict):
        init = config.get('init_cfg') or {}
        for one in init if isinstance(init, (list, tuple)) else [init]:
            if one.get('type') == 'Pretrained':
                config.pop('init_cfg', None)
    for child in _children(config):
        drop_pretrained(child)


def _resizing(config: Config, kind: str) -> ConfigDict:
    """The transform that sets the size of what the model gets."""
    types = ('PoseResize', 'PoseFixedResize', 'BottomupResize',
             'TopdownAffine')
    if kind == DETECTOR:
        types = ('Resize', )
    for transform in config.test_dataloader.dataset.pipeline:
        if transform.type.split('.')[-1] in types:
            return transform
    raise ValueError('the test pipeline has none of ' + ', '.join(types))


def find_size(config: Config, kind: str) -> Size:
    """Width and height that the test pipeline resizes to."""
    resizing = _resizing(config, kind)
    if resizing.type == 'PoseResize':
        return resizing.max_size, resizing.short_side
    if resizing.type == 'PoseFixedResize':
        return PoseFixedResize(resizing['size']).size
    return tuple(resizing['scale' if kind == DETECTOR else 'input_size'])


def fit_size(config: Config, kind: str, size: Size) -> Size:
    """The least size that is not smaller, and that the model can take."""
    resizing = _resizing(config, kind)
    factor = 1
    if resizing.type != 'PoseResize':
        factor = resizing.get('size_factor', STRIDE)
    return tuple(factor * -(-side // factor) for side in size)


def set_size(config: Config, kind: str, size: Size) -> None:
    """Resize to another size, in all pipelines and codecs."""
    resizing = _resizing(config, kind)
    if kind == DETECTOR:
        for transform in config.test_dataloader.dataset.pipeline:
            for name in {'scale', 'size'} & transform.keys():
                transform[name] = size
    elif resizing.type == 'PoseResize':
        resizing.update(max_size=max(size), short_side=min(size))
    elif resizing.type == 'PoseFixedResize':
        resizing['size'] = size
    else:
        for part in ('model', 'test_dataloader', 'train_dataloader'):
            _replace_input_size(config.get(part), size)


def _replace_input_size(config: Any, size: Size) -> None:
    """Replace all ``input_size``, and ``heatmap_size`` in proportion."""
    if isinstance(config, dict) and 'input_size' in config:
        if 'heatmap_size' in config:
            scale = np.divide(config['heatmap_size'], config['input_size'])
            config['heatmap_size'] = tuple(
                np.rint(scale * size).astype(int).tolist())
        config['input_size'] = size
    for child in _children(config):
        _replace_input_size(child, size)


def evaluators_of(config: Config, split: str = 'test') -> List[dict]:
    """The evaluators of a config, if there are several or one."""
    evaluators = config.get(f'{split}_evaluator', [])
    return [evaluators] if isinstance(evaluators, dict) else evaluators


def _test_cfg(config: Config) -> dict:
    """What a model does with its outputs, of a detector with two stages the
    second."""
    test_cfg = config.model.get('test_cfg') or {}
    return test_cfg.get('rcnn', test_cfg)


def describe_nms(config: Config) -> str:
    """How people who are found twice are removed."""
    test_cfg = _test_cfg(config)
    if config.get('default_scope') == 'mmdet':  # whose metric has none
        of_boxes = test_cfg.get('nms')
        return f'NMS {of_boxes.iou_threshold}' if of_boxes else 'none'
    steps = []
    if test_cfg.get('nms_thr', 1) < 1:
        steps.append(f'NMS {test_cfg.nms_thr}')
    if 'nms_dist_thr' in test_cfg:
        steps.append(f'NMS of poses {test_cfg.nms_dist_thr}')
    # The first one tells the AP.
    metric = next(
        (x for x in evaluators_of(config) if x.type.endswith('CocoMetric')),
        {})
    mode = metric.get('nms_mode', 'oks_nms')
    if metric and mode != 'none':
        kind = 'OKS' if mode == 'oks_nms' else 'soft OKS'
        steps.append(f'{kind}-NMS {metric.get("nms_thr", 0.9)} in the metric')
    return ', '.join(steps) or 'none'


def score_threshold(config: Config) -> Optional[float]:
    """Least score of a person, None if all are kept."""
    test_cfg = _test_cfg(config)
    head = config.model.get('head') or {}
    if head.get('type') == 'DEKRHead':
        return head.decoder.get('decode_thr', 0.01)
    for name in ('score_thr', 'score_threshold'):
        if name in test_cfg:
            return test_cfg[name]
    return SCORE_THRESHOLDS.get(head.get('type'))
