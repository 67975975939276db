"""What real-time models are trained on: by number, and by pictures in which
every joint is a dot of its own color."""
import copy
import json

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.dataset import Compose
from mmpose.registry import DATASETS, MODELS, TRANSFORMS
from mmpose.structures import PoseDataSample
from PIL import Image
from torchvision.transforms import functional

from projects.grouppose.data import (BatchRandomResize, PoseColorJitter,
                                     PoseFixedResize, PoseMosaic,
                                     PoseRandomFlip, PoseZoomOut)

CONFIG = 'configs/body_2d_keypoint/detrpose/coco/' \
    'detrpose_hgnetv2-s_4xb4-100e_coco-640.py'
LOAD = [dict(type='LoadPoseImage'), dict(type='PoseInstanceFilter')]
JOINTS = [5, 6, 9, 10, 15]  # with a dot; all others are not labeled


def make_results(width=500, height=375) -> dict:
    """An image with a left shoulder, as it is loaded and filtered."""
    keypoints = np.zeros((1, 17, 2), dtype=np.float32)
    keypoints[0, 5] = (100, 50)
    visible = np.zeros((1, 17), dtype=np.float32)
    visible[0, 5] = 2
    return dict(
        img=np.random.randint(1, 256, (height, width, 3), dtype=np.uint8),
        img_shape=(height, width),
        ori_shape=(height, width),
        flip_indices=[
            0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15
        ],
        keypoints=keypoints,
        keypoints_visible=visible,
        bbox=np.float32([[90, 40, 410, 290]]),
        area=np.float32([5000]),
        id=[0])


class FixedZoom(PoseZoomOut):
    """A zoom whose ratio the test chooses."""

    def __init__(self, ratio):
        super().__init__()
        self._choose = lambda: ratio


# ---------------------------------------------------------------- by number


def test_fixed_resize():
    results = make_results(500, 300)
    pixels = Image.fromarray(results['img'])
    results = PoseFixedResize((640, 160))(results)
    assert results['img_shape'] == (160, 640)
    np.testing.assert_array_equal(results['img'],
                                  pixels.resize((640, 160), Image.BILINEAR))
    np.testing.assert_allclose(results['keypoints'][0, 5], (128, 80 / 3))
    np.testing.assert_allclose(
        results['bbox'], [[115.2, 64 / 3, 524.8, 464 / 3]], rtol=1e-6)
    assert results['area'][0] == pytest.approx(5000 * 1.28 * 160 / 300)
    # Back to the original image, as MMPose goes.
    back = results['keypoints'] / results['input_size'] * results[
        'input_scale'] + results['input_center'] - results['input_scale'] / 2
    np.testing.assert_allclose(back[0, 5], (100, 50), atol=1e-4)


@pytest.mark.parametrize('size', [0, (640, ), (640, 0), (1, 2, 3)])
def test_fixed_resize_refuses(size):
    with pytest.raises(ValueError, match='PoseFixedResize: size must be'):
        PoseFixedResize(size)


def test_fixed_resize_without_annotations():
    results = dict(
        img=np.zeros((30, 40, 3), dtype=np.uint8),
        img_shape=(30, 40),
        ori_shape=(30, 40))
    results = PoseFixedResize(64)(results)
    assert results['img'].shape == (64, 64, 3)
    np.testing.assert_array_equal(results['input_scale'], (40, 30))


def test_zoom_out():
    results = FixedZoom(1.5)(make_results())
    assert results['img'].shape[:2] == results['img_shape'] == (749, 1000)
    np.testing.assert_array_equal(results['keypoints'][0, 5], (350, 237))
    np.testing.assert_array_equal(results['bbox'], [[340, 227, 660, 477]])
    assert results['area'][0] == 5000
    frame = results['img'].copy()
    assert frame[187:-187, 250:-250].all()
    frame[187:-187, 250:-250] = 0
    assert not frame.any()
    # Still the same place of the original image.
    np.testing.assert_array_equal(results['input_center'], (250, 187.5))
    back = results['keypoints'] / results['input_size'] * results[
        'input_scale'] + results['input_center'] - results['input_scale'] / 2
    np.testing.assert_allclose(back[0, 5], (100, 50), atol=1e-4)


def test_zoom_out_truncates():
    results = FixedZoom(1.2)(make_results())
    assert results['img_shape'] == (375 + 2 * 74, 500 + 2 * 99)


