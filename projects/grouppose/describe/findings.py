"""Findings about an annotation file, and the report that lists them."""
from dataclasses import dataclass, field
from typing import Iterable, List, Optional, Tuple

NUM_EXAMPLES = 5
HEADINGS = dict(
    error='Errors: correct these before training',
    warning='Warnings: training runs, but may learn the wrong thing',
    note='Notes: for your information')


@dataclass
class Finding:
    """Something worth knowing about an annotation file.

    Args:
        level (str): 'error' if training refuses it or the data contradict
            themselves, 'warning' if it is probably wrong, 'note' if it is
            legitimate, but has consequences.
        what (str): What was found, a noun phrase.
        remedy (str): What to do about it, or its consequence.
        unit (str): Name of the things that are counted, in the singular.
            Defaults to 'annotation'.
        examples (list): Ids or names of all things concerned.
        total (int, optional): How many things there are in all.
        drawn (bool): Whether pictures of the annotations tell more, as those
            of warnings always do. Defaults to False.
        reasons (list[str]): What is wrong with each example, where they
            differ.
        marked (list[tuple[int]]): The keypoints concerned, of each example.
    """
    level: str
    what: str
    remedy: str
    unit: str = 'annotation'
    examples: List = field(default_factory=list)
    total: Optional[int] = None
    drawn: bool = False
    reasons: List[str] = field(default_factory=list)
    marked: List[Tuple[int, ...]] = field(default_factory=list)

    def __str__(self) -> str:
        where = f': {self.where}' if self.examples else ''
        return f'{self.what}{where}. {self.remedy}'

    @property
    def is_drawn(self) -> bool:
        """bool: Whether pictures of the annotations are of use."""
        return self.unit == 'annotation' and (self.drawn
                                              or self.level != 'note')

    @property
    def where(self) -> str:
        """str: How many things are concerned, and the first of them."""
        count = len(self.examples)
        number = f'{count} {self.unit}' + 's' * (count != 1)
        if self.total is not None:
            number = f'{count} of {self.total} {self.unit}s'
        shown = ', '.join(map(str, self.examples[:NUM_EXAMPLES]))
        more = ', ...' if count > NUM_EXAMPLES else ''
        return f'{number} ({shown}{more})'


def found(level: str, what: str, examples: Iterable, remedy: str,
          **kwargs) -> List[Finding]:
    """Make a list with one finding about the examples, or an empty list if
    there are no examples."""
    examples = list(examples)
    if not examples:
        return []
    return [Finding(level, what, remedy, examples=examples, **kwargs)]


def format_findings(findings: List[Finding]) -> str:
    """Format findings by level, the most severe first, as Markdown."""
    parts = []
    for level, heading in HEADINGS.items():
        lines = [f'- {f}' for f in findings if f.level == level]
        if lines:
            parts.append('\n'.join([f'## {heading}', '', *lines]))
    return '\n\n'.join(parts) or 'Nothing looks wrong.'
