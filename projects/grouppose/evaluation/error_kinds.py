"""Kinds of errors of predicted poses: keypoints that are off a little, on the
other side, on another person or nowhere, and people that are missed or found
twice.

After M. R. Ronchi and P. Perona, "Benchmarking and Error Diagnosis in
Multi-Instance Pose Estimation", ICCV 2017.
"""
import copy
from collections import defaultdict
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from .coco_eval import PoseCOCOeval, count_people

KEYPOINT_KINDS = ('good', 'jitter', 'inversion', 'swap', 'miss')
GOOD, JITTER, INVERSION, SWAP, MISS = range(5)
UNKNOWN = -1
GOOD_SIMILARITY = 0.85  # as good as annotators
NEAR = 0.5  # the least similarity of a keypoint that is near a place
MIN_OKS = 0.1  # of a pose and its person


def keypoint_similarity(points: np.ndarray, places: np.ndarray,
                        areas: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """Similarity of keypoints, whose mean over a person is COCO's OKS.

    It is ``exp(-d^2 / (2 * s^2 * k^2))`` of the distance d, the area s^2 of
    the person and k, twice the sigma. Leading dimensions broadcast.

    Args:
        points (np.ndarray): Predicted x and y in pixels, (..., K, 2).
        places (np.ndarray): Annotated x and y, (..., K, 2).
        areas (np.ndarray): Areas of the people in square pixels, (...).
        sigmas (np.ndarray): Sigmas of the keypoints, (K, ).

    Returns:
        np.ndarray: In [0, 1], (..., K).
    """
    squares = ((points - places)**2).sum(-1)
    # COCO's own way not to divide by an area of zero.
    spreads = 2 * (areas[..., None] + np.spacing(1)) * (2 * sigmas)**2
    return np.exp(-squares / spreads)


def classify_keypoints(
        poses: np.ndarray, owners: np.ndarray, people: np.ndarray,
        labeled: np.ndarray, areas: np.ndarray, sigmas: np.ndarray,
        flip_indices: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Say of each keypoint of the found people of an image what it is.

    It is good if its similarity to the right place is at least 0.85.
    Otherwise, what it is follows from the most similar of these places: the
    right one makes it a jitter; that of the mirrored keypoint of the same
    person an inversion; that of the keypoint or the mirrored one of another
    person a swap. If all similarities are below 0.5, it is a miss.

    Args:
        poses (np.ndarray): x and y of M predicted poses, (M, K, 2).
        owners (np.ndarray): Which of the people each was predicted of, (M, ).
        people (np.ndarray): x and y of G annotated people, (G, K, 2).
        labeled (np.ndarray): Which of their keypoints are labeled, (G, K).
        areas (np.ndarray): Their areas in square pixels, (G, ).
        sigmas (np.ndarray): Sigmas of the keypoints, (K, ).
        flip_indices (np.ndarray): Mirror partner of each keypoint, itself if
            there is none, (K, ).

    Returns:
        tuple[np.ndarray]: What the keypoints are, an index into
        ``KEYPOINT_KINDS``, or ``UNKNOWN`` if the keypoint is not labeled; and
        the similarity to the most similar place, both (M, K).
    """
    poses = poses[:, None]
    same = keypoint_similarity(poses, people, areas, sigmas) * labeled
    mirrored = keypoint_similarity(poses, people[:, flip_indices], areas,
                                   sigmas[flip_indices])
    mirrored *= labeled[:, flip_indices]
    best = np.maximum(same, mirrored).max(1)
    rows = np.arange(len(owners))
    right, inverted = same[rows, owners], mirrored[rows, owners]
    kinds = np.select([
        ~labeled[owners], right >= GOOD_SIMILARITY, best < NEAR, right == best,
        inverted == best
    ], [UNKNOWN, GOOD, MISS, JITTER, INVERSION], SWAP)
    return kinds, best


@dataclass
class PoseErrors:
    """What became of the P people with labeled keypoints in I images.

    Args:
        crowding (np.ndarray): Number of people in each image, with and
            without labeled keypoints, but no crowd regions, (I, ).
        people (list[dict]): Their annotations.
        images (np.ndarray): Index of the image of each person, (P, ).
        areas (np.ndarray): Their areas in square pixels, (P, ).
        poses (list[dict | None]): The pose that was predicted of each.
        kinds (np.ndarray): What its keypoints are, an index into
            ``KEYPOINT_KINDS``; ``UNKNOWN`` if a keypoint is not labeled, or
            its person was missed, (P, K).
        similarities (np.ndarray): From :func:`classify_keypoints`, (P, K).
        doubles (list[list[dict]]): Further poses of each person.
        strays (list[dict]): Poses of nobody.
        stray_images (np.ndarray): Index of the image of each of these.
    """
    crowding: np.ndarray
    people: List[dict]
    images: np.ndarray
    areas: np.ndarray
    poses: List[Optional[dict]]
    kinds: np.ndarray
    similarities: np.ndarray
    doubles: List[List[dict]]
    strays: List[dict]
    stray_images: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """np.ndarray: Whether a pose was predicted of each person, (P, )."""
        return np.array([pose is not None for pose in self.poses], dtype=bool)


class ErrorEvaluation(PoseCOCOeval):
    """COCO's evaluation of keypoints, which knows the kinds of errors, and
    what AP would be without some of them.

    Args:
        coco (COCO): Annotations, with a usable box of each person.
        predictions (COCO): What ``loadRes`` of the annotations makes of
            results.
        metainfo (dict): From :func:`load_metainfo`, for ``sigmas`` and
            ``flip_indices``.
        use_area (bool): Whether to take the annotated areas, or 0.53 of the
            boxes. Defaults to True.
        iou_type (str): 'keypoints', or 'keypoints_crowd' of CrowdPose.
        kwargs: Arguments of :class:`PoseCOCOeval`.
    """

    def __init__(self,
                 coco: Any,
                 predictions: Any,
                 metainfo: dict,
                 use_area: bool = True,
                 iou_type: str = 'keypoints',
                 **kwargs):
        super().__init__(coco, predictions, iou_type,
                         np.array(metainfo['sigmas'], dtype=float), use_area,
                         **kwargs)
        self.flip_indices = np.array(metainfo['flip_indices'], dtype=int)
        params = self.params
        params.areaRng, params.areaRngLbl = [[0, 1e10]], ['all']
        # The first is for the errors, the others are those of AP.
        params.iouThrs = np.append(MIN_OKS, params.iouThrs)
        self._gts: Dict[tuple, List[dict]]
        self._dts: Dict[tuple, List[dict]]
        self.ious: Dict[tuple, Any]
        self._places: Dict[tuple, int] = {}

    def evaluate(self) -> None:
        """Match poses and people of all images."""
        params = self.params
        self._prepare()
        self._paramsEval = copy.deepcopy(params)
        keys = [(image, category) for category in params.catIds
                for image in params.imgIds]
        self._places = {key: place for place, key in enumerate(keys)}
        self.ious, self.evalImgs = {}, [None] * len(keys)
        for key in tqdm(keys, desc='match', unit=' images', disable=None):
            # Poses beyond those that count must not move up when some of
            # these are taken out.
            order = np.argsort([-pose['score'] for pose in self._dts[key]],
                               kind='mergesort')[:params.maxDets[-1]]
            self._dts[key] = [self._dts[key][i] for i in order]
            self._match(key)

    def _match(self, key: tuple) -> None:
        """Match the poses and people of an image and a category."""
        self.ious[key] = self.computeOks(*key)
        self.evalImgs[self._places[key]] = self.evaluateImg(
            *key, self.params.areaRng[0], self.params.maxDets[-1])

    def computeOks(self, imgId: int, catId: int) -> Any:
        """OKS of all poses and people of an image at once, in the place of
        COCO's loops: (poses, people), [] without any."""
        people, poses = self._gts[imgId, catId], self._dts[imgId, catId]
        if not people or not poses:
            return []
        points, _ = self._points(poses)
        places, labeled = self._points(people)
        # Without labels, places are within twice the extent of the box.
        boxes = np.array([person['bbox'] for person in people], dtype=float)
        corners, sides = boxes[:, None, :2], boxes[:, None, 2:]
        clipped = points[:, None].clip(corners - sides, corners + 2 * sides)
        unlabeled = ~labeled.any(1)
        places = np.where(unlabeled[:, None, None], clipped, places)
        labeled = labeled | unlabeled[:, None]
        similarity = keypoint_similarity(points[:, None], places,
                                         self._areas(people), self.sigmas)
        return (similarity * labeled).sum(-1) / labeled.sum(-1)

    def _points(self, entries: Sequence[dict]) -> Tuple[np.ndarray, ...]:
        """x and y (n, K, 2) of people or poses, and what is labeled (n, K)."""
        values = np.array([entry['keypoints'] for entry in entries],
                          dtype=float).reshape(-1, len(self.sigmas), 3)
        return values[..., :2], values[..., 2] > 0

    def _areas(self, people: Sequence[dict]) -> np.ndarray:
        """Areas as OKS takes them, (n, )."""
        if self.use_area:
            return np.array([p['area'] for p in people], dtype=float)
        sides = np.array([p['bbox'][2:] for p in people], dtype=float)
        return 0.53 * sides.reshape(-1, 2).prod(1)

    def average_precision(self) -> float:
        """AP of what was matched, -1 if nobody is annotated."""
        with redirect_stdout(None):
            self.accumulate()
        values = self.eval['precision'][1:]
        values = values[values > -1]
        return float(values.mean()) if values.size else -1.0

    def changed_ap(self, poses: Dict[int, Optional[dict]],
                   people: Sequence[int]) -> float:
        """AP with other poses, or with people who do not count.

        Args:
            poses (dict[int, dict | None]): What takes the place of poses, by
                their id, None for nothing.
            people (Sequence[int]): Ids of people who do not count, neither
                when found nor when missed.

        Returns:
            float: :meth:`average_precision` then. Nothing else changes.
        """
        kept = self._gts, self._dts, self.ious, self.evalImgs
        entries = [self.cocoDt.anns[i] for i in poses]
        entries += [self.cocoGt.anns[i] for i in people]
        self._gts, self._dts = [defaultdict(list, old) for old in kept[:2]]
        self.ious, self.evalImgs = dict(kept[2]), list(kept[3])
        ignored = {*people}
        try:
            for key in {(e['image_id'], e['category_id']) for e in entries}:
                changed = [poses.get(p['id'], p) for p in self._dts[key]]
                self._dts[key] = [pose for pose in changed if pose is not None]
                self._gts[key] = [
                    dict(person, ignore=True)
                    if person['id'] in ignored else person
                    for person in self._gts[key]
                ]
                self._match(key)
            return self.average_precision()
        finally:
            self._gts, self._dts, self.ious, self.evalImgs = kept

    def find_errors(self) -> PoseErrors:
        """What became of everybody, after :meth:`evaluate`.

        A pose belongs to the person it is matched to, as by COCO's metric,
        but with an OKS of at least 0.1. One that is not matched doubles the
        person with whom it has the highest OKS, if that is at least 0.1, or
        else is a stray, found in the background. Poses of crowd regions and
        of people without labeled keypoints do not count.

        Returns:
            PoseErrors: All people with labeled keypoints.
        """
        counts = count_people(self.cocoGt)
        images = self.params.imgIds
        parts = [self._find_in_image(image) for image in images]
        columns: List[List[Any]] = [[], [], [], [], [], []]
        for part in parts:
            for column, values in zip(columns, part):
                column.extend(values)
        people, poses, kinds, similarities, doubles, strays = columns
        shape = -1, len(self.sigmas)
        numbers = np.arange(len(images))
        return PoseErrors(
            crowding=np.array([counts[image] for image in images], dtype=int),
            people=people,
            images=np.repeat(numbers, [len(part[0]) for part in parts]),
            areas=self._areas(people),
            poses=poses,
            kinds=np.array(kinds, dtype=int).reshape(shape),
            similarities=np.array(similarities, dtype=float).reshape(shape),
            doubles=doubles,
            strays=strays,
            stray_images=np.repeat(numbers, [len(part[-1]) for part in parts]))

    def _find_in_image(self, image: int) -> tuple:
        """People, their poses, kinds, similarities and doubles, and strays of
        an image."""
        people: List[dict] = []
        poses: Dict[int, dict] = {}
        doubles: Dict[int, List[dict]] = defaultdict(list)
        strays: List[dict] = []
        for category in self.params.catIds:
            key = image, category
            result = self.evalImgs[self._places[key]]
            if result is None:
                continue
            here = [not person['ignore'] for person in self._gts[key]]
            counted = [p for p, counts in zip(self._gts[key], here) if counts]
            people += counted
            rows = zip(self._dts[key], result['dtMatches'][0])
            for row, (pose, person) in enumerate(rows):
                oks = self.ious[key][row][here] if counted else np.zeros(1)
                if person >= 0:  # or a crowd, of which nobody asks
                    poses[person] = pose
                elif oks.max() >= MIN_OKS:
                    doubles[counted[oks.argmax()]['id']].append(pose)
                else:
                    strays.append(pose)
        places, labeled = self._points(people)
        found = [i for i, p in enumerate(people) if p['id'] in poses]
        kinds = np.full(labeled.shape, UNKNOWN)
        similarities = np.zeros(labeled.shape)
        if found:
            points, _ = self._points([poses[people[i]['id']] for i in found])
            kinds[found], similarities[found] = classify_keypoints(
                points, np.array(found), places, labeled, self._areas(people),
                self.sigmas, self.flip_indices)
        return (people, [poses.get(p['id']) for p in people], kinds,
                similarities, [doubles[p['id']] for p in people], strays)
