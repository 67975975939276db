"""The methods of a comparison: their configs, at the size to measure them."""
from pathlib import Path
from typing import (Any, ContextManager, Dict, List, NamedTuple, Optional,
                    Sequence, Tuple)

from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope, init_default_scope
from mmpose.registry import DATASETS
from torch import nn

from ..benchmark.measure import shorten
from ..benchmark.methods import SPECIFICATION, build_model
from ..data.metainfo import load_metainfo
from .configs import (STRIDE, Size, check_file, find_size, multiple,
                      read_config, set_size, size_factor)
from .zoo import ZOO, find_entry

DEMO = 'mmpose::demo/mmdetection_cfg/'
DETECTORS = {
    'rtmdet-m': DEMO + 'rtmdet_m_640-8xb32_coco-person.py',
    'rtmdet-nano': DEMO + 'rtmdet_nano_320-8xb32_coco-person.py',
}
KINDS = dict(
    BottomupPoseEstimator='whole image', TopdownPoseEstimator='top-down')
# What heads take if test_cfg does not say it.
SCORE_THRESHOLDS = dict(CIDHead=0.01, RTMOHead=0.01, YOLOXPoseHead=0.01)


class Contender(NamedTuple):
    """A method to compare.

    Attributes:
        name (str): For the report, and no other method's.
        kind (str): 'whole image', 'top-down' or 'detector'.
        config (str): Its config file, relative to the current folder or to
            this repository, or ``mmpose::`` and the path of one of MMPose's.
        checkpoint (str, optional): Its weights. Random without.
        size (tuple[int]): Width and height of its input: of a crop, or that
            whole images are resized to, which may keep their aspect ratio.
    """
    name: str
    kind: str
    config: str
    checkpoint: Optional[str]
    size: Size

    def read(self) -> Config:
        """Read the config, with the pipelines and codecs for ``size``."""
        config = read_config(self.config)
        if self.size != find_size(config, self.kind):
            set_size(config, self.kind, self.size)
        return config

    def build(self, device: str) -> nn.Module:
        """Build the model, as before training or with its weights."""
        init_default_scope('mmpose')  # of what models look up as they run
        with self.scope():
            return build_model(self.read(), self.config, self.checkpoint,
                               device)

    def scope(self) -> ContextManager:
        """Where the modules of the config are looked up."""
        scope = 'mmdet' if self.kind == 'detector' else 'mmpose'
        return DefaultScope.overwrite_default_scope(scope)

    def metainfo(self) -> dict:
        """Description of the keypoints that it is tested on."""
        return load_metainfo(_metainfo_of(self.read()))

    def facts(self) -> Dict[str, Any]:
        """What of the config makes methods differ.

        Returns:
            dict: method, kind, config, checkpoint, input_size, flip_test,
            boxes ('given' or 'none'), nms, score_threshold, published_ap
            (0 to 1), published_source. JSON can hold it.
        """
        config = self.read()
        entry = find_entry(self.config)
        source = None
        if entry and entry.published_ap is not None:
            source = f'{entry.data}, {entry.source}'
        test_cfg = config.model.get('test_cfg') or {}
        return dict(
            method=self.name,
            kind=self.kind,
            config=self.config,
            checkpoint=self.checkpoint,
            input_size=list(self.size),
            flip_test=bool(test_cfg.get('flip_test', False)),
            boxes='given' if self.kind == 'top-down' else 'none',
            nms=_describe_nms(config),
            score_threshold=_score_threshold(config),
            published_ap=entry.published_ap if entry else None,
            published_source=source)


