"""Drawn people: exact annotations, same files on every run, no ghosts."""
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO

from projects.grouppose.synthetic import (dataset, draw_dataset, draw_image,
                                          images)
from projects.grouppose.synthetic.figures import (PART_CODES, Figure,
                                                  sample_outfit)
from projects.grouppose.synthetic.scenes import finish_image
from projects.grouppose.synthetic.skeletons import (KEYPOINT_NAMES, Posture,
                                                    pose_skeleton, sample_body)

SCRIPT = Path(__file__).parents[2] / 'tools/dataset_converters/draw_people.py'


@pytest.fixture(scope='module')
def samples():
    return [draw_image([3, i], 160) for i in range(80)]


def make_figure(yaw, seed=0):
    """A person who stands with the arms held out, in 160 x 160 pixels."""
    rng = np.random.default_rng(seed)
    leg, arm = (0, 5, 5, 5), (5, 45, 10, 0)
    posture = Posture((leg, leg), (arm, arm), (0, 0, 0), (0, 0, 0),
                      (0, 0, yaw), 'stand')
    outfit = sample_outfit(rng)
    outfit.hair_style, outfit.skirt = 'short', 0
    return Figure(
        pose_skeleton(sample_body(rng), posture, 0), outfit, 250, (160, 170),
        6, np.array([0.6, -0.8]))


def look(figure):
    """The keypoints of a figure that is alone in the image, by name."""
    owner = np.zeros((320, 320), dtype=np.uint16)
    for part in figure.parts:
        part.mark(owner, 64 + PART_CODES[part.name])
    keypoints = images._keypoints(figure, owner, 1)
    return dict(zip(KEYPOINT_NAMES, keypoints)), owner


def decode(segmentation, shape):
    if isinstance(segmentation, list):
        segmentation = mask_utils.merge(
            mask_utils.frPyObjects(segmentation, *shape))
    return mask_utils.decode(segmentation).astype(bool)


def test_image_is_seeded():
    image, annotations = draw_image([1, 2], 96)
    again, same = draw_image(np.random.SeedSequence([1, 2]), 96)
    other, _ = draw_image([1, 3], 96)
    assert image.dtype == np.uint8 and max(image.shape) == 96
    assert np.array_equal(image, again) and annotations == same
    assert image.shape != other.shape or not np.array_equal(image, other)


def test_annotations_agree_with_themselves(samples):
    for image, annotations in samples:
        height, width = image.shape[:2]
        taken = np.zeros((height, width), dtype=int)
        for person in annotations:
            keypoints = np.array(person['keypoints']).reshape(17, 3)
            seen = keypoints[:, 2] > 0
            assert set(keypoints[:, 2]) <= {0, 1, 2}
            assert not keypoints[~seen].any()
            assert (keypoints[seen, :2] <= (width - 1, height - 1)).all()
            assert (keypoints[seen, :2] >= 0).all()
            assert person['num_keypoints'] == seen.sum() >= 3
            assert person['area'] >= 30

            mask = decode(person['segmentation'], (height, width))
            x, y, w, h = np.array(person['bbox']).astype(int)
            box = mask[y:y + h, x:x + w]
            if isinstance(person['segmentation'], dict):
                assert mask.sum() == box.sum() == person['area']
                assert box.any(0)[[0, -1]].all() and box.any(1)[[0, -1]].all()
                taken += mask
            else:
                assert mask.sum() == pytest.approx(person['area'], rel=0.06)
                assert box.sum() >= 0.97 * mask.sum()
        assert taken.max() <= 1


def test_visible_joints_lie_in_the_mask(samples):
    inside, total = 0, 0
    for image, annotations in samples:
        for person in annotations:
            mask = decode(person['segmentation'], image.shape[:2])
            mask = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3)))
            keypoints = np.array(person['keypoints']).reshape(17, 3)
            x, y = np.rint(keypoints[keypoints[:, 2] == 2, :2]).astype(int).T
            inside, total = inside + mask[y, x].sum(), total + len(x)
    assert inside >= 0.995 * total


