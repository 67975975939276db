"""DeepLabCut: CollectedData_*.csv, of one animal or of several.

https://deeplabcut.github.io/DeepLabCut shows the tables. The first rows are
``scorer``, ``individuals`` (only for several animals), ``bodyparts`` and
``coords``; a row names an image in one column or in three.
"""
import csv
import math
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

from .content import ContentBuilder, Converted
from .image_files import ImageFiles
from .source import Source

HEADER = ('scorer', 'individuals', 'bodyparts', 'coords')
SHARED = 'single'  # the "individual" of body parts that no animal has
CATEGORY = 'animal'


class Column(NamedTuple):
    """What a column of the table holds."""
    individual: str
    bodypart: str
    coord: str


def matches(source: Source) -> bool:
    """Whether a file is a table of DeepLabCut, in CSV or HDF5."""
    start = source.head.lstrip(b'\xef\xbb\xbf')
    return start.startswith(b'scorer,') or source.names(
        b'df_with_missing', b'pandas_type')


def read(whole: Source, sources: List[Source]) -> Converted:
    """Read all tables.

    Args:
        whole (Source): What the user gave.
        sources (list[Source]): The tables, mostly one for each video.

    Returns:
        Converted: Content, folder and notes.

    Raises:
        FileNotFoundError: If an image is missing.
        ValueError: If a table is damaged, or is HDF5.
    """
    # A project has copies for training, too.
    labeled = [s for s in sources if 'labeled-data' in s.path.parts]
    sources = labeled or sources
    tables, keypoints, shared, guesses = [], [], set(), 0
    for source in sources:
        columns, rows = _read_table(source.path)
        if len(sources) > 1 and any(column.coord == 'likelihood'
                                    for column in columns):
            guesses += 1
            continue
        tables.append((source, columns, rows))
        for column in columns:
            if column.individual == SHARED:
                shared.add(column.bodypart)
            elif column.bodypart not in keypoints:
                keypoints.append(column.bodypart)
    builder = ContentBuilder(whole.path, keypoints,
                             _skeleton(sources[0].path.parent, keypoints))
    files = ImageFiles(whole.folder, whole.path)
    empty = 0
    for source, columns, rows in tables:
        for where, name, values in rows:
            if name.isdigit():
                raise ValueError(
                    f'{where}: a table of the frames of a video, not of '
                    'images. Give CollectedData_*.csv from labeled-data, '
                    'which people labeled.')
            animals = _animals(where, columns, values)
            if not animals:
                empty += 1
                continue
            path, size = files.measure(name)
            if path is None or size is None:
                continue
            image_id = builder.add_image(path, size)
            for points in animals.values():
                builder.add_object(image_id, CATEGORY, builder.place(points))
    files.check()
    notes = []
    if empty:
        notes.append(f'{empty} images without a labeled point are left out, '
                     'as DeepLabCut does.')
    if guesses:
        notes.append(f'{guesses} tables of predictions are left out.')
    if shared:
        notes.append('Body parts that belong to no animal are left out: '
                     f'{", ".join(sorted(shared))}.')
    return Converted(builder.content, whole.folder, notes)


def _read_table(path: Path) -> Tuple[List[Column], list]:
    """Columns, and for each row where it is, its image and its cells."""
    with open(path, 'rb') as file:
        if not file.read(32).lstrip(b'\xef\xbb\xbf').startswith(b'scorer'):
            raise ValueError(
                f'{path}: an HDF5 table of DeepLabCut, whose header is '
                'pickled: reading it could execute anything. Give the .csv '
                'that DeepLabCut writes beside it.')
    try:
        with open(path, newline='', encoding='utf-8-sig') as file:
            lines = list(csv.reader(file))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f'{path}: no CSV table in UTF-8 ({error}). Save it '
                         'again by DeepLabCut.') from error
    header: Dict[str, List[str]] = {}
    while len(header) < len(lines) and lines[len(header)] and \
            lines[len(header)][0] in HEADER:
        line = lines[len(header)]
        header[line[0]] = line
    for name in ('bodyparts', 'coords'):
        if name not in header:
            raise ValueError(
                f'{path}: no row `{name}` at the top of the table. Its first '
                'rows must be scorer, (individuals,) bodyparts and coords, as '
                'DeepLabCut writes them.')
    # The coordinates begin where the header has its second name.
    bodyparts, coords = header['bodyparts'], header['coords']
    start = next((i for i, text in enumerate(coords) if i and text), 1)
    individuals = header.get('individuals', [''] * len(coords))
    columns = [
        Column(*cells) for cells in zip(individuals[start:], bodyparts[start:],
                                        coords[start:])
    ]
    rows = []
    for number, line in enumerate(lines[len(header):], len(header) + 1):
        if not any(line):
            continue
        name = '/'.join(line[:start])
        if len(line) != start + len(columns):
            raise ValueError(
                f'{path}: line {number}: {len(line)} cells, the header has '
                f'{start + len(columns)}. Save the table again by DeepLabCut.')
        rows.append((f'{path}: line {number}', name, line[start:]))
    return columns, rows


def _animals(where: str, columns: List[Column],
             cells: List[str]) -> Dict[str, dict]:
    """Labeled keypoints by animal: x, y, and 2 for visible."""
    found: Dict[Tuple[str, str], Dict[str, float]] = {}
    for column, cell in zip(columns, cells):
        if column.individual == SHARED or column.coord not in ('x', 'y'):
            continue
        try:
            value = float(cell) if cell.strip() else math.nan
        except ValueError as error:
            raise ValueError(
                f'{where}: {column.bodypart} {column.coord} is {cell!r}, not '
                'a number. Correct the cell; an empty one means not labeled.'
            ) from error
        if math.isfinite(value):
            key = (column.individual, column.bodypart)
            found.setdefault(key, {})[column.coord] = value
    animals: Dict[str, dict] = {}
    for (individual, bodypart), point in found.items():
        if len(point) == 2:
            animals.setdefault(individual,
                               {})[bodypart] = (point['x'], point['y'], 2)
    return animals


def _skeleton(folder: Path, keypoints: List[str]) -> List[Tuple[int, int]]:
    """Links from the config.yaml of the project, if it is there."""
    for parent in list(folder.resolve().parents)[:2]:
        config = Source(parent / 'config.yaml')
        if config.path.is_file():
            links = config.yaml.get('skeleton') or []
            return [(keypoints.index(link[0]), keypoints.index(link[1]))
                    for link in links
                    if isinstance(link, list) and len(link) == 2 and all(
                        end in keypoints for end in link)]
    return []
