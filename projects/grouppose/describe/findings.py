"""Findings about an annotation file, and the report that lists them."""
from dataclasses import dataclass, field
from typing import Iterable, List, Optional

NUM_EXAMPLES = 5
HEADINGS = dict(
    error='Errors: correct these before training',
    warning='Warnings: training runs, but may learn the wrong thing',
    note='Notes: for your information')


@dataclass
class Finding:
    """Something worth knowing about an annotation file.

    Args:
        level (str): 'error' for what training refuses or what makes data
            contradict itself, 'warning' for what is probably wrong, 'note'
            for what is legitimate, but has consequences.
        what (str): What was found, a noun phrase.
        remedy (str): What to do about it, or what it leads to.
        unit (str): What is counted, in the singular. Defaults to
            'annotation'.
        examples (list): Ids or names of all that are concerned.
        total (int, optional): How many there are of this unit.
    """
    level: str
    what: str
    remedy: str
    unit: str = 'annotation'
    examples: List = field(default_factory=list)
    total: Optional[int] = None

    def __str__(self) -> str:
        text = self.what
        if self.examples:
            count = len(self.examples)
            number = f'{count} {self.unit}' + 's' * (count != 1)
            if self.total is not None:
                number = f'{count} of {self.total} {self.unit}s'
            shown = ', '.join(map(str, self.examples[:NUM_EXAMPLES]))
            more = ', ...' if count > NUM_EXAMPLES else ''
            text += f': {number} ({shown}{more})'
        return f'{text}. {self.remedy}'


def found(level: str, what: str, examples: Iterable, remedy: str,
          **kwargs) -> List[Finding]:
    """A list with a finding about the examples, empty without any."""
    examples = list(examples)
    if not examples:
        return []
    return [Finding(level, what, remedy, examples=examples, **kwargs)]


def format_findings(findings: List[Finding]) -> str:
    """List findings by level, the gravest first, in Markdown."""
    parts = []
    for level, heading in HEADINGS.items():
        lines = [f'- {f}' for f in findings if f.level == level]
        if lines:
            parts.append('\n'.join([f'## {heading}', '', *lines]))
    return '\n\n'.join(parts) or 'Nothing looks wrong.'
