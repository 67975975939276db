"""Formats are found by what is in a file."""
import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from mmengine.config import Config

from projects.grouppose.describe.formats import read_labels
from projects.grouppose.describe.formats.image_files import (ImageFiles,
                                                             name_parts)
from projects.grouppose.describe.formats.read import find_format
from projects.grouppose.describe.formats.source import Source
from tests.helpers.labeling_tools import (WRITERS, expected_poses, read_poses,
                                          write_coco, write_images,
                                          write_label_studio, write_labelme,
                                          write_yolo)
from tests.helpers.tool_runs import TOOLS, load_tool

KINDS = ('.json', '.yaml', '.csv', '.xml')


@pytest.mark.parametrize('name', WRITERS)
def test_format_is_found_whatever_the_name(tmp_path, name):
    WRITERS[name](tmp_path)
    found = [
        path for path in sorted(tmp_path.rglob('*'))
        if path.suffix in KINDS and path.name != 'config.yaml'
    ]
    assert found
    for path in found:
        for other in ('data', 'x.txt', 'x.json', 'x.csv', 'x.yaml', 'x.slp'):
            shutil.copy(path, tmp_path / other)
            assert find_format(Source(tmp_path / other)) == name


@pytest.mark.parametrize('text', [
    '', '{}', '[]', '[1]', '[{}]', '{"shapes": 1}', 'a: b', 'names: [a]',
    'x,y\n1,2\n', '<html></html>', '\0\1\2', '{"images": []'
])
def test_other_files_have_no_format(tmp_path, text):
    (tmp_path / 'file.json').write_text(text)
    assert find_format(Source(tmp_path / 'file.json')) is None
    with pytest.raises(
            ValueError,
            match='file.json: no keypoint annotations '
            'of a known format found. Known are COCO, YOLO pose'):
        read_labels(tmp_path / 'file.json')


def test_folder_of_several_formats(tmp_path):
    write_coco(tmp_path / 'coco')
    write_yolo(tmp_path / 'yolo')
    with pytest.raises(
            ValueError, match='several formats: COCO, YOLO pose. '
            'Give'):
        read_labels(tmp_path)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match='no such file or folder'):
        read_labels(tmp_path / 'none')
    write_yolo(tmp_path)
    with pytest.raises(FileNotFoundError, match='no such folder of images'):
        read_labels(tmp_path, images=tmp_path / 'none')


def test_archive(tmp_path):
    """Unpacked where the caller says, and nowhere else."""
    folder = write_coco(tmp_path / 'coco')
    archive = tmp_path / 'job.bin'
    with zipfile.ZipFile(archive, 'w') as file:
        for path in folder.rglob('*'):
            file.write(path, path.relative_to(folder))
        file.writestr('../../outside.txt', 'x')
    with pytest.raises(ValueError, match='job.bin: holds the images'):
        read_labels(archive)
    converted = read_labels(archive, extract_to=tmp_path / 'a/b')
    assert converted.images == tmp_path / 'a/b/job'
    assert read_poses(converted) == expected_poses(prefix='images/default/')
    assert not (tmp_path / 'outside.txt').exists()
    assert not (tmp_path / 'a/outside.txt').exists()

    archive.write_bytes(archive.read_bytes()[:400])
    with pytest.raises(
            ValueError, match='job.bin: cannot be unpacked .*. '
            'Export it again'):
        read_labels(archive, extract_to=tmp_path / 'c')


@pytest.mark.parametrize('name, parts', [
    ('C:\\data\\a b.png', ['C:', 'data', 'a b.png']),
    ('./sub//ü.png', ['sub', 'ü.png']),
    ('/data/upload/3/x.png', ['data', 'upload', '3', 'x.png']),
    ('/data/local-files/?d=sub/%C3%BC.png', ['sub', 'ü.png']),
    ('https://host/p/a%20b.png?sig=1/2', ['p', 'a b.png']),
    ('s3://bucket/p/x.png', ['p', 'x.png']),
    ('50%20.png', ['50%20.png']),
])
def test_names_of_images(name, parts):
    assert name_parts(name) == parts


