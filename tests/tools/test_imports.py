"""Rooms of the package import each other without a circle."""
import re

import pytest

from tests.helpers.tool_runs import ROOT, TOOLS, load_tool


@pytest.fixture(scope='module')
def tool():
    return load_tool('draw_imports', TOOLS / 'misc')


def test_no_circle(tool):
    imports = tool.find_imports()
    assert {'deployment', 'inference', 'model', 'oks'} <= set(imports)
    assert 'oks' in imports['model']
    circle = tool.find_circle(imports)
    assert not circle, tool.describe_circle(circle, imports)


def test_picture_is_current(tool):
    assert tool.PICTURE.read_text() == tool.draw(tool.find_imports()), \
        'run python tools/misc/draw_imports.py'


def test_page_lists_all_rooms(tool):
    text = (ROOT / 'docs/changing.md').read_text()
    section = text[text.index('## The rooms'):text.index('![What the rooms')]
    first = re.findall(r'^\| (`.*?) \|', section, re.MULTILINE)
    listed = {room for cell in first for room in re.findall(r'`(\w+)`', cell)}
    assert listed == set(tool.find_imports())


def test_circles_are_found(tool, tmp_path):
    """However an import is written, and within functions, too."""
    package = tmp_path / 'projects/grouppose'
    for room in ('first', 'second', 'third'):
        (package / room).mkdir(parents=True)
    (package / '__init__.py').write_text('from . import first, fourth')
    (package / 'first/one.py').write_text('from ..second.two import name')
    (package / 'second/two.py'
     ).write_text('import numpy\nimport projects.grouppose.third.three')
    (package / 'third/three.py').write_text('from . import other')
    (package / 'third/other.py').write_text('')
    (package / 'fourth.py').write_text('from .third import three')
    imports = tool.find_imports(package)
    assert {
        room: set(found)
        for room, found in imports.items()
    } == {
        'first': {'second'},
        'second': {'third'},
        'third': set(),
        'fourth': {'third'}
    }
    assert tool.find_circle(imports) == []
    (package / 'third/three.py'
     ).write_text('def function():\n    from projects.grouppose import first')
    imports = tool.find_imports(package)
    circle = tool.find_circle(imports)
    assert circle == ['first', 'second', 'third', 'first']
    assert 'third imports first: third/three.py:2' in tool.describe_circle(
        circle, imports)
