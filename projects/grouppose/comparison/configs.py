"""Configs of MMPose and MMDetection: where they are, and the size of the
images that their models get."""
from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple

import mmpose
import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config

ROOT = Path(__file__).resolve().parents[3]
STRIDE = 32  # of the coarsest maps: sides of images are a multiple of it
Size = Tuple[int, int]


def read_config(name: str) -> Config:
    """Read a config of this repository, of MMPose, or of MMPose's demo."""
    package, _, relative = name.rpartition('::')
    if package == 'mmpose':
        # Not by get_config, which reads all metafiles first, if possible.
        in_wheel = Path(mmpose.__file__).parent / '.mim'
        for path in (in_wheel / 'configs' / relative, in_wheel / relative):
            if path.is_file():
                return Config.fromfile(path)
    if package:
        return get_config(name)
    path = Path(name)
    if not path.is_file() and (ROOT / path).is_file():
        path = ROOT / path
    check_file(str(path))
    return Config.fromfile(path)


def check_file(path: Optional[str]) -> None:
    """Raise a FileNotFoundError if a path is given and no file."""
    if path and not Path(path).is_file():
        raise FileNotFoundError(f'{path}: no such file or name')


def _test_pipeline(config: Config) -> List[ConfigDict]:
    return config.test_dataloader.dataset.pipeline


def _resizing(config: Config, kind: str) -> ConfigDict:
    """The transform that sets the size of what the model gets."""
    types = ('Resize', ) if kind == 'detector' else ('PoseResize',
                                                     'BottomupResize',
                                                     'TopdownAffine')
    for transform in _test_pipeline(config):
        if transform.type.split('.')[-1] in types:
            return transform
    raise ValueError('the test pipeline has none of ' + ', '.join(types))


def find_size(config: Config, kind: str) -> Size:
    """Width and height that the test pipeline resizes to."""
    resizing = _resizing(config, kind)
    if resizing.type == 'PoseResize':
        return resizing.max_size, resizing.short_side
    name = 'scale' if kind == 'detector' else 'input_size'
    return tuple(resizing[name])


def size_factor(config: Config) -> int:
    """What sides of whole images must be a multiple of."""
    resizing = _resizing(config, 'whole image')
    return 1 if resizing.type == 'PoseResize' else resizing.get(
        'size_factor', STRIDE)


def multiple(size: Sequence[int], factor: int) -> Size:
    """The least size that is not smaller and a multiple of a factor."""
    width, height = [factor * -(-side // factor) for side in size]
    return width, height


def set_size(config: Config, kind: str, size: Size) -> None:
    """Resize to another size, in all pipelines and codecs."""
    resizing = _resizing(config, kind)
    if kind == 'detector':
        for transform in _test_pipeline(config):
            for name in ('scale', 'size'):
                if name in transform:
                    transform[name] = size
    elif resizing.type == 'PoseResize':
        resizing.update(max_size=max(size), short_side=min(size))
    else:
        for part in ('model', 'test_dataloader', 'train_dataloader'):
            _replace_input_size(config.get(part), size)


def _replace_input_size(config: Any, size: Size) -> None:
    """Replace all ``input_size``, and ``heatmap_size`` in proportion."""
    if isinstance(config, dict):
        if 'input_size' in config:
            if 'heatmap_size' in config:
                scale = np.divide(config['heatmap_size'], config['input_size'])
                config['heatmap_size'] = tuple(
                    np.rint(scale * size).astype(int).tolist())
            config['input_size'] = size
        children = config.values()
    elif isinstance(config, (list, tuple)):
        children = config
    else:
        return
    for child in children:
        _replace_input_size(child, size)
