"""Rotating, scaling and shifting: people stay where their pixels go."""
import cv2
import numpy as np
import pytest
from mmpose.registry import TRANSFORMS

from projects.grouppose.data.affine import PoseRandomAffine
from projects.grouppose.data.transforms import PoseRandomCrop, PoseResize

WIDTH, HEIGHT = 200, 120
DOTS = [(60, 50), (140, 50), (100, 90), (10, 10)]  # x, y
COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]  # BGR


class FixedAffine(PoseRandomAffine):
    """What is done is chosen by the test."""

    def __init__(self, angle=0., scale=1., shift=(0, 0)):
        super().__init__(pad_val=0)
        self.chosen = angle, scale, np.array(shift, dtype=float)

    def _choose(self):
        return self.chosen


def make_results(dots=DOTS, boxes=((40, 30, 160, 110), )) -> dict:
    """Black with a dot for each keypoint of every person."""
    img = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    for dot, color in zip(dots, COLORS):
        cv2.circle(img, dot, 4, color, -1)
    people = len(boxes)
    return dict(
        img=img,
        img_shape=(HEIGHT, WIDTH),
        ori_shape=(HEIGHT, WIDTH),
        keypoints=np.float32([dots] * people),
        keypoints_visible=np.ones((people, len(dots)), dtype=np.float32),
        bbox=np.float32(boxes),
        area=np.full(people, 1000, dtype=np.float32),
        id=list(range(people)))


def find_dots(img) -> np.ndarray:
    """Centers of the dots by their colors, NaN where there is none."""
    centers = np.full((len(COLORS), 2), np.nan)
    for i, color in enumerate(COLORS):
        others = np.abs(img.astype(int) - color).max(-1)
        y, x = np.nonzero(others < 100)
        if len(x):
            centers[i] = x.mean(), y.mean()
    return centers


def encode(results) -> dict:
    """Training targets."""
    target = TRANSFORMS.build(
        dict(type='GenerateTarget', encoder=dict(type='OKSKeypointCodec')))
    return target(dict(results))


@pytest.mark.parametrize('angle, scale, shift', [
    (0, 1, (0.1, -0.2)),
    (0, 1.5, (0, 0)),
    (0, 0.5, (0, 0)),
    (30, 1, (0, 0)),
    (-45, 0.8, (0.05, 0.1)),
    (10, 1.2, (-0.1, 0)),
])
def test_keypoints_are_on_their_dots(angle, scale, shift):
    """In the picture itself, where they are still in it."""
    results = FixedAffine(angle, scale, shift)(make_results())
    assert results['img'].shape == (HEIGHT, WIDTH, 3)
    assert results['img_shape'] == (HEIGHT, WIDTH)
    labeled = results['keypoints_visible'][0] > 0
    assert labeled[:3].all()
    found = find_dots(results['img'])
    np.testing.assert_allclose(
        results['keypoints'][0][labeled], found[labeled], atol=0.5)


def test_quarter_turn_by_number():
    """Counterclockwise about the center: what was right is above."""
    results = FixedAffine(90)(make_results([(109, 59), (100, 50), (199, 60)]))
    np.testing.assert_allclose(
        results['keypoints'][0], [(99, 50), (90, 59), (100, -40)], atol=1e-4)
    assert results['keypoints_visible'].tolist() == [[1, 1, 0]]
    # Of 120 x 80 about (100, 70), turned about (100, 60).
    np.testing.assert_allclose(results['bbox'], [[70, 0, 150, 120]], atol=1e-4)
    assert results['area'] == 1000


def test_scale_by_number():
    results = FixedAffine(scale=0.5)(make_results())
    np.testing.assert_allclose(results['keypoints'][0, 0], (79.75, 54.75))
    np.testing.assert_allclose(results['bbox'], [[70, 45, 130, 85]])
    assert results['area'] == 250
    labels = encode(results)
    np.testing.assert_allclose(labels['keypoint_labels'][0, 0],
                               (79.75 / WIDTH, 54.75 / HEIGHT))
    np.testing.assert_allclose(labels['area_labels'], [250 / (WIDTH * HEIGHT)])


