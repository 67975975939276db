"""The report as a page: report.html, one file that needs nothing else."""
import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import jinja2
import numpy as np
from markupsafe import Markup

from .coco_file import KeypointFile
from .findings import HEADINGS, Finding
from .input_sizes import measure_sides
from .metainfo_file import DatasetInfo
from .pictures import VISIBLE, ObjectPainter, Picture

TEMPLATE = 'report.html.jinja'
NUM_FIRST = 24  # objects that are drawn because they come first
NUM_EACH, NUM_WRONG = 6, 24  # pictures per finding, and in all
MANY_KEYPOINTS = 200  # with more, as many fewer objects are drawn
EDGES = (8, 16, 32, 64, 128, 256, 512)  # pixels, of the histogram
LIMITS = (16, 32)  # pixels below which objects are small for a network
TOLERATED = 0.05  # share of objects below the larger limit
NUM_IMAGE_SIZES = 8


@dataclass
class Section:
    """A file, and what was found in it.

    Args:
        file (KeypointFile): The file.
        findings (list[Finding]): What looks wrong.
        folder (Path): Where its images are.
        seen (bool): Whether these were looked at. Defaults to True.
    """
    file: KeypointFile
    findings: List[Finding]
    folder: Path
    seen: bool = True


def format_page(info: DatasetInfo, sections: Sequence[Section],
                notes: Sequence[str], chosen: str, bases: Dict[str,
                                                               str]) -> str:
    """Write the report as HTML.

    All text of the files is escaped. Only images that are drawn are read,
    and what is drawn is limited in number and size.

    Args:
        info (DatasetInfo): Description of the keypoints.
        sections (Sequence[Section]): The file to train on, and others.
        notes (Sequence[str]): How the files were read, a sentence each.
        chosen (str): Name of the size that config.py is for.
        bases (dict[str, str]): Configs of this project that a data set may
            start from, by the name of their size, the smallest first.

    Returns:
        str: The page.
    """
    file = sections[0].file
    painter = ObjectPainter(file, info, sections[0].folder)
    first = [
        painter.draw(i)
        for i in np.flatnonzero(file.labeled.any(1))[:_limit(NUM_FIRST, info)]
    ]
    wrong = _draw_findings(sections, info)
    pictures = first + [picture for _, drawn in wrong for picture in drawn]
    return _load_template().render(
        info=info,
        noun=file.noun,
        notes=notes,
        sections=sections,
        summary=[_summarize(section.file) for section in sections],
        levels=_sort_findings(sections),
        first=first,
        key=max(
            first,
            key=lambda p: (len(p.dots), sum(dot.visible for dot in p.dots)),
            default=None),
        wrong=wrong,
        num_each=NUM_EACH,
        num_blank=sum(not picture.image for picture in pictures),
        num_pictures=len(pictures),
        counts=_count_keypoints(file),
        num_objects=int(file.labeled.any(1).sum()),
        sizes=_compare_sizes(file, bases, chosen),
        limits=LIMITS,
        image_sizes=_count_image_sizes(file))


