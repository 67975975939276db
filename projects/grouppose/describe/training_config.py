"""A training config for a described data set, and a split into training and
evaluation if there is none."""
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np

from ..config_file import shipped
from .coco_file import KeypointFile

CONFIG_DIR = 'configs/body_2d_keypoint/grouppose'
SMALL_ITERATIONS = 1000  # a few minutes on a CPU
HERE = '{{ fileDirname }}'  # the folder of a config, for MMEngine

TEMPLATE = """\
_base_ = {base!r}

# {name}: {num_train} images to train on, {num_val} to evaluate on
metainfo = dict(from_file='{here}/metainfo.py')
model = dict(head=dict({sizes}data_decoder=dict(metainfo=metainfo{most})))

# runtime
max_epochs = {epochs}
{schedule}
{pipelines}# data loaders
train_ann = {train_ann!r}
val_ann = {val_ann!r}
train_dataloader = dict({batch}
    dataset=dict(
        metainfo=metainfo,{agnostic}{train_options}
        dataset=dict(
            data_root={train_images!r},
            ann_file=train_ann,
            data_prefix=dict(img=''))))
val_dataloader = dict(
    dataset=dict(
        metainfo=metainfo,{agnostic}{val_options}
        dataset=dict(
            data_root={val_images!r},
            ann_file=val_ann,
            data_prefix=dict(img=''))))
test_dataloader = val_dataloader

# evaluators: as many objects of an image count as are annotated
val_evaluator = dict(
    {metric}ann_file=val_ann,
    max_dets=None{areas})
test_evaluator = val_evaluator
"""

PIPELINE = """\
{split}_changes = dict({changes})
{split}_pipeline = [
    dict(step, **{split}_changes.get(step['type'], {{}}))
    for step in _base_.{split}_pipeline
]
"""


@dataclass
class Recipe:
    """A config of this project on which that of a data set builds.

    Args:
        base (str): Its path in the repository.
        batch_size (int): Images per batch.
        num_queries (int): Queries, that is the most people per image.
        schedule (str): Lines of the config that set the schedule by
            ``max_epochs``.
    """
    base: str
    batch_size: int
    num_queries: int
    schedule: str


PUBLISHED = Recipe(
    f'{CONFIG_DIR}/coco/grouppose_res50_8xb2-60e_coco-800x1333.py', 2, 100,
    """\
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(_base_.param_scheduler[0], milestones=[max_epochs * 5 // 6])
]
""")
SMALL = Recipe(
    f'{CONFIG_DIR}/drawn/grouppose_tiny-res18_1xb8-6e_drawn-128.py', 8, 10,
    """\
val_interval = max(1, max_epochs // 5)
train_cfg = dict(max_epochs=max_epochs, val_interval=val_interval)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_epochs, T_max=max_epochs),
]
default_hooks = dict(
    logger=dict(interval=25), checkpoint=dict(interval=val_interval))
""")


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


def split_content(file: KeypointFile, part: float,
                  seed: int) -> Tuple[dict, dict]:
    """Split a file by image into training and evaluation.

    Images with and without labeled keypoints are split alike, but those
    whose file cannot be used are for training, which leaves them out.
    Annotations without keypoints are left out, as the metric cannot read
    them.

    Args:
        file (KeypointFile): The file.
        part (float): Share of the images for evaluation.
        seed (int): The same one gives the same split.

    Returns:
        tuple[dict]: Contents for training and for evaluation.

    Raises:
        ValueError: If there are fewer than two images with labeled objects.
    """
    labeled = set(file.labeled_images.tolist())
    if len(labeled) < 2:
        raise ValueError(
            f'{file.path}: {len(labeled)} image shows labeled {file.noun}, '
            'but a split needs at least 2. Give the images to evaluate on by '
            '--val-ann.')
    random = np.random.RandomState(seed)
    for_val = set()
    for group in (labeled, set(file.images) - labeled - file.unusable):
        group = random.permutation(sorted(group)).tolist()
        count = round(part * len(group))
        if group and group[0] in labeled:
            count = min(max(count, 1), len(group) - 1)
        for_val.update(group[:count])
    contents = []
    for chosen in (set(file.images) - for_val, for_val):
        contents.append(
            dict(
                file.content,
                images=[
                    image for image in file.content['images']
                    if image['id'] in chosen
                ],
                annotations=[
                    ann for ann in file.annotated if ann['image_id'] in chosen
                ]))
    return contents[0], contents[1]


