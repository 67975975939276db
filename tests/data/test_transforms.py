"""The pipeline follows the official data rules to the pixel."""
import numpy as np
import pytest
from mmpose.registry import TRANSFORMS

from projects.grouppose.data.transforms import (PoseInstanceFilter,
                                                PoseRandomCrop, PoseRandomFlip,
                                                PoseResize, resized_size)


def make_results(width=500, height=300, people=1) -> dict:
    """An image with annotations as a data set gives it."""
    img = np.random.randint(0, 256, (height, width, 3), dtype=np.uint8)
    keypoints = np.zeros((people, 17, 2), dtype=np.float32)
    keypoints[:, 5] = (100, 50)
    visible = np.zeros((people, 17), dtype=np.float32)
    visible[:, 5] = 1
    return dict(
        img=img,
        img_shape=(height, width),
        ori_shape=(height, width),
        flip_indices=[
            0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15
        ],
        keypoints=keypoints,
        keypoints_visible=visible,
        bbox=np.array([[90, 40, 410, 290]] * people, dtype=np.float32),
        bbox_score=np.ones(people, dtype=np.float32),
        area=np.full(people, 5000, dtype=np.float32),
        id=list(range(people)))


@pytest.mark.parametrize('size, expected', [
    ((640, 480), (1066, 800)),
    ((500, 375), (1066, 800)),
    ((640, 427), (1199, 800)),
    ((640, 426), (1201, 800)),
    ((640, 360), (1333, 750)),
    ((640, 300), (1333, 625)),
    ((640, 250), (1333, 521)),
    ((640, 200), (1334, 417)),
    ((427, 640), (800, 1199)),
    ((612, 612), (800, 800)),
])
def test_resized_size(size, expected):
    assert resized_size(size, 800, 1333) == expected


def test_resize_scales_all():
    results = PoseResize(600)(make_results(500, 300))
    assert results['img'].shape[:2] == results['img_shape'] == (600, 1000)
    np.testing.assert_array_equal(results['keypoints'][0, 5], (200, 100))
    np.testing.assert_array_equal(results['bbox'], [[180, 80, 820, 580]])
    assert results['area'][0] == 20000


def test_resize_averages_when_it_shrinks():
    """Pillow's filter sees every pixel; a checkerboard becomes gray."""
    board = np.indices((64, 64)).sum(0) % 2 * 255
    results = dict(
        img=np.repeat(board[..., None], 3, -1).astype(np.uint8),
        img_shape=(64, 64),
        ori_shape=(64, 64))
    img = PoseResize(16)(results)['img']
    assert np.ptp(img[2:-2, 2:-2].astype(int)) <= 2


def test_resize_draws_every_size():
    transform = PoseResize([32, 48])
    shapes = {transform(make_results(64, 64))['img_shape'] for _ in range(20)}
    assert shapes == {(32, 32), (48, 48)}


def test_flip():
    results = make_results()
    original = results['img'].copy()
    results['bbox'] = np.float32([[90, 40, 410, 290], [480, 280, 500, 300]])
    results = PoseRandomFlip(prob=1)(results)
    assert results['flip'] and results['flip_direction'] == 'horizontal'
    np.testing.assert_array_equal(results['img'], original[:, ::-1])
    # The labeled left shoulder is now the right one.
    np.testing.assert_array_equal(results['keypoints'][0, 6], (399, 50))
    assert results['keypoints_visible'][0].tolist().index(1) == 6
    np.testing.assert_array_equal(results['bbox'],
                                  [[90, 40, 410, 290], [0, 280, 20, 300]])


def test_flip_probability():
    transform = PoseRandomFlip(prob=0.5)
    flips = sum(transform(make_results(8, 8))['flip'] for _ in range(200))
    assert 60 < flips < 140


class FixedCrop(PoseRandomCrop):
    """A crop whose rectangle the test chooses."""

    def _choose(self, height, width):
        return 10, 20, 200, 300  # top, left, height, width


