"""What was measured, written as it comes: as JSON with every number, and as
Markdown for people."""
import json
import os
import statistics
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Union

from .machine import describe_machine

# A key of the rows, or what says the text of a row.
Columns = Dict[str, Union[str, Callable[[dict], str]]]
# Measurements on another machine are not to be compared.
SAME_MACHINE = ('CPU', 'threads', 'GPU', 'versions')


class Section(NamedTuple):
    """A part of a report that shows one table of rows: its name, what makes
    Markdown of all that was measured ('' leaves it out), heading, and text,
    in which ``{name}`` stands for what was measured under that name."""
    table: str
    to_markdown: Callable[[dict], str]
    title: str = ''
    text: str = ''


class Results:
    """Collects rows, and writes them after every addition, each file whole or
    not at all.

    Args:
        stem (Path): Path of the files to write, without suffix.
        title (str): Title of the report.
        text (str): What was measured and how.
        shown (dict | Sequence[Section]): Columns of the table ``rows``, see
            :func:`markdown_table`, or the sections of the report.
        facts: What JSON holds besides, and sections may use.

    Attributes:
        content (dict): What JSON holds: ``machine``, the facts, ``done``
            (names of steps), and a list of rows for each table.
    """

    def __init__(self, stem: Path, title: str, text: str,
                 shown: Union[Columns, Sequence[Section]], **facts):
        self.path = stem.with_suffix('.json')
        self.title, self.text, self.sections = title, text, shown
        if isinstance(shown, dict):
            self.sections = [
                Section('rows', lambda x: markdown_table(shown, x['rows']))
            ]
        self.content = dict(machine=describe_machine(), **facts, done=[])
        for section in self.sections:
            self.content[section.table] = []

    def add(self,
            *rows: dict,
            table: str = 'rows',
            step: Optional[str] = None) -> None:
        """Add rows to a table, as those of a step if it is named."""
        self.content[table] += rows
        if step is not None:
            self.content['done'].append(step)
        self.write()

    def write(self) -> None:
        """Write both files."""
        for suffix, text in (('.json', json.dumps(self.content, indent=1)),
                             ('.md', self.markdown())):
            partial = self.path.with_suffix('.partial')
            partial.write_text(text)
            os.replace(partial, self.path.with_suffix(suffix))

    def markdown(self) -> str:
        """The report."""
        machine = dict(self.content['machine'])
        blocks = [
            f'# {self.title}', f'```shell\n{machine.pop("command")}\n```',
            '\n'.join(f'- {name}: {text}' for name, text in machine.items()),
            self.text
        ]
        for table, to_markdown, title, text in self.sections:
            if self.content[table] and (shown := to_markdown(self.content)):
                title = f'## {title}' if title else ''
                blocks += [title, text.format(**self.content), shown]
        return '\n\n'.join(filter(None, map(str.strip, blocks))) + '\n'

    def resume(self) -> None:
        """Take over what an earlier run has left in the files, if anything.

        Raises:
            ValueError: If it had other ``settings``, was on another machine,
                or cannot be read.
        """
        if not self.path.exists():
            return
        try:
            old = json.loads(self.path.read_text())
            differences = [
                f'{name} {old[part][name]}, not {self.content[part][name]}'
                for part, names in (('settings', self.content['settings']),
                                    ('machine', SAME_MACHINE))
                for name in names
                if old[part][name] != self.content[part][name]
            ]
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


def markdown_table(columns: Columns, rows: Sequence[dict]) -> str:
    """A table in Markdown.

    A cell is empty where the row lacks what it shows. The first such cell of
    a row with ``failed`` says why there is nothing.
    """
    lines = [list(columns), ['---'] * len(columns)]
    for row in rows:
        lines.append([])
        reason = row.get('failed', '')
        for cell in columns.values():
            try:
                text = cell(row) if callable(cell) else row[cell]
            except KeyError:
                text, reason = reason, ''
            lines[-1].append('none' if text is None else text)
    return ''.join(f'| {" | ".join(map(str, line))} |\n' for line in lines)


def spread(values: Sequence[float], factor: float = 1, digits: int = 1) -> str:
    """Median (least to most) of some values times a factor."""
    median, least, most = [
        f'{factor * value:.{digits}f}'
        for value in (statistics.median(values), min(values), max(values))
    ]
    return f'{median} ({least} to {most})'


def milliseconds(name: str = 'seconds', digits: int = 1) -> Callable:
    """A column with the spread of some seconds in ms."""
    return lambda row: spread(row[name], 1e3, digits)


def mebibytes(row: dict) -> str:
    """A column with the peak memory."""
    return f'{row["memory_mib"]:.0f}'


def ratios(seconds: Sequence[float], others: Sequence[float]) -> List[float]:
    """Times by others, turn by turn."""
    return [a / b for a, b in zip(seconds, others)]


def times_as_fast(row: dict) -> str:
    """A column: how many times as fast a row is as ``first``, turn by turn."""
    return spread(ratios(row['first'], row['seconds']), 1, 2)