@lru_cache(maxsize=None)
def _load_template() -> jinja2.Template:
    """The page, in which all values are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined)
    environment.filters['code'] = format_code
    environment.filters['percent'] = format_percent
    environment.filters['rgb'] = format_color
    return environment.get_template(TEMPLATE)


def format_code(text: str) -> Markup:
    """A text, escaped, in which backticks enclose code."""
    return Markup(
        re.sub('`([^`]+)`', r'<code>\1</code>', str(Markup.escape(text))))


def format_color(color: Sequence[int]) -> str:
    """A color in CSS."""
    return f'rgb({", ".join(str(int(value)) for value in color)})'


def format_percent(share: float) -> str:
    """A share in percent that is 0 or 100 only if it is nobody or all."""
    if 0 < share < 0.01 or 0.99 < share < 1:
        return '< 1%' if share < 0.5 else '> 99%'
    return f'{share:.0%}'


def _summarize(file: KeypointFile) -> dict:
    """What a file holds, in numbers."""
    labeled = int(file.labeled.any(1).sum())
    names = {
        category.get('id'): str(category.get('name'))
        for category in file.content['categories']
    }
    return dict(
        path=file.path,
        images=len(file.images),
        objects=labeled,
        unlabeled=len(file.people) - labeled,
        crowds=len(file.annotated) - len(file.people) - len(file.refused),
        keypoints=int(file.labeled.sum()),
        categories=[names.get(i, str(i)) for i in file.used_categories])


def _sort_findings(
    sections: Sequence[Section]
) -> List[Tuple[str, str, List[Tuple[str, Finding]]]]:
    """Level, heading and findings with the name of their file, the most
    severe first."""
    levels = []
    for level, heading in HEADINGS.items():
        findings = [(section.file.path, finding) for section in sections
                    for finding in section.findings if finding.level == level]
        if findings:
            levels.append((level, heading, findings))
    return levels


def _draw_findings(sections: Sequence[Section],
                   info: DatasetInfo) -> List[Tuple[Finding, List[Picture]]]:
    """Pictures of the annotations that findings are about, warnings first."""
    left = _limit(NUM_WRONG, info)
    drawn = []
    for level in ('error', 'warning', 'note'):
        for section in sections:
            file = section.file
            painter = ObjectPainter(file, info, section.folder)
            place = {ann_id: i for i, ann_id in enumerate(file.ids.tolist())}
            for finding in section.findings:
                if finding.level != level or not finding.is_drawn:
                    continue
                pictures: List[Picture] = []
                for k, ann_id in enumerate(finding.examples):
                    if ann_id not in place or len(pictures) >= min(
                            left, NUM_EACH):
                        continue
                    reason = finding.reasons[k] if finding.reasons else ''
                    marked = finding.marked[k] if finding.marked else ()
                    pictures.append(
                        painter.draw(place[ann_id], reason, marked))
                if pictures:
                    left -= len(pictures)
                    drawn.append((finding, pictures))
    return drawn


def _limit(count: int, info: DatasetInfo) -> int:
    """How many objects to draw, if usually so many are."""
    return min(count, -(-count * MANY_KEYPOINTS // len(info.keypoints)))


def _count_keypoints(file: KeypointFile) -> List[Tuple[int, int]]:
    """In how many objects each keypoint is visible, and how often labeled,
    but not visible."""
    visible = (file.keypoints[..., 2] == VISIBLE).sum(0)
    return list(
        zip(visible.tolist(), (file.labeled.sum(0) - visible).tolist()))


def _compare_sizes(file: KeypointFile, bases: Dict[str, str],
                   chosen: str) -> dict:
    """Sizes of objects at the resolution of each network, and which one to
    take: the smallest at which few objects are small."""
    sides = measure_sides(file, bases)
    own = sides[chosen]
    if not len(own):
        return {}
    shares = {
        name: [float((values < limit).mean()) for limit in LIMITS]
        for name, values in sides.items()
    }
    enough = [n for n, share in shares.items() if share[-1] <= TOLERATED]
    edges = (0, *EDGES, np.inf)
    counts = np.histogram(own, edges)[0].tolist()
    labels = [f'below {EDGES[0]}'] + [
        f'{low} to {high}' for low, high in zip(EDGES, EDGES[1:])
    ] + [f'{EDGES[-1]} and more']
    return dict(
        chosen=chosen,
        shares=shares,
        medians={
            name: float(np.median(v))
            for name, v in sides.items()
        },
        advice=enough[0] if enough else list(bases)[-1],
        enough=bool(enough),
        count=len(own),
        histogram=[(label, count, count / len(own))
                   for label, count in zip(labels, counts)])


def _count_image_sizes(file: KeypointFile) -> dict:
    """The most frequent sizes of images, and how many others there are."""
    sizes = Counter((image.get('width'), image.get('height'))
                    for image in file.images.values())
    common = sizes.most_common(NUM_IMAGE_SIZES)
    objects = Counter(
        Counter(file.image_ids[file.labeled.any(1)].tolist()).values())
    return dict(
        common=common,
        others=len(sizes) - len(common),
        total=len(file.images),
        empty=len(file.images) - sum(objects.values()),
        crowd=max(objects, default=0),
        single=objects[1])