def test_zoom_out_draws_its_ratio():
    zoom = PoseZoomOut(2.5)
    ratios = [zoom._choose() for _ in range(200)]
    assert 1 <= min(ratios) < 1.1 and 2.4 < max(ratios) < 2.5
    with pytest.raises(ValueError, match='at least 1, not 0.5'):
        PoseZoomOut(0.5)


def test_flip():
    results = PoseRandomFlip(prob=1)(make_results())
    np.testing.assert_array_equal(results['keypoints'][0, 6], (399, 50))
    assert results['keypoints_visible'][0, 6] == 2
    np.testing.assert_array_equal(results['bbox'], [[90, 40, 410, 290]])


# ------------------------------------------------------------------- mosaic


class Images:
    """A data set of images of given sizes, (w, h), in the order asked for."""

    def __init__(self, sizes):
        self.sizes = list(sizes)

    def __len__(self):
        return 118287

    def get_data_info(self, index):
        assert 0 <= index < len(self)
        return make_results(*self.sizes.pop(0))


def test_mosaic_canvas():
    results = make_results()
    main = results['img']
    others = [(300, 900), (300, 900), (427, 640)]
    results['dataset'] = Images(others)
    results = PoseMosaic([])(results)
    assert results['img'].shape[:2] == results['img_shape'] == (1920, 852)
    assert results['ori_shape'] == (1920, 852)
    sizes = [(426, 320), (320, 960), (320, 960), (320, 479)]
    corners = [(0, 0), (426, 0), (0, 960), (426, 960)]
    small = Image.fromarray(main).resize(sizes[0], Image.BILINEAR)
    np.testing.assert_array_equal(results['img'][:320, :426], small)
    frame = results['img'].copy()
    for (w, h), (x, y) in zip(sizes, corners):
        assert frame[y:y + h, x:x + w].all()
        frame[y:y + h, x:x + w] = 0
    assert not frame.any()

    assert len(results['keypoints']) == len(results['id']) == 4
    for i, (old, new,
            corner) in enumerate(zip([(500, 375)] + others, sizes, corners)):
        ratio = np.divide(new, old)
        np.testing.assert_allclose(results['keypoints'][i, 5],
                                   ratio * (100, 50) + corner)
        np.testing.assert_allclose(
            results['bbox'][i],
            np.tile(ratio, 2) * (90, 40, 410, 290) + np.tile(corner, 2),
            rtol=1e-6)
        assert results['area'][i] == pytest.approx(5000 * ratio.prod())
    np.testing.assert_array_equal(results['keypoints_visible'][:, 5], 4 * [2])


def test_mosaic_draws_from_all_images_and_passes_over_broken_ones():

    class Counted(Images):
        seen = []

        def get_data_info(self, index):
            self.seen.append(index)
            return super().get_data_info(index)

    class Broken:
        left = 2

        def __call__(self, results):
            self.left -= 1
            return results if self.left < 0 else None

    results = make_results(64, 64)
    results['dataset'] = Counted(5 * [(64, 64)])
    results = PoseMosaic([Broken()])(results)
    assert len(results['keypoints']) == 4
    assert len(set(Counted.seen)) == 5 and max(Counted.seen) > 10000


def test_mosaic_needs_a_data_set():
    with pytest.raises(ValueError, match='PoseMosaic needs the data set'):
        PoseMosaic([])(make_results())


# ------------------------------------------------------------------- colors


def test_color_jitter_does_what_torchvision_does():
    jitter = PoseColorJitter(prob=1.0)
    changes = [('hue', -0.3), ('contrast', 1.3), ('saturation', 0.7),
               ('brightness', 1.2)]
    jitter._choose = lambda: changes
    results = make_results(64, 48)
    image = Image.fromarray(results['img'][..., ::-1])
    image = functional.adjust_hue(image, -0.3)
    image = functional.adjust_contrast(image, 1.3)
    image = functional.adjust_saturation(image, 0.7)
    image = functional.adjust_brightness(image, 1.2)
    img = jitter(results)['img']
    np.testing.assert_array_equal(img[..., ::-1], image)
    assert img.flags['C_CONTIGUOUS']