def format_config(name: str,
                  train: Split,
                  val: Split,
                  folder: Path,
                  recipe: Recipe = PUBLISHED,
                  epochs: Optional[int] = None,
                  no_mirror: str = '',
                  skip_missing: bool = False,
                  num_classes: int = 0) -> str:
    """Write a config as text.

    Args:
        name (str): Name of the data set.
        train (Split): Data to train on.
        val (Split): Data to evaluate on.
        folder (Path): Where the config and metainfo.py will be.
        recipe (Recipe): The config to start from. Defaults to the published
            one.
        epochs (int, optional): Epochs to train for. Defaults to 60, or for
            the small recipe to what makes 1000 iterations.
        no_mirror (str): Why images must not be mirrored. Defaults to '',
            which mirrors half of them, as the recipes do.
        skip_missing (bool): Leave out images without a file. Defaults to
            False.
        num_classes (int): How many classes metainfo.py has. Defaults to 0:
            all categories are taken for the same thing.

    Returns:
        str: Python text.
    """
    people = train.people
    if epochs is None:
        steps = max(1, len(people) // recipe.batch_size)
        epochs = 60 if recipe is PUBLISHED else -(-SMALL_ITERATIONS // steps)
    files = (train.file, val.file)
    agnostic = not num_classes and any(file.used_categories != [1]
                                       for file in files)
    pipelines, options = _format_pipelines(train, val, no_mirror)
    if skip_missing:
        for split, each in (('train', train), ('val', val)):
            options[split] += (
                '\n        # images without a file, '
                f'{len(each.file.unusable)} when this was written\n'
                '        skip_missing=True,')
    crowded = math.ceil(1.25 * max(people + val.people))
    sizes = f'num_classes={num_classes}, ' if num_classes else ''
    if crowded > recipe.num_queries:
        sizes += f'num_queries={crowded}, '
    return TEMPLATE.format(
        base=_path_from(folder, recipe.base),
        name=name,
        here=HERE,
        num_train=len(people),
        num_val=len(val.file.images),
        sizes=sizes,
        # The codec keeps 50 (person, class) pairs by default.
        most=f', max_per_img={2 * crowded}' if crowded > 25 else '',
        epochs=epochs,
        schedule=recipe.schedule,
        pipelines=pipelines,
        train_options=options['train'],
        val_options=options['val'],
        train_ann=train.ann_file,
        val_ann=val.ann_file,
        train_images=train.images,
        val_images=val.images,
        # The last images of an epoch are dropped if they fill no batch.
        batch=f'\n    batch_size={len(people)},'
        if len(people) < recipe.batch_size else '',
        agnostic='\n        class_agnostic=True,' if agnostic else '',
        metric="type='ClassAgnosticCocoMetric', " if agnostic else '',
        areas=', use_area=False' if val.file.lacks_area.any() else '')


def _format_pipelines(train: Split, val: Split,
                      no_mirror: str) -> Tuple[str, Dict[str, str]]:
    """Lines that change the recipe's pipelines, and what the data sets say of
    them, by split."""
    lines, options = [], dict(train='', val='')
    if no_mirror:
        lines += [
            f'# No mirroring: {no_mirror}.',
            '# To turn it on, set `swap` of both keypoints of each pair in',
            '# metainfo.py ("" for those in the middle), and prob=0.5 here.',
        ]
    if train.file.upright or val.file.upright:
        lines.append("# color_type='color': images are turned by their EXIF "
                     'orientation,\n# as they were annotated.')
    for name, split in (('train', train), ('val', val)):
        changes = []
        if no_mirror and name == 'train':
            changes.append('PoseRandomFlip=dict(prob=0.0)')
        if split.file.upright:
            changes.append("LoadPoseImage=dict(color_type='color')")
        if changes:
            lines.append(
                PIPELINE.format(split=name, changes=', '.join(changes)))
            options[name] = f'\n        pipeline={name}_pipeline,'
    if lines:
        lines.insert(0, '# pipelines')
    return '\n'.join([*lines, '']) if lines else '', options


def _path_from(folder: Path, base: str) -> str:
    """A path that holds wherever the repository is, or an absolute one."""
    folder = folder.resolve()
    root = shipped('configs').parent
    if root in folder.parents:
        return Path(os.path.relpath(root / base, folder)).as_posix()
    return (root / base).as_posix()