def test_samples_are_varied(samples):
    people = [person for _, annotations in samples for person in annotations]
    counts = [len(annotations) for _, annotations in samples]
    assert min(counts) == 0 and max(counts) >= 6
    assert 2.3 < np.mean(counts) < 3.8
    assert len({image.shape for image, _ in samples}) == 4
    kinds = [type(person['segmentation']) for person in people]
    assert kinds.count(list) > kinds.count(dict) > 0
    seen = np.concatenate([person['keypoints'][2::3] for person in people])
    shares = np.bincount(seen, minlength=3) / len(seen)
    assert shares[0] > 0.02 and shares[1] > 0.1 and shares[2] > 0.5
    fill = [p['area'] / (p['bbox'][2] * p['bbox'][3]) for p in people]
    assert 0.35 < np.mean(fill) < 0.55


@pytest.mark.parametrize('seed', range(4))
def test_keypoint_is_the_center_of_what_is_drawn_there(seed):
    figure = make_figure(30 * seed, seed)
    keypoints, _ = look(figure)
    for name, spot in zip(KEYPOINT_NAMES, figure.joints):
        canvas = np.zeros((320, 320, 3), dtype=np.uint8)
        cv2.circle(
            canvas, np.rint(spot * 16).astype(int), 100, (255, ) * 3, -1,
            shift=4)  # yapf: disable
        weight = cv2.resize(
            canvas, (160, 160), interpolation=cv2.INTER_AREA)[..., 0] / 255
        rows, columns = np.mgrid[:160, :160]
        center = (weight * columns).sum(), (weight * rows).sum()
        assert np.allclose(
            center / weight.sum(), keypoints[name][:2], atol=0.1), name


def test_finished_image_is_half_the_canvas():
    canvas = np.full((96, 128, 3), 128, dtype=np.uint8)
    image = finish_image(np.random.default_rng(0), canvas)
    assert image.shape == (48, 64, 3) and image.dtype == np.uint8


def test_calm_scenes():
    """Square, at most three people, who are larger, and smoother images."""
    calm = [draw_image([3, i], 160, calm=True) for i in range(80)]
    plain = [draw_image([3, i], 160) for i in range(80)]
    assert all(image.shape == (160, 160, 3) for image, _ in calm)
    assert {len(people) for _, people in calm} == {0, 1, 2, 3}

    def area(images):
        return np.median([
            person['area'] / image[..., 0].size for image, people in images
            for person in people
        ])

    def noise(images):
        return np.median([
            np.abs(cv2.Laplacian(image, cv2.CV_32F)).mean()
            for image, _ in images
        ])

    assert area(calm) > 1.2 * area(plain)
    assert noise(calm) < 0.7 * noise(plain)
    assert draw_image([3, 1], 160, calm=True)[1] == calm[1][1]


def test_sides_and_faces():
    front, _ = look(make_figure(0))
    back, _ = look(make_figure(180))
    for joint in ('eye', 'ear', 'shoulder', 'elbow', 'wrist', 'hip', 'knee'):
        assert front[f'left_{joint}'][0] > front[f'right_{joint}'][0]
        assert back[f'left_{joint}'][0] < back[f'right_{joint}'][0]
    assert all(place[2] == 2 for place in front.values())
    assert [back[name][2] for name in KEYPOINT_NAMES[:3]] == [1, 1, 1]
    assert all(back[name][2] == 2 for name in KEYPOINT_NAMES[5:])


@pytest.mark.parametrize('yaw, near, far', [(90, 'right', 'left'),
                                            (-90, 'left', 'right')])
