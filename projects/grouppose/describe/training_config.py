"""A training config for a described data set, as text."""
import os
import shlex
import textwrap
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional

import numpy as np

from ..config_file import shipped
from .coco_file import KeypointFile
from .input_sizes import find_resize, measure_sides
from .metainfo_file import DatasetInfo
from .recipes import SMALL_DATA, Recipe

SMALL_OBJECT = 32  # pixels, four cells of the finest map on a side
HERE = '{{ fileDirname }}'  # the folder of a config, for MMEngine

TEMPLATE = """\
_base_ = {base!r}

{counts}

{sigmas}
metainfo = dict(from_file='{here}/metainfo.py')

{size}
{queries}
model = dict(
    head=dict(
        {num_classes}{num_queries}data_decoder=dict(metainfo=metainfo{most})))

{start}{enough}
max_epochs = {epochs}
val_interval = (max_epochs + 19) // 20  # at most 20 evaluations
train_cfg = dict(max_epochs=max_epochs, val_interval=val_interval)
{schedule}
# learning rate: that of the base config, scaled from its images per update to
# those here: batch size x GPUs x optim_wrapper.accumulative_counts
auto_scale_lr = dict(enable=True)

{stop}
default_hooks = dict(
    {hooks})

{pipelines}

# data loaders
{loaders}
# evaluators: as many objects of an image count as are annotated. PCK, the
# share of keypoints within a part of the box's longer side, needs no sigmas
{evaluators}"""

LOADER = """\
{split}_ann = {ann!r}
{split}_dataloader = dict({batch}
    dataset=dict(
        metainfo=metainfo,{agnostic}{options}
        dataset=dict(
            data_root={images!r},
            ann_file={split}_ann,
            data_prefix=dict(img=''))))
"""

EVALUATOR = """\
{split}_evaluator = dict(
    {metric}ann_file={split}_ann,
    max_dets=None,
    pck=(0.05, 0.1, 0.2){areas})
"""

# Steps may be within others, as those of a mosaic are.
CHANGE = """\
def change(part, changes):
    if isinstance(part, dict):
        part = {key: change(value, changes) for key, value in part.items()}
        return dict(part, **changes.get(part.get('type'), {}))
    if isinstance(part, (list, tuple)):
        return [change(step, changes) for step in part]
    return part


"""

# EMA over the last twentieth of the updates so far, however many they are.
AVERAGE = """\
dict(
        type='UpdateEMAHook',
        ema_type='MomentumAnnealingEMA',
        gamma=20,
        momentum=0.0001,
        update_buffers=True)"""
STOP = """\
dict(
        type='EarlyStoppingHook',
        monitor='coco/AP',
        rule='greater',
        min_delta=0.0,
        patience=5)"""


@dataclass
class Split:
    """Annotations and images of training or of evaluation.

    Args:
        file (KeypointFile): The annotations.
        ann_file (str): Their path as the config names it.
        images (str): Folder of the images.
    """
    file: KeypointFile
    ann_file: str
    images: str

    @property
    def people(self) -> List[int]:
        """list[int]: Number of labeled people per image that has any."""
        labeled = self.file.labeled_images
        return np.unique(labeled, return_counts=True)[1].tolist()


def format_config(info: DatasetInfo,
                  splits: Dict[str, Split],
                  folder: Path,
                  recipe: Recipe,
                  epochs: Optional[int] = None,
                  skip_missing: bool = False) -> str:
    """Write a config as text.

    Args:
        info (DatasetInfo): Description of the keypoints.
        splits (dict[str, Split]): Data to train on, 'train', to evaluate on,
            'val', and maybe to test on, 'test'. Without the last one, it is
            the second.
        folder (Path): Where the config and metainfo.py will be.
        recipe (Recipe): The config to start from.
        epochs (int, optional): Epochs to train for. Defaults to what
            :meth:`Recipe.choose_epochs` says.
        skip_missing (bool): Leave out images without a file. Defaults to
            False.

    Returns:
        str: Python text.
    """
    train = splits['train']
    num_train = len(train.people)
    crowd = max(max(split.people, default=0) for split in splits.values())
    queries = recipe.choose_queries(crowd)
    counts = ', '.join(f'{len(split.file.images)} to {verb}'
                       for verb, split in zip(('evaluate on', 'test on'),
                                              list(splits.values())[1:]))
    return TEMPLATE.format(
        base=_path_from(folder, recipe.base),
        here=HERE,
        counts=_comment(
            f'{info.name}: {num_train} images to train on, {counts}'),
        sigmas=_comment(_explain_sigmas(info)),
        size=_comment(_explain_size(train.file, recipe)),
        queries=_comment(
            f'queries: {queries}, as the fullest image shows {crowd} '
            f'{train.file.noun}; the base config has {recipe.num_queries}. '
            'Fewer are faster.'),
        num_classes=f'num_classes={len(info.classes)}, '
        if info.classes else '',
        num_queries=f'num_queries={queries}, '
        if queries != recipe.num_queries else '',
        # Every query has two classes.
        most=f', max_per_img={2 * queries}'
        if queries > recipe.num_queries else '',
        start=recipe.start.format(
            folder=_quote(folder), here=HERE, queries=queries),
        enough=_comment(
            f'schedule: {recipe.steps_per_epoch(num_train)} batches per epoch '
            f'on one GPU; by default {recipe.steps} batches, and '
            f'{recipe.epochs} epochs at least'),
        epochs=epochs or recipe.choose_epochs(num_train),
        schedule=recipe.schedule,
        **_format_hooks(recipe, num_train),
        **_format_data(splits, min(recipe.batch_size, num_train), info,
                       skip_missing))


