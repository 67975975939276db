"""What holds for any image and any people on the way into the network."""
import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from projects.grouppose.codec import OKSKeypointCodec
from projects.grouppose.data.transforms import (PoseInstanceFilter,
                                                PoseRandomCrop, PoseRandomFlip,
                                                PoseResize)
from projects.grouppose.model.flip_test import merge_instances, mirror
from tests.helpers.instances import make_instances

# The same examples in every run.
properties = settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture])
FLIP_INDICES = [0, 2, 1, 4, 3]
sides = st.integers(1, 300)


@st.composite
def images(draw, least_people=0):
    """An image of any shape with people in it, K = 5."""
    height, width = draw(sides), draw(sides)
    people = draw(st.integers(least_people, 4))
    unit = npst.arrays(
        np.float32, (people, 5, 2), elements=st.floats(0, 1, width=32))
    keypoints = draw(unit) * np.float32((width, height))
    visible = draw(
        npst.arrays(np.float32, (people, 5), elements=st.integers(0, 1)))
    corners = np.sort(draw(unit)[:, :2], 1) * np.float32((width, height))
    return dict(
        img=np.random.randint(0, 256, (height, width, 3), dtype=np.uint8),
        img_shape=(height, width),
        ori_shape=(height, width),
        flip_indices=FLIP_INDICES,
        keypoints=keypoints,
        keypoints_visible=visible,
        bbox=corners.reshape(people, 4),
        area=draw(
            npst.arrays(
                np.float32, (people, ), elements=st.floats(1, 1e4, width=32))),
        id=list(range(people)))


def copy(results: dict) -> dict:
    return {
        key: value.copy() if hasattr(value, 'copy') else value
        for key, value in results.items()
    }


@st.composite
def transforms(draw):
    """Resizes and crops in any order, a resize last as in the configs."""
    resize = st.builds(
        PoseResize,
        st.integers(1, 200),
        max_size=st.none() | st.integers(1, 300))
    crop = st.integers(1, 200).flatmap(lambda least: st.builds(
        PoseRandomCrop, st.just(least), st.integers(least, 250)))
    return [*draw(st.lists(resize | crop, max_size=3)), draw(resize)]


def return_to_original(points, results):
    """As MMPose does it with predictions."""
    return (points / results['input_size'] * results['input_scale'] +
            results['input_center'] - results['input_scale'] / 2)


@properties
@given(images(), transforms())
def test_resize_and_crop_are_undone(results, steps):
    """Coordinates return to the original image, but for those that a crop
    has moved to its border."""
    original = results['keypoints'].copy()
    for step in steps:
        results = step(results)
    size = np.float32(results['img_shape'][::-1])
    assert results['img'].shape[:2] == results['img_shape']
    np.testing.assert_array_equal(results['input_size'], size)
    people = results['id']
    keypoints = results['keypoints']
    assert len(people) == len(keypoints)
    assert (keypoints >= -1e-3).all() and (keypoints <= size + 1e-3).all()
    border = 1e-3 * size
    inside = (keypoints > border) & (keypoints < size - border)
    returned = return_to_original(keypoints, results)
    np.testing.assert_allclose(
        returned[inside], original[people][inside], rtol=1e-4, atol=5e-3)


@properties
@given(images())
def test_flip_undoes_itself(results):
    original = copy(results)
    flip = PoseRandomFlip(prob=1)
    once = copy(flip(copy(results)))
    twice = flip(once)
    for key in ('img', 'keypoints_visible'):
        np.testing.assert_array_equal(twice[key], original[key])
    for key in ('keypoints', 'bbox'):
        np.testing.assert_allclose(twice[key], original[key], atol=1e-4)
    np.testing.assert_array_equal(twice['area'], original['area'])


def poses_in(results) -> object:
    """The people of an image as if a model had predicted them."""
    scores = np.linspace(0.9, 0.5, len(results['keypoints']))
    return make_instances(results['keypoints'], scores)


