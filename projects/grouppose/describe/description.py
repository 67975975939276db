"""From annotation files to a folder with all that a training needs:
:func:`describe`."""
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union

from ..data.repairs import find_missing
from .coco_file import KeypointFile
from .dataset_info import DatasetInfo, describe_keypoints
from .findings import format_findings
from .images import check_file, check_match, check_overlap
from .people import check_people
from .sigmas import estimate_sigmas
from .training_config import (HERE, PUBLISHED, SMALL, Split, format_config,
                              split_content)


@dataclass
class Description:
    """Result of :func:`describe`.

    Args:
        report (str): The report, in Markdown.
        files (dict[str, str]): Texts of the files for training, by name of
            the file; empty if training would refuse the data set.
    """
    report: str
    files: Dict[str, str]

    @property
    def ready(self) -> bool:
        """bool: Whether training would accept the data set."""
        return bool(self.files)

    def write(self, folder: Path) -> List[Path]:
        """Write the report and the files; return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        contents = dict(self.files, **{'report.md': self.report})
        for name, text in contents.items():
            # Names may hold what UTF-8 has not; JSON and Python escape it.
            (folder / name).write_text(
                text, encoding='utf-8', errors='backslashreplace')
        return [folder / name for name in contents]


def describe(ann_file: Union[str, Path],
             folder: Union[str, Path],
             images: Optional[str] = None,
             val_ann: Optional[str] = None,
             val_images: Optional[str] = None,
             category: Optional[str] = None,
             redundant: Optional[str] = None,
             small: bool = False,
             epochs: Optional[int] = None,
             val_part: float = 0.1,
             seed: int = 0,
             notes: Sequence[str] = (),
             skip_missing: bool = False,
             one_class: bool = False) -> Description:
    """Describe a data set and check it.

    Args:
        ann_file (str | Path): COCO-format keypoint annotations.
        folder (str | Path): Where the results will be written; its name
            becomes that of the data set.
        images (str, optional): Folder of the images, which are checked, too.
            Defaults to the folder of the annotations, where images are
            checked if there are any.
        val_ann (str, optional): Annotations to evaluate on. Defaults to a
            part of ``ann_file``.
        val_images (str, optional): Their images. Defaults to ``images``.
        category (str, optional): The category to keep. Defaults to all.
            Several become classes of one model.
        redundant (str, optional): Annotations of the same people by others,
            to measure sigmas. Defaults to those of ``ann_file`` that share
            an ``instance_id``.
        small (bool): Start from the small model for a CPU instead of the
            published one. Defaults to False.
        epochs (int, optional): Epochs to train for, see
            :func:`format_config`.
        val_part (float): Part of the images to evaluate on. Defaults to 0.1.
        seed (int): Seed of the split. Defaults to 0.
        skip_missing (bool): Leave out images without a file. Defaults to
            False, which refuses them where they are needed.
        one_class (bool): Take all categories for the same thing. Defaults to
            False.
        notes (Sequence[str]): What the report says about the origin of the
            annotations, a sentence each.

    Returns:
        Description: The report and the files to write.

    Raises:
        FileNotFoundError: If an annotation file is missing.
        ValueError: If a file is not a COCO-format keypoint file, or its
            categories have different keypoints.
    """
    folder = Path(folder)
    name = folder.resolve().name
    place = Path(images or Path(ann_file).parent)
    train = KeypointFile.read(ann_file, category, place, one_class)
    second = train
    if redundant:
        second = KeypointFile.read(redundant, category, None, one_class)
    info, findings = describe_keypoints(train, name,
                                        estimate_sigmas(train, second))
    looked = images is not None or _has_images(train, place)
    findings += check_file(
        train, str(place) if looked else None, skip_missing=skip_missing)
    findings += check_people(train, info)
    parts = [*notes, _introduce(train), _keypoint_table(train, info)]
    parts.append(format_findings(findings))
    val, val_place = None, place
    if val_ann is not None:
        val_images = val_images or images
        val_place = Path(val_images or Path(val_ann).parent)
        val = KeypointFile.read(val_ann, category, val_place, one_class)
        more = check_match(train, val)
        if not more:
            looked = val_images is not None or _has_images(val, val_place)
            more = [
                *check_file(
                    val,
                    str(val_place) if looked else None,
                    for_training=False,
                    skip_missing=skip_missing),
                *check_people(val, info), *check_overlap(
                    train, val, images is not None and images == val_images)
            ]
        findings += more
        parts += [_introduce(val), format_findings(more)]
    if images is None and not looked:
        parts.append('The images were not looked at, as there are none in '
                     f'{place}, where training would look for them: give '
                     'their folder by --images.')
    report = '\n\n'.join([f'# {name}', *parts]) + '\n'
    if any(finding.level == 'error' for finding in findings):
        return Description(report, {})

    # Files that are written have no path yet.
    files: Dict[str, str] = {}
    if val is not None:
        keypoint_files = [train, val]
    else:
        keypoint_files = [
            train.part(content)
            for content in split_content(train, val_part, seed)
        ]
    if val_ann is None or category is not None or any(
            file.repairs for file in keypoint_files):
        paths = [f'{HERE}/train.json', f'{HERE}/val.json']
        for split, file in zip(('train', 'val'), keypoint_files):
            files[f'{split}.json'] = json.dumps(file.content)
    else:
        paths = [os.path.abspath(path) for path in (ann_file, val_ann)]
    train_split, val_split = (
        Split(file, path, os.path.abspath(folder))
        for file, path, folder in zip(keypoint_files, paths, (place,
                                                              val_place)))
    files['metainfo.py'] = info.format()
    files['config.py'] = format_config(name, train_split, val_split, folder,
                                       SMALL if small else PUBLISHED, epochs,
                                       info.no_mirror, skip_missing,
                                       len(info.classes))
    return Description(report, files)


def _introduce(file: KeypointFile) -> str:
    """What a file holds, in a line under its name."""
    labeled = file.labeled.any(1)
    crowds = len(file.annotated) - len(file.people) - len(file.refused)
    names = ', '.join(
        str(category.get('name')) for category in file.content['categories']
        if category.get('id') in file.used_categories[:3])
    objects = file.noun
    if objects == 'objects' and names:
        objects += f' ({names}{", ..." * (len(file.used_categories) > 3)})'
    return (f'## {file.path}\n\n{len(file.images)} images, '
            f'{labeled.sum()} {objects} with labeled keypoints, '
            f'{len(file.people) - labeled.sum()} without, '
            f'{crowds} crowd regions')


def _has_images(file: KeypointFile, folder: Path) -> bool:
    """Whether a folder has any image of a file."""
    images = list(file.images.values())
    return len(find_missing(images, str(folder))) < len(images)


def _keypoint_table(file: KeypointFile, info: DatasetInfo) -> str:
    """A row for each keypoint."""
    lines = [
        '| keypoint | mirrored | labeled | sigma | from |',
        '|---|---|---|---|---|',
    ]
    people = max(1, file.labeled.any(1).sum())
    for point, seen in zip(info.keypoints, file.labeled.sum(0) / people):
        lines.append(f'| {point.name} | {point.swap} | {seen:.0%} | '
                     f'{point.sigma} | {point.source} |')
    return '\n'.join(lines)