def find_contenders(
        texts: Sequence[str],
        size: Optional[Size] = None) -> Tuple[List[Contender], List[dict]]:
    """Read what ``CONFIG`` or ``CONFIG:CHECKPOINT`` mean.

    Args:
        texts (Sequence[str]): As on the command line: a config, or a name of
            the zoo. What is given twice is two methods, whose difference
            tells how far to trust others.
        size (tuple[int], optional): Width and height of the input of methods
            that take whole images, which is made a multiple of what they
            need. Defaults to that of their configs.

    Returns:
        tuple: The methods that can be read (list[Contender]), and a row with
        method, config, checkpoint and failed (list[dict]) for each that
        cannot.
    """
    configs = {name: entry.config for name, entry in ZOO.items()}
    contenders, failed, seen = [], [], {}
    for text in texts:
        config, checkpoint = _split(text, configs)
        name = text[:-len(checkpoint) - 1] if checkpoint else text
        name = name if name in ZOO else Path(config).stem
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            name = f'{name} ({seen[name]})'
        try:
            contenders.append(_make_contender(name, config, checkpoint, size))
        except Exception as error:  # a config is a program
            failed.append(
                dict(
                    method=name,
                    config=config,
                    checkpoint=checkpoint,
                    failed=shorten(error)))
    return contenders, failed


def find_detector(text: str = 'rtmdet-m',
                  size: Optional[Size] = None) -> Contender:
    """The detector that finds the boxes for top-down methods.

    Args:
        text (str): ``CONFIG`` or ``CONFIG:CHECKPOINT`` of MMDetection, or a
            name in :data:`DETECTORS`. Defaults to 'rtmdet-m'.
        size (tuple[int], optional): Width and height of its input. Defaults
            to that of its config.

    Raises:
        ValueError: If it cannot be read.
    """
    config, checkpoint = _split(text, DETECTORS)
    try:
        content = read_config(config)
        check_file(checkpoint)
        size = multiple(size, STRIDE) if size else find_size(
            content, 'detector')
    except Exception as error:  # a config is a program
        raise ValueError(f'detector {config}: {shorten(error)}') from error
    short = {path: name for name, path in DETECTORS.items()}
    name = short.get(config, Path(config).stem)
    return Contender(f'detector {name}', 'detector', config, checkpoint, size)


def _split(text: str, names: Dict[str, str]) -> Tuple[str, Optional[str]]:
    """Config and checkpoint, with a name replaced by its config."""
    config, checkpoint = SPECIFICATION.fullmatch(text).group(
        'config', 'checkpoint')
    return names.get(config, config), checkpoint


def _make_contender(name: str, config: str, checkpoint: Optional[str],
                    size: Optional[Size]) -> Contender:
    content = read_config(config)
    check_file(checkpoint)
    kind = KINDS.get(content.model.type)
    if kind is None:
        raise ValueError(f'model.type is {content.model.type}; compared are '
                         f'{" and ".join(KINDS)}')
    own = find_size(content, kind)
    if size is None or kind == 'top-down':
        size = own
    else:
        size = multiple(size, size_factor(content))
    return Contender(name, kind, config, checkpoint, size)


def _metainfo_of(config: Config) -> ConfigDict:
    dataset = config.test_dataloader.dataset
    return dataset.get('metainfo') or DATASETS.get(dataset.type).METAINFO


def _test_cfg(config: Config) -> dict:
    """What a model does with its outputs, of a detector with two stages the
    second."""
    test_cfg = config.model.get('test_cfg') or {}
    return test_cfg.get('rcnn', test_cfg)


def _describe_nms(config: Config) -> str:
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
    evaluators = config.test_evaluator
    if isinstance(evaluators, dict):
        evaluators = [evaluators]
    # The first one tells the AP.
    metric = next((x for x in evaluators if x.type.endswith('CocoMetric')), {})
    mode = metric.get('nms_mode', 'oks_nms')
    if metric and mode != 'none':
        kind = 'OKS' if mode == 'oks_nms' else 'soft OKS'
        steps.append(f'{kind}-NMS {metric.get("nms_thr", 0.9)} in the metric')
    return ', '.join(steps) or 'none'


def _score_threshold(config: Config) -> Optional[float]:
    """Least score of a person, None if all are kept."""
    test_cfg = _test_cfg(config)
    head = config.model.get('head') or {}
    if head.get('type') == 'DEKRHead':
        return head.decoder.get('decode_thr', 0.01)
    for name in ('score_thr', 'score_threshold'):
        if name in test_cfg:
            return test_cfg[name]
    return SCORE_THRESHOLDS.get(head.get('type'))
