"""How many clicks a pose needs: by hand, and with a model that refines it.

    python benchmarks/clicks.py --plain CONFIG CHECKPOINT... \\
        --trained CONFIG CHECKPOINT... --images DIR --annotations FILE

Everybody starts from the pose that the plain model proposes of them, or, if it
proposes none with an OKS of 0.1, from the one that a click at the middle of
the person gives, which counts. Then the keypoint that is farthest off in units
of its sigma is put exactly at its place, again and again, by one click each.
By hand, all others stay. Refined, all others go where a model puts them: the
plain one, or one that was trained for it by CorrectionQueries. It refines the
pose of the start with all the keypoints that were clicked.

NoC@T is the number of clicks until the OKS of a person is T, which is at most
the number of labeled keypoints, plus the click that starts a pose. Several
checkpoints of each config, of other seeds in the same order, give the spread.
DIR gets clicks.md, clicks.json and clicks.png.
"""
import statistics
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional

import numpy as np
from program import ArgumentParser
from pycocotools.coco import COCO
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from benchmarks.lib.charts import COLORS, legend_beside, plt, save
from benchmarks.lib.results import Results, milliseconds, spread
from projects.grouppose.evaluation.error_kinds import (MIN_OKS,
                                                       keypoint_similarity)
from projects.grouppose.inference import read_image
from projects.grouppose.labeling.labeler import EncodedImage, PoseLabeler

THRESHOLDS = 0.85, 0.9, 0.95
HAND = 'by hand'
TEXT = """{people} people in {images} images, {found:.0%} of whom the model
proposes a pose. NoC@T: clicks per person until the OKS is T; saved@90: part of
the clicks by hand that an OKS of 0.9 does not need. Of {seeds} checkpoints:
median (least to most)."""


class People(NamedTuple):
    """The N people with labeled keypoints in an image.

    Attributes:
        places (np.ndarray): True places, pixels, (N, K, 2).
        labeled (np.ndarray): bool, (N, K).
        areas (np.ndarray): Square pixels, (N, ).
        sigmas (np.ndarray): Of the keypoints, (K, ).
    """
    places: np.ndarray
    labeled: np.ndarray
    areas: np.ndarray
    sigmas: np.ndarray

    def similarity(self, poses: np.ndarray) -> np.ndarray:
        """OKS of poses (..., N, K, 2), (..., N)."""
        every = keypoint_similarity(poses, self.places, self.areas,
                                    self.sigmas)
        return (every * self.labeled).sum(-1) / self.labeled.sum(-1)

    def middles(self) -> np.ndarray:
        """Centers of the labeled keypoints, (N, 2)."""
        return np.array([
            places[labeled].mean(0)
            for places, labeled in zip(self.places, self.labeled)
        ])


class Start(NamedTuple):
    """Where the clicks on an image begin: poses (N, K, 2), and whether each
    was proposed, or needed a click already, (N, )."""
    poses: np.ndarray
    proposed: np.ndarray


def read_people(coco: COCO, sigmas: np.ndarray) -> Iterator[tuple]:
    """File name and people of all images that show somebody."""
    for number, image in sorted(coco.imgs.items()):
        entries = [
            entry for entry in coco.imgToAnns[number]
            if not entry.get('iscrowd') and any(entry['keypoints'][2::3])
        ]
        if not entries:
            continue
        points = np.array([entry['keypoints'] for entry in entries], float)
        points = points.reshape(len(entries), -1, 3)
        if points.shape[1] != len(sigmas):
            raise ValueError(f'people have {points.shape[1]} keypoints, the '
                             f'model finds {len(sigmas)}')
        areas = np.array([
            entry.get('area') or 0.53 * np.prod(entry['bbox'][2:])
            for entry in entries
        ])
        yield image['file_name'], People(points[..., :2], points[..., 2] > 0,
                                         areas, sigmas)


