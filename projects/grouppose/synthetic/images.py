"""Drawn images: people in a scene, and their exact annotations.

People are painted from back to front. A buffer that is filled with the same
polygons holds the owner of each pixel: from it come the masks, the boxes and
what each keypoint is hidden by.
"""
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from .figures import PART_CODES, PART_NAMES, Figure, sample_outfit
from .parts import clip_box
from .scenes import (Scene, finish_image, paint_background, paint_shadow,
                     sample_occluders, sample_scene, seat)
from .skeletons import (KEYPOINT_NAMES, pose_skeleton, sample_body,
                        sample_posture)

_CROWD = (.04, .36, .25, .14, .08, .05, .04, .02, .02)  # of 0 to 8 people
_CALM_CROWD = (.04, .42, .34, .2)  # of 0 to 3 people in calm scenes
_PERSON = 64  # the owner buffer holds 64 * (person + 1) + part, or a thing
_THING = 1
# People with less are not drawn: pixels, share of the whole silhouette, and
# joints in the image.
_MIN_PIXELS, _MIN_SHARE, _MIN_JOINTS = 30, 0.12, 3


@dataclass
class _View:
    """Visible part of a person in an image."""

    keypoints: np.ndarray  # (17, 3) x, y, visibility
    mask: np.ndarray  # (h, w) bool, the pixels in a window of the image
    corner: Tuple[int, int]  # (x, y) of the window


class _Actor:
    """A person with what belongs to the place: the seat and the shadow."""

    def __init__(self, rng: np.random.Generator, scene: Scene, near: float):
        """Sample a person; an adult would be ``near`` image pixels high."""
        width, height = 2 * scene.size[0], 2 * scene.size[1]
        body = sample_body(rng)
        size = 2 * near * body.stature  # on the canvas
        skeleton = pose_skeleton(body, sample_posture(rng), scene.pitch)
        lowest = min(point[1] for point in skeleton.points.values()) - 0.025
        ground = 2 * scene.horizon + scene.eye_height * 2 * near
        ground += rng.normal(0, 0.04) * height
        posture = skeleton.posture.name
        if posture == 'jump':
            ground -= rng.uniform(0, 0.25) * size
        # The head, at least, is in the image.
        ground = min(
            ground,
            height * rng.uniform(0.97, 1.05) + size * rng.choice(
                (0, rng.uniform(0, 0.6))))
        ground = max(ground, 0.95 * size * rng.uniform(0.85, 1))
        origin = np.array([
            rng.uniform(0.02, 0.98) * width,
            ground + lowest * size,
        ])
        self.near = near
        self.size = size
        self.figure = Figure(skeleton, sample_outfit(rng), size, origin,
                             rng.uniform(3.5, 10), scene.light)
        self.things = []
        if posture == 'sit':
            self.things = seat(rng, origin, ground, size, scene.light)
        self.shadow = None if posture == 'jump' else np.array(
            [origin[0], ground])


def draw_image(seed: Union[np.random.SeedSequence, np.random.Generator, int],
               long_side: int = 320,
               people: Optional[Tuple[int, int]] = None,
               calm: bool = False) -> Tuple[np.ndarray, List[Dict]]:
    """Draw one image of people.

    Args:
        seed (SeedSequence | Generator | int): The source of randomness.
        long_side (int): Pixels of the longer side, at least 64. Defaults to
            320.
        people (tuple[int], optional): Least and largest number of people, all
            equally likely. A crowd may end up with fewer, as people who
            would be hidden by others are not drawn. Defaults to zero to
            eight, mostly one or two.
        calm (bool): Draw images that are easier to see: square, with few
            things behind people and rarely one in front, no noise, and
            zero to three people, who are larger. They overlap and move as
            otherwise. Defaults to False.

    Returns:
        tuple:
        - image (np.ndarray): uint8 BGR image of shape (h, w, 3).
        - annotations (list[dict]): One COCO annotation of each person with
          'keypoints' (51 numbers x, y, visibility), 'num_keypoints', 'bbox',
          'area', 'segmentation', 'iscrowd' and 'category_id', without ids.

    Raises:
        ValueError: If ``long_side`` is below 64 or ``people`` are not two
            numbers in order.
    """
    if long_side < 64:
        raise ValueError(
            f'long_side must be at least 64 pixels, but is {long_side}')
    check_people(people)
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng, long_side, calm)
    if people:
        count = int(rng.integers(people[0], people[1] + 1))
    else:
        crowd = _CALM_CROWD if calm else _CROWD
        count = int(rng.choice(len(crowd), p=crowd))
    occluders = sample_occluders(rng, scene)
    actors, views = _sample_actors(rng, scene, count, occluders)

    canvas = paint_background(rng, scene)
    for actor in actors:
        if actor.shadow is not None:
            paint_shadow(canvas, actor.shadow, actor.size)
        for part in (*actor.things, *actor.figure.parts):
            part.paint(canvas)
    for part in occluders:
        part.paint(canvas)
    image = finish_image(rng, canvas, scene.calm)
    return image, [_annotate(view, image.shape[:2]) for view in views]