def test_crop_and_resize():
    results = make_results()
    results['keypoints'][0, 5] = (400, 280)
    results = FixedCrop()(results)
    assert results['img'].shape[:2] == results['img_shape'] == (200, 300)
    # A joint outside stays labeled on the border.
    np.testing.assert_array_equal(results['keypoints'][0, 5], (300, 200))
    assert results['keypoints_visible'][0, 5] == 1
    np.testing.assert_array_equal(results['bbox'], [[70, 30, 300, 200]])
    assert results['area'][0] == 39100

    results = PoseResize(400)(results)
    assert results['img_shape'] == (400, 600)
    assert results['area'][0] == 156400
    assert results['area'][0] / (400 * 600) == pytest.approx(0.6517, abs=1e-4)


def test_crop_drops_whom_it_misses():
    results = make_results(people=3)
    results['bbox'][1] = (400, 250, 450, 290)  # right of and below the crop
    results = FixedCrop()(results)
    assert results['id'] == [0, 2]
    for key in ('bbox', 'bbox_score', 'keypoints', 'keypoints_visible',
                'area'):
        assert len(results[key]) == 2, key


def test_crop_of_nobody_is_a_sample():
    results = make_results()
    results['bbox'][:] = (400, 250, 450, 290)
    results = FixedCrop()(results)
    assert results['keypoints'].shape == (0, 17, 2)
    assert results['area'].shape == (0, )


def test_crop_sizes_and_offsets_reach_their_limits():
    transform = PoseRandomCrop(min_size=3, max_size=5)
    drawn = np.array([transform._choose(6, 4) for _ in range(500)])
    assert set(drawn[:, 2]) == {3, 4, 5}
    assert set(drawn[:, 3]) == {3, 4}  # the image is 4 wide
    assert drawn[:, 0].min() == 0 and drawn[:, 0].max() == 3
    assert ((drawn[:, 0] + drawn[:, 2]) <= 6).all()


@pytest.mark.parametrize('crop', [False, True])
def test_coordinates_return_exactly(crop):
    """The record of the input's region undoes crop and resize."""
    results = make_results(512, 320)
    original = results['keypoints'].copy()
    if crop:
        results['keypoints'][0, 0] = original[0, 0] = (60, 70)
        results = FixedCrop()(results)
    results = PoseResize(160)(results)
    returned = (
        results['keypoints'] / results['input_size'] * results['input_scale'] +
        results['input_center'] - results['input_scale'] / 2)
    np.testing.assert_allclose(returned[0, 5], original[0, 5], atol=1e-4)
    if crop:
        np.testing.assert_allclose(returned[0, 0], (60, 70), atol=1e-4)


def test_transforms_work_without_annotations():
    """As MMPose's inferencer calls them: with an image and nothing else."""
    results = dict(img=np.zeros((400, 500, 3), dtype=np.uint8))
    for config in (dict(type='LoadPoseImage'), dict(type='PoseInstanceFilter'),
                   dict(type='PoseRandomFlip', prob=1.0),
                   dict(type='PoseRandomCrop', min_size=100, max_size=200),
                   dict(type='PoseResize', short_side=64, max_size=100)):
        results = TRANSFORMS.build(config)(results)
    assert min(results['img_shape']) <= 64


def annotation(**changes) -> dict:
    ann = dict(
        id=1,
        bbox=[10, 20, 30, 40],
        area=500.,
        iscrowd=0,
        keypoints=[0] * 51,
        num_keypoints=3)
    ann.update(changes)
    return ann


def filter_annotations(annotations: list, **arguments) -> dict:
    count = len(annotations)
    results = make_results(100, 100, people=count)
    results.update(
        raw_ann_info=annotations,
        num_keypoints=[ann['num_keypoints'] for ann in annotations],
        segmentation=[[0, 0]],
        invalid_segs=[])
    return PoseInstanceFilter(**arguments)(results)


