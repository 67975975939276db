"""Checks of the people of a file: visibility, boxes, areas, left and right,
people who are annotated twice."""
from typing import List, Tuple

import numpy as np

from .coco_file import KeypointFile
from .findings import Finding, found
from .metainfo_file import DatasetInfo
from .outliers import check_limbs, check_swaps
from .sigmas import box_iou

# With fewer people, what all of them share may be chance.
MANY_PEOPLE = 20
PIXELS = 2  # by which annotations may miss a border
FAR = 0.1  # of its longer side is far from a box
SAME_IOU = 0.85
SAME_DISTANCE = 0.1  # of the square root of the area


def check_people(file: KeypointFile, info: DatasetInfo) -> List[Finding]:
    """Run all checks of this module.

    Args:
        file (KeypointFile): The file.
        info (DatasetInfo): Description of its keypoints.

    Returns:
        list[Finding]: What looks wrong.
    """
    return [
        *check_visibility(file, info),
        *check_boxes(file),
        *check_areas(file),
        *check_limbs(file, info),
        *check_sides(file, info),
        *check_swaps(file, info),
        *check_repetitions(file),
    ]


def check_visibility(file: KeypointFile, info: DatasetInfo) -> List[Finding]:
    """Check visibility flags and ``num_keypoints`` against COCO's meaning."""
    visibility = file.keypoints[..., 2]
    placed = (file.keypoints[..., :2] != 0).any(-1)
    labeled = file.labeled
    people = np.any(labeled, 1)
    many = people.sum() >= MANY_PEOPLE
    total = len(file.people)
    used = visibility[labeled]
    findings = found(
        'warning',
        'Visibility other than 0 (not labeled), 1 (hidden) and 2 (visible)',
        file.select(~np.all(np.isin(visibility, (0, 1, 2)), 1)),
        'All above 0 train as labeled; if yours mean something else, '
        'translate them',
        total=total)
    findings += found(
        'warning',
        'Keypoints labeled at x = y = 0',
        file.select((labeled & ~placed).any(1)),
        'This place mostly stands for a missing keypoint; set the visibility '
        'of those to 0',
        total=total)
    findings += found(
        'note',
        'Keypoints with a place, but visibility 0',
        file.select((~labeled & placed).any(1)),
        'They are neither trained nor evaluated; if they are known but '
        'hidden, set the visibility to 1',
        total=total)
    if many:
        for value, what in ((1, 'hidden (1)'), (2, 'visible (2)')):
            if (used == value).all():
                findings.append(
                    Finding(
                        'note', f'All labeled keypoints are marked {what}',
                        'Right if nobody told apart hidden and visible ones. '
                        'Keypoints that nobody can place must have 0'))
    findings += found(
        'warning' if many else 'note',
        'Keypoints that are never labeled', [
            p.name
            for p, seen in zip(info.keypoints, np.any(labeled, 0)) if not seen
        ], 'They cannot be learned; remove them from the file, or check that '
        'their visibility is right',
        unit='keypoint',
        total=len(info.keypoints))
    findings += found(
        'note',
        f'{file.noun.capitalize()} without a labeled keypoint',
        file.select(~people),
        'They are neither trained nor evaluated',
        total=total,
        drawn=True)
    if not (file.keypoints[..., :2][labeled] > 1).any():
        findings.append(
            Finding(
                'warning', 'All keypoints lie between 0 and 1',
                'Coordinates are pixels: multiply them by the width and '
                'height of the image'))
    return findings + _check_counts(file)


def _check_counts(file: KeypointFile) -> List[Finding]:
    """`num_keypoints` that contradicts the visibility."""
    labeled = file.labeled.sum(1)
    stated = np.array([
        ann.get('num_keypoints', count)
        for ann, count in zip(file.people, labeled)
    ])
    # Others than these change nothing; CrowdPose leaves out two joints.
    findings = found(
        'warning',
        '`num_keypoints` is 0, but there are labeled keypoints',
        file.select((stated == 0) & (labeled > 0)),
        'They are left out of training; correct or remove the field',
        total=len(file.people))
    return findings + found(
        'note',
        '`num_keypoints` is not the number of labeled keypoints',
        file.select((stated != labeled) & (stated > 0)),
        'It does not matter, as long as it is not 0',
        total=len(file.people))


def check_boxes(file: KeypointFile) -> List[Finding]:
    """Check for boxes that are empty, outside their image, in another format
    or apart from the keypoints."""
    people = file.labeled.any(1)
    total = len(file.people)
    low, size = file.boxes[:, :2], file.boxes[:, 2:]
    known = ~np.isnan(file.sizes).any(1)
    empty = np.any(size <= 0, 1)
    findings: List[Finding] = []
    if _boxes_are_corners(file):
        return findings + [
            Finding(
                'warning',
                'Boxes look like the corners x1, y1, x2, y2',
                'As x, y, width, height, which COCO has, many reach beyond '
                'their image, and as corners none does. Convert `bbox`',
                examples=file.select(known),
                total=total)
        ]
    outside = known & people & ~empty
    outside &= ((low >= file.sizes) | (low + size <= 0)).any(1)
    beyond = np.maximum(-low, low + size - file.sizes).max(1)
    allowed = np.maximum(PIXELS, 0.05 * size.max(1))
    findings += found(
        'warning',
        'Boxes outside their image',
        file.select(outside),
        'They are left out of training; check `image_id` and `bbox`',
        total=total)
    findings += found(
        'note',
        'Boxes that reach beyond their image',
        file.select(known & ~outside & (beyond > allowed)),
        'They are clipped in training; no harm if objects are cut off there',
        total=total)

    # Boxes may be around what is seen, hidden keypoints are elsewhere then.
    seen = file.keypoints[..., 2] == 2
    seen = seen if seen.any() else file.labeled
    points = file.keypoints[..., :2]
    distance = np.maximum(low[:, None] - points,
                          points - (low + size)[:, None]).max(-1)
    far = seen & (distance > FAR * size.max(1)[:, None])
    findings += found(
        'warning',
        'Boxes that most of their keypoints are outside of',
        file.select(people & ~empty & (far.sum(1) > seen.sum(1) / 2)),
        'Box and keypoints must belong to the same object, and both be '
        'pixels of the original image',
        total=total)
    return findings