def test_boxes_stay_around_people():
    """A turned box contains all keypoints that the box has contained."""
    results = make_results([(41, 31), (159, 109), (41, 109), (159, 31)])
    results = FixedAffine(20, 0.6)(results)
    x1, y1, x2, y2 = results['bbox'][0]
    x, y = results['keypoints'][0].T
    assert (x1 < x).all() and (x < x2).all()
    assert (y1 < y).all() and (y < y2).all()
    assert abs(x1 - x.min()) < 2 and abs(y2 - y.max()) < 2


def test_people_who_leave_the_image():
    """They are dropped with their box, and do not teach without joints."""
    boxes = [(40, 30, 160, 110), (0, 0, 20, 20), (0, 0, 150, 60)]
    results = make_results(boxes=boxes)
    results['keypoints'][2] = 10
    results = FixedAffine(shift=(-0.25, -0.25))(results)
    assert results['id'] == [0, 2]
    np.testing.assert_allclose(results['bbox'][1], (0, 0, 100, 30))
    np.testing.assert_array_equal(results['keypoints_visible'],
                                  [[1, 1, 1, 0], [0, 0, 0, 0]])
    labels = encode(results)
    assert len(labels['labels']) == 1


def test_poses_return_to_the_original_image():
    """Whatever else is done to it, as long as it is not turned."""
    results = make_results()
    original = results['keypoints'].copy()
    for transform in (FixedAffine(0, 1.3, (0.1, -0.05)),
                      PoseRandomCrop(190, 200), PoseResize(77),
                      FixedAffine(0, 0.7, (-0.1, 0.1)), PoseResize(50)):
        results = transform(results)
    returned = (
        results['keypoints'] / results['input_size'] * results['input_scale'] +
        results['input_center'] - results['input_scale'] / 2)
    # The crop moves what is outside to its border.
    middle = [0, 1]
    np.testing.assert_allclose(
        returned[0, middle], original[0, middle], atol=1e-3)


def test_center_of_a_turned_image():
    results = FixedAffine(90, 1, (0.1, 0))(make_results())
    # 20 pixels to the right is 20 pixels down in the original.
    np.testing.assert_allclose(results['input_center'], (100, 40), atol=1)
    np.testing.assert_array_equal(results['input_scale'], (WIDTH, HEIGHT))


def test_ranges_are_reached_and_kept():
    transform = PoseRandomAffine(30, (0.5, 2), 0.1)
    angles, scales, shifts = zip(*[transform._choose() for _ in range(500)])
    for values, (least, most) in ((angles, (-30, 30)), (scales, (0.5, 2)),
                                  (np.ravel(shifts), (-0.1, 0.1))):
        slack = 0.05 * (most - least)
        assert least <= min(values) < least + slack
        assert most - slack < max(values) <= most


def test_probability():
    transform = PoseRandomAffine(prob=0.3)
    done = sum(transform._choose() is not None for _ in range(500))
    assert 110 < done < 190
    results = make_results()
    found = PoseRandomAffine(prob=0)(dict(results))
    np.testing.assert_equal(found, results)


def test_without_annotations():
    img = np.full((40, 60, 3), 200, dtype=np.uint8)
    results = dict(img=img, img_shape=(40, 60), ori_shape=(40, 60))
    turned = TRANSFORMS.build(dict(type='PoseRandomAffine'))(results)
    assert set(np.unique(turned['img'])) >= {114, 200}
    assert turned['img'].shape == (40, 60, 3)


@pytest.mark.parametrize('options, message', [
    (dict(scale_factor=(0, 1)), 'scale_factor must be two positive'),
    (dict(scale_factor=(1.5, 1)), 'scale_factor .*smaller one first'),
    (dict(scale_factor=(1, )), 'scale_factor must be two'),
    (dict(rotate_factor=-1), '.* must not be negative, got -1'),
    (dict(shift_factor=-0.1), '.* must not be negative'),
])
def test_impossible_ranges(options, message):
    with pytest.raises(ValueError, match='PoseRandomAffine: ' + message):
        PoseRandomAffine(**options)
