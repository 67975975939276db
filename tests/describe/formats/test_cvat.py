"""CVAT for images 1.1."""
import pytest

from projects.grouppose.describe.formats import read_labels
from tests.helpers.labeling_tools import (NAMES, expected_poses, read_poses,
                                          write_cvat)


def test_skeletons(tmp_path):
    converted = read_labels(write_cvat(tmp_path))
    assert read_poses(converted) == expected_poses(prefix='images/')
    category, = converted.content['categories']
    assert category['keypoints'] == NAMES  # not in the order of the points
    assert category['skeleton'] == [[1, 3]]
    assert not any('bbox' in ann for ann in converted.content['annotations'])


def test_without_drawing(tmp_path):
    """The points of the first skeleton give the order."""
    path = write_cvat(tmp_path) / 'annotations.xml'
    text = path.read_text(encoding='utf-8')
    path.write_text(
        text[:text.index('<svg>')] + text[text.index('</svg>') + 6:],
        encoding='utf-8')
    converted = read_labels(path, images=tmp_path / 'images')
    assert read_poses(converted) == expected_poses()
    assert converted.content['categories'][0]['keypoints'] == NAMES[::-1]


def test_subsets_and_absent_skeletons(tmp_path):
    """A project has subsets; where a track is switched off, all is
    outside."""
    path = write_cvat(tmp_path) / 'annotations.xml'
    text = path.read_text(encoding='utf-8')
    text = text.replace('id="0" name', 'subset="Train" id="0" name')
    text = text.replace('id="1" name', 'subset="Validation" id="1" name')
    start = text.index('<skeleton')
    end = text.index('</skeleton>')
    path.write_text(
        text[:start] + text[start:end].replace('outside="0"', 'outside="1"') +
        text[end:],
        encoding='utf-8')
    converted = read_labels(path)
    assert [image['split']
            for image in converted.content['images']] == ['train', 'val']
    assert len(converted.content['annotations']) == 2
    assert '1 skeletons with all points outside' in converted.notes[1]


@pytest.mark.parametrize('old, new, message', [
    ('</annotations>', '', 'no XML of CVAT'),
    ('<?xml version="1.0" encoding="utf-8"?>',
     '<?xml version="1.0"?><!-- <!ENTITY a "b"> -->', 'defines entities'),
    ('<image id="0"', '<track id="0"></track><image id="0"',
     '`track`: an export for video. Export the task as "CVAT for images'),
    ('6.00,12.00', '6.00', 'image a b.png: `points` of left_wing must be'),
    ('6.00,12.00', 'nan,1', 'image a b.png: `points` of left_wing must be'),
    ('width="60"', '', 'image a b.png: `name`, `width` and `height`'),
    ('skeleton', 'points', 'no `skeleton` in its images, which have points'),
])
def test_malformed(tmp_path, old, new, message):
    path = write_cvat(tmp_path) / 'annotations.xml'
    text = path.read_text(encoding='utf-8')
    assert old in text
    path.write_text(text.replace(old, new), encoding='utf-8')
    with pytest.raises(ValueError, match=f'annotations.xml: .*{message}'):
        read_labels(path)
