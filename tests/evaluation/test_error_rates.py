"""Rates of errors by group, their intervals, and the report."""
import cv2
import numpy as np
import pytest

from projects.grouppose.evaluation.error_kinds import (GOOD, MISS, UNKNOWN,
                                                       PoseErrors)
from projects.grouppose.evaluation.error_rates import Group, Rate, count_errors
from projects.grouppose.evaluation.error_report import ErrorReport

NAMES = ('nose', 'tail')


def make_errors(kinds, per_image=1, areas=None, doubles=(), strays=()):
    """Errors of people with an image for each, or for some of them.

    Args:
        kinds (Sequence): Kinds of both keypoints of each person, None if the
            person was missed.
        per_image (int): People of an image.
        areas (Sequence[float], optional): Of the people.
        doubles (dict[int, int]): Numbers of further poses.
        strays (Sequence[tuple]): Image and area of poses of nobody.
    """
    number = len(kinds)
    images = -(-number // per_image)
    doubles = dict(doubles)
    return PoseErrors(
        crowding=np.full(images, per_image),
        people=[dict(id=i) for i in range(number)],
        images=np.arange(number) // per_image,
        areas=np.full(number, 5e3) if areas is None else np.array(areas),
        poses=[kind and dict(id=i) for i, kind in enumerate(kinds)],
        kinds=np.array([kind or (UNKNOWN, ) * 2 for kind in kinds]),
        similarities=np.ones((number, 2)),
        doubles=[[dict(id=0)] * doubles.get(i, 0) for i in range(number)],
        strays=[dict(area=area) for _, area in strays],
        stray_images=np.array([image for image, _ in strays], dtype=int))


def by_name(groups, table):
    return {
        group.name: group.rates
        for group in groups if group.table == table
    }


def test_groups():
    errors = make_errors([(GOOD, MISS), (GOOD, UNKNOWN), None, (MISS, GOOD)],
                         areas=[32**2 - 1, 32**2, 96**2 - 1, 96**2],
                         doubles={1: 3},
                         strays=[(0, 10.), (3, 2e3), (3, 1e4)])
    errors.crowding = np.array([1, 2, 4, 5])
    groups = count_errors(errors, NAMES, samples=10)

    def numbers(table, kind):
        return {
            name: (rates[kind].count, rates[kind].total)
            for name, rates in by_name(groups, table).items()
        }

    assert numbers('all', 'miss') == dict(all=(2, 5))
    assert numbers('all', 'background') == dict(all=(3, 9))
    assert numbers('size', 'miss') == dict(
        small=(1, 2), medium=(0, 1), large=(1, 2))
    assert numbers('size', 'missed') == dict(
        small=(0, 1), medium=(1, 2), large=(0, 1))
    assert numbers('size', 'doubled') == dict(
        small=(0, 1), medium=(1, 2), large=(0, 1))
    assert numbers('size', 'background') == dict(
        small=(1, 2), medium=(1, 5), large=(1, 2))
    assert numbers('crowding', 'missed') == {
        '1': (0, 1),
        '2 to 4': (1, 2),
        '5 or more': (0, 1)
    }
    assert numbers('crowding', 'background') == {
        '1': (1, 2),
        '2 to 4': (0, 4),
        '5 or more': (2, 3)
    }
    assert numbers('keypoint', 'miss') == dict(nose=(1, 3), tail=(1, 2))
    assert 'missed' not in by_name(groups, 'keypoint')['nose']


def test_images_without_people():
    """Only in the background can something be wrong."""
    errors = make_errors([(GOOD, GOOD)], strays=[(0, 5.), (1, 5.), (1, 5.)])
    errors.crowding = np.array([1, 0])
    rates = by_name(count_errors(errors, NAMES, samples=9), 'crowding')
    assert [*rates] == ['nobody', '1']
    rate = rates['nobody']['background']
    assert (rate.count, rate.total, rate.share) == (2, 2, 1)
    rate = rates['nobody']['miss']
    assert (rate.total, rate.share, rate.low) == (0, None, None)


def test_interval_of_independent_people():
    """That of a binomial distribution."""
    random = np.random.default_rng(0)
    kinds = [(kind, UNKNOWN)
             for kind in np.where(random.random(1000) < 0.2, MISS, GOOD)]
    rate = count_errors(make_errors(kinds), NAMES)[0].rates['miss']
    half = 1.96 * np.sqrt(rate.share * (1 - rate.share) / 1000)
    assert rate.low == pytest.approx(rate.share - half, abs=0.1 * half)
    assert rate.high == pytest.approx(rate.share + half, abs=0.1 * half)


def test_images_are_drawn_not_people():
    """If all of an image are alike, there is as much to learn as from one."""
    random = np.random.default_rng(0)
    alone = [(kind, UNKNOWN)
             for kind in np.where(random.random(200) < 0.3, MISS, GOOD)]
    alike = [kind for kind in alone for _ in range(9)]
    first = count_errors(make_errors(alone), NAMES)[0].rates['miss']
    second = count_errors(make_errors(alike, 9), NAMES)[0].rates['miss']
    assert (second.share, second.low, second.high) == pytest.approx(
        (first.share, first.low, first.high))


def test_seed():
    random = np.random.default_rng(0)
    kinds = [(kind, GOOD)
             for kind in np.where(random.random(150) < 0.3, MISS, GOOD)]
    errors = make_errors(kinds)
    groups = count_errors(errors, NAMES, samples=150, seed=1)
    assert groups == count_errors(errors, NAMES, samples=150, seed=1)
    assert groups != count_errors(errors, NAMES, samples=150, seed=2)


def make_report(names=NAMES, gains=None):
    random = np.random.default_rng(0)
    errors = make_errors([(GOOD, MISS), None, (GOOD, GOOD), (GOOD, GOOD)],
                         strays=[(0, 10.)])
    groups = count_errors(errors, NAMES, samples=20)
    groups = [group for group in groups if group.table != 'keypoint']
    for name in names:
        rates = {kind: Rate(1, 10, 0, .2) for kind in groups[0].rates}
        rates = {kind: rates[kind] for kind in [*rates][:5]}
        rates['good'] = Rate(int(random.integers(5, 10)), 10, 0, 1)
        groups.append(Group('keypoint', name, rates))
    return ErrorReport('Errors of x.json', groups, 0.5, gains or {},
                       ['A note.'])


def test_markdown():
    text = make_report(gains={'miss': 0.75, 'all four': 0.8}).to_markdown()
    assert text.startswith('# Errors of x.json\n\n- A note.\n- AP is 50.0.\n')
    row = next(line for line in text.splitlines() if '| miss |' in line)
    assert row.startswith('| miss | near none of these | 16.7 (0.0 to ')
    assert row.endswith(' | 1 | 6 keypoints | 75.0 |')
    assert '| all four | jitter, inversion, swap and miss | | | | 80.0 |' \
        in text
    assert '\n| size | keypoints | people | poses | good |' in text
    assert '\n| medium | 6 | 4 | 3 | 83.3 (' in text
    assert '\n| small | 0 | 0 | 1 | - | - |' in text
    assert 'inf' not in text and 'nan' not in text


def test_dict():
    content = make_report(gains={'miss': 0.75}).to_dict()
    assert content['ap'] == 0.5 and content['ap_corrected'] == {'miss': 0.75}
    miss = content['rates']['size']['medium']['miss']
    assert miss['count'] == 1 and miss['total'] == 6
    assert miss['share'] == pytest.approx(1 / 6) and miss['of'] == 'keypoints'
    assert content['rates']['size']['small']['miss']['share'] is None


@pytest.mark.parametrize('number', [1, 133])
def test_chart(tmp_path, number):
    """Its height follows the keypoints, up to a limit."""
    names = [f'keypoint {i}' for i in range(number)]
    path = tmp_path / 'errors.png'
    make_report(names, {'miss': 0.75, 'all four': 0.8}).draw(path)
    picture = cv2.imread(str(path))
    assert picture.shape[1] == 1100 and 700 < picture.shape[0] < 1800
    assert (picture != 255).any(2).mean() > 0.05