def match_people(people: People, proposals: np.ndarray) -> np.ndarray:
    """Index of the proposal of everybody, (N, ), -1 of whom none is for: one
    each at most of (proposals, K, 2), at the largest OKS in total."""
    similarity = people.similarity(proposals[:, None])  # (proposals, N)
    similarity = similarity * (similarity >= MIN_OKS)
    matches = np.full(len(people.places), -1)
    for row, person in zip(*linear_sum_assignment(-similarity)):
        if similarity[row, person]:
            matches[person] = row
    return matches


def find_starts(labeler: PoseLabeler, encoded: EncodedImage, people: People,
                least: float) -> Start:
    """The start of everybody in an image."""
    found = labeler.poses(encoded)
    proposals = found.keypoints[found.scores >= least]
    matches = match_people(people, proposals)
    starts = [
        labeler.person_at(encoded, middle) if match < 0 else proposals[match]
        for match, middle in zip(matches, people.middles())
    ]
    return Start(np.array(starts, people.places.dtype), matches >= 0)


def click(people: People, start: Start,
          follow: Optional[Callable]) -> np.ndarray:
    """OKS of everybody after 0, 1, ... clicks, the last of them on the last
    keypoint, (N, K + 2).

    Args:
        people (People): The people of an image.
        start (Start): Where they start.
        follow (callable, optional): Called with the poses of the start, in
            which fixed keypoints are at their place, and with which are
            fixed, it returns the poses that follow. Defaults to the last
            ones.
    """
    poses, rows = start.poses.copy(), np.arange(len(start.poses))
    fixed = np.zeros_like(people.labeled)
    after = [people.similarity(poses)]
    for _ in range(poses.shape[1]):
        off = np.linalg.norm(poses - people.places, axis=-1) / people.sigmas
        off[~people.labeled | fixed] = -1
        worst = off.argmax(1)
        left = off[rows, worst] >= 0
        done = rows[left], worst[left]
        fixed[done], poses[done] = True, people.places[done]
        if follow is not None and left.any():
            begin = np.where(fixed[..., None], people.places, start.poses)
            poses[left] = follow(begin[left], fixed[left])
        after.append(people.similarity(poses))
    late = np.concatenate([np.zeros((1, len(rows))), after[:-1]])
    late = np.concatenate([late, [after[-1]]])
    early = np.array([*after, after[-1]])
    return np.where(start.proposed, early, late).T


def count_clicks(curves: np.ndarray, least: float) -> np.ndarray:
    """Clicks until the OKS is ``least``, from OKS by clicks (P, clicks)."""
    # The last is 1 but for rounding.
    reached = curves >= least
    reached[:, -1] = True
    return reached.argmax(1)


def run(labelers: Dict[str, PoseLabeler], args) -> Dict[str, dict]:
    """OKS by clicks of all people in each way, with seconds per refinement,
    and who was proposed."""
    plain = labelers['refined']
    coco = COCO(str(args.annotations))
    sigmas = np.array(plain.metainfo['sigmas'], float)
    images = list(read_people(coco, sigmas))[:args.limit]
    if not images:
        raise ValueError(f'{args.annotations}: nobody has a labeled keypoint')
    curves: Dict[str, list] = {name: [] for name in (HAND, *labelers)}
    seconds: Dict[str, list] = {name: [] for name in curves}
    proposed = []
    for file, people in tqdm(images, unit=' images', disable=None):
        image = read_image(str(args.images / file))
        start = find_starts(plain, plain.encode(image), people, args.score_thr)
        proposed += start.proposed.tolist()
        curves[HAND].append(click(people, start, None))
        for name, labeler in labelers.items():
            encoded = labeler.encode(image)

            def follow(poses, fixed):
                begin = time.perf_counter()
                result = labeler.refine(encoded, poses, fixed)
                seconds[name].append(time.perf_counter() - begin)
                return result

            curves[name].append(click(people, start, follow))
    return {
        name:
        dict(
            curves=np.concatenate(curves[name]),
            seconds=statistics.median(seconds[name] or [0]),
            images=len(images),
            proposed=proposed)
        for name in curves
    }