@properties
@given(images(), st.integers(1, 200))
def test_training_and_flip_test_flip_alike(results, short_side):
    """Flipping what is annotated and then resizing is what the flip test does
    to poses in the resized image."""
    resize = PoseResize(short_side)
    straight = resize(copy(results))
    flipped = resize(PoseRandomFlip(prob=1)(copy(results)))
    mirrored = mirror(poses_in(straight), straight)
    np.testing.assert_allclose(
        mirrored.keypoints, flipped['keypoints'], rtol=1e-4, atol=5e-3)
    np.testing.assert_allclose(
        mirror(mirrored, straight).keypoints,
        straight['keypoints'],
        rtol=1e-4,
        atol=5e-3)


@properties
@given(images(), st.integers(0, 2**32 - 1), st.floats(0, 0.05))
def test_merging_commutes_with_the_mirror(results, seed, noise):
    """Merging two predictions and mirroring the result is merging their
    mirror images."""
    generator = np.random.default_rng(seed)
    results = PoseResize(64)(results)
    width = results['img_shape'][1]
    ours = poses_in(results)
    others = ours.clone()
    others.keypoints = np.float32(
        others.keypoints[::-1] +
        generator.normal(0, noise * width, others.keypoints.shape))
    sigmas = torch.tensor([0.05, 0.1, 0.1, 0.07, 0.07])
    shape = results['img_shape']
    merged = merge_instances(ours, others, sigmas, shape)
    mirrored = merge_instances(
        mirror(ours, results), mirror(others, results), sigmas, shape)
    np.testing.assert_allclose(
        mirrored.keypoints,
        mirror(merged, results).keypoints,
        rtol=1e-4,
        atol=1e-2)
    np.testing.assert_allclose(mirrored.bbox_scores, merged.bbox_scores)


def targets_of(results, seed) -> dict:
    """Training targets by person, after a pipeline with this seed."""
    np.random.seed(seed)
    results = copy(results)
    for step in (PoseInstanceFilter(), PoseRandomFlip(),
                 PoseRandomCrop(60, 120), PoseResize([48, 64], 100)):
        results = step(results)
    encoded = OKSKeypointCodec().encode(
        **{
            key: results[key]
            for key in ('keypoints', 'keypoints_visible', 'area', 'img_shape')
        })
    fields = zip(*encoded.values())
    return {person: values for person, values in zip(results['id'], fields)}


def annotate(results) -> dict:
    """Add what the filter reads, sometimes without an area."""
    annotations = []
    for i, box in enumerate(results['bbox']):
        x1, y1, x2, y2 = map(float, box)
        annotations.append(dict(bbox=[x1, y1, x2 - x1, y2 - y1]))
        if i % 2:
            annotations[-1]['area'] = float(results['area'][i])
    labeled = results['keypoints_visible'].sum(1)
    return dict(
        results,
        raw_ann_info=annotations,
        num_keypoints=labeled.astype(int).tolist())


@properties
@given(images(least_people=1), st.integers(0, 2**32 - 1), st.data())
def test_a_person_more_leaves_the_targets_of_others_alone(results, seed, data):
    """Wherever this one is, labeled or not, in the crop or not."""
    results = annotate(results)
    leave_out = data.draw(st.integers(0, len(results['id']) - 1))
    keep = [i for i in results['id'] if i != leave_out]
    fewer = copy(results)
    for key in ('keypoints', 'keypoints_visible', 'bbox', 'area', 'id',
                'raw_ann_info', 'num_keypoints'):
        values = fewer[key]
        fewer[key] = values[keep] if isinstance(
            values, np.ndarray) else [values[i] for i in keep]
    expected = targets_of(fewer, seed)
    found = targets_of(results, seed)
    found.pop(leave_out, None)
    assert found.keys() == expected.keys()
    for person, values in expected.items():
        for value, other in zip(values, found[person]):
            np.testing.assert_array_equal(value, other)