def _explain_sigmas(info: DatasetInfo) -> str:
    """Where they are from, and what they do."""
    sources = Counter(point.source for point in info.keypoints)
    listed = ', '.join(f'{source} ({n})' for source, n in sources.items())
    return (f'sigmas: from {listed}. They say how far off a keypoint may be '
            'in the loss and in AP, so AP compares only between equal ones. '
            'Edit them in metainfo.py.')


def _explain_size(file: KeypointFile, recipe: Recipe) -> str:
    """How large images and objects are for the network."""
    sizes = Counter(
        (round(width), round(height))
        for width, height in file.sizes[np.isfinite(file.sizes).all(1)])
    sides = measure_sides(file, dict(base=recipe.base))['base']
    if not len(sides):
        return 'size: that of the base config'
    size = sizes.most_common(1)[0][0]
    width, height = find_resize(recipe.base)(size)
    side = np.median(sides)
    text = (f'size: images of {size[0]} x {size[1]} pixels become {width} x '
            f'{height} for the network; the median of the {file.noun} is then '
            f'{side:.0f} pixels long (the longer side of the box).')
    if side < SMALL_OBJECT:
        text += (' That is little to see keypoints on: take a larger --size, '
                 'or crop the images.')
    return text


def _format_hooks(recipe: Recipe, num_images: int) -> Dict[str, str]:
    """Lines of the hooks, and a comment on what is for small data."""
    hooks = dict(recipe.hooks, checkpoint='dict(interval=val_interval)')
    stop = 'hooks: checkpoints when AP is known'
    if num_images < SMALL_DATA:
        stop += (f'. Below {SMALL_DATA} images, training ends once AP has not '
                 'risen for 5 evaluations (early stopping), and averaged '
                 'weights (EMA) are evaluated and saved')
        if not recipe.averages:
            hooks['ema'] = AVERAGE
        hooks['early_stopping'] = STOP
    return dict(
        stop=_comment(stop),
        hooks=',\n    '.join(f'{name}={text}' for name, text in hooks.items()))


def _format_data(splits: Dict[str, Split], batch_size: int, info: DatasetInfo,
                 skip_missing: bool) -> Dict[str, str]:
    """Lines of pipelines, data loaders and evaluators."""
    pipelines = [
        '# pipelines: half of the images are mirrored, as left and right are '
        'known'
    ]
    if info.no_mirror:
        pipelines = [
            '# pipelines',
            f'# No mirroring: {info.no_mirror}.',
            '# To turn it on, set `swap` of both keypoints of each pair in',
            '# metainfo.py ("" for those in the middle), and prob=0.5 here.',
        ]
    if any(split.file.upright for split in splits.values()):
        pipelines.append("# color_type='color': images are turned by their "
                         'EXIF orientation,\n# as they were annotated.')
    agnostic = not info.classes and any(split.file.used_categories != [1]
                                        for split in splits.values())
    lines, loaders, evaluators = [], [], []
    for name, split in splits.items():
        base = 'train' if name == 'train' else 'val'
        changes, options = [], ''
        if info.no_mirror and name == 'train':
            changes.append('PoseRandomFlip=dict(prob=0.0)')
        if split.file.upright:
            changes.append("LoadPoseImage=dict(color_type='color')")
        if changes:
            lines.append(f'{name}_pipeline = change(_base_.{base}_pipeline,\n'
                         f'    dict({", ".join(changes)}))\n')
            options = f'\n        pipeline={name}_pipeline,'
        if skip_missing:
            options += ('\n        # images without a file, '
                        f'{len(split.file.unusable)} when this was written\n'
                        '        skip_missing=True,')
        loaders.append(
            LOADER.format(
                split=name,
                ann=split.ann_file,
                images=split.images,
                options=options,
                # The last images of an epoch are dropped if they fill no
                # batch.
                batch=f'\n    batch_size={batch_size},'
                if name == 'train' else '',
                agnostic='\n        class_agnostic=True,' if agnostic else ''))
        if name == 'train':
            continue
        evaluators.append(
            EVALUATOR.format(
                split=name,
                metric="type='ClassAgnosticCocoMetric', " if agnostic else '',
                areas=', use_area=False'
                if split.file.lacks_area.any() else ''))
    if 'test' not in splits:
        loaders.append('test_dataloader = val_dataloader\n')
        evaluators.append('test_evaluator = val_evaluator\n')
    if lines:
        pipelines += [CHANGE + ''.join(lines)]
    return dict(
        pipelines='\n'.join(pipelines),
        loaders=''.join(loaders),
        evaluators=''.join(evaluators))


def _comment(text: str) -> str:
    """A text in lines of a comment, in which MMEngine replaces nothing."""
    return textwrap.fill(
        text.replace('{{', '{ {'),
        79,
        initial_indent='# ',
        subsequent_indent='# ',
        break_long_words=False,
        break_on_hyphens=False)


def _quote(folder: Path) -> str:
    """A folder for a command line in a comment."""
    text = folder.as_posix()
    if not text.isprintable() or '{{' in text:
        return 'FOLDER'
    return shlex.quote(text)


def _path_from(folder: Path, base: str) -> str:
    """A path that holds wherever the repository is, or an absolute one."""
    folder = folder.resolve()
    root = shipped('configs').parent
    if root in folder.parents:
        return Path(os.path.relpath(root / base, folder)).as_posix()
    return (root / base).as_posix()
