"""From annotation files to a folder with all that a training needs:
:func:`describe`."""
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from ..data.repairs import find_missing
from .coco_file import KeypointFile
from .dataset_info import describe_keypoints
from .findings import format_findings
from .images import check_file, check_match, check_overlap
from .known_datasets import read_description
from .metainfo_file import DatasetInfo
from .people import check_people
from .recipes import SIZES
from .report_page import Section, format_page
from .sigmas import estimate_sigmas, explain_default
from .split import check_videos, split_content
from .training_config import HERE, Split, format_config

PICTURES = 'Pictures, counts and sizes are in report.html.'


@dataclass
class Description:
    """Result of :func:`describe`.

    Args:
        report (str): The report, in Markdown.
        page (str): The report with pictures, in HTML.
        files (dict[str, str]): Texts of the files for training, by name of
            the file; empty if training would refuse the data set.
    """
    report: str
    page: str
    files: Dict[str, str]

    @property
    def ready(self) -> bool:
        """bool: Whether training would accept the data set."""
        return bool(self.files)

    def write(self, folder: Path) -> List[Path]:
        """Write the reports and the files; return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        contents = dict(self.files, **{
            'report.md': self.report,
            'report.html': self.page
        })
        for name, text in contents.items():
            # Names may hold what UTF-8 has not; JSON and Python escape it.
            (folder / name).write_text(
                text, encoding='utf-8', errors='backslashreplace')
        return [folder / name for name in contents]


@dataclass(frozen=True)
class Options:
    """What may be said of a data set beside the file to train on.

    Args:
        images (str, optional): Folder of the images, which are checked, too.
            Defaults to the folder of the annotations, where images are
            checked if there are any.
        val_ann (str, optional): Annotations to evaluate on during training.
            Defaults to a part of those to train on.
        val_images (str, optional): Their images. Defaults to ``images``.
        test_ann (str, optional): Annotations to evaluate on after training.
            Defaults to those of ``val_ann``.
        test_images (str, optional): Their images. Defaults to ``images``.
        category (str, optional): The category to keep. Defaults to all.
            Several become classes of one model.
        one_class (bool): Take all categories for the same thing. Defaults to
            False.
        redundant (str, optional): Annotations of the same people by others,
            to measure sigmas. Defaults to those of the file to train on that
            share an ``instance_id``.
        size (str): The model: 'small' for a CPU, 'medium' for a GPU,
            'published' as in the paper of Group Pose. Defaults to 'medium'.
        epochs (int, optional): Epochs to train for, see
            :func:`format_config`.
        val_part (float): Part of the images to evaluate on. Defaults to 0.1.
        seed (int): Seed of that split. Defaults to 0.
        group_by (str, optional): What the split keeps together, see
            :func:`split_content`.
        skip_missing (bool): Leave out images without a file. Defaults to
            False, which refuses them where they are needed.
        metainfo (str, optional): A description whose names, pairs, skeleton,
            colors and sigmas replace what the file says, see
            :func:`read_description`.
        notes (Sequence[str]): What the report says about the origin of the
            annotations, a sentence each.
    """
    images: Optional[str] = None
    val_ann: Optional[str] = None
    val_images: Optional[str] = None
    test_ann: Optional[str] = None
    test_images: Optional[str] = None
    category: Optional[str] = None
    one_class: bool = False
    redundant: Optional[str] = None
    size: str = 'medium'
    epochs: Optional[int] = None
    val_part: float = 0.1
    seed: int = 0
    group_by: Optional[str] = None
    skip_missing: bool = False
    metainfo: Optional[str] = None
    notes: Sequence[str] = ()


def describe(ann_file: Union[str, Path], folder: Union[str, Path],
             **options: Any) -> Description:
    """Describe a data set and check it.

    Args:
        ann_file (str | Path): COCO-format keypoint annotations.
        folder (str | Path): Where the results will be written; its name
            becomes that of the data set.
        options (Any): See :class:`Options`.

    Returns:
        Description: The report and the files to write.

    Raises:
        FileNotFoundError: If an annotation file or the description is
            missing.
        ValueError: If a file is not a COCO-format keypoint file or cannot be
            split, its categories have different keypoints, or the description
            is not one of its keypoints.
    """
    given = Options(**options)
    folder = Path(folder)
    name = folder.resolve().name
    info, train = _describe_training(ann_file, name, given)
    sections = dict(train=train)
    for split, ann, images in (('val', given.val_ann, given.val_images),
                               ('test', given.test_ann, given.test_images)):
        if ann is not None:
            sections[split] = _check_other(train.file, ann, images, info,
                                           given)
    parts = [*given.notes]
    for split, section in sections.items():
        parts.append(_introduce(section.file))
        if split == 'train':
            parts.append(_keypoint_table(section.file, info))
        parts.append(format_findings(section.findings))
    remarks = [
        f'The images of {section.file.path} were not looked at, as there are '
        f'none in {section.folder}, where training would look for them: give '
        'their folder by --images.' for section in sections.values()
        if not section.seen
    ]
    ready = all(finding.level != 'error' for section in sections.values()
                for finding in section.findings)
    # Those that are written have no path yet.
    files = {
        split: (section.file, section.folder)
        for split, section in sections.items()
    }
    written = given.category is not None
    if ready and 'val' not in files:
        train_part, val_part, how = split_content(train.file, given.val_part,
                                                  given.seed, given.group_by)
        files.update(
            train=(train.file.part(train_part), train.folder),
            val=(train.file.part(val_part), train.folder))
        written = True
        remarks.append(how)
    report = '\n\n'.join([f'# {name}', *parts, *remarks, PICTURES]) + '\n'
    page = format_page(info, [*sections.values()], [*given.notes, *remarks],
                       given.size, {
                           size: recipe.base
                           for size, recipe in SIZES.items()
                       })
    if not ready:
        return Description(report, page, {})

    texts: Dict[str, str] = {'metainfo.py': info.format()}
    splits = {}
    if written or any(file.repairs for file, _ in files.values()):
        for split, (file, _) in files.items():
            texts[f'{split}.json'] = json.dumps(file.content)
    for split in sorted(files, key=['train', 'val', 'test'].index):
        file, place = files[split]
        path = f'{HERE}/{split}.json' if f'{split}.json' in texts else \
            os.path.abspath(file.path)
        splits[split] = Split(file, path, os.path.abspath(place))
    texts['config.py'] = format_config(info, splits, folder, SIZES[given.size],
                                       given.epochs, given.skip_missing)
    return Description(report, page, texts)


def _describe_training(ann_file: Union[str, Path], name: str,
                       given: Options) -> Tuple[DatasetInfo, Section]:
    """Describe the keypoints of the file to train on, and check it."""
    place = Path(given.images or Path(ann_file).parent)
    file = KeypointFile.read(ann_file, given.category, place, given.one_class)
    second = file
    if given.redundant:
        second = KeypointFile.read(given.redundant, given.category, None,
                                   given.one_class)
    stated = None
    if given.metainfo is not None:
        stated = read_description(given.metainfo)
    info, findings = describe_keypoints(file, name,
                                        estimate_sigmas(file, second), stated)
    images = _find_images(file, place, given.images)
    findings += check_file(file, images, skip_missing=given.skip_missing)
    findings += check_people(file, info)
    return info, Section(file, findings, place, images is not None)


def _check_other(train: KeypointFile, ann_file: str, images: Optional[str],
                 info: DatasetInfo, given: Options) -> Section:
    """Check a file to evaluate on."""
    images = images or given.images
    place = Path(images or Path(ann_file).parent)
    file = KeypointFile.read(ann_file, given.category, place, given.one_class)
    findings = check_match(train, file)
    seen = _find_images(file, place, images)
    if not findings:
        together = images is not None and images == given.images
        findings = [
            *check_file(file, seen, False, given.skip_missing),
            *check_people(file, info), *check_overlap(train, file, together),
            *check_videos(train, file)
        ]
    return Section(file, findings, place, seen is not None)


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


def _find_images(file: KeypointFile, folder: Path,
                 given: Optional[str]) -> Optional[str]:
    """The folder of a file's images if it was given or has any of them."""
    if given is None and all(
            find_missing([image], str(folder))
            for image in file.images.values()):
        return None
    return str(folder)


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
    explanation = explain_default([point.source for point in info.keypoints])
    return '\n'.join([*lines, '', explanation] if explanation else lines)
