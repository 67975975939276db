"""Objects that stand out: limbs too long, left and right that look swapped."""
from pathlib import Path

import numpy as np
import pytest

from projects.grouppose.describe.coco_file import KeypointFile
from projects.grouppose.describe.dataset_info import describe_keypoints
from projects.grouppose.describe.outliers import check_limbs, check_swaps

SAMPLES = Path(__file__).resolve().parents[3] / 'shared/data'
# A body from above: four pairs beside an axis, in halves of its length.
PLACES = dict(
    nose=(0, -1),
    left_eye=(0.15, -0.9),
    right_eye=(-0.15, -0.9),
    left_shoulder=(0.4, -0.5),
    right_shoulder=(-0.4, -0.5),
    left_hip=(0.3, 0.3),
    right_hip=(-0.3, 0.3),
    left_foot=(0.4, 1),
    right_foot=(-0.4, 1))
SKELETON = [[1, 2], [1, 3], [4, 5], [4, 6], [5, 7], [6, 7], [6, 8], [7, 9]]
NAMES = list(PLACES)


def make_poses(count=200, seed=0):
    """Bodies of any size and direction, half of them seen from below."""
    random = np.random.RandomState(seed)
    poses = np.tile(np.array(list(PLACES.values())), (count, 1, 1))
    poses += random.normal(scale=0.04, size=poses.shape)
    poses[::2, :, 0] *= -1
    angles = random.uniform(-np.pi, np.pi, count)
    turn = np.array([[np.cos(angles), -np.sin(angles)],
                     [np.sin(angles), np.cos(angles)]])
    scales = random.uniform(10, 200, (count, 1, 1))
    return np.einsum('ijp,pkj->pki', turn, poses) * scales + 400


def make_file(poses, skeleton=SKELETON, visible=None):
    """A file with one object per image; ids start at 1000."""
    if visible is None:
        visible = np.full(poses.shape[:2], 2)
    annotations = []
    for i, (pose, flags) in enumerate(zip(poses, visible)):
        low, size = pose.min(0), np.ptp(pose, axis=0)
        annotations.append(
            dict(
                id=1000 + i,
                image_id=i,
                category_id=1,
                bbox=[*low, *size],
                keypoints=np.column_stack([pose, flags]).ravel().tolist()))
    images = [
        dict(id=i, file_name=f'{i}.jpg', width=800, height=800)
        for i in range(len(poses))
    ]
    category = dict(id=1, name='bug', keypoints=NAMES, skeleton=skeleton)
    content = dict(
        images=images, annotations=annotations, categories=[category])
    file = KeypointFile(content, 'ann.json')
    return file, describe_keypoints(file, 'bugs')[0]


def swap(poses, people, joint):
    left, right = NAMES.index(f'left_{joint}'), NAMES.index(f'right_{joint}')
    for i in people:
        poses[i, [left, right]] = poses[i, [right, left]]


@pytest.mark.parametrize('check', [check_limbs, check_swaps])
def test_sound_objects(check):
    """Turned, mirrored, small and large ones."""
    assert check(*make_file(make_poses())) == []


@pytest.mark.parametrize('joint', ['eye', 'shoulder', 'hip'])
def test_swapped_pairs(joint):
    poses = make_poses()
    swap(poses, [7, 18], joint)
    finding, = check_swaps(*make_file(poses))
    assert finding.level == 'warning'
    assert sorted(finding.examples) == [1007, 1018]
    pair = (NAMES.index(f'left_{joint}'), NAMES.index(f'right_{joint}'))
    assert finding.marked == [pair, pair]
    assert finding.reasons[0].startswith(f'left_{joint} and right_{joint} lie')


def test_frequent_swaps_are_a_note():
    """They are in the nature of the objects, or a habit of the labeler."""
    poses = make_poses()
    people = list(range(0, 200, 10))
    swap(poses, people, 'foot')
    swap(poses, [18], 'hip')
    warning, note = check_swaps(*make_file(poses))
    assert (warning.level, warning.examples) == ('warning', [1018])
    assert (note.level, note.is_drawn) == ('note', True)
    assert sorted(note.examples) == [1000 + i for i in people]


def test_few_objects_teach_nothing():
    poses = make_poses(29)
    swap(poses, [7], 'hip')
    assert check_swaps(*make_file(poses)) == []