def check_people(people: Optional[Sequence[int]]) -> None:
    """Raise a ValueError if these are not two numbers in order, or None."""
    if people is not None and not 0 <= people[0] <= people[1]:
        raise ValueError('people must be the least and the largest number of '
                         f'them on an image, not {people[0]} and {people[1]}')


def _sample_actors(rng, scene, count, occluders):
    """Sample people until each of them is seen well enough.

    Returns:
        tuple: The people from back to front and the views of them.
    """
    height = scene.size[1]
    low, high = (0.8, 1.4) if count < 3 else (0.65, 1.25)
    if count > 4:
        low, high = 0.5, 1.0
    if scene.calm:
        low, high = (1.05, 1.4) if count < 3 else (0.95, 1.3)
    actors: List[_Actor] = []
    for _ in range(4):
        actors += [
            _Actor(rng, scene, height * rng.uniform(low, high))
            for _ in range(count - len(actors))
        ]
        actors.sort(key=lambda actor: actor.near)
        while True:
            views, fine = _look(actors, scene, occluders)
            if all(fine):
                break
            actors = [actor for actor, keep in zip(actors, fine) if keep]
        if len(actors) == count:
            break
    return actors, views


def _look(actors, scene, occluders):
    """Fill an owner buffer and tell who is seen well enough.

    Returns:
        tuple: The views of the people and whether each of them is fine.
    """
    owner = np.zeros((2 * scene.size[1], 2 * scene.size[0]), dtype=np.uint16)
    whole = []
    for i, actor in enumerate(actors, 1):
        for part in actor.things:
            part.mark(owner, _THING)
        for part in actor.figure.parts:
            part.mark(owner, _PERSON * i + PART_CODES[part.name])
        x0, y0, x1, y1 = clip_box(actor.figure.box, owner.shape)
        whole.append(np.count_nonzero(owner[y0:y1, x0:x1] // _PERSON == i))
    for part in occluders:
        part.mark(owner, _THING)
    views = _views(actors, owner)
    fine = [
        view.mask.sum() >= max(_MIN_PIXELS, _MIN_SHARE * full / 4)
        and np.count_nonzero(view.keypoints[:, 2]) >= _MIN_JOINTS
        for view, full in zip(views, whole)
    ]
    return views, fine


def _views(actors: Sequence[_Actor], owner: np.ndarray) -> List[_View]:
    """Read off an owner buffer what is seen of each person."""
    views = []
    taken = np.zeros((owner.shape[0] // 2, owner.shape[1] // 2), dtype=bool)
    # From front to back, so that each pixel belongs to one person.
    for i in range(len(actors), 0, -1):
        figure = actors[i - 1].figure
        x0, y0, x1, y1 = clip_box(figure.box, owner.shape)
        x0, y0, x1, y1 = x0 // 2, y0 // 2, (x1 + 1) // 2, (y1 + 1) // 2
        mine = (owner[2 * y0:2 * y1, 2 * x0:2 * x1] // _PERSON == i)
        mine = mine.reshape(y1 - y0, 2, x1 - x0, 2)
        mask = (mine.sum(axis=(1, 3)) >= 2) & ~taken[y0:y1, x0:x1]
        taken[y0:y1, x0:x1] |= mask
        views.append(_View(_keypoints(figure, owner, i), mask, (x0, y0)))
    return views[::-1]


def _keypoints(figure: Figure, owner: np.ndarray, person: int) -> np.ndarray:
    """Locate the joints and look up who owns their places.

    Args:
        figure (Figure): The person.
        owner (np.ndarray): (2 * h, 2 * w) owner buffer.
        person (int): Number of the person in the buffer, from 1.

    Returns:
        np.ndarray: (17, 3) x, y in pixels of the image, with the centers of
        the pixels at whole numbers, and visibility: 2 seen, 1 hidden, 0
        outside the image (with x = y = 0).
    """
    height, width = owner.shape[0] // 2, owner.shape[1] // 2
    keypoints = np.zeros((len(KEYPOINT_NAMES), 3))
    # Pixel i of the image covers the pixels 2i and 2i + 1 of the canvas.
    spots = np.round((figure.joints - 0.5) / 2, 2)
    for row, name, (x, y), (u, v) in zip(keypoints, KEYPOINT_NAMES, spots,
                                         np.rint(figure.joints).astype(int)):
        if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
            continue
        front, part = divmod(int(owner[v, u]), _PERSON)
        seen = front == person and figure.shows(name, PART_NAMES[part])
        row[:] = x, y, 2 if seen else 1
    return keypoints


def _annotate(view: _View, shape: Sequence[int]) -> Dict:
    """Make the COCO annotation of a person in an image of a shape."""
    rows = np.flatnonzero(view.mask.any(axis=1)) + view.corner[1]
    columns = np.flatnonzero(view.mask.any(axis=0)) + view.corner[0]
    box = (columns[0], rows[0], columns[-1] - columns[0] + 1,
           rows[-1] - rows[0] + 1)
    keypoints = view.keypoints.ravel().tolist()
    keypoints[2::3] = [int(seen) for seen in keypoints[2::3]]
    return dict(
        keypoints=keypoints,
        num_keypoints=int(np.count_nonzero(view.keypoints[:, 2])),
        bbox=[float(value) for value in box],
        area=float(view.mask.sum()),
        segmentation=_segmentation(view.mask, view.corner, shape),
        iscrowd=0,
        category_id=1)


def _segmentation(mask: np.ndarray, corner: Tuple[int, int],
                  shape: Sequence[int]) -> Union[List[List[float]], Dict]:
    """Encode a mask as polygons if they are exact, else run-length encoded.

    Args:
        mask (np.ndarray): (h, w) bool mask of a window of the image.
        corner (tuple): (x, y) of the window in the image.
        shape (tuple): (height, width) of the image.

    Returns:
        list[list[float]] | dict: Polygons or compressed RLE.
    """
    # Contours run through the centers of pixels: enlarge the mask, so that
    # they come close to the edges of the pixels.
    large = np.pad(mask, 1).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    contours, _ = cv2.findContours(large, cv2.RETR_EXTERNAL,
                                   cv2.CHAIN_APPROX_SIMPLE)
    polygons = []
    for contour in contours:
        contour = cv2.approxPolyDP(contour, 1.5, True)[:, 0]
        if len(contour) > 2:
            spots = (contour + 0.5) / 4 - 1 + corner
            polygons.append(np.round(spots, 2).ravel().tolist())
    whole = np.zeros(shape, dtype=np.uint8, order='F')
    x, y = corner
    whole[y:y + mask.shape[0], x:x + mask.shape[1]] = mask
    exact = mask_utils.encode(whole)
    if polygons and len(polygons) <= 3:
        drawn = mask_utils.merge(mask_utils.frPyObjects(polygons, *shape))
        if mask_utils.iou([drawn], [exact], [0])[0, 0] > 0.95:
            return polygons
    return dict(size=list(shape), counts=exact['counts'].decode('ascii'))
