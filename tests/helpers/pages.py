"""Pages of the documentation, whose code is run as a reader types it."""
import re
from pathlib import Path
from typing import List

DOCS = Path(__file__).resolve().parents[2] / 'docs'


def code_blocks(page: str, language: str) -> List[str]:
    """Code blocks of a page of docs/ in a language."""
    return re.findall(rf'^```{language}\n(.*?)^```', (DOCS / page).read_text(),
                      re.DOTALL | re.MULTILINE)