def test_swaps_among_labeled_pairs_only():
    """What a keypoint that is not labeled has for coordinates is nothing."""
    poses = make_poses()
    visible = np.full(poses.shape[:2], 2)
    visible[7, NAMES.index('left_hip')] = 0
    swap(poses, [7, 18], 'hip')
    finding, = check_swaps(*make_file(poses, visible=visible))
    assert finding.examples == [1018]


@pytest.mark.parametrize('linked', [True, False])
def test_long_limbs(linked):
    """With a skeleton or without; the worst object comes first."""
    poses = make_poses()
    hip = NAMES.index('left_hip')
    middle = poses.mean(1)
    for i, factor in ((3, 40), (9, 60), (4, 4)):
        poses[
            i,
            hip] = middle[i] + factor * np.linalg.norm(poses[i, 0] - middle[i])
    file, info = make_file(poses)
    if not linked:
        info.links.clear()
    finding, = check_limbs(file, info)
    assert finding.examples == [1009, 1003]
    assert [hip in marked for marked in finding.marked] == [True, True]
    assert [len(marked) for marked in finding.marked] == [1 + linked] * 2
    assert finding.reasons[0].startswith('left_hip')
    assert ('Distances from the middle' in finding.what) != linked


def test_length_of_a_limb():
    """Its ratio to the usual one, whatever the size of the object."""
    poses = make_poses(50)
    foot, hip = NAMES.index('left_foot'), NAMES.index('left_hip')
    poses[5, foot] = poses[5, hip] + 25 * (poses[5, foot] - poses[5, hip])
    finding, = check_limbs(*make_file(poses))
    assert finding.examples == [1005]
    assert finding.marked == [(hip, foot)]
    times = int(finding.reasons[0].split(': ')[1].split(' ')[0])
    assert 21 <= times <= 29  # the shape varies by some percent


def test_wide_open_eyes_are_no_long_limbs():
    """A limb that is short from most sides may be ten times as long."""
    poses = make_poses()
    left, right = NAMES.index('left_eye'), NAMES.index('right_eye')
    skeleton = SKELETON + [[left + 1, right + 1]]
    middle = (poses[:, left] + poses[:, right]) / 2
    seen_from_front = [3, 4, 5]
    for i in range(len(poses)):
        if i not in seen_from_front:
            poses[i, left] = middle[i] + (poses[i, left] - middle[i]) / 15
            poses[i, right] = 2 * middle[i] - poses[i, left]
    assert check_limbs(*make_file(poses, skeleton)) == []


@pytest.mark.parametrize('change', [
    lambda poses: poses[:1],
    lambda poses: np.zeros_like(poses[:3]),
    lambda poses: poses[:3] * 1e-9,
])
def test_odd_files(change):
    """One object, and objects without extent."""
    file, info = make_file(change(make_poses()))
    assert check_limbs(file, info) == check_swaps(file, info) == []


def test_nobody_is_labeled_twice():
    """Objects with one labeled keypoint, or none, have no layout."""
    poses = make_poses(40)
    visible = np.zeros(poses.shape[:2])
    visible[1:, 0] = 2
    file, info = make_file(poses, visible=visible)
    assert check_limbs(file, info) == check_swaps(file, info) == []


@pytest.mark.skipif(
    not SAMPLES.is_dir(), reason='no samples in ../shared/data')
def test_leeds_sports_pose():
    """Athletes in all poses: hardly an alarm, and many swaps are found."""
    file = KeypointFile.read(SAMPLES / 'lsp/annotations/lsp_train.json')
    info = describe_keypoints(file, 'lsp')[0]
    assert check_limbs(file, info) == []
    before = check_swaps(file, info)
    assert sum(len(finding.examples) for finding in before) <= 5
    left, right = [[p.name for p in info.keypoints].index(f'{side}_shoulder')
                   for side in ('left', 'right')]
    both = np.flatnonzero(file.labeled[:, left] & file.labeled[:, right])
    swapped = both[::25]
    pair = np.array([left, right])
    file.keypoints[swapped[:, None], pair] = \
        file.keypoints[swapped[:, None], pair[::-1]]
    found = {i for f in check_swaps(file, info) for i in f.examples}
    ids = set(file.ids[swapped].tolist())
    assert len(found & ids) >= 0.4 * len(ids)
    assert len(found - ids) <= 5