def test_images_are_found(tmp_path):
    """By the longest end of the name, else anywhere if only one has it."""
    write_images(tmp_path)
    files = ImageFiles(tmp_path, Path('ann.json'))
    assert files.find('C:\\me\\sub\\ü.png') == 'sub/ü.png'
    assert files.find('/data/upload/1/a b.png') == 'a b.png'
    assert files.find('ü.png') == 'sub/ü.png'
    assert files.find(str(tmp_path / 'sub/ü.png')) == 'sub/ü.png'
    assert files.find('../a b.png', base=tmp_path / 'sub') == 'a b.png'
    assert files.find('c.png') is None
    assert files.name('d\\c.png') == 'd/c.png'
    shutil.copytree(tmp_path / 'sub', tmp_path / 'sub2')
    with pytest.raises(
            ValueError,
            match='ann.json: the image .* any of '
            'sub/ü.png, sub2/ü.png.*--images'):
        ImageFiles(tmp_path, Path('ann.json')).find('x/ü.png')


def test_upload_prefix_of_label_studio(tmp_path):
    """It puts 8 hexadecimal digits before a name, and spaces become _."""
    write_images(tmp_path)
    files = ImageFiles(tmp_path, Path('ann.json'))
    assert files.find('/data/upload/1/0fa3b9c1-ü.png') == 'sub/ü.png'
    assert files.find('/data/upload/1/0fa3b9c1-a_b.png') == 'a b.png'


@pytest.mark.parametrize('writer', [write_labelme, write_label_studio])
def test_no_keypoints(tmp_path, writer):
    writer(tmp_path)
    for path in tmp_path.rglob('*.json'):
        content = json.loads(path.read_text())
        if isinstance(content, dict):
            content['shapes'] = [
                shape for shape in content['shapes']
                if shape['shape_type'] == 'rectangle'
            ]
        else:
            for task in content:
                for entry in task['annotations']:
                    entry['result'] = [
                        region for region in entry['result']
                        if region['type'] == 'rectanglelabels'
                    ]
        path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='without a single labeled keypoint'):
        read_labels(tmp_path)


@pytest.fixture(scope='module')
def tool():
    return load_tool('describe_dataset', TOOLS / 'dataset_converters')


@pytest.mark.parametrize('name', WRITERS)
def test_describe_dataset(tool, tmp_path, capsys, name):
    """The program writes COCO files and a config that names them."""
    path = WRITERS[name](tmp_path / 'in')
    out = tmp_path / 'out'
    tool.main([str(path), '--out', str(out), '--val-part', '0.5'])
    assert f'Read as {name}.' in capsys.readouterr().out
    assert (out / 'config.py').is_file()
    files = sorted(path.name for path in (out / 'annotations').iterdir())
    assert files == (['train.json', 'val.json']
                     if name == 'YOLO pose' else ['all.json'])
    content = json.loads((out / 'annotations' / files[0]).read_text())
    assert content['categories'][0]['keypoints'] == [
        'left_wing', 'right_wing', 'tip'
    ]


@pytest.mark.parametrize('parts, written', [
    (('train', 'test'), ['test', 'train']),
    (('test', 'train', 'val'), ['test', 'train', 'val']),
    (('val', 'test'), ['all']),
])
def test_images_to_test_on(tool, tmp_path, parts, written):
    """They are neither trained on nor left out."""
    for part in parts:
        write_yolo(tmp_path / 'in' / part)
    path = tmp_path / 'in/data.yaml'
    text = (tmp_path / 'in' / parts[0] / 'data.yaml').read_text()
    lists = '\n'.join(f'{part}: {part}/images' for part in parts)
    path.write_text(re.sub('train: .*\nval: .*', lists, text))
    for part in parts:
        (tmp_path / 'in' / part / 'data.yaml').unlink()
    out = tmp_path / 'out'
    tool.main([str(path), '--out', str(out), '--val-part', '0.5', '--small'])
    files = sorted(path.stem for path in (out / 'annotations').iterdir())
    assert files == written
    config = Config.fromfile(out / 'config.py')
    test, val = [
        config[f'{name}_evaluator'].ann_file for name in ('test', 'val')
    ]
    assert (test == val) == (written == ['all'])
    if test != val:
        content = json.loads(Path(test).read_text())
        assert all(image['file_name'].startswith('test/')
                   for image in content['images'])


def test_describe_dataset_says_what_is_wrong(tool, tmp_path, capsys):
    write_yolo(tmp_path / 'in', config='kpt_names: [a]\n')
    with pytest.raises(SystemExit) as error:
        tool.main([str(tmp_path / 'in'), '--out', str(tmp_path / 'out')])
    assert error.value.code == 2
    assert 'data.yaml: `kpt_names` must list 3 names' in \
        capsys.readouterr().err