def test_filter_keeps_labeled_people():
    results = filter_annotations([
        annotation(id=1),
        annotation(id=2, iscrowd=1),
        annotation(id=3, num_keypoints=0),
        annotation(id=4, bbox=[100, 20, 30, 40]),  # beside the image
        annotation(id=5, bbox=[90, 20, 30, 40]),
    ])
    assert [ann['id'] for ann in results['raw_ann_info']] == [1, 5]
    # Clipped to the border itself, not to the last pixel.
    np.testing.assert_array_equal(results['bbox'][1], (90, 20, 100, 60))
    assert len(results['keypoints']) == len(results['area']) == 2


def test_area_falls_back_to_the_box():
    without = annotation(bbox=[90, 20, 30, 40])
    del without['area']
    results = filter_annotations([annotation(), without])
    np.testing.assert_array_equal(results['area'], (500, 10 * 40))
    results = filter_annotations([annotation(), without], box_share=0.53)
    np.testing.assert_array_equal(results['area'], np.float32((500, 212)))


@pytest.mark.parametrize('size, expected', [
    ((1, 1), (800, 800)),
    ((5000, 1), (1333, 1)),
    ((1, 5000), (1, 1333)),
    ((2666, 1), (1333, 1)),
    ((1000, 1), (1000, 1)),
    ((2000, 3), (1333, 2)),
])
def test_resized_to_at_least_a_pixel(size, expected):
    assert resized_size(size, 800, 1333) == expected
    img = np.zeros((*size[::-1], 3), dtype=np.uint8)
    results = dict(img=img, img_shape=size[::-1], ori_shape=size[::-1])
    results = PoseResize(800, 1333)(results)
    assert results['img'].shape[1::-1] == expected


@pytest.mark.parametrize('config', [
    dict(type='PoseResize', short_side=0),
    dict(type='PoseResize', short_side=[]),
    dict(type='PoseRandomCrop', min_size=10, max_size=5),
])
def test_impossible_sizes(config):
    with pytest.raises(ValueError, match=config['type']):
        TRANSFORMS.build(config)


@pytest.mark.parametrize('after', [
    dict(type='PoseInstanceFilter'),
    dict(type='PoseRandomFlip', prob=1.0),
    dict(type='PoseResize', short_side=64),
    dict(type='PoseRandomCrop', min_size=20, max_size=30),
    dict(type='PoseRandomAffine'),
    dict(type='GenerateTarget', encoder=dict(type='OKSKeypointCodec')),
])
def test_images_of_another_size_than_they_say_are_refused(after):
    """MMPose's transform says its size elsewhere; targets would be wrong."""
    affine = TRANSFORMS.build(
        dict(type='BottomupRandomAffine', input_size=(96, 64)))
    results = affine(
        dict(
            make_results(),
            img_path='a.jpg',
            raw_ann_info=[annotation()],
            num_keypoints=[1]))
    with pytest.raises(
            ValueError,
            match='`img` is 64 x 96 pixels .*`img_shape` says 300 x 500: .*'
            'PoseRandomAffine instead of Bottomup'):
        TRANSFORMS.build(after)(results)


def test_resizing_without_areas_is_refused():
    """Of MMPose, which confuses width and height besides."""
    resize = TRANSFORMS.build(
        dict(
            type='BottomupRandomChoiceResize',
            scales=[(250, 150)],
            keep_ratio=True))
    results = make_results()
    results['num_keypoints'] = [1]
    results = resize(results)
    assert results['area'] == 5000  # of a quarter of the pixels
    target = TRANSFORMS.build(
        dict(type='GenerateTarget', encoder=dict(type='OKSKeypointCodec')))
    with pytest.raises(
            ValueError,
            match='`img` is 150 x 250 .*`input_size` says 250 x 150: .*'
            'PoseResize instead of Bottomup'):
        target(results)
