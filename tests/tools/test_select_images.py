"""What select_images.py says about files that it cannot use."""
import json
import re
import sys

import pytest

from tests.helpers.tool_runs import TOOLS, load_tool

CONTENT = dict(
    images=[dict(id=1)],
    annotations=[dict(id=1, image_id=1, num_keypoints=2)],
    categories=[])


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Call the program in an empty folder; answer with its message."""
    monkeypatch.chdir(tmp_path)

    def run_(text, dst='few.json', count='1'):
        if text is not None:
            (tmp_path / 'all.json').write_text(text)
        tool = load_tool('select_images', TOOLS / 'dataset_converters')
        monkeypatch.setattr(
            sys, 'argv',
            ['select_images.py', 'all.json', dst, '--num-images', count])
        try:
            tool.main()
        except SystemExit as error:
            return error.code
        return ''

    return run_


def test_success(run, tmp_path):
    assert run(json.dumps(CONTENT)) == ''
    assert json.loads((tmp_path / 'few.json').read_text()) == CONTENT


@pytest.mark.parametrize('text, message', [
    (None, 'all.json: No such file'),
    ('{"images": [', 'all.json: not valid JSON'),
    ('[{"image_id": 1, "score": 0.5}]', 'all.json: .* a list `images`'),
    ('{"images": [], "annotations": [3]}', 'all.json: .* `annotations`'),
    ('{"images": [{}], "annotations": []}', 'all.json: .*`images` .*`id`'),
    (json.dumps(CONTENT), 'all.json: 2 images wanted'),
])
def test_wrong_source(run, tmp_path, text, message):

    answer = run(text, count='2')
    assert re.match('select_images.py: ' + message, answer), answer
    assert not (tmp_path / 'few.json').exists()


def test_wrong_destination(run):
    answer = run(json.dumps(CONTENT), 'no/few.json')
    assert answer == 'select_images.py: no/few.json: No such file or directory'