def test_color_jitter_draws():
    jitter = PoseColorJitter()
    drawn = [jitter._choose() for _ in range(400)]
    changed = [changes for changes in drawn if changes]
    assert 150 < len(changed) < 250
    assert len({tuple(name for name, _ in c) for c in changed}) == 24
    for name, least, most in (('brightness', 0.6, 1.4), ('contrast', 0.6, 1.4),
                              ('saturation', 0.6, 1.4), ('hue', -0.4, 0.4)):
        amounts = [dict(changes)[name] for changes in changed]
        assert least <= min(amounts) < least + 0.05
        assert most - 0.05 < max(amounts) <= most
    results = make_results(8, 8)
    assert PoseColorJitter(prob=0)(dict(results))['img'] is results['img']
    with pytest.raises(ValueError, match='hue in .0, 0.5., got .* 0.6'):
        PoseColorJitter(hue=0.6)


# -------------------------------------------------------------- many sizes


def make_batch(size=64, count=2):
    samples = [
        PoseDataSample(
            metainfo=dict(
                img_shape=(size, size),
                pad_shape=(size, size),
                batch_input_shape=(size, size))) for _ in range(count)
    ]
    return torch.rand(count, 3, size, size), samples


def test_batch_resize():
    batch, samples = make_batch()
    images, samples = BatchRandomResize([(48, 32)])(batch, samples)
    expected = F.interpolate(
        batch, (32, 48), mode='bilinear', align_corners=False, antialias=True)
    torch.testing.assert_close(images, expected, rtol=0, atol=0)
    for sample in samples:
        assert sample.img_shape == sample.pad_shape == (32, 48)
        assert sample.batch_input_shape == (32, 48)


def test_batch_resize_draws_what_is_named_more_often():
    cfg = Config.fromfile(CONFIG)
    resize = MODELS.build(cfg.model.data_preprocessor.batch_augments[0])
    assert sorted(set(resize.sizes)) == [(s, s) for s in range(480, 801, 32)]
    assert len(resize.sizes) == 30
    resize.sizes = [(32, 32), *(3 * [(16, 16)])]
    batch, samples = make_batch(32)
    small = sum(len(resize(batch, samples)[0][0, 0]) == 16 for _ in range(200))
    assert 120 < small < 180


def test_batch_resize_is_for_training():
    cfg = Config.fromfile(CONFIG).model.data_preprocessor
    cfg.batch_augments[0].sizes = [32]
    preprocessor = MODELS.build(cfg)
    batch, samples = make_batch()
    data = dict(inputs=list((255 * batch).byte()), data_samples=samples)
    for training, size in ((False, 64), (True, 32)):
        out = preprocessor(copy.deepcopy(data), training=training)
        assert out['inputs'].shape[-2:] == (size, size)
        assert 0 <= out['inputs'].min() and 0.5 < out['inputs'].max() <= 1
        assert out['data_samples'][0].batch_input_shape == (size, size)


# --------------------------------------------------------------- by picture


def color_of(joint: int) -> np.ndarray:
    """BGR color of the dot of a joint."""
    index = JOINTS.index(joint)
    return np.array([255 * (index >> bit & 1) for bit in range(3)])[::-1]


