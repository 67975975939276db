"""DeepLabCut's tables."""
import pytest

from projects.grouppose.describe.formats import read_labels
from tests.helpers.labeling_tools import (SIZE, expected_poses, read_poses,
                                          write_deeplabcut)

PLACE = 'labeled-data/video 1'


@pytest.mark.parametrize('columns', [1, 3])
def test_project(tmp_path, columns):
    """It tells no hidden keypoints and has no boxes."""
    converted = read_labels(write_deeplabcut(tmp_path, columns))
    assert read_poses(converted, False) == expected_poses(
        False, prefix=f'{PLACE}/')
    content = converted.content
    assert content['categories'][0]['skeleton'] == [[1, 3]]
    assert (content['images'][0]['width'],
            content['images'][0]['height']) == SIZE
    assert not any('bbox' in ann for ann in content['annotations'])
    assert 'belong to no animal are left out: corner' in converted.notes[1]


def test_table_with_images_elsewhere(tmp_path):
    write_deeplabcut(tmp_path)
    images = (tmp_path / PLACE).rename(tmp_path / 'photos')
    table = (images / 'CollectedData_me.csv').rename(tmp_path / 'table')
    converted = read_labels(table, images=images)
    assert read_poses(converted, False) == expected_poses(False)
    with pytest.raises(
            FileNotFoundError, match='table: 1 images are not in '
            '.*by --images'):
        read_labels(table, images=images / 'sub')


def test_other_tables_of_a_project(tmp_path):
    """Copies for training and predictions are not read."""
    write_deeplabcut(tmp_path)
    table, = tmp_path.rglob('CollectedData_me.csv')
    copy = tmp_path / 'training-datasets/set/CollectedData_me.csv'
    copy.parent.mkdir(parents=True)
    copy.write_bytes(table.read_bytes())
    header = [
        'scorer,net,net,net', 'bodyparts,tip,tip,tip', 'coords,x,y,likelihood'
    ]
    (table.parent / 'machinelabels.csv').write_text('\n'.join(
        [*header, '0,1.5,2.5,0.9']))
    converted = read_labels(tmp_path)
    assert len(converted.content['annotations']) == 3
    assert '1 tables of predictions' in ' '.join(converted.notes)
    with pytest.raises(ValueError, match='line 4: a table of the frames'):
        read_labels(table.parent / 'machinelabels.csv')

    (table.parent / 'CollectedData_you.csv').write_bytes(table.read_bytes())
    with pytest.raises(ValueError, match='a b.png is annotated twice. Remove'):
        read_labels(tmp_path)


SINGLE = """scorer,me,me,me,me
bodyparts,tip,tip,left_wing,left_wing
coords,x,y,x,y
labeled-data\\v\\a b.png,1.5,2,,
labeled-data\\v\\ü.png,,,,
"""


@pytest.fixture
def table(tmp_path):
    """Write a table beside images."""
    write_deeplabcut(tmp_path)
    (tmp_path / PLACE / 'CollectedData_me.csv').unlink()

    def write(text):
        path = tmp_path / PLACE / 'CollectedData_me.csv'
        path.write_text(text, encoding='utf-8')
        return path

    return write


def test_single_animal(table):
    """Old versions write a path with the slash of their system."""
    converted = read_labels(table(SINGLE))
    ann, = converted.content['annotations']
    assert ann['keypoints'] == [1.5, 2, 2, 0, 0, 0]
    image, = converted.content['images']
    assert image['file_name'] == 'a b.png'
    assert '1 images without a labeled point' in converted.notes[1]


@pytest.mark.parametrize('old, new, message', [
    ('bodyparts', 'parts', 'no row `bodyparts` at the top'),
    ('1.5', 'one', "line 4: tip x is 'one', not a number"),
    ('1.5,', '', 'line 4: 4 cells, the header has 5'),
    ('labeled-data\\v\\a b.png', '17', 'line 4: a table of the frames of a '
     'video'),
])
def test_malformed(table, old, new, message):
    assert old in SINGLE
    with pytest.raises(ValueError, match=f'CollectedData_me.csv: {message}'):
        read_labels(table(SINGLE.replace(old, new)))


def test_hdf5_is_not_unpickled(tmp_path):
    path = tmp_path / 'CollectedData_me.h5'
    path.write_bytes(b'\x89HDF\r\n\x1a\n' + bytes(64) +
                     b'pandas_type df_with_missing')
    with pytest.raises(
            ValueError,
            match='CollectedData_me.h5: an HDF5 .*'
            'pickled.* Give the .csv'):
        read_labels(path)
