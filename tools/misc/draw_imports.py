"""Draw which room of the package imports which: docs/images/imports.svg.

A room is a folder or a module of projects/grouppose. Arrows that follow from
others are left out: who imports a room may import what that one imports.
"""
import ast
import sys
from pathlib import Path
from statistics import mean
from typing import Dict, Iterator, List, Set, Tuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / 'projects/grouppose'
PICTURE = ROOT / 'docs/images/imports.svg'
# Rooms by room, and where: 'model/head.py:17'.
Imports = Dict[str, Dict[str, List[str]]]
BOX, GAP, ROW, MARGIN = (124, 34), 26, 90, 12  # pixels


def find_imports(package: Path = PACKAGE) -> Imports:
    """Which rooms each room of a package imports, and in which lines.

    Imports within functions count, too. The package's own ``__init__`` is
    left out: it imports everything, and nothing imports it.
    """
    imports: Imports = {}
    for path in sorted(package.rglob('*.py')):
        place = path.relative_to(package)
        room = place.with_suffix('').parts[0]
        if room == '__init__':
            continue
        found = imports.setdefault(room, {})
        for name, line in _imported_modules(path, package):
            if name != room:
                found.setdefault(name, []).append(f'{place}:{line}')
    return {
        room: {
            name: lines
            for name, lines in found.items() if name in imports
        }
        for room, found in imports.items()
    }


def _imported_modules(path: Path, package: Path) -> Iterator[Tuple[str, int]]:
    """Rooms that the import statements of a file name, and their lines."""
    prefix = list(package.relative_to(package.parents[1]).parts)
    folder = prefix + list(path.relative_to(package).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        names: List[List[str]] = []
        if isinstance(node, ast.Import):
            names = [alias.name.split('.') for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module.split('.') if node.module else []
            if node.level:
                base = folder[:len(folder) - node.level + 1] + base
            names = [base + [alias.name] for alias in node.names]
        for name in names:
            if name[:2] == prefix and len(name) > 2:
                yield name[2], node.lineno


def find_circle(imports: Imports) -> List[str]:
    """Rooms that import each other in a circle, [] if there are none."""

    def search(room: str, way: List[str]) -> List[str]:
        if room in way:
            return way[way.index(room):] + [room]
        if room in done:
            return []
        for name in imports[room]:
            circle = search(name, way + [room])
            if circle:
                return circle
        done.add(room)
        return []

    done: Set[str] = set()
    for room in imports:
        circle = search(room, [])
        if circle:
            return circle
    return []


def describe_circle(circle: List[str], imports: Imports) -> str:
    """A circle as text, with the lines that make it."""
    return '\n'.join(f'{room} imports {name}: '
                     f'{", ".join(imports[room][name])}'
                     for room, name in zip(circle, circle[1:]))


def draw(imports: Imports) -> str:
    """The picture as SVG; the imports must have no circle."""
    arrows = _needed(imports)
    rows = _rows(imports, arrows)
    ways = _ways(arrows, rows)
    order = [[room for room in imports if rows[room] == row]
             for row in range(max(rows.values()) + 1)]
    for way in ways:
        for bend in way[1:-1]:
            order[bend[2]].append(bend)
    x = _columns(order, ways)

    width = max(x.values()) + BOX[0] / 2 + MARGIN
    height = ROW * (len(order) - 1) + BOX[1] + 2 * MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" '
        'font-family="sans-serif" font-size="15">',
        '<title>What the rooms of projects/grouppose import</title>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#557"/></marker></defs>',
        '<rect width="100%" height="100%" fill="#fff"/>'
    ]
    for way in ways:
        top, path = MARGIN + ROW * rows[way[0]] + BOX[1], ''
        for i, (start, end) in enumerate(zip(way, way[1:])):
            low = top + ROW - BOX[1]
            path += (f'M{x[start]:.0f},{top} ' if i == 0 else ' ') + (
                f'C{x[start]:.0f},{top + 25} {x[end]:.0f},{low - 25} '
                f'{x[end]:.0f},{low}')
            top = low + BOX[1]
            if i < len(way) - 2:  # past the boxes of a row
                path += f' V{top}'
        lines.append(
            f'<path d="{path}" fill="none" stroke="#557" stroke-width="1.4" '
            f'marker-end="url(#tip)"><title>{way[0]} imports {way[-1]}'
            '</title></path>')
    for room, row in rows.items():
        left, y = x[room] - BOX[0] / 2, MARGIN + ROW * row
        lines += [
            f'<rect x="{left:.0f}" y="{y}" width="{BOX[0]}" '
            f'height="{BOX[1]}" rx="6" fill="#e6ebfb" stroke="#557"/>',
            f'<text x="{x[room]:.0f}" y="{y + 22}" text-anchor="middle">'
            f'{room}</text>'
        ]
    return '\n'.join(lines + ['</svg>', ''])


def _needed(imports: Imports) -> List[Tuple[str, str]]:
    """The imports that do not follow from others."""

    def reach(room: str) -> Set[str]:
        return set(imports[room]).union(*map(reach, imports[room]))

    return [(room, name) for room in sorted(imports)
            for name in sorted(imports[room])
            if not any(name in reach(other) for other in imports[room])]


def _rows(imports: Imports, arrows: List[Tuple[str, str]]) -> Dict[str, int]:
    """The row of each room, below all that import it."""

    def row(room: str) -> int:
        return max((row(start) + 1 for start, end in arrows if end == room),
                   default=0)

    rows = {room: row(room) for room in imports}
    for room, found in imports.items():
        if rows[room] == 0 and found:  # nobody imports it: near what it does
            rows[room] = min(rows[name] for name in found) - 1
    return rows


def _ways(arrows: List[Tuple[str, str]], rows: Dict[str, int]) -> List[list]:
    """Each arrow with a bend in every row between: (start, end, row)."""
    return [[
        start, *((start, end, row)
                 for row in range(rows[start] + 1, rows[end])), end
    ] for start, end in arrows]


def _columns(order: List[list], ways: List[list]) -> Dict:
    """Where rooms and bends are, each near those that it is linked with.

    Args:
        order (list[list]): Rooms and bends of each row; sorted in place.
        ways (list[list]): The arrows.
    """
    linked: Dict = {}
    for way in ways:
        for start, end in zip(way, way[1:]):
            linked.setdefault(start, []).append(end)
            linked.setdefault(end, []).append(start)
    x: Dict = {}

    def spread(row: list) -> None:
        sizes = [BOX[0] if isinstance(item, str) else 8 for item in row]
        left = (1000 - sum(sizes) - GAP * (len(row) - 1)) / 2
        for item, size in zip(row, sizes):
            x[item] = left + size / 2
            left += size + GAP

    for row in order:
        spread(row)
    for _ in range(20):
        for row in order:
            row.sort(key=lambda item: mean(
                [x[other] for other in linked.get(item, [item])]))
            spread(row)
    first = min(x.values()) - BOX[0] / 2 - MARGIN
    return {item: value - first for item, value in x.items()}


if __name__ == '__main__':
    found = find_imports()
    around = find_circle(found)
    if around:
        sys.exit(
            'draw_imports.py: the rooms import each other in a circle:\n' +
            describe_circle(around, found))
    PICTURE.write_text(draw(found))
    print(PICTURE)
