"""Errors of known kinds are told apart, and AP without them is right."""
from contextlib import redirect_stdout

import numpy as np
import pytest
from mmengine.config import ConfigDict
from xtcocotools.coco import COCO

from projects.grouppose.data.metainfo import load_metainfo
from projects.grouppose.evaluation.coco_eval import PoseCOCOeval
from projects.grouppose.evaluation.error_gains import find_gains
from projects.grouppose.evaluation.error_kinds import (KEYPOINT_KINDS, UNKNOWN,
                                                       ErrorEvaluation,
                                                       classify_keypoints)
from projects.grouppose.evaluation.error_rates import count_errors
from tests.helpers.injected_errors import (NAMES, inject, make_metainfo,
                                           make_people)

META = load_metainfo(ConfigDict(make_metainfo()))
PARTNERS = np.array([0, 2, 1, 4, 3, 5])
PEOPLE = [1, 2, 3, 0, 5, 12, 1, 4] * 6
ERRORS = ('jitter', 'inversion', 'swap', 'miss', 'missed', 'doubled',
          'background')


def load(content, results):
    """Annotations and results as COCO's evaluation takes them."""
    coco = COCO()
    coco.dataset = content
    with redirect_stdout(None):
        coco.createIndex()
        return coco, coco.loadRes([dict(entry) for entry in results])


def evaluate(content, results, meta=META, **settings):
    evaluation = ErrorEvaluation(*load(content, results), meta, **settings)
    evaluation.evaluate()
    return evaluation


def count(content, results, meta=META, **settings):
    """Numbers of errors, and what they are of."""
    errors = evaluate(content, results, meta, **settings).find_errors()
    groups = count_errors(errors, NAMES[:len(meta['sigmas'])], samples=2)
    return groups[0].rates


def reference_ap(content, results, use_area, max_dets):
    """COCO's own AP."""
    sigmas = np.array(META['sigmas'])
    evaluation = PoseCOCOeval(
        *load(content, results),
        'keypoints',
        sigmas,
        use_area,
        max_dets=max_dets)
    with redirect_stdout(None):
        evaluation.evaluate()
        evaluation.accumulate()
        return evaluation.summarize()['AP']


def classify(pose, people, owner=0, labeled=None, areas=None):
    """Kinds of the keypoints of one pose, by name."""
    people = np.array(people, dtype=float)
    labeled = np.ones(people.shape[:2], bool) if labeled is None else labeled
    areas = np.full(len(people), 1e4) if areas is None else np.array(areas)
    kinds, _ = classify_keypoints(
        np.array([pose], float), np.array([owner]), people, labeled, areas,
        np.array(META['sigmas']), PARTNERS)
    return ['unknown' if k == UNKNOWN else KEYPOINT_KINDS[k] for k in kinds[0]]


def at(similarity, scale=100):
    """Distance of a similarity, by the formula with a sigma of 0.05."""
    return scale * 0.1 * np.sqrt(-2 * np.log(similarity))


APART = np.arange(12).reshape(6, 2) * 1000.


@pytest.mark.parametrize('similarity, kind', [(1, 'good'), (0.851, 'good'),
                                              (0.849, 'jitter'),
                                              (0.501, 'jitter'),
                                              (0.499, 'miss'), (1e-9, 'miss')])
def test_limits_of_similarity(similarity, kind):
    pose = APART.copy()
    pose[1, 0] += at(similarity)
    assert classify(pose, [APART]) == ['good', kind] + ['good'] * 4


def test_mirrored_keypoint_of_the_same_person():
    pose = APART.copy()
    pose[1] = APART[2] + [at(0.501), 0]
    pose[4] = APART[3] + [at(0.499), 0]
    pose[0] = APART[1]  # no partner of it
    assert classify(pose, [APART]) == [
        'miss', 'inversion', 'good', 'good', 'miss', 'good'
    ]


def test_other_people():
    """Their keypoint of the same name and the mirrored one, at their scale."""
    other = APART + [0, 300]
    pose = APART.copy()
    pose[0] = other[0] + [at(0.51, scale=10), 0]
    pose[1] = other[2]
    pose[3] = other[3] + [at(0.49, scale=10), 0]
    pose[4] = other[5]
    expected = ['swap', 'swap', 'good', 'miss', 'miss', 'good']
    assert classify(pose, [APART, other], areas=[1e4, 1e2]) == expected
    assert classify(
        pose, [other, APART], owner=1, areas=[1e2, 1e4]) == expected


