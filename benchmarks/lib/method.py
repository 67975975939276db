"""Methods of pose estimation: configs with or without weights, by name or by
file, at the size to measure them."""
import copy
import re
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ContextManager, Dict, List, Optional, Sequence, Tuple

import mmpose.engine  # noqa: F401  (registers what configs name)
import yaml
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope
from mmpose.registry import DATASETS
from torch import nn

from projects.grouppose.data.metainfo import load_metainfo
from projects.grouppose.inference import read_fitting_weights

from .configs import (DETECTOR, TOP_DOWN, WHOLE_IMAGE, Size, build_model,
                      check_file, describe_nms, find_size, fit_size,
                      read_config, score_threshold, set_size)
from .turns import shorten

KINDS = dict(
    BottomupPoseEstimator=WHOLE_IMAGE,
    PartlyTrainedEstimator=WHOLE_IMAGE,
    TopdownPoseEstimator=TOP_DOWN)
SPECIFICATION = re.compile(r'(?P<config>(\w+::)?.+?)(:(?P<checkpoint>[^:]+))?')

CONTENT = yaml.safe_load(Path(__file__).with_name('zoo.yml').read_text())
DETECTORS: Dict[str, str] = CONTENT['detectors']
# By name: config, published_ap (0 to 1, or None) and published_source.
ZOO = {
    name:
    dict(
        config=entry['config'],
        published_ap=entry.get('ap'),
        published_source=f'{data}, {source}' if 'ap' in entry else None)
    for data, sources in CONTENT['methods'].items()
    for source, entries in sources.items()
    for name, entry in entries.items()
}


@dataclass(frozen=True, eq=False)
class Method:
    """A method to measure.

    Attributes:
        name (str): For the report, and no other method's.
        kind (str): 'whole image', 'top-down' or 'detector'.
        config (str): Its config file, relative to the current folder or to
            this repository, or ``mmpose::`` and the path of one of MMPose's.
        checkpoint (str, optional): Its weights. Random without.
        size (tuple[int]): Width and height of its input: of a crop, or that
            whole images are resized to, which may keep their aspect ratio.
        options (dict): Other settings of the config, by their path.
    """
    name: str
    kind: str
    config: str
    checkpoint: Optional[str]
    size: Size
    options: dict = field(default_factory=dict)

    def read(self) -> Config:
        """Read the config, with the pipelines and codecs for ``size``."""
        config = read_config(self.config)
        if self.size != find_size(config, self.kind):
            set_size(config, self.kind, self.size)
        config.merge_from_dict(copy.deepcopy(self.options))
        return config

    def build(self, device: str = 'cpu') -> nn.Module:
        """Build the model for evaluation, with its weights or as before
        training."""
        init_default_scope('mmpose')  # of what models look up as they run
        with self.scope():
            model = build_model(self.read())
        if self.checkpoint:
            model.load_state_dict(
                read_fitting_weights(self.checkpoint, model, self.config))
        return model.to(device).eval()

    def scope(self) -> ContextManager:
        """Where the modules of the config are looked up."""
        scope = 'mmdet' if self.kind == DETECTOR else 'mmpose'
        return DefaultScope.overwrite_default_scope(scope)

    def import_modules(self) -> None:
        """Import what the config needs, whose code is no memory of the
        model."""
        if self.kind == DETECTOR:
            import_module('mmdet.models')
        elif 'mmpretrain.' in str(self.read().model):
            import_module('mmpretrain.models')

    def metainfo(self, split: str = 'test') -> dict:
        """Description of the keypoints that it is tested or trained on."""
        dataset = self.read()[f'{split}_dataloader'].dataset
        of_class = getattr(DATASETS.get(dataset.type), 'METAINFO', None)
        return load_metainfo(dataset.get('metainfo') or of_class)

    def origin(self) -> Dict[str, Optional[str]]:
        """Names of the method, its config and its checkpoint."""
        return dict(
            method=self.name, config=self.config, checkpoint=self.checkpoint)

    def facts(self) -> Dict[str, Any]:
        """What of the config makes methods differ, as JSON can hold it, and
        what was published."""
        config = self.read()
        test_cfg = config.model.get('test_cfg') or {}
        entry = next((x for x in ZOO.values() if x['config'] == self.config),
                     dict(published_ap=None, published_source=None))
        return dict(
            entry,
            **self.origin(),
            kind=self.kind,
            input_size=list(self.size),
            flip_test=bool(test_cfg.get('flip_test', False)),
            boxes='given' if self.kind == TOP_DOWN else 'none',
            nms=describe_nms(config),
            score_threshold=score_threshold(config))


def find_methods(
        texts: Sequence[str],
        size: Optional[Size] = None) -> Tuple[List[Method], List[dict]]:
    """Read what ``CONFIG`` or ``CONFIG:CHECKPOINT`` mean.

    What is given twice is two methods. For size, see :func:`find_method`.

    Returns:
        tuple: The methods that can be read (list[Method]), and a row with
        method, config, checkpoint and failed (list[dict]) for each that
        cannot.
    """
    methods, failed, seen = [], [], {}
    for text in texts:
        name, config, checkpoint = _split(text)
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            name = f'{name} ({seen[name]})'
        try:
            methods.append(find_method(text, size, name))
        except Exception as error:  # a config is a program
            facts = dict(method=name, config=config, checkpoint=checkpoint)
            failed.append(dict(facts, failed=shorten(error)))
    return methods, failed


def find_method(text: str,
                size: Optional[Size] = None,
                name: Optional[str] = None,
                kind: Optional[str] = None,
                **options) -> Method:
    """Read what ``CONFIG`` or ``CONFIG:CHECKPOINT`` means, a config being a
    file or a name of the zoo.

    Args:
        size (tuple[int], optional): Width and height of the input of methods
            that take whole images, and of detectors, which is made a multiple
            of what they need. Defaults to that of the config.
        name (str, optional): For the report. Defaults to that of the config.
        kind (str, optional): Defaults to that of its model.
        options: Other settings of the config, by their path.
    """
    own_name, config, checkpoint = _split(text)
    content = read_config(config)
    check_file(checkpoint)
    kind = kind or KINDS.get(content.model.type)
    if kind is None:
        raise ValueError(f'model.type is {content.model.type}; compared are '
                         f'{" and ".join(KINDS)}')
    if size is None or kind == TOP_DOWN:
        size = find_size(content, kind)
    else:
        size = fit_size(content, kind, size)
    return Method(name or own_name, kind, config, checkpoint, size, options)


def find_detector(text: str = 'rtmdet-m',
                  size: Optional[Size] = None) -> Method:
    """The detector that finds the boxes for top-down methods.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        return find_method(text, size, f'detector {_split(text)[0]}', DETECTOR)
    except Exception as error:  # a config is a program
        raise ValueError(f'detector {text}: {shorten(error)}') from error


def _split(text: str) -> Tuple[str, str, Optional[str]]:
    """Name, config and checkpoint."""
    config, checkpoint = SPECIFICATION.fullmatch(text).group(
        'config', 'checkpoint')
    if config in ZOO:
        return config, ZOO[config]['config'], checkpoint
    if config in DETECTORS:
        return config, DETECTORS[config], checkpoint
    return Path(config).stem, config, checkpoint
