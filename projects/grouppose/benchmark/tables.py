"""Rows of one table, written as they come: as JSON with everything that was
measured, and as Markdown for people."""
import json
from pathlib import Path
from typing import Callable, Dict, Optional, Sequence

from .machine import describe_machine, markdown_header
from .timing import Timing


class Results:
    """Collects rows, and writes them after every addition.

    Args:
        title (str): Title of the table.
        explanation (str): What was measured and how.
        columns (dict[str, Callable]): What a cell says about a row, by the
            heading of its column.
        stem (Path, optional): Path of the files to write, without suffix.
            An existing folder holds them.

    Attributes:
        rows (list[dict]): What was measured so far, which JSON can hold.
    """

    def __init__(self,
                 title: str,
                 explanation: str,
                 columns: Dict[str, Callable[[dict], str]],
                 stem: Optional[Path] = None):
        self.title = title
        self.explanation = explanation
        self.columns = columns
        self.stem = stem
        self.machine = describe_machine()
        self.rows = []

    def add(self, **row) -> None:
        """Add a row and write all of them."""
        self.rows.append(row)
        if self.stem is not None:
            content = dict(machine=self.machine, rows=self.rows)
            self.stem.with_suffix('.json').write_text(
                json.dumps(content, indent=1))
            self.stem.with_suffix('.md').write_text(self.markdown())

    def markdown(self) -> str:
        """Title, machine, explanation and table."""
        cells = [[to_text(row) for to_text in self.columns.values()]
                 for row in self.rows]
        blocks = [
            f'# {self.title}',
            markdown_header(self.machine), self.explanation,
            markdown_table(list(self.columns), cells)
        ]
        return '\n\n'.join(block.strip() for block in blocks) + '\n'


def markdown_table(header: Sequence[str], cells: Sequence[Sequence]) -> str:
    """A table in Markdown."""
    rule = ['---'] * len(header)
    return ''.join(f'| {" | ".join(map(str, row))} |\n'
                   for row in [header, rule, *cells])


def spread(values: Sequence[float], factor: float = 1, digits: int = 1) -> str:
    """Median (least to most) of some values times a factor."""
    median, least, most = [
        f'{factor * value:.{digits}f}' for value in Timing.of(values)
    ]
    return f'{median} ({least} to {most})'
