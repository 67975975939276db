"""Data sets of poses, written for labeling tools and read back."""
import json
import os
from pathlib import Path

import numpy as np
import pytest
from mmengine.structures import InstanceData
from PIL import Image

from projects.grouppose.data.metainfo import load_metainfo
from projects.grouppose.describe.formats import read_labels
from projects.grouppose.inference import (DATASETS, DatasetFiles, ImageFile,
                                          Video, read_image)

META = dict(
    dataset_name='planes',
    paper_info={},
    keypoint_info={
        0: dict(name='tip', id=0, color=[0] * 3, type='', swap=''),
        1: dict(name='wing<L>', id=1, color=[0] * 3, type='', swap='wing<R>'),
        2: dict(name='wing<R>', id=2, color=[0] * 3, type='', swap='wing<L>'),
    },
    skeleton_info={0: dict(link=('tip', 'wing<R>'), id=0, color=[0] * 3)},
    joint_weights=[1.] * 3,
    sigmas=[.05] * 3)
FIRST = [[(10, 5), (4.25, 12), (16, 12)], [(40, 8), (35, 30.5), (45, 30)]]
OUTSIDE = [[(50, 35), (61, 38), (-1, 3)], [(-5, -5), (70, 3), (3, 99)]]


def instances(poses, labels=None):
    return InstanceData(
        keypoints=np.array(poses, dtype=float).reshape(-1, 3, 2),
        keypoint_scores=np.full((len(poses), 3), .5),
        bbox_scores=np.linspace(.9, .5, len(poses)),
        labels=np.zeros(len(poses), dtype=int) if labels is None else labels)


@pytest.fixture
def image(tmp_path):
    """Write an image."""

    def write(name, **kwargs):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        noise = np.random.RandomState(0).randint(0, 256, (40, 60, 3))
        Image.fromarray(noise.astype(np.uint8)).save(tmp_path / name, **kwargs)
        return ImageFile(str(tmp_path / name))

    return write


@pytest.fixture(params=DATASETS)
def files(request, tmp_path):
    return DatasetFiles(request.param, str(tmp_path / 'out'),
                        load_metainfo(META), 'plane')


def add(files, source, poses, index=0):
    files.add(source, index, read_image(source.path), instances(poses))


def read(tmp_path):
    """Poses by the name of the file, in the order of the metainfo."""
    content, folder, _ = read_labels(tmp_path / 'out')
    category, = content['categories']
    assert category['name'] == 'plane'
    order = [
        category['keypoints'].index(name)
        for name in ('tip', 'wing<L>', 'wing<R>')
    ]
    found = {}
    for entry in content['images']:
        with Image.open(folder / entry['file_name']) as picture:
            assert picture.size == (entry['width'], entry['height'])
        poses = [
            np.reshape(ann['keypoints'], (-1, 3))[order]
            for ann in content['annotations'] if ann['image_id'] == entry['id']
        ]
        found[Path(entry['file_name']).name] = np.reshape(poses, (-1, 3, 3))
    return found, content


def test_round_trip(files, image, tmp_path):
    """What is read back is what was written, also for an image without
    poses; what lies outside is not labeled."""
    add(files, image('a b.png'), FIRST)
    add(files, image('ü.jpg'), [])
    add(files, image('c.jpg'), OUTSIDE)
    files.close()
    found, content = read(tmp_path)
    assert sorted(found) == ['a b.png', 'c.jpg', 'ü.jpg']
    np.testing.assert_allclose(found['a b.png'][..., :2], FIRST, atol=1e-3)
    assert (found['a b.png'][..., 2] == 2).all()
    np.testing.assert_allclose(
        found['c.jpg'], [[(50, 35, 2), (0, 0, 0), (0, 0, 0)]], atol=1e-3)
    assert not len(found['ü.jpg'])
    np.testing.assert_allclose(
        sorted(ann['bbox'] for ann in content['annotations']),
        [[3.25, 4, 13.75, 9], [34, 7, 12, 24.5], [49, 34, 2, 2]],
        atol=1e-3)


def test_images(files, image, tmp_path):
    """Copied where tools show them as they are, else written anew; equal
    names stay apart, also those of labels."""
    same = image('in/a.jpg')
    exif = Image.Exif()
    exif[0x0112] = 6
    for source in (same, image('in/a.png'), image('A.jpg',
                                                  exif=exif), image('d.bmp')):
        add(files, source, FIRST)
    files.close()
    found, _ = read(tmp_path)
    assert sorted(found) == ['A-3.jpg', 'a-2.png', 'a.jpg', 'd.png']
    copy, = (tmp_path / 'out').rglob('a.jpg')
    assert copy.read_bytes() == Path(same.path).read_bytes()
    turned, = (tmp_path / 'out').rglob('A-3.jpg')
    with Image.open(turned) as picture:  # upright, as the poses are
        assert picture.size == (40, 60)
        assert picture.getexif().get(0x0112, 1) == 1


def test_frames_and_strange_names(files, image, tmp_path):
    picture = read_image(image('a.png').path)
    for index in (0, 12):
        files.add(Video('in/film.mp4'), index, picture, instances(FIRST))
    strange = os.fsencode(tmp_path) + b'/\xff.png'
    Path(os.fsdecode(strange)).write_bytes((tmp_path / 'a.png').read_bytes())
    add(files, ImageFile(os.fsdecode(strange)), FIRST)
    files.close()
    assert sorted(
        read(tmp_path)[0]) == ['_.png', 'film_000000.jpg', 'film_000012.jpg']


def test_labeling_interface(image, tmp_path):
    """Names are escaped in the XML of Label Studio; a task has an address
    and the least score."""
    files = DatasetFiles('label-studio', str(tmp_path / 'out'),
                         load_metainfo(META))
    add(files, image('a.png'), FIRST)
    files.close()
    text = (tmp_path / 'out/labeling_config.xml').read_text()
    assert '<Label value="wing&lt;L&gt;" model_index="1"/>' in text
    task, = json.loads((tmp_path / 'out/tasks.json').read_text())
    assert task['data'] == dict(image='/data/local-files/?d=images/a.png')
    assert task['predictions'][0]['score'] == .5


def test_yolo_settings(image, tmp_path):
    files = DatasetFiles('yolo', str(tmp_path / 'out'), load_metainfo(META))
    add(files, image('a.png'), FIRST)
    files.close()
    content = read_labels(tmp_path / 'out').content
    assert content['categories'][0]['flip_idx'] == [0, 2, 1]


@pytest.mark.parametrize('kind', DATASETS)
def test_classes(kind, image, tmp_path):
    """Each pose is read back as what it was found to be."""
    meta = load_metainfo(dict(META, classes={9: 'kite', 4: 'plane <x>'}))
    files = DatasetFiles(kind, str(tmp_path / 'out'), meta)
    source = image('a.png')
    files.add(source, 0, read_image(source.path), instances(FIRST, [1, 0]))
    files.close()
    content = read_labels(tmp_path / 'out').content
    names = {entry['id']: entry['name'] for entry in content['categories']}
    assert sorted(names.values()) == ['kite', 'plane <x>']
    if kind == 'coco-dataset':
        assert names == {9: 'kite', 4: 'plane <x>'}
    found = {
        names[ann['category_id']]: ann['bbox'][:2]
        for ann in content['annotations']
    }
    np.testing.assert_allclose(found['kite'], [3.25, 4], atol=1e-3)
    np.testing.assert_allclose(found['plane <x>'], [34, 7], atol=1e-3)
    with pytest.raises(ValueError, match="'door' cannot .*4: 'plane"):
        DatasetFiles(kind, str(tmp_path / 'out'), meta, 'door')