def test_body_hides_its_far_side(yaw, near, far):
    # With yaw 90 the person faces the right: the right side is near.
    figure = make_figure(yaw)
    keypoints, _ = look(figure)
    assert keypoints[f'{near}_eye'][2] == keypoints[f'{near}_ear'][2] == 2
    assert keypoints[f'{far}_eye'][2] == keypoints[f'{far}_ear'][2] == 1
    for joint in ('shoulder', 'hip'):
        assert keypoints[f'{near}_{joint}'][2] == 2
        assert keypoints[f'{far}_{joint}'][2] == 1
    # The trunk alone hides the far shoulder, not the near one.
    assert figure.shows(f'{near}_shoulder', 'chest')
    assert not figure.shows(f'{far}_shoulder', 'chest')


def test_back_of_the_head_has_no_face():
    front, back = ([part.name for part in make_figure(yaw).parts]
                   for yaw in (0, 180))
    assert back.count('head') == 1  # the skull
    assert front.count('head') == 1 + 2 * 3 + 1  # eyes, irises, brows, mouth


def test_people_who_are_hardly_seen_are_not_drawn(monkeypatch):
    monkeypatch.setattr(images, '_MIN_JOINTS', 14)
    monkeypatch.setattr(images, '_MIN_PIXELS', 400)
    for i in range(20):
        for person in draw_image([5, i], 128)[1]:
            assert person['num_keypoints'] >= 14 and person['area'] >= 400


def test_others_hide_and_borders_cut():
    figure = make_figure(0)
    keypoints, owner = look(figure)
    x, y = np.rint(
        figure.joints[KEYPOINT_NAMES.index('left_wrist')]).astype(int)
    owner[y - 3:y + 4, x - 3:x + 4] = 2 * 64 + PART_CODES['chest']
    hidden = images._keypoints(figure, owner, 1)
    changed = [
        name for name, row in zip(KEYPOINT_NAMES, hidden)
        if (row != keypoints[name]).any()
    ]
    assert changed == ['left_wrist'] and hidden[9, 2] == 1

    cut = images._keypoints(figure, owner[:, :150], 1)
    assert (cut[1::2] == 0).all()  # the left side
    assert (cut[[6, 8, 10, 12]] == hidden[[6, 8, 10, 12]]).all()


def read_all(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob('*')) if path.is_file()
    }


def test_dataset_does_not_depend_on_workers(tmp_path):
    assert draw_dataset(tmp_path / 'a', 5, 2, 96, seed=4, num_workers=1)
    assert draw_dataset(tmp_path / 'b', 5, 2, 96, seed=4, num_workers=2)
    files = read_all(tmp_path / 'a')
    assert files == read_all(tmp_path / 'b')
    assert len(files) == 5 + 2 + 2
    assert len(set(files.values())) == len(files)  # train is not val


def test_dataset_is_coco(tmp_path):
    draw_dataset(tmp_path, 6, 3, 96, num_workers=1)
    for split, count in (('train', 6), ('val', 3)):
        path = tmp_path / 'annotations' / f'person_keypoints_{split}.json'
        coco = COCO(path)
        assert len(coco.imgs) == count
        assert len(coco.anns) == len(coco.dataset['annotations'])
        for image in coco.loadImgs(coco.getImgIds()):
            pixels = cv2.imread(str(tmp_path / split / image['file_name']))
            assert pixels.shape[:2] == (image['height'], image['width'])
        for annotation in coco.anns.values():
            assert annotation['image_id'] in coco.imgs
            assert coco.annToMask(annotation).any()
        category, = coco.loadCats(coco.getCatIds())
        assert category['keypoints'] == list(KEYPOINT_NAMES)
        assert np.min(category['skeleton']) == 1