def test_the_most_similar_place_decides():
    """But what is good is good."""
    people = np.stack([APART, APART + 5000])
    people[0, 2] = people[0, 1] + [12, 0]
    pose = APART.copy()
    pose[1] += [9, 0]
    assert classify(pose, people)[1] == 'inversion'
    pose[1] = APART[1] + [5.5, 0]
    assert classify(pose, people)[1] == 'good'
    pose[1] = APART[1] + [5.8, 0]
    assert classify(pose, people)[1] == 'jitter'
    people[1, 1] = people[0, 1] + [10, 0]
    pose[1] = APART[1] + [9, 0]
    assert classify(pose, people)[1] == 'swap'


def test_labels():
    """Of keypoints without one nothing is known, and nobody confuses them."""
    labeled = np.ones((2, 6), bool)
    labeled[0, [0, 2]] = labeled[1, 5] = False
    pose = APART.copy()
    pose[1] = APART[2]
    pose[5] = APART[5] + [0, 300]
    assert classify(
        pose, [APART, APART + [0, 300]], labeled=labeled) == [
            'unknown', 'miss', 'unknown', 'good', 'good', 'miss'
        ]


@pytest.mark.parametrize('seed', [0, 1])
@pytest.mark.parametrize('kind', [*ERRORS, 'all', 'none'])
def test_injected_errors_are_recovered(kind, seed):
    """Each one, exactly."""
    content = make_people(PEOPLE, seed)
    chosen = ERRORS if kind == 'all' else [kind]
    rates = {name: 0.08 for name in chosen if name != 'none'}
    if 'background' in rates:
        rates['background'] = 0.4
    results, truth = inject(content, META, seed, **rates)
    found = count(content, results)
    for name in ERRORS:
        assert found[name].count == truth[name], name
        assert (truth[name] > 3) == (name in rates), name
    assert found['good'].count == truth['good']
    assert found['good'].total == sum(truth[n] for n in KEYPOINT_KINDS)
    assert found['missed'].total == sum(PEOPLE)
    assert found['background'].total == len(results)
    if kind in KEYPOINT_KINDS:
        assert found[kind].share == pytest.approx(0.06, abs=0.025)


def test_all_is_in_the_order_of_the_images():
    """Ids of images that are not sorted, and annotations in any order."""
    content = make_people(PEOPLE)
    for entry in content['images']:
        entry['id'] = 1000 - entry['id']
    for entry in content['annotations']:
        entry['image_id'] = 1000 - entry['image_id']
    np.random.shuffle(content['annotations'])
    results, truth = inject(content, META, **{n: 0.1 for n in ERRORS})
    np.random.shuffle(results)
    found = count(content, results)
    assert {n: found[n].count for n in ERRORS} == {n: truth[n] for n in ERRORS}


def spoil(content):
    """Make crowds and people without labels of some."""
    for ann in content['annotations'][::5]:
        ann.update(iscrowd=1)
    for ann in content['annotations'][1::5]:
        ann.update(keypoints=[0] * 18, num_keypoints=0)


def test_crowds_and_unlabeled_people_do_not_count():
    """Nor do their poses, of a crowd as many as there are."""
    content = make_people(PEOPLE, unlabeled=0)
    results, _ = inject(content, META)
    results += [dict(r, score=r['score'] / 2) for r in results[::5]]
    spoil(content)
    people = sum(ann['num_keypoints'] > 0 and not ann['iscrowd']
                 for ann in content['annotations'])
    found = count(content, results)
    assert found['good'].count == found['good'].total == 6 * people
    assert found['missed'].total == found['background'].total == people
    assert not any(found[name].count for name in ERRORS)


def test_nobody_swaps_with_a_crowd():
    content = make_people([2], unlabeled=0)
    first, second = content['annotations']
    results, _ = inject(content, META)
    results[0]['keypoints'][:2] = second['keypoints'][:2]
    assert count(content, results)['swap'].count == 1
    second['iscrowd'] = 1
    found = count(content, results)
    assert found['swap'].count == 0 and found['miss'].count == 1


def test_no_results():
    found = count(make_people([2, 0, 1]), [])
    assert found['missed'].count == found['missed'].total == 3
    assert found['good'].total == 0 and found['good'].share is None
    assert found['background'].share is None
    evaluation = evaluate(make_people([2]), [])
    assert evaluation.average_precision() == 0
    gains = find_gains(evaluation, evaluation.find_errors())
    assert gains['missed'] == -1 and gains['swap'] == 0


def test_nobody_is_annotated():
    content = make_people([3, 1])
    results, _ = inject(content, META)
    content['annotations'] = []
    found = count(content, results)
    assert found['missed'].total == 0
    assert found['background'].count == found['background'].total == 4
    assert evaluate(content, results).average_precision() == -1


