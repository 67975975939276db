"""Image files of all kinds and states, each on both ways that a user brings
one: in a data set to train on, and to the model for inference."""
import io
import json
from typing import Optional

import cv2
import numpy as np
import pytest
from mmpose.registry import DATASETS
from PIL import Image

from projects.grouppose.data.transforms import PoseResize
from projects.grouppose.inference import find_sources, predict
from tests.helpers.bad_cases import (HEIGHT, PIPELINE, WIDTH, answer,
                                     dataset_config, drawn_checkpoint,
                                     drawn_model, image_entry, person, table,
                                     train_once, trained_model)
from tests.helpers.exif import STORED
from tests.helpers.tool_runs import TOOLS, load_tool

__all__ = ['drawn_checkpoint', 'drawn_model', 'trained_model']  # fixtures

# BGR of the left and the right half; the lower half is twice as bright.
LEFT, RIGHT = (30, 90, 120), (100, 60, 20)


def picture() -> np.ndarray:
    """RGB, uint8; different in all four corners."""
    img = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    img[:, :WIDTH // 2] = LEFT[::-1]
    img[:, WIDTH // 2:] = RIGHT[::-1]
    img[HEIGHT // 2:] *= 2
    return img


def saved(mode='RGB', kind='PNG', img=None, **options) -> bytes:
    """The picture or another one as a file."""
    file = io.BytesIO()
    image = Image.fromarray(picture() if img is None else img)
    image.convert(mode).save(file, kind, **options)
    return file.getvalue()


def turned(orientation: int) -> bytes:
    """A photo that a viewer turns to the picture."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](picture()))
    return saved(img=stored, exif=exif)


def sixteen_bits(img: np.ndarray) -> bytes:
    return cv2.imencode('.png', img.astype(np.uint16) * 257)[1].tobytes()


def palette() -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture()).quantize(8).save(file, 'PNG')
    return file.getvalue()


def plain(width: int, height: int, kind='PNG') -> bytes:
    """An image of one color."""
    return saved(kind=kind, img=np.full((height, width, 3), 99, np.uint8))


def gray() -> np.ndarray:
    return np.asarray(Image.fromarray(picture()).convert('L'))


JPEG = saved(kind='JPEG', quality=95)
PNG = saved()
UNDECODABLE = 'image.*: cannot be decoded as an image.* Replace the file'
# Name of the file, its content, and what comes of it in training and in
# inference: the picture as it is ('color', in inference as a viewer turns
# it), in gray, of one color, or why it is refused.
FILES = [
    ('empty', 'image.jpg', b'', UNDECODABLE, UNDECODABLE),
    ('JPEG cut at 3/4', 'image.jpg', JPEG[:len(JPEG) * 3 // 4], UNDECODABLE,
     UNDECODABLE),
    ('JPEG without end', 'image.jpg', JPEG[:-2], UNDECODABLE, UNDECODABLE),
    ('PNG cut at 3/4', 'image.png', PNG[:len(PNG) * 3 // 4], UNDECODABLE,
     UNDECODABLE),
    ('text', 'image.jpg', b'this is no image', UNDECODABLE, UNDECODABLE),
    ('web page', 'image.jpg', b'<html>404</html>', UNDECODABLE, UNDECODABLE),
    ('zero bytes', 'image.jpg', bytes(5000), UNDECODABLE, UNDECODABLE),
    ('PNG named .jpg', 'image.jpg', PNG, 'color', 'color'),
    ('1 x 1', 'image.png', plain(1, 1), 'plain', 'plain'),
    ('1 x 5000', 'image.png', plain(1, 5000), 'plain', 'plain'),
    ('5000 x 1', 'image.png', plain(5000, 1), 'plain', 'plain'),
    ('30 megapixels', 'image.jpg', plain(6000, 5000,
                                         'JPEG'), 'plain', 'plain'),
    ('gray', 'image.png', saved('L'), 'gray', 'gray'),
    ('gray JPEG', 'image.jpg', saved('L', 'JPEG', quality=95), 'gray', 'gray'),
    ('black and white', 'image.png',
     saved('1', img=np.full((HEIGHT, WIDTH), 255,
                            np.uint8)), 'white', 'white'),
    ('gray with alpha', 'image.png', saved('LA'), 'gray', 'gray'),
    ('RGBA', 'image.png', saved('RGBA'), 'color', 'color'),
    ('CMYK', 'image.jpg', saved('CMYK', 'JPEG', quality=95), 'color', 'color'),
    ('palette', 'image.png', palette(), 'color', 'color'),
    ('16 bits', 'image.png', sixteen_bits(picture()[..., ::-1]), 'color',
     'color'),
    ('16 bits, gray', 'image.png', sixteen_bits(gray()), 'gray', 'gray'),
    ('float', 'image.tif', saved('F', 'TIFF'), None, 'image.tif: .*floating'),
    *[(f'EXIF orientation {i}', 'image.png', turned(i), f'stored {i}', 'color')
      for i in STORED],
]
ALL = table('name, content, training, inference', FILES)


def refusal(expected: str) -> Optional[str]:
    """The pattern of a message, None if the file is used."""
    return expected if expected.startswith('image') else None


def check(img: np.ndarray, expected: str) -> None:
    """Compare an image, RGB, with what it must be."""
    if expected == 'plain':
        assert img.ndim == 3 and (abs(img[::50, ::50] - 99.) <= 4).all()
        return
    wanted = picture()
    if expected == 'gray':
        wanted = np.repeat(gray()[..., None], 3, 2)
    elif expected == 'white':
        wanted[:] = 255
    elif expected.startswith('stored'):
        wanted = STORED[int(expected[-1])](wanted)
    assert img.shape == wanted.shape
    difference = np.abs(img.astype(int) - wanted)
    assert np.percentile(difference, 80) <= 4


@ALL
def test_training(trained_model, tmp_path, name, content, training, inference):
    """Sizes go through the resizing and cropping of the published recipe, too;
    losses are finite."""
    if training is None:
        return  # depends on the version of OpenCV
    (tmp_path / name).write_bytes(content)
    width, height = 1, 1
    if not refusal(training):
        with Image.open(tmp_path / name) as image:
            width, height = image.size
    entry = image_entry(file_name=name, width=width, height=height)
    whole = person(bbox=[0, 0, width, height], keypoints=[0, 0, 2] * 17)
    config = dataset_config(tmp_path, [whole], [entry], pipeline=PIPELINE[:1])
    item = answer(lambda: DATASETS.build(config)[0], refusal(training))
    if item is None:
        return
    check(item['img'][..., ::-1], training)
    if training != 'plain':
        return

    recipe = [
        *PIPELINE[:2],
        dict(type='PoseResize', short_side=[40, 50, 60]),
        dict(type='PoseRandomCrop', min_size=38, max_size=60),
        dict(type='PoseResize', short_side=[48, 64], max_size=133),
        *PIPELINE[3:]
    ]
    config['dataset']['pipeline'] = recipe
    item, = train_once(trained_model, config)
    assert max(item['inputs'].shape) <= 135


@ALL
def test_inference(drawn_model, tmp_path, name, content, training, inference):
    """Poses are in the image."""
    (tmp_path / name).write_bytes(content)
    source, = find_sources([str(tmp_path / name)])
    images = answer(lambda: list(source.frames()), refusal(inference))
    if images is None:
        return
    check(images[0][..., ::-1], inference)
    sample, = predict(drawn_model, images)
    poses = sample.pred_instances.keypoints
    assert len(poses) and (poses >= 0).all()
    assert (poses <= images[0].shape[1::-1]).all()


@pytest.mark.parametrize('make, training, inference', [
    pytest.param(
        lambda path: None,
        'image.png: image not found.*data_prefix',
        'image.png: no such file',
        id='missing'),
    pytest.param(
        lambda path: path.mkdir(),
        'image.png: cannot be read as an',
        'image.png: no image or video in this',
        id='a folder'),
    pytest.param(
        lambda path: path.symlink_to('none'),
        'image.png: image not',
        'image.png: no such file',
        id='a link to nothing'),
])
def test_no_file(tmp_path, make, training, inference):
    make(tmp_path / 'image.png')
    entry = image_entry(file_name='image.png')
    config = dataset_config(tmp_path, images=[entry])
    answer(lambda: DATASETS.build(config)[0], training)
    answer(lambda: find_sources([str(tmp_path / 'image.png')]), inference)


def test_a_folder_of_them(drawn_config, drawn_checkpoint, tmp_path,
                          monkeypatch, capsys):
    """Each bad file is a line of tools/infer.py, and the others are done."""
    monkeypatch.syspath_prepend(str(TOOLS))
    folder = tmp_path / 'in'
    folder.mkdir()
    bad = []
    for number, (_, name, content, _, inference) in enumerate(FILES):
        if len(content) < 50000:
            path = folder / f'{number:02}_{name}'
            path.write_bytes(content)
            if refusal(inference):
                bad.append(str(path))
    # A name that is not UTF-8, of which OpenCV dies.
    (folder / 'caf\udce9.png').write_bytes(PNG)
    arguments = f'{folder} --config {drawn_config} --checkpoint ' \
        f'{drawn_checkpoint} --out {tmp_path}/out --device cpu --score-thr 0'
    assert load_tool('infer').main(arguments.split()) == 1
    failures = [
        line.split(': ')[1] for line in capsys.readouterr().err.split('\n')
        if line.startswith('failed')
    ]
    assert failures == bad
    good = sorted(set(map(str, folder.iterdir())) - set(bad))
    poses = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert sorted({pose['file_name'] for pose in poses}) == good
    pictures = list((tmp_path / 'out/visualizations').iterdir())
    assert len(pictures) == len(good)


def test_long_images_fill_no_memory():
    """Where the published recipe has no limit for the longer side."""
    img = np.zeros((1, 5000, 3), dtype=np.uint8)
    results = dict(img=img, img_shape=(1, 5000), ori_shape=(1, 5000))
    resized = PoseResize(600)(results)['img']
    assert resized.shape == (4, 20000, 3)
