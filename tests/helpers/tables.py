"""Tables of Markdown reports."""


def read_table(text):
    """Cells of the rows below the header."""
    lines = text.strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip('|').split('|')]
            for line in lines]
