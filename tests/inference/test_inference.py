"""MMPose's own inference works with the project's configs, and so does the
project's, which takes only weights that fit."""
import argparse
import importlib.util
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.apis import (MMPoseInferencer, Pose2DInferencer,
                         inference_bottomup, init_model)
from PIL import Image

from projects.grouppose.inference import load_model, predict, read_image


@pytest.fixture(scope='module')
def image():
    return np.random.RandomState(0).randint(
        0, 256, (60, 100, 3), dtype=np.uint8)


@pytest.fixture(scope='module')
def folder(tmp_path_factory, image):
    """Images of several kinds: color, gray, turned by EXIF, another size."""
    path = tmp_path_factory.mktemp('images')
    cv2.imwrite(str(path / 'color.png'), image)
    cv2.imwrite(str(path / 'gray.png'), image[..., 0])
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer turns it clockwise
    turned = np.ascontiguousarray(np.rot90(image)[..., ::-1])
    Image.fromarray(turned).save(path / 'turned.png', exif=exif)
    cv2.imwrite(str(path / 'wide.png'), image[:40])
    return path


@pytest.fixture(scope='module')
def checkpoint(drawn_config, tmp_path_factory):
    """A checkpoint as MMEngine saves it, with more than the weights."""
    torch.manual_seed(0)
    model = init_model(str(drawn_config), device='cpu')
    path = tmp_path_factory.mktemp('weights') / 'epoch_1.pth'
    torch.save(
        dict(
            meta=dict(epoch=1, dataset_meta=model.dataset_meta),
            state_dict=model.state_dict(),
            message_hub=dict(scalars=np.arange(3))), path)
    return str(path)


@pytest.fixture(scope='module')
def model(drawn_config, checkpoint):
    return load_model(
        str(drawn_config), checkpoint, device='cpu', prepare=False)


def check(keypoints, image):
    """Poses of the data set's keypoints, about where the image is."""
    height, width = image.shape[:2]
    assert keypoints.shape[1:] == (17, 2)
    assert (keypoints >= 0).all()
    assert (keypoints <= (width, height)).all()


def test_inference_bottomup(model, image, folder):
    assert model.dataset_meta['num_keypoints'] == 17
    of_array, of_file, of_turned = (
        inference_bottomup(model, source)[0].pred_instances.keypoints
        for source in (image, str(folder / 'color.png'),
                       str(folder / 'turned.png')))
    check(of_array, image)
    np.testing.assert_array_equal(of_array, of_file)
    np.testing.assert_array_equal(of_array, of_turned)


@pytest.mark.parametrize('batch_size', [1, 2])
def test_inferencer_takes_a_folder(drawn_config, checkpoint, model, image,
                                   folder, tmp_path, batch_size):
    inferencer = MMPoseInferencer(
        pose2d=str(drawn_config), pose2d_weights=checkpoint, device='cpu')
    results = list(
        inferencer(
            str(folder),
            bbox_thr=0,
            batch_size=batch_size,
            out_dir=str(tmp_path)))
    names = sorted(os.listdir(folder))
    assert len(results) == len(names) == 4
    for name, result in zip(names, results):
        predictions, = result['predictions']
        found = np.array([pose['keypoints'] for pose in predictions])
        img = read_image(str(folder / name))
        check(found, img)
        expected, = predict(model, [img])
        np.testing.assert_allclose(
            found, expected.pred_instances.keypoints, atol=1e-4)
        drawn = cv2.imread(str(tmp_path / 'visualizations' / name))
        assert drawn.shape == img.shape
    assert len(os.listdir(tmp_path / 'predictions')) == 4


def test_inferencer_leaves_out_low_scores(drawn_config, checkpoint, image):
    """Which is what its ``bbox_thr`` promises."""
    inferencer = Pose2DInferencer(
        str(drawn_config), weights=checkpoint, device='cpu')
    everyone, = next(inferencer(image, bbox_thr=0))['predictions']
    least = sorted(pose['keypoint_scores'][0] for pose in everyone)[-2]
    some, = next(inferencer(image, bbox_thr=least))['predictions']
    assert 2 == len(some) < len(everyone)
    nobody, = next(inferencer(image, bbox_thr=1))['predictions']
    assert nobody == []


def test_gray_array(model, image):
    gray = image[..., 0]
    of_gray, of_bgr = predict(model, [gray, gray[..., None].repeat(3, -1)])
    np.testing.assert_array_equal(of_gray.pred_instances.keypoints,
                                  of_bgr.pred_instances.keypoints)