@pytest.fixture
def dotted(tmp_path):
    """Config of a data set of gray images with two people each, who are
    dots, and 17 keypoints, most of which are not labeled."""
    random = np.random.RandomState(0)
    images, annotations = [], []
    for i, (width, height) in enumerate([(400, 300), (300, 420), (600, 280)]):
        img = np.full((height, width, 3), 128, dtype=np.uint8)
        images.append(
            dict(id=i, file_name=f'{i}.png', width=width, height=height))
        # on a grid, so that dots do not cover each other
        cells = random.permutation((height // 40) * (width // 40))
        for person in range(2):
            keypoints = np.zeros((17, 3), dtype=int)
            for j, joint in enumerate(JOINTS):
                y, x = divmod(cells[5 * person + j], width // 40)
                x, y = 40 * x + 20, 40 * y + 20
                keypoints[joint] = (x, y, 2)
                cv2.circle(img, (x, y), 15, color_of(joint).tolist(), -1)
            xs, ys = keypoints[JOINTS, 0], keypoints[JOINTS, 1]
            annotations.append(
                dict(
                    id=2 * i + person,
                    image_id=i,
                    category_id=1,
                    iscrowd=0,
                    bbox=[
                        int(xs.min()),
                        int(ys.min()),
                        int(np.ptp(xs)),
                        int(np.ptp(ys))
                    ],
                    area=int(np.ptp(xs) * np.ptp(ys)),
                    num_keypoints=5,
                    keypoints=keypoints.ravel().tolist()))
        cv2.imwrite(str(tmp_path / f'{i}.png'), img)
    (tmp_path / 'ann.json').write_text(
        json.dumps(
            dict(
                images=images,
                annotations=annotations,
                categories=[dict(id=1, name='person')])))
    return dict(
        type='CocoDataset',
        data_mode='bottomup',
        data_root=str(tmp_path),
        ann_file='ann.json')


def find_dots(results: dict) -> int:
    """Check that every labeled joint is where its dot is, and that boxes and
    areas still fit; answer how many people there are."""
    order = results['flip_indices'] if results['flip'] else range(17)
    for pose, visible, box, area in zip(results['keypoints'],
                                        results['keypoints_visible'],
                                        results['bbox'], results['area']):
        labeled = np.flatnonzero(visible)
        assert sorted(order[j] for j in labeled) == JOINTS
        for joint in labeled:
            x, y = pose[joint].round().astype(int)
            dot = results['img'][y, x].astype(int)
            assert np.abs(dot - color_of(order[joint])).max() < 40
        least, most = pose[labeled].min(0), pose[labeled].max(0)
        np.testing.assert_allclose(
            box, [*least, *most], atol=2.2)  # a pixel, flipped
        assert area == pytest.approx(
            (box[2:] - box[:2]).prod(), rel=1e-4, abs=1)
    return len(results['keypoints'])


@pytest.mark.parametrize('augmentation, people', [
    (dict(type='PoseMosaic', pre_transform=LOAD), 8),
    (dict(type='PoseZoomOut', max_ratio=1.7), 2),
    (dict(type='PoseColorJitter', prob=0), 2),
])
def test_dots_are_found_again(dotted, augmentation, people):
    """In the upright and in the mirrored image."""
    dotted['pipeline'] = [
        *LOAD, augmentation,
        dict(type='PoseRandomFlip', prob=0.5),
        dict(type='PoseFixedResize', size=640)
    ]
    dataset = DATASETS.build(dict(type='PoseImageDataset', dataset=dotted))
    flips = set()
    for index in 2 * [0, 1, 2]:
        results = dataset[index]
        assert results['img'].shape == (640, 640, 3)
        assert find_dots(results) == people
        flips.add(results['flip'])
    assert flips == {True, False}


def test_dots_in_a_batch_of_another_size(dotted):
    """Targets, in shares of the image, fit the resized batch."""
    cfg = Config.fromfile(CONFIG)
    dotted['pipeline'] = [*LOAD, *cfg.train_pipeline[-3:]]
    dataset = DATASETS.build(dict(type='PoseImageDataset', dataset=dotted))
    preprocessor = cfg.model.data_preprocessor
    preprocessor.batch_augments[0].sizes = [480]
    data = [dataset[i] for i in range(3)]
    batch = MODELS.build(preprocessor)(
        dict(
            inputs=[x['inputs'] for x in data],
            data_samples=[x['data_samples'] for x in data]),
        training=True)
    assert batch['inputs'].shape == (3, 3, 480, 480)
    for image, sample in zip(batch['inputs'], batch['data_samples']):
        labels = sample.gt_instance_labels
        for pose, area in zip(labels.keypoint_labels * 480,
                              labels.area_labels):
            for joint in JOINTS:
                x, y = pose[joint].round().int()
                dot = 255 * image[:, y, x].flip(0).numpy()  # RGB to BGR
                assert np.abs(dot - color_of(joint)).max() < 40
            sides = pose[JOINTS].amax(0) - pose[JOINTS].amin(0)
            assert area.item() == pytest.approx(
                (sides.prod() / 480**2).item(), abs=1e-3)


def test_numbers_are_drawn_from_numpy(dotted):
    """So that EpochSeedHook governs them."""
    dotted['pipeline'] = Config.fromfile(CONFIG).train_pipeline
    dataset = DATASETS.build(dict(type='PoseImageDataset', dataset=dotted))

    def images(seed):
        torch.seed()
        np.random.seed(seed)
        return [dataset[i]['inputs'] for i in range(3)]

    first = images(5)
    assert all(map(torch.equal, first, images(5)))
    assert not all(map(torch.equal, first, images(6)))


def test_transforms_are_registered_and_need_no_annotations():
    results = dict(
        img=np.full((30, 40, 3), 7, dtype=np.uint8),
        img_shape=(30, 40),
        ori_shape=(30, 40))
    pipeline = Compose([
        dict(type='PoseZoomOut'),
        dict(type='PoseColorJitter', prob=1.0),
        dict(type='PoseFixedResize', size=32)
    ])
    assert pipeline(results)['img'].shape == (32, 32, 3)
    assert TRANSFORMS.get('PoseMosaic') is PoseMosaic
