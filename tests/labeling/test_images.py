"""The list of images, which is all that is ever read."""
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from projects.grouppose.data.loading import ORIENTATION
from projects.grouppose.labeling.images import ImageList
from tests.helpers.labeled_images import NAMES, SIZE, write_images


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'secret.png').write_bytes(b'secret')
    return write_images(tmp_path / 'images')


def test_names(folder):
    for name in ('note.txt', '.hidden.png', '.git/x.png'):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    images = ImageList(str(folder))
    assert images.names == NAMES
    assert images.notes == []
    assert [images.next_name(name) for name in NAMES] == NAMES[1:] + NAMES[:1]
    assert images.size('a.png') == SIZE
    assert images.read('b.jpg').shape == (*SIZE[::-1], 3)
    content, kind = images.content('b.jpg')
    assert (content, kind) == ((folder / 'b.jpg').read_bytes(), 'image/jpeg')


@pytest.mark.parametrize('name', [
    '../secret.png', 'sub/../../secret.png', '/etc/passwd', 'sub', '',
    'no.png', 'a.png/../b.jpg', './a.png', '..\\secret.png'
])
def test_other_paths_are_not_read(folder, name):
    images = ImageList(str(folder))
    for read in (images.path, images.read, images.size, images.content):
        with pytest.raises(FileNotFoundError, match='no image of this name'):
            read(name)


def test_links(folder):
    """Those within the folder are images, those out of it are not."""
    os.symlink(folder / 'a.png', folder / 'inside.png')
    os.symlink(folder.parent / 'secret.png', folder / 'outside.png')
    os.symlink(folder.parent, folder / 'up')
    images = ImageList(str(folder))
    assert images.names == sorted([*NAMES, 'inside.png'])
    assert images.notes == [
        'outside.png: links to a file outside of the folder; put the file '
        'itself there'
    ]
    assert images.read('inside.png').shape == (*SIZE[::-1], 3)
    # A file that becomes a link later.
    (folder / 'a.png').unlink()
    os.symlink(folder.parent / 'secret.png', folder / 'a.png')
    for name in ('a.png', 'inside.png'):
        with pytest.raises(FileNotFoundError, match='no image of this name'):
            images.content(name)


def test_a_link_to_the_folder_itself(folder, tmp_path):
    os.symlink(folder, tmp_path / 'link')
    images = ImageList(str(tmp_path / 'link'))
    assert images.names == NAMES
    assert images.size('a.png') == SIZE


def test_what_browsers_do_not_show(folder):
    """They get the pixels that the model gets."""
    pixels = np.random.RandomState(0).randint(0, 256, (6, 9, 3), np.uint8)
    Image.fromarray(pixels).save(folder / 'x.tif')
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(pixels).save(folder / 'turned.png', exif=exif)
    Image.fromarray(pixels).save(folder / 'turned.jpg', exif=exif)
    images = ImageList(str(folder))
    for name in ('x.tif', 'turned.png'):
        content, kind = images.content(name)
        assert kind == 'image/png'
        shown = cv2.imdecode(np.frombuffer(content, np.uint8), -1)
        np.testing.assert_array_equal(shown, images.read(name))
    assert images.size('turned.png') == images.size('turned.jpg') == (6, 9)
    assert images.read('turned.jpg').shape == (9, 6, 3)
    assert images.content('turned.jpg')[1] == 'image/jpeg'  # they turn it


def test_nothing_to_label(tmp_path):
    with pytest.raises(FileNotFoundError, match='no such folder of images'):
        ImageList(str(tmp_path / 'no'))
    (tmp_path / 'note.txt').touch()
    with pytest.raises(ValueError, match='no image in this folder. Images e'):
        ImageList(str(tmp_path))


def test_many_images_are_not_opened(tmp_path):
    """Nor is their number a matter: broken ones are listed, too."""
    for i in range(3000):
        (tmp_path / f'{i:05d}.jpg').touch()
    images = ImageList(str(tmp_path))
    assert len(images) == 3000
    with pytest.raises(ValueError, match='00000.jpg: cannot be decoded'):
        images.read('00000.jpg')
