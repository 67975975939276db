"""Write what was measured on a GPU into docs/performance.md.

    python benchmarks/gpu_tables.py OUT/gpu_check.json

Replaces what is between the two comments ``gpu tables`` of the page by the
tables of the file, with its date and device.
"""
import argparse
import json
import re
from pathlib import Path

from program import ROOT

from benchmarks.lib.gpu_tables import CHECKS, describe, show_tables
from benchmarks.lib.results import markdown_table

BEGIN, END = '<!-- gpu tables -->', '<!-- end of gpu tables -->'


def fill_page(page: str, content: dict) -> str:
    """The text of a page with the tables of ``gpu_check.json``.

    Raises:
        ValueError: If the page has no place for them, or they are those of a
            rehearsal.
    """
    if content.get('rehearsal'):
        raise ValueError('a rehearsal on a CPU: these are no results')
    pattern = re.compile(f'{BEGIN}.*{END}', re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f'the page lacks {BEGIN} and {END}, between which '
                         'the tables are written')
    checks = markdown_table(CHECKS, content['checks']).strip()
    text = '\n\n'.join(
        [BEGIN,
         describe(content), checks,
         show_tables(content, level=3), END])
    return pattern.sub(lambda _: text, page)


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('file', type=Path, help='gpu_check.json')
    parser.add_argument(
        '--page',
        type=Path,
        default=ROOT / 'docs/performance.md',
        help='where the tables go (%(default)s)')
    args = parser.parse_args(argv)
    try:
        content = json.loads(args.file.read_text())
        args.page.write_text(fill_page(args.page.read_text(), content))
    except (OSError, ValueError, KeyError, TypeError) as error:
        parser.error(f'{args.file}: {error}')


if __name__ == '__main__':
    main()
