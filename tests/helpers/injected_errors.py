"""Poses with known errors, made from annotations."""
from collections import Counter
from typing import Dict, List, Tuple

import numpy as np

NAMES = ('nose', 'left_hand', 'right_hand', 'left_foot', 'right_foot', 'tail')
SWAPS = ('', 'right_hand', 'left_hand', 'right_foot', 'left_foot', '')
SHAPE = np.array([(0, -60), (-50, -20), (50, -20), (-30, 50), (30, 50),
                  (0, 5)])
KINDS = ('jitter', 'inversion', 'swap', 'miss')
FAR = 100_000  # pixels to where nobody is


def make_metainfo(names=NAMES, swaps=SWAPS, sigma: float = 0.05) -> dict:
    """Metainfo as MMPose's files have it, without a skeleton."""
    return dict(
        dataset_name='grid',
        paper_info=dict(),
        keypoint_info={
            i: dict(name=name, id=i, color=[0, 0, 0], type='', swap=swap)
            for i, (name, swap) in enumerate(zip(names, swaps))
        },
        skeleton_info={},
        joint_weights=[1.0] * len(names),
        sigmas=[sigma] * len(names))


def make_people(counts, seed: int = 0, unlabeled: float = 0.1) -> dict:
    """Annotations of people who are apart, of different size.

    Their keypoints are apart by more than 2 s k, see the formula of OKS.

    Args:
        counts (Sequence[int]): People of each image.
        seed (int): Of their poses.
        unlabeled (float): Share of the keypoints without a label. Defaults to
            0.1.
    """
    random = np.random.default_rng(seed)
    content: Dict[str, list] = dict(
        images=[],
        annotations=[],
        categories=[dict(id=1, name='person', keypoints=[*NAMES])])
    for image_id, count in enumerate(counts, 1):
        content['images'].append(
            dict(
                id=image_id,
                file_name=f'{image_id}.jpg',
                width=1000,
                height=1000))
        for place in range(count):
            side = random.choice([20, 60, 130])
            center = np.array([place % 5, place // 5]) * 200 + 100
            points = SHAPE * side / 130 + random.uniform(-1, 1, (6, 2))
            labels = 2. * (random.random(6) >= unlabeled)
            labels[0] = 2
            values = np.column_stack([center + points, labels])
            values[labels == 0] = 0
            content['annotations'].append(
                dict(
                    id=len(content['annotations']) + 1,
                    image_id=image_id,
                    category_id=1,
                    iscrowd=0,
                    area=float(side**2),
                    num_keypoints=int((labels > 0).sum()),
                    bbox=[
                        *(center - side / 2).tolist(),
                        float(side),
                        float(side)
                    ],
                    keypoints=values.ravel().tolist()))
    return content


def inject(content: dict,
           metainfo: dict,
           seed: int = 0,
           missed: float = 0,
           doubled: float = 0,
           background: float = 0,
           **rates: float) -> Tuple[List[dict], Counter]:
    """Poses of the annotated people, with errors at known rates.

    At most a third of the keypoints of a person are wrong, so that poses
    still belong to whom they were made of.

    Args:
        content (dict): Annotations.
        metainfo (dict): From ``load_metainfo``.
        seed (int): Of the draws.
        missed (float): Share of the people without a pose.
        doubled (float): Share of the others with two.
        background (float): Poses of nobody per image.
        rates (float): Of jitter, inversion, swap and miss.

    Returns:
        tuple: Results, and how many errors of each kind they have.
    """
    random = np.random.default_rng(seed)
    truth: Counter = Counter()
    results = []
    flip = metainfo['flip_indices']
    chances = [rates.get(kind, 0) for kind in KINDS]
    chances.insert(0, 1 - sum(chances))
    widths = 2 * np.array(metainfo['sigmas'])  # k of the formula

    def add(ann, values, score):
        results.append(
            dict(
                image_id=ann['image_id'],
                category_id=ann['category_id'],
                score=float(score),
                keypoints=values.ravel().tolist()))

    by_image: Dict[int, list] = {i['id']: [] for i in content['images']}
    for ann in content['annotations']:
        if ann['num_keypoints'] and not ann['iscrowd']:
            by_image[ann['image_id']].append(ann)
    for people in by_image.values():
        places = np.array([p['keypoints'] for p in people],
                          dtype=float).reshape(-1, len(flip), 3)
        for i, person in enumerate(people):
            if random.random() < missed:
                truth['missed'] += 1
                continue
            values = places[i].copy()
            labeled = np.flatnonzero(values[:, 2])
            values[:, 2] = 1
            scale = np.sqrt(person['area'])
            wrong = 0
            for k in random.permutation(labeled).tolist():
                kind = random.choice(['good', *KINDS], p=chances)
                others = [
                    j for j in range(len(people)) if j != i and places[j, k, 2]
                ]
                impossible = dict(
                    inversion=flip[k] == k or not places[i, flip[k], 2],
                    swap=not others)
                if 3 * (wrong + 1) > len(labeled) or impossible.get(kind):
                    kind = 'good'
                if kind == 'inversion':
                    values[k, :2] = places[i, flip[k], :2]
                elif kind == 'swap':
                    values[k, :2] = places[random.choice(others), k, :2]
                elif kind != 'good':
                    similarity = dict(jitter=0.7, miss=0.2)[kind]
                    distance = scale * widths[k] * np.sqrt(
                        -2 * np.log(similarity))
                    angle = random.uniform(0, 2 * np.pi)
                    values[k, :2] += distance * np.array(
                        [np.cos(angle), np.sin(angle)])
                wrong += kind != 'good'
                truth[kind] += 1
            score = random.uniform(0.5, 1)
            add(person, values, score)
            if random.random() < doubled:
                truth['doubled'] += 1
                values = places[i] + [0.01 * scale, 0, 0]
                values[:, 2] = 1
                add(person, values, score / 2)
    for image in content['images']:
        if random.random() < background:
            truth['background'] += 1
            values = np.column_stack([
                FAR + random.uniform(0, 90, (len(flip), 2)),
                np.ones(len(flip))
            ])
            add(
                dict(
                    image_id=image['id'],
                    category_id=content['categories'][0]['id']), values,
                random.uniform(0, 0.4))
    return results, truth