def _boxes_are_corners(file: KeypointFile) -> bool:
    """Whether boxes make sense as x1, y1, x2, y2 only."""
    known = ~np.isnan(file.sizes).any(1) & (file.boxes[:, 2:] > 0).all(1)
    low, high = file.boxes[known, :2], file.boxes[known, 2:]
    sizes = file.sizes[known]
    if len(low) < 3:
        return False
    beyond = (low + high > sizes + PIXELS).any(1)
    sound = ((high > low) & (high <= sizes + PIXELS)).all(1)
    return bool(beyond.mean() > 0.3 and sound.mean() > 0.98)


def check_areas(file: KeypointFile) -> List[Finding]:
    """Check for areas that are missing or do not fit the boxes."""
    missing = np.isnan(file.areas)
    boxes = file.boxes[:, 2:].prod(1)
    total = len(file.people)
    findings = found(
        'note',
        'No `area`',
        file.select(missing),
        'Training takes the area of the box, and the evaluation 0.53 of it: '
        'the config has use_area=False',
        total=total)
    larger = ~missing & (boxes > 0) & (file.areas > 1.05 * boxes + 1)
    # The corners in place of width and height make small boxes large.
    findings += found(
        'warning',
        'Areas larger than their box',
        file.select(larger),
        'OKS forgives more, the larger the area. It is that of the outline, '
        'in square pixels; without the field, the box is taken',
        total=total)
    own = file.areas[~missing & ~larger] / np.maximum(
        boxes[~missing & ~larger], 1e-9)
    if len(own) >= MANY_PEOPLE and (own > 0.99).mean() > 0.9:
        findings.append(
            Finding(
                'note', 'Areas are those of the boxes',
                'COCO\'s are those of outlines, about half as large, so that '
                'AP here is more lenient than on COCO'))
    return findings


def check_sides(file: KeypointFile, info: DatasetInfo) -> List[Finding]:
    """Check for pairs whose left and right contradict the other pairs."""
    if not info.pairs:
        return []
    names = [point.name for point in info.keypoints]
    left, right = np.array(info.pairs).T
    across = np.sign(file.keypoints[:, left, 0] - file.keypoints[:, right, 0])
    across[~(file.labeled[:, left] & file.labeled[:, right])] = 0
    facing = across.sum(1)
    odd = []
    for k, (i, j) in enumerate(info.pairs):
        # What the other pairs of the person say.
        rest = np.sign(facing - across[:, k])
        sure = (across[:, k] != 0) & (rest != 0)
        if sure.sum() >= 30 and \
                (across[sure, k] == rest[sure]).mean() < 0.35:
            odd.append(f'{names[i]} and {names[j]}')
    findings = found(
        'warning',
        'Left and right contradict the other pairs',
        odd, f'Most {file.noun} have this pair the other way round than their '
        'other pairs, so that mirroring corrupts it. Check the order of '
        '`keypoints` in `categories`',
        unit='pair',
        total=len(info.pairs))
    sure = np.sign(facing)[facing != 0]
    if len(sure) >= 50 and (sure > 0).mean() < 0.2:
        findings.append(
            Finding(
                'note', 'Left keypoints are mostly on the left of the image',
                'COCO\'s left is the object\'s own, which is on the right of '
                'people who face the camera. It matters only if you start '
                'from weights trained on such data'))
    return findings


def check_repetitions(file: KeypointFile) -> List[Finding]:
    """Check for people who seem to be annotated twice."""
    copies, similar = _find_repetitions(file)
    findings = found('warning', 'Annotations that are copies of another one',
                     copies, 'Remove them: each object must be found once')
    return findings + found(
        'warning', f'{file.noun.capitalize()} that seem to be annotated twice',
        similar, 'Remove one of the two. If they are there on purpose, by two '
        'annotators, move the second ones into a file of their own and '
        'measure sigmas with --redundant')


def _find_repetitions(file: KeypointFile) -> Tuple[list, list]:
    """Ids of exact copies, and of people who nearly coincide."""
    copies, similar = [], []
    order = np.argsort(file.image_ids, kind='stable')
    starts = np.flatnonzero(np.diff(file.image_ids[order])) + 1
    for people in np.split(order, starts):
        iou = np.triu(box_iou(file.boxes[people], file.boxes[people]), 1)
        for i, j in zip(*np.where(iou > SAME_IOU)):
            i, j = people[i], people[j]
            both = file.labeled[i] & file.labeled[j]
            if (file.keypoints[i] == file.keypoints[j]).all() and both.any():
                copies.append(int(file.ids[j]))
                continue
            distance = file.keypoints[i, both, :2] - \
                file.keypoints[j, both, :2]
            distance = np.linalg.norm(distance, axis=-1)
            if both.sum() > 1 and distance.mean() < SAME_DISTANCE * np.sqrt(
                    max(file.scales[i], 0)):
                similar.append(int(file.ids[j]))
    return copies, similar
