"""Images of all kinds are read right, as a viewer shows them and as the
annotations of a data set mean them, or are refused."""
import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from projects.grouppose.data.loading import LoadPoseImage, read_image
from tests.helpers.exif import STORED

WIDTH, HEIGHT = 48, 32
# BGR of the left and right half of the picture, far from each other in gray.
LEFT, RIGHT = (30, 90, 220), (200, 60, 20)


@pytest.fixture
def picture() -> np.ndarray:
    """BGR, uint8; different in all four corners."""
    img = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    img[:, :WIDTH // 2] = LEFT
    img[:, WIDTH // 2:] = RIGHT
    img[:HEIGHT // 2] = img[:HEIGHT // 2] // 2
    return img


def gray(picture: np.ndarray) -> np.ndarray:
    """Its luminance, in three equal channels."""
    image = Image.fromarray(picture[..., ::-1]).convert('L')
    return np.repeat(np.asarray(image)[..., None], 3, axis=2)


def load(path) -> np.ndarray:
    """Load an image of a data set."""
    return LoadPoseImage()(dict(img_path=str(path), img_id=1))['img']


@pytest.mark.parametrize('orientation', STORED)
@pytest.mark.parametrize('suffix', ['png', 'jpg'])
def test_exif_orientation(tmp_path, picture, orientation, suffix):
    """Followed for viewing, ignored for annotations."""
    stored = np.ascontiguousarray(STORED[orientation](picture))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f'image.{suffix}'
    Image.fromarray(stored[..., ::-1]).save(path, exif=exif, quality=95)
    assert_alike(read_image(str(path)), picture)
    assert_alike(load(path), stored)
    # As MMPose's inferencer loads a file.
    inferred = LoadPoseImage()(dict(img_path=str(path)))
    np.testing.assert_array_equal(inferred['img'], read_image(str(path)))
    assert inferred['img_shape'] == inferred['ori_shape'] == (HEIGHT, WIDTH)


def assert_alike(found: np.ndarray, expected: np.ndarray):
    """The same but for what JPEG does to edges."""
    assert (found.dtype, found.shape) == (np.uint8, expected.shape)
    difference = np.abs(found.astype(int) - expected)
    assert np.percentile(difference, 80) <= 4


def save(mode, **options):
    """A function that writes a picture with Pillow."""
    return lambda path, picture: Image.fromarray(picture[..., ::-1]).convert(
        mode).save(path, **options)


def save_16_bits(path, picture):
    # Below the byte that counts there is noise.
    noise = np.random.randint(0, 256, picture.shape)
    cv2.imwrite(str(path), (picture * 256. + noise).astype(np.uint16))


def save_palette(path, picture):
    Image.fromarray(picture[..., ::-1]).quantize(8).save(path)


def save_gray_16_bits(path, picture):
    save_16_bits(path, gray(picture)[..., 0])


# File name: what is seen, and how it is written.
KINDS = {
    'rgb.png': ('color', save('RGB')),
    'gray.png': ('gray', save('L')),
    'gray.jpg': ('gray', save('L', quality=95)),
    'gray_alpha.png': ('gray', save('LA')),
    'rgba.png': ('color', save('RGBA')),
    'palette.png': ('color', save_palette),
    'cmyk.jpg': ('color', save('CMYK', quality=95)),
    'rgb16.png': ('color', save_16_bits),
    'rgb16.tif': ('color', save_16_bits),
    'gray16.png': ('gray', save_gray_16_bits),
    'gray16.tif': ('gray', save_gray_16_bits),
    'rgb.webp': ('color', save('RGB', lossless=True)),
    'rgb.bmp': ('color', save('RGB')),
    'rgb.tiff': ('color', save('RGB')),
    'rgb.gif': ('color', save('RGB')),
}


@pytest.mark.parametrize('name', KINDS)
def test_kinds_of_files(tmp_path, picture, name):
    colors, write = KINDS[name]
    write(tmp_path / name, picture)
    expected = gray(picture) if colors == 'gray' else picture
    assert_alike(read_image(str(tmp_path / name)), expected)
    try:
        found = load(tmp_path / name)
    except ValueError as error:  # some builds of OpenCV cannot read them
        assert name.endswith('.gif') and 'cannot be decoded' in str(error)
    else:
        assert_alike(found, expected)


@pytest.mark.parametrize('shape', [(1, 1), (1, 5000), (5000, 1)])
def test_sizes(tmp_path, shape):
    path = tmp_path / 'image.png'
    bits = np.random.rand(*shape) > 0.5
    Image.fromarray(bits).save(path)
    expected = np.repeat(bits[..., None] * np.uint8(255), 3, axis=2)
    np.testing.assert_array_equal(read_image(str(path)), expected)
    np.testing.assert_array_equal(load(path), expected)


def transparent(mode: str) -> Image.Image:
    """Gray, of which the first pixel is transparent and the third in part."""
    rgba = np.full((2, 3, 4), 255, dtype=np.uint8)
    rgba[..., :3] = 100
    rgba[0, :, 3] = (255, 0, 51)
    image = Image.fromarray(rgba)
    if mode == 'PA':
        return image.quantize(4)  # a palette with transparent entries
    return image.convert(mode)


@pytest.mark.parametrize('read', [load, lambda path: read_image(str(path))])
@pytest.mark.parametrize('name, mode', [('i.png', 'RGBA'), ('i.png', 'LA'),
                                        ('i.png', 'PA'), ('i.tif', 'RGBA'),
                                        ('i.webp', 'RGBA')])
def test_transparent_parts_are_white_paper(tmp_path, read, name, mode):
    """What hides under them is not seen, in training as in inference."""
    options = dict(lossless=True) if name.endswith('webp') else {}
    transparent(mode).save(tmp_path / name, **options)
    found = read(tmp_path / name)
    assert (found.dtype, found.shape) == (np.uint8, (2, 3, 3))
    np.testing.assert_allclose(
        found[0, :, 0], (100, 255, 0.2 * 100 + 0.8 * 255), atol=1)


@pytest.mark.parametrize('read', [load, lambda path: read_image(str(path))])
@pytest.mark.parametrize('mode', ['RGB', 'L'])
def test_a_color_that_stands_for_transparent(tmp_path, read, mode):
    image = Image.new(mode, (3, 2), 100 if mode == 'L' else (10, 20, 30))
    image.putpixel((1, 0), 7 if mode == 'L' else (7, 7, 7))
    image.save(
        tmp_path / 'i.png', transparency=7 if mode == 'L' else (7, 7, 7))
    first = (100, 100, 100) if mode == 'L' else (30, 20, 10)
    np.testing.assert_array_equal(
        read(tmp_path / 'i.png')[0, :2], [first, (255, 255, 255)])


@pytest.mark.parametrize('color_type, expected', [
    ('color_ignore_orientation', 'stored'),
    ('color', 'turned'),
])
def test_transparent_images_are_turned_like_others(tmp_path, picture,
                                                   color_type, expected):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.ascontiguousarray(STORED[6](picture))
    image = Image.fromarray(stored[..., ::-1]).convert('RGBA')
    image.save(tmp_path / 'i.png', exif=exif)
    found = LoadPoseImage(color_type)(
        dict(img_path=str(tmp_path / 'i.png'), img_id=1))
    np.testing.assert_array_equal(found['img'],
                                  stored if expected == 'stored' else picture)
    assert found['img_shape'] == found['img'].shape[:2]


@pytest.mark.parametrize('suffix', ['png', 'jpg'])
def test_ordinary_images_are_those_of_mmcv(tmp_path, suffix):
    """Bit for bit, read once."""
    path = tmp_path / f'image.{suffix}'
    noise = np.random.randint(0, 256, (40, 60, 3), dtype=np.uint8)
    cv2.imwrite(str(path), noise)
    found = LoadPoseImage()(dict(img_path=str(path), img_id=1))
    expected = LoadImageFromFile(color_type='color_ignore_orientation')(
        dict(img_path=str(path)))
    np.testing.assert_array_equal(found['img'], expected['img'])
    for key in ('img_shape', 'ori_shape'):
        assert found[key] == expected[key] == (40, 60)
    as_float = LoadPoseImage(to_float32=True)(
        dict(img_path=str(path), img_id=1))
    assert as_float['img'].dtype == np.float32


def test_transparent_images_that_are_cut(tmp_path):
    noise = np.random.randint(0, 256, (64, 64, 4), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / 'i.png')
    content = (tmp_path / 'i.png').read_bytes()
    (tmp_path / 'i.png').write_bytes(content[:2000])
    with pytest.raises(ValueError, match='i.png: cannot be decoded'):
        load(tmp_path / 'i.png')


def test_bad_images_may_be_passed_over(tmp_path):
    """Where a pipeline asks for it."""
    loader = LoadPoseImage(ignore_empty=True)
    (tmp_path / 'i.png').write_bytes(b'')
    for name in ('i.png', 'none.png'):
        assert loader(dict(img_path=str(tmp_path / name), img_id=1)) is None


@pytest.mark.parametrize('values, message', [
    (np.full((4, 4), 0.5, dtype=np.float32), 'floating-point'),
    (np.full((4, 4), 70000, dtype=np.int32), '16 bits'),
    (np.full((4, 4), -1, dtype=np.int32), '16 bits'),
])
def test_pixels_without_a_meaning(tmp_path, values, message):
    path = str(tmp_path / 'image.tif')
    Image.fromarray(values).save(path)
    with pytest.raises(ValueError, match=f'image.tif.*{message}.*JPEG or PNG'):
        read_image(path)


@pytest.mark.parametrize('content', [b'', b'not an image', 'truncated'])
def test_broken_files(tmp_path, content):
    path = tmp_path / 'broken.png'
    if content == 'truncated':
        noise = np.random.randint(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        content = path.read_bytes()[:2000]
    path.write_bytes(content)
    for results in (dict(img_path=str(path)),
                    dict(img_path=str(path), img_id=1)):
        if len(content) < 100 or 'img_id' not in results:
            with pytest.raises(ValueError, match='broken.png.*be decoded'):
                LoadPoseImage()(results)


def test_missing_files(tmp_path):
    path = str(tmp_path / 'absent.jpg')
    with pytest.raises(FileNotFoundError, match='absent.jpg'):
        LoadPoseImage()(dict(img_path=path))
    with pytest.raises(FileNotFoundError, match='absent.jpg.*data_prefix'):
        load(path)


def test_a_bug_is_not_called_a_bad_file(tmp_path, picture, monkeypatch):

    def fail(*args, **kwargs):
        raise TypeError('a bug')

    cv2.imwrite(str(tmp_path / 'image.png'), picture)
    monkeypatch.setattr('mmcv.imfrombytes', fail)
    with pytest.raises(TypeError, match='a bug'):
        load(tmp_path / 'image.png')


@pytest.mark.parametrize('shape', [(8, 6), (8, 6, 1), (8, 6, 3)])
def test_images_passed_as_arrays(shape):
    img = np.random.randint(0, 256, shape, dtype=np.uint8)
    results = LoadPoseImage()(dict(img=img))
    assert results['img'].shape == (8, 6, 3)
    assert (results['img'].reshape(8, 6, -1)[..., :1] == img.reshape(
        8, 6, -1)[..., :1]).all()
    assert results['img_shape'] == results['ori_shape'] == (8, 6)


@pytest.mark.parametrize('img, message', [
    (np.zeros((8, 6, 4), dtype=np.uint8), r'uint8 of shape \(8, 6, 4\)'),
    (np.zeros((8, 6, 3)), 'float64'),
    (np.zeros((0, 6, 3), dtype=np.uint8), r'shape \(0, 6, 3\)'),
    ([[0]], 'list'),
])
def test_arrays_that_are_no_image(img, message):
    with pytest.raises(ValueError, match=f'BGR.*{message}'):
        LoadPoseImage()(dict(img=img))
