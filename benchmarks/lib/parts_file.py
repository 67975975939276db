"""Parts of a recipe that are compared with a baseline: how they are listed,
and what they make of a config."""
import copy
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

import yaml
from mmengine.config import Config

from .machine import ROOT

PARTS_FILE = ROOT / 'benchmarks/configs/parts.yml'
METHODS = ('grouppose', 'detrpose')
BASELINE = 'baseline'
PROB = 0.5  # of an added augmentation
SPLITS = ('train', 'val', 'test')
FIELDS = {'says', 'methods', 'changes', 'augmentations', 'replaced', 'parts'}


class Part(NamedTuple):
    """A variant of a recipe: its name, a phrase, the methods it fits, changes
    of a config by their path, transforms to insert, those to replace by their
    type, and other parts that it has, too."""
    name: str
    says: str
    methods: Sequence[str] = METHODS
    changes: Optional[dict] = None
    augmentations: Sequence[dict] = ()
    replaced: Optional[Dict[str, dict]] = None
    parts: Sequence[str] = ()


def read_parts(path: Path = PARTS_FILE) -> Dict[str, Part]:
    """Read a list of parts.

    Raises:
        ValueError: If there is no baseline, or an entry has other fields than
            :class:`Part`, an unknown method, or parts that are not in it.
    """
    content = yaml.safe_load(path.read_text())
    if BASELINE not in content:
        raise ValueError(f'{path}: no entry `{BASELINE}`, with which the '
                         'others are compared. Add it.')
    parts = {}
    for name, entry in content.items():
        problem = ''
        if not isinstance(entry, dict) or 'says' not in entry:
            problem = '`says` is missing'
        elif set(entry) - FIELDS:
            problem = f'unknown fields {sorted(set(entry) - FIELDS)}'
        elif set(entry.get('methods', [])) - set(METHODS):
            problem = f'`methods` must be among {METHODS}'
        elif set(entry.get('parts', [])) - set(content):
            problem = '`parts` names what the file does not have'
        if problem:
            raise ValueError(f'{path}: {name}: {problem}. Correct the entry.')
        parts[name] = Part(name, **entry)
    return parts


def apply_part(config: Config, part: Part, parts: Dict[str, Part],
               method: str) -> None:
    """Change a config as a part, and those that it has, want it.

    Args:
        config (Config): The baseline's, changed in place.
        part (Part): The variant.
        parts (dict[str, Part]): All parts by name.
        method (str): Whose config it is.
    """
    pipeline = config.train_dataloader.dataset.pipeline
    place = 1 + [step['type'] for step in pipeline].index('PoseInstanceFilter')
    load = copy.deepcopy(pipeline[:place])
    added: List[dict] = []
    had = [parts[name] for name in part.parts]
    for one in [*(x for x in had if method in x.methods), part]:
        config.merge_from_dict(copy.deepcopy(one.changes or {}))
        for split in SPLITS if one.replaced else ():
            dataset = config[f'{split}_dataloader'].dataset
            dataset.pipeline = [
                copy.deepcopy(one.replaced.get(step['type'], step))
                for step in dataset.pipeline
            ]
        for transform in one.augmentations:
            added.append(
                dict(
                    type='ScheduledTransforms',
                    schedule=one.name,
                    prob=PROB,
                    transforms=[dict(transform, pre_transform=load)]))
    pipeline = config.train_dataloader.dataset.pipeline
    config.train_dataloader.dataset.pipeline = [
        *pipeline[:place], *added, *pipeline[place:]
    ]


def train_by_iterations(config: Config, steps: int, interval: int) -> None:
    """Let a config that counts epochs count iterations, in place.

    Args:
        config (Config): With the schedule of the drawn people: a warm-up, and
            a cosine down to the end.
        steps (int): Iterations to train for.
        interval (int): Iterations between evaluations.
    """
    config.train_cfg = dict(
        type='IterBasedTrainLoop', max_iters=steps, val_interval=interval)
    warm_up, cosine = config.param_scheduler
    warm_up.end = min(warm_up.end, steps)
    cosine.pop('convert_to_iter_based', None)
    cosine.update(end=steps, T_max=steps, by_epoch=False)
    hooks = config.default_hooks
    hooks.logger.update(
        interval=min(hooks.logger.interval, interval),
        log_metric_by_epoch=False)
    hooks.checkpoint.update(
        by_epoch=False, interval=interval, max_keep_ckpts=1)
    config.custom_hooks = []  # EpochSeedHook is for training by epochs
    config.log_processor.by_epoch = False
    config.train_dataloader.sampler = dict(type='InfiniteSampler')