def test_batch_of_unequal_sizes(model, image):
    """The poses of each are in its own pixels."""
    small, large = predict(model, [image[:30, :40], image.repeat(5, 0)])
    check(small.pred_instances.keypoints, image[:30, :40])
    check(large.pred_instances.keypoints, image.repeat(5, 0))
    assert large.pred_instances.keypoints[..., 1].max() > 60


def test_no_image(model):
    assert predict(model, []) == []
    assert predict(model, np.empty((0, 9, 9, 3), dtype=np.uint8)) == []


@pytest.mark.parametrize('shape', [(1, 1), (1, 5000), (5000, 1), (2, 9)])
def test_tiny_and_narrow_images(model, shape):
    img = np.zeros((*shape, 3), dtype=np.uint8)
    sample, = predict(model, [img])
    check(sample.pred_instances.keypoints, img)


def test_flip_test(drawn_config, checkpoint, image):
    config = Config.fromfile(str(drawn_config))
    config.merge_from_dict({'model.test_cfg.flip_test': True})
    model = load_model(config, checkpoint, device='cpu')
    for sample in predict(model, [image, image[:, :50]]):
        poses = sample.pred_instances
        assert len(poses) and poses.keypoints.shape[1:] == (17, 2)


@pytest.mark.parametrize('change, message', [
    (lambda weights: weights.pop('head.level_embed'),
     'epoch_2.pth does not fit .*tiny.py: 1 entries differ.*\n'
     '  head.level_embed: missing'),
    (lambda weights: weights.update(more=torch.ones(1)), 'more: unknown'),
    (lambda weights: weights.update({'head.level_embed': torch.ones(4, 9)}),
     r'level_embed: shape \(4, 9\)'),
])
def test_weights_that_do_not_fit(model, drawn_config, tmp_path, change,
                                 message):
    """MMEngine would only warn."""
    weights = model.state_dict()
    change(weights)
    path = tmp_path / 'epoch_2.pth'
    torch.save(dict(state_dict=weights), path)
    with pytest.raises(ValueError, match=message):
        load_model(str(drawn_config), str(path), device='cpu')


@pytest.mark.parametrize('bare', [False, True])
def test_official_checkpoint(drawn_config, tmp_path, bare):
    path = str(tmp_path / 'official.pth')
    weights = {'transformer.level_embed': torch.zeros(4, 256)}
    torch.save(
        weights if bare else dict(
            model=weights, args=argparse.Namespace(lr=0.1)), path)
    with pytest.raises(ValueError, match='official.*official_to_mmpose.py'):
        load_model(str(drawn_config), path, device='cpu')


class Harmful:
    """Makes a folder when it is unpickled by the book."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path, )


def test_nothing_in_a_checkpoint_is_executed(model, drawn_config, tmp_path):
    harm = str(tmp_path / 'harm')
    path = str(tmp_path / 'a.pth')
    torch.save(
        dict(state_dict=model.state_dict(), optimizer=Harmful(harm)), path)
    load_model(str(drawn_config), path, device='cpu')
    assert not os.path.exists(harm)


@pytest.mark.parametrize('field', ['model', 'test_dataloader'])
def test_config_without_a_model(drawn_config, checkpoint, field):
    config = Config.fromfile(str(drawn_config))
    config.pop(field)
    with pytest.raises(ValueError, match=f'tiny.py: `{field}` is missing'):
        load_model(config, checkpoint)


def test_missing_files(drawn_config, checkpoint):
    with pytest.raises(FileNotFoundError, match='none.py'):
        load_model('none.py', checkpoint)
    with pytest.raises(FileNotFoundError, match='none.pth'):
        load_model(str(drawn_config), 'none.pth')


@pytest.mark.parametrize('name, message', [
    ('picture', 'not the name of a picture'),
    ('picture.txt', 'not the name of a picture'),
    ('none/picture.png', 'no such folder'),
    ('picture.PNG', None),
])
def test_show_predictions_refuses_an_output_at_once(tmp_path, monkeypatch,
                                                    name, message):
    path = Path(__file__).parents[2] / 'tools/analysis_tools'
    spec = importlib.util.spec_from_file_location('show_predictions',
                                                  path / 'show_predictions.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    out = str(tmp_path / name)
    monkeypatch.setattr('sys.argv', ['', 'none.py', 'none.pth', out])
    with pytest.raises((OSError, ValueError), match=message or 'none.py'):
        tool.show(tool.parse_args())