def draw(rows: List[dict], path: Path) -> None:
    """Mean OKS, and the share of people of an OKS of 0.9, by clicks."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4))
    for row, color in zip(rows, COLORS):
        for axis, key in zip(axes, ('mean_oks', 'share_90')):
            values = 100 * np.array(row[key])
            places = np.arange(values.shape[1])
            axis.plot(
                places,
                np.median(values, 0),
                color=color,
                marker='.',
                label=row['way'])
            axis.fill_between(
                places, values.min(0), values.max(0), color=color, alpha=0.15)
    for axis, label in zip(axes, ('mean OKS (%)', 'people of OKS 0.9 (%)')):
        axis.set(xlabel='clicks per person', ylabel=label, ylim=(0, 101))
        axis.grid(alpha=0.3)
    legend_beside(axes[1])
    save(figure, path)


def summarize(runs: List[Dict[str, dict]], args) -> Results:
    """Write what was counted as a table and as curves."""
    columns = {
        'way': 'way',
        **{
            f'NoC@{100 * least:.0f}':
            lambda row, least=least: spread(
                row[f'noc_{100 * least:.0f}'], digits=2)
            for least in THRESHOLDS
        },
        'saved@90': lambda row: spread(row['saved_90'], 100, 0) + ' %',
        'ms per refinement': milliseconds(),
    }
    first = runs[0][HAND]
    text = TEXT.format(
        people=len(first['proposed']),
        images=first['images'],
        found=np.mean([run[HAND]['proposed'] for run in runs]),
        seeds=len(runs))
    results = Results(args.out / 'clicks', 'Clicks per pose', text, columns)
    by_hand = [count_clicks(r[HAND]['curves'], 0.9).mean() for r in runs]
    for way in runs[0]:
        curves = [run[way]['curves'] for run in runs]
        row = dict(
            way=way,
            mean_oks=[x.mean(0).tolist() for x in curves],
            share_90=[(x >= 0.9).mean(0).tolist() for x in curves])
        for least in THRESHOLDS:
            row[f'noc_{100 * least:.0f}'] = [
                float(count_clicks(x, least).mean()) for x in curves
            ]
        if way != HAND:
            row['seconds'] = [run[way]['seconds'] for run in runs]
            row['saved_90'] = [
                1 - noc / hand for noc, hand in zip(row['noc_90'], by_hand)
            ]
        results.add(row)
    draw(results.content['rows'], args.out / 'clicks.png')
    return results


def parse_args(argv):
    parser = ArgumentParser(__doc__)
    for name, text in (('plain', 'model that proposes poses, of every seed'),
                       ('trained', 'the same, trained by CorrectionQueries')):
        parser.add_argument(
            f'--{name}',
            nargs='+',
            metavar='FILE',
            required=name == 'plain',
            help=f'config and checkpoints: {text}')
    parser.add_truth()
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='least score of a proposal (%(default)s)')
    parser.add_number('--limit', 10**6, 'images at most')
    parser.add_device('cpu')
    args = parser.parse_args(argv)
    seeds = len(args.plain) - 1
    if seeds < 1 or args.trained and len(args.trained) != len(args.plain):
        parser.error('give --plain and --trained a config and the same number '
                     'of checkpoints')
    return args


def main(argv=None) -> None:
    args = parse_args(argv)
    ways = {'refined': args.plain}
    if args.trained:
        ways['refined, trained'] = args.trained
    runs = []
    for index in range(1, len(args.plain)):
        labelers = {
            name: PoseLabeler(files[0], files[index], args.device)
            for name, files in ways.items()
        }
        runs.append(run(labelers, args))
    print(summarize(runs, args).markdown())


if __name__ == '__main__':
    main()
