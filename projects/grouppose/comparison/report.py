"""What a comparison has measured so far, as JSON and as Markdown."""
import json
import os
from pathlib import Path
from typing import Dict, List, Sequence

from ..benchmark.machine import markdown_header
from .charts import CHARTS
from .tables import (accuracy_table, batches_table, crossing_table,
                     memory_table, methods_table, people_table, split_table,
                     training_table)

# Measurements on another machine are not to be compared.
SAME_MACHINE = ('CPU', 'threads', 'GPU', 'versions')
EXPLANATION = """
All methods were measured in one run of one program. They take turns, so that
noise of the machine hits all alike; times are medians (least to most) of
{repeats} turns after {warmup} that did not count. "To first" is the time of a
method by that of the first one in the same turn. A method that is given twice
shows how far to trust a difference.

A time is from the image as an array in main memory to poses as numpy arrays;
decoding image files is not in it. A top-down method takes each person as an
image of its own, up to 64 at a time: "NAME" has the boxes given for nothing,
"NAME + detector" has to find them first, as whole-image methods do.
{images}

Weights are random where no checkpoint is given. They find people where there
are none: what methods drop by score or suppress as duplicates, and so the time
for it, is not that of trained ones. Backbones and everything else of fixed
size take the same time.
"""
METHODS = """
What makes methods incomparable is in the columns. GFLOP is of one image for
whole-image methods, of one person for top-down ones, a multiplication and an
addition being two; a flip test doubles it.
"""
ACCURACY = """
By `tools/test.py`, with the metric of each config. The boxes of a top-down
method are the annotated ones ("true") or those of a file; true boxes tell it
how many people there are, and where. Published AP is from the source that is
named, in percent as all others, and of the size that was published.
"""
PEOPLE = """
One image at a time. The methods of a column took turns; noise that lasts may
differ between columns.
The number of people is that of the boxes that top-down methods get, those of
the image again and again. Whole-image methods get the same image in every
column.
"""
CROSSING = """
The number of people in an image from which the whole-image method of the
column is faster than the top-down method of the row. Between the measured
numbers, the ratio of the two in the same turn is interpolated linearly.
"""
MEMORY = """
Peak with weights, one image with {people} people, on a CPU of a fresh process.
"""
TRAINING = """
Images a step: {training_batch}, with {people} people each. A top-down method
gets as many images of one person.
"""
SECTIONS = (
    ('facts', 'Methods', METHODS, methods_table),
    ('accuracy', 'Accuracy', ACCURACY, accuracy_table),
    ('latency', 'Latency by batch size', 'Images with {people} people.',
     batches_table),
    ('latency', 'Where the time goes', 'One image with {people} people.',
     split_table),
    ('latency', 'Latency by number of people', PEOPLE, people_table),
    ('latency', 'From how many people on whole images win', CROSSING,
     crossing_table),
    ('memory', 'Memory', MEMORY, memory_table),
    ('training', 'Training step', TRAINING, training_table),
)
TABLES = tuple(dict.fromkeys(table for table, *_ in SECTIONS))


class Comparison:
    """Collects rows cell by cell; a cell is what is measured in one go.

    Both files are written after every cell, so that an interrupted run
    leaves behind what it has measured and can go on from there.

    Args:
        folder (Path): Existing folder for comparison.json and comparison.md.
        machine (dict): From :func:`describe_machine`.
        settings (dict): All that must be the same to go on with a run, as
            JSON can hold it; with ``repeats`` and ``warmup``.
        kinds (dict[str, str]): Kind of each method by its name, in order,
            the detector last.
        people (int): People on an image where their number is not varied.
        training_batch (int): Images of a training step.
        images (str): A sentence on them.
        cells (Sequence[str]): Names of all cells.

    Attributes:
        content (dict): What comparison.json holds: the arguments but the
            folder, ``done`` (names of cells), and a list of rows for each of
            :data:`TABLES`, which :mod:`.measure` and :mod:`.accuracy`
            describe.
    """

    def __init__(self, folder: Path, machine: Dict[str, str], settings: dict,
                 kinds: Dict[str, str], people: int, training_batch: int,
                 images: str, cells: Sequence[str]):
        self.folder = folder
        self.content = dict(
            machine=machine,
            settings=settings,
            kinds=kinds,
            people=people,
            training_batch=training_batch,
            images=images,
            cells=list(cells),
            done=[],
            **{table: []
               for table in TABLES})

    @property
    def path(self) -> Path:
        """Of the JSON file."""
        return self.folder / 'comparison.json'

    def resume(self) -> None:
        """Take over what an earlier run has left in the folder, if anything.

        Raises:
            ValueError: If it was measured with other settings or elsewhere,
                or cannot be read.
        """
        if not self.path.exists():
            return
        try:
            old = json.loads(self.path.read_text())
            differences = _differences(old, self.content)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{self.path}: not written by this program '
                             f'({error!r}). Give another folder') from error
        if differences:
            raise ValueError(
                f'{self.path}: cannot go on, as it was measured with '
                f'{"; ".join(differences)}. Give the same, or another folder')
        for name in ('date', 'commit'):
            now = self.content['machine'][name]
            if now not in old['machine'][name]:
                old['machine'][name] += f', resumed {now}'
        self.content = old

    def add(self, cell: str, table: str, rows: List[dict]) -> None:
        """Add the rows of a cell to one of :data:`TABLES`, and write all."""
        self.content[table] += rows
        self.content['done'].append(cell)
        self.write()

    def write(self) -> None:
        """Write both files, each either whole or not at all."""
        _write(self.path, json.dumps(self.content, indent=1))
        _write(self.folder / 'comparison.md', self.markdown())

    def count_failed(self) -> int:
        """Number of rows that say why there is no number."""
        return sum('failed' in row for table in TABLES
                   for row in self.content[table])

    def count_rows(self) -> int:
        """Number of all rows."""
        return sum(len(self.content[table]) for table in TABLES)

    def markdown(self) -> str:
        """The report, with the charts that are in the folder."""
        content = self.content
        blocks = [
            '# Comparison',
            markdown_header(content['machine']),
            EXPLANATION.format(
                images=content['images'],
                repeats=content['settings']['repeats'],
                warmup=content['settings']['warmup'])
        ]
        done, cells = len(content['done']), len(content['cells'])
        if done < cells:
            blocks.append(f'**Not finished: {done} of {cells} steps done.**')
        for table, title, text, to_table in SECTIONS:
            if content[table] and (lines := to_table(content)):
                blocks += [f'## {title}', text.format(**content), lines]
        for name, title in CHARTS.items():
            if (self.folder / name).exists():
                blocks.append(f'![{title}]({name})')
        return '\n\n'.join(block.strip() for block in blocks) + '\n'


def _differences(old: dict, new: dict) -> List[str]:
    """What must be the same to go on, but is not."""
    # Methods that could not be read before, and now can, or the reverse.
    pairs = [('methods', list(old['kinds']), list(new['kinds']))]
    pairs += [(name, old[part][name], new[part][name])
              for part, names in (('settings', new['settings']),
                                  ('machine', SAME_MACHINE)) for name in names]
    return [
        f'{name} {before}, not {now}' for name, before, now in pairs
        if before != now
    ]


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f'{path.name}.partial')
    partial.write_text(text)
    os.replace(partial, path)