def test_dataset_is_kept_refused_or_replaced(tmp_path):
    assert draw_dataset(tmp_path, 3, 1, 64, num_workers=1)
    files = read_all(tmp_path)
    assert not draw_dataset(tmp_path, 3, 1, 64, num_workers=1)
    with pytest.raises(FileExistsError, match='another folder'):
        draw_dataset(tmp_path, 2, 1, 64, num_workers=1)
    assert read_all(tmp_path) == files

    # A missing image is drawn again.
    (tmp_path / 'train' / '000000000002.jpg').unlink()
    assert draw_dataset(tmp_path, 3, 1, 64, num_workers=1)
    assert read_all(tmp_path) == files

    assert draw_dataset(tmp_path, 2, 1, 64, num_workers=1, overwrite=True)
    assert len(read_all(tmp_path)) == 2 + 1 + 2  # no image is left behind


def test_foreign_annotations_are_never_replaced(tmp_path):
    path = tmp_path / 'annotations' / 'person_keypoints_val.json'
    path.parent.mkdir()
    path.write_text(json.dumps(dict(info=dict(year=2017), images=[])))
    with pytest.raises(FileExistsError, match='not written by this'):
        draw_dataset(tmp_path, 1, 1, 64, num_workers=1, overwrite=True)
    assert [*read_all(tmp_path)] == [path.relative_to(tmp_path)]


def test_broken_run_leaves_no_annotations(tmp_path, monkeypatch):
    draw_dataset(tmp_path, 2, 2, 64, num_workers=1)
    draw = dataset._draw_file

    def fail(task, **kwargs):
        if task == ('val', 2):
            raise KeyboardInterrupt
        return draw(task, **kwargs)

    monkeypatch.setattr(dataset, '_draw_file', fail)
    with pytest.raises(KeyboardInterrupt):
        draw_dataset(tmp_path, 3, 2, 64, num_workers=1, overwrite=True)
    assert not list(tmp_path.rglob('*.json'))
    monkeypatch.undo()
    assert draw_dataset(tmp_path, 3, 2, 64, num_workers=1)


@pytest.mark.parametrize('name, value', [('num_train', 0), ('num_val', -1),
                                         ('long_side', 63), ('seed', -1),
                                         ('num_workers', 0)])
def test_bad_arguments(tmp_path, name, value):
    arguments = dict(num_train=1, num_val=1, long_side=64)
    arguments[name] = value
    with pytest.raises(ValueError, match=f'{name} must be at least'):
        draw_dataset(tmp_path, **arguments)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match='long_side'):
        draw_image(0, 63)


def test_number_of_people(tmp_path):
    counts = [
        len(draw_image([7, i], 128, people=(4, 6))[1]) for i in range(20)
    ]
    # Some may be hidden by others, and are not drawn.
    assert max(counts) == 6 and sum(counts) > 20 * 4
    assert not draw_image(0, 64, people=(0, 0))[1]

    assert draw_dataset(tmp_path, 1, 1, 64, num_workers=1, people=(2, 2))
    assert not draw_dataset(tmp_path, 1, 1, 64, num_workers=1, people=(2, 2))
    for other in ((2, 3), None):
        with pytest.raises(FileExistsError, match='people'):
            draw_dataset(tmp_path, 1, 1, 64, num_workers=1, people=other)
    with pytest.raises(ValueError, match='not 3 and 2'):
        draw_dataset(tmp_path / 'new', 1, 1, 64, people=(3, 2))
    assert not (tmp_path / 'new').exists()


def test_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv('PYTHONWARNINGS', 'ignore')  # of other packages
    command = [
        sys.executable, SCRIPT, 'set', '--num-train', '2', '--num-val', '2',
        '--size', '64', '--workers', '1', '--preview', 'sheet.png'
    ]  # yapf: disable
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'person_keypoints_val.json: 2 images' in done.stdout
    assert cv2.imread(str(tmp_path / 'sheet.png')) is not None

    again = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0 and 'kept' in again.stdout

    (tmp_path / 'file').touch()
    command[2] = 'file/set'
    wrong = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode == 2
    assert len(wrong.stderr.splitlines()) == 1 and 'error' in wrong.stderr