def test_without_flip_pairs():
    """What was an inversion is a miss."""
    meta = load_metainfo(ConfigDict(make_metainfo(swaps=[''] * 6)))
    content = make_people(PEOPLE)
    results, truth = inject(content, META, inversion=0.2)
    found = count(content, results, meta)
    assert found['inversion'].count == 0
    assert found['miss'].count == truth['inversion'] > 20


def test_poses_that_do_not_count():
    """Beyond the best ones of an image, as for AP."""
    content = make_people([1])
    results, _ = inject(content, META, doubled=1)
    results += [dict(results[0], score=0.4 - i / 100) for i in range(30)]
    found = count(content, results)
    assert found['doubled'].count == 1 and found['background'].total == 20
    assert count(content, results, max_dets=40)['background'].total == 32


def test_none_moves_up():
    """Poses that do not count still do not when others are taken out."""
    content = make_people([2])
    first, second = inject(content, META)[0]
    results = [dict(first, score=0.9 - i / 100) for i in range(20)]
    results.append(dict(second, score=0.1))
    evaluation = evaluate(content, results)
    errors = evaluation.find_errors()
    assert [len(poses) for poses in errors.doubles] == [19, 0]
    assert errors.found.tolist() == [True, False]
    assert find_gains(evaluation, errors)['doubled'] < 0.6


@pytest.mark.parametrize('use_area', [True, False])
@pytest.mark.parametrize('max_dets', [20, 3])
def test_ap_is_that_of_coco(use_area, max_dets):
    """With noise, crowds, unlabeled people and repeated poses."""
    content = make_people(PEOPLE)
    results, _ = inject(content, META, **{name: 0.1 for name in ERRORS})
    for entry in results:
        # Without noise, some OKS are thresholds, but for rounding.
        noise = np.random.normal(size=18) * np.random.choice([0.1, 1, 2])
        entry['keypoints'] = (noise + entry['keypoints']).tolist()
    spoil(content)
    for ann in content['annotations']:
        ann['bbox'][2] *= 1.7
    settings = dict(use_area=use_area, max_dets=max_dets)
    evaluation = evaluate(content, results, **settings)
    expected = reference_ap(content, results, **settings)
    assert 0.1 < expected < 0.9
    assert evaluation.average_precision() == pytest.approx(expected, abs=1e-9)
    # Those of corrected results leave it as it is.
    find_gains(evaluation, evaluation.find_errors())
    assert evaluation.average_precision() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize('kind', ERRORS)
def test_ap_if_one_kind_were_corrected(kind):
    content = make_people(PEOPLE)
    results, _ = inject(content, META, **{kind: 0.1})
    if kind in ('doubled', 'background'):  # so that they cost AP
        for entry in results:
            entry['score'] = 1 - entry['score']
    evaluation = evaluate(content, results)
    ap = evaluation.average_precision()
    gains = find_gains(evaluation, evaluation.find_errors())
    assert ap < 0.99
    for name, value in gains.items():
        if name == kind or name == 'all four' and kind in KEYPOINT_KINDS:
            assert value > ap + 0.005
            if kind not in ('jitter', 'miss'):
                assert value == pytest.approx(1)
        else:
            assert value == pytest.approx(ap)


@pytest.mark.parametrize('kind, similarity', [('jitter', 0.85), ('miss', 0.5)])
def test_similarity_of_corrected_keypoints(kind, similarity):
    """One of six is wrong: AP says between which thresholds its OKS is."""
    content = make_people([1], unlabeled=0)
    results, _ = inject(content, META)
    side = np.sqrt(content['annotations'][0]['area'])
    results[0]['keypoints'][0] += at(0.55 if kind == 'jitter' else 0.1, side)
    oks = (5 + similarity) / 6
    evaluation = evaluate(content, results)
    for threshold, expected in ((oks - 1e-6, 1), (oks + 1e-6, 0)):
        evaluation.params.iouThrs = np.array([0.1, threshold])
        evaluation.evaluate()
        gains = find_gains(evaluation, evaluation.find_errors())
        assert gains[kind] == pytest.approx(expected)


def test_classes():
    """Poses of another class are no poses of a person; swaps are between
    all."""
    content = make_people([2], unlabeled=0)
    content['categories'] = [dict(id=i, name=f'{i}') for i in (3, 5)]
    for ann, category in zip(content['annotations'], (3, 5)):
        ann['category_id'] = category
    results, _ = inject(content, META)
    results[0]['keypoints'][:2] = results[1]['keypoints'][:2]
    classes = {3: 'a', 5: 'b'}
    assert count(content, results, classes=classes)['swap'].count == 1
    results[1]['category_id'] = 3
    found = count(content, results, classes=classes)
    assert found['missed'].count == found['background'].count == 1
    assert found['missed'].total == 2
