"""Dressed people: the painted parts around the joints of a skeleton.

The parts are ordered by the depth of their middle, so that an arm can be in
front of the trunk and the other one behind it.
"""
from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np

from .heads import HeadBuilder
from .parts import (CIRCLE, Part, cloth_color, hair_color, make_tile,
                    skin_color, textured_part)
from .skeletons import FACE, KEYPOINT_NAMES, SIDES, Skeleton, pick

PART_NAMES = ('chest', 'pelvis', 'skirt', 'neck', 'head', 'nose', 'left_ear',
              'right_ear', 'hair', 'left_upper_arm', 'right_upper_arm',
              'left_forearm', 'right_forearm', 'left_hand', 'right_hand',
              'left_thigh', 'right_thigh', 'left_shank', 'right_shank',
              'left_foot', 'right_foot')
PART_CODES = {name: code for code, name in enumerate(PART_NAMES)}

# The parts that show a joint when they are in front at its place.
_PARTS_OF_JOINT = {
    'shoulder': ('{}_upper_arm', 'chest', 'neck'),
    'elbow': ('{}_upper_arm', '{}_forearm'),
    'wrist': ('{}_forearm', '{}_hand'),
    'hip': ('{}_thigh', 'pelvis', 'skirt'),
    'knee': ('{}_thigh', '{}_shank', 'skirt'),
    'ankle': ('{}_shank', '{}_foot', 'skirt'),
}

_SLEEVES = dict(bare=(0, 0), short=(0.4, 0.8), long=(1.8, 1.95))
_SLEEVE_SHARES = dict(bare=.15, short=.42, long=.43)


@dataclass
class Outfit:
    """What a person wears and the colors of skin and hair."""

    skin: np.ndarray  # (3, ) color
    hair: np.ndarray  # (3, ) color
    iris: np.ndarray  # (3, ) color
    tiles: dict  # textures: skin, top, sleeve, bottom, shoe, hair
    sleeves: float  # 0 bare, up to 1 on the upper arm, up to 2 to the wrist
    legs: float  # as the sleeves, for trousers
    skirt: float  # 0 none, else how far down, as the legs
    tucked: bool
    hem: float  # how far a top that is not tucked in reaches below the hips
    loose: float  # how far clothes stand off
    hairline: float
    hair_style: str  # short, open or tied
    hair_length: float  # below the middle of the head, in half heads
    beard: float
    print_color: Optional[np.ndarray]


def sample_outfit(rng: np.random.Generator) -> Outfit:
    """Sample clothes, skin and hair."""
    u = rng.uniform
    skin, hair = skin_color(rng), hair_color(rng)
    top, bottom = cloth_color(rng), cloth_color(rng)
    if rng.random() < 0.3:  # denim
        bottom = np.array([110, 70, 45]) * u(0.6, 1.6)
    skirt = u(0.45, 1.7) if rng.random() < 0.16 else 0.
    legs = u(0.5, 1.05) if rng.random() < 0.3 else u(1.85, 1.97)
    hair_style = 'short'
    if rng.random() < (0.9 if skirt else 0.3):
        hair_style = 'open' if rng.random() < 0.5 else 'tied'
    tiles = dict(
        skin=make_tile(rng, skin),
        top=make_tile(rng, top, True),
        bottom=make_tile(rng, bottom,
                         rng.random() < 0.4),
        shoe=make_tile(rng, cloth_color(rng)),
        hair=make_tile(rng, hair))
    # The sleeves of some tops are of another cloth.
    tiles['sleeve'] = make_tile(
        rng, cloth_color(rng)) if rng.random() < 0.15 else tiles['top']
    if skirt and rng.random() < 0.5:  # a dress
        tiles['bottom'] = tiles['top']
    bald = hair_style == 'short' and rng.random() < 0.07
    return Outfit(
        skin=skin,
        hair=hair,
        iris=np.array([20, 25, 35]) * u(0.3, 2.5),
        tiles=tiles,
        sleeves=u(*_SLEEVES[pick(rng, _SLEEVE_SHARES)]),
        legs=0. if skirt else legs,
        skirt=skirt,
        tucked=bool(rng.random() < 0.4),
        hem=u(-0.005, 0.03),
        loose=u(0.004, 0.015),
        hairline=2. if bald else u(-0.12, 0.2),
        hair_style=hair_style,
        hair_length=u(0.9, 2.6),
        beard=-2. if hair_style != 'short' or rng.random() < 0.7 else u(
            -0.5, -0.3),
        print_color=cloth_color(rng) if rng.random() < 0.5 else None)


class Figure:
    """A dressed person on the canvas.

    Args:
        skeleton (Skeleton): The joints.
        outfit (Outfit): The clothes.
        height (float): Height of the person if standing upright, in pixels
            of the canvas; the unit of length.
        origin (np.ndarray): (2, ) canvas position of the middle of the hips.
        distance (float): Distance of the camera, in statures.
        light (np.ndarray): (2, ) direction that the light comes from.

    Attributes:
        parts (list[Part]): The parts from back to front.
        joints (np.ndarray): (17, 2) canvas positions of the keypoints.
        box (tuple): The pixels that it may touch, x0, y0, x1, y1.
    """

    def __init__(self, skeleton: Skeleton, outfit: Outfit, height: float,
                 origin: np.ndarray, distance: float, light: np.ndarray):
        self.skeleton = skeleton
        self.outfit = outfit
        self.height = height
        self.origin = np.asarray(origin, dtype=float)
        self.distance = distance
        self.light = light
        self.points = skeleton.points
        self.joints = self.project(
            np.array([self.points[name] for name in KEYPOINT_NAMES]))[0]
        self.parts: List[Part] = []
        self._add_trunk()
        for side, sign in SIDES:
            self._add_arm(side)
            self._add_leg(side, sign)
        if outfit.skirt:
            self._add_skirt()
        self._add_head()
        self.parts.sort(key=lambda part: part.depth)
        boxes = np.array([part.box for part in self.parts])
        self.box = (*boxes[:, :2].min(axis=0).tolist(),
                    *boxes[:, 2:].max(axis=0).tolist())

    def project(self, points: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Map (n, 3) points to (n, 2) canvas positions and (n, ) scales."""
        points = np.atleast_2d(points)
        scale = self.height * self.distance / (self.distance - points[:, 2])
        flat = points[:, :2] * scale[:, None]
        flat[:, 1] *= -1
        return flat + self.origin, scale

    def shows(self, joint: str, part: str) -> bool:
        """Whether a joint is visible, given the part that is drawn at its
        place.

        Args:
            joint (str): One of ``KEYPOINT_NAMES``.
            part (str): The part of this person that is in front there.

        Returns:
            bool: False if the person's own body hides the joint.
        """
        if joint in FACE:
            frame = self.skeleton.frames['head']
            normal = frame @ (FACE[joint] / self.skeleton.body.head)
            # The ears and the nose stand out: they may be seen from behind.
            return part == joint or (part == 'head' and normal[2]
                                     > 0.08 * np.linalg.norm(normal))
        side, _, kind = joint.partition('_')
        if part not in [name.format(side) for name in _PARTS_OF_JOINT[kind]]:
            return False
        if kind in ('shoulder', 'hip') and not part.startswith(side):
            # The trunk hides the far joint when it is seen from its side.
            left, right = (self.points[f'{s}_{kind}'] for s, _ in SIDES)
            span = left - right if side == 'left' else right - left
            return bool(span[2] > -0.8 * np.linalg.norm(span))
        return True

    def _add(self, name, points, tile, axis, depth):
        self.parts.append(
            textured_part(name, points, depth, self.outfit.tiles[tile], axis,
                          0.25 * self.height, self.light))

    def _add_limb(self, name, ends, radii, tile, bias=0., stop=1.):
        """Add the hull of circles on the way between two joints."""
        start, end = ends
        ways = np.arange(len(radii)) / (len(radii) - 1)
        if stop < 1:
            radii = np.interp(stop * ways, ways, radii)
            ways = stop * ways
        stations = start + ways[:, None] * (end - start)
        centers, scales = self.project(stations)
        circles = (scales * radii)[:, None, None] * CIRCLE
        self._add(name, (centers[:, None] + circles).reshape(-1, 2), tile,
                  centers[-1] - centers[0],
                  float(start[2] + end[2]) / 2 + bias)

    def _rings(self, stations):
        """Project the elliptic sections (center, frame, width, depth)."""
        rings = [
            center + CIRCLE[:, :1] * width * frame[:, 0] +
            CIRCLE[:, 1:] * thick * frame[:, 2]
            for center, frame, width, thick in stations
        ]
        return self.project(np.concatenate(rings))[0]

    def _add_trunk(self):
        points, outfit, body = self.points, self.outfit, self.skeleton.body
        chest, pelvis = (
            self.skeleton.frames[key] for key in ('chest', 'pelvis'))
        girth, loose = body.girth, outfit.loose
        middle = np.mean([points[f'{side}_shoulder'] for side, _ in SIDES],
                         axis=0)
        waist = (points['waist'], pelvis, 0.082 * girth + loose,
                 0.062 * girth + loose)
        upper = self._rings([
            (points['neck'] + chest[:, 1] * 0.018, chest, 0.042, 0.03),
            (middle, chest, body.shoulder + 0.008, 0.048 * girth),
            (points['chest'], chest, 0.092 * girth + 0.5 * loose,
             0.07 * girth + loose), waist
        ])
        hips = (points['pelvis'] + pelvis[:, 1] * 0.015, pelvis,
                body.hip + 0.034 * girth + loose, 0.068 * girth + loose)
        lower = self._rings([
            waist, hips,
            (points['pelvis'] - pelvis[:, 1] * 0.05, pelvis, body.hip + 0.01,
             0.045 * girth)
        ])
        ends, _ = self.project(np.stack([points['neck'], points['pelvis']]))
        axis = ends[1] - ends[0]
        depth = float(points['chest'][2])
        self._add('chest', upper, 'top', axis, depth)
        self._add('pelvis', lower, 'bottom', axis, 0.01)
        if not outfit.tucked:
            # The hem of the top falls over the hips.
            hem = (points['pelvis'] - pelvis[:, 1] * outfit.hem, pelvis,
                   body.hip + 0.037 * girth + loose, 0.069 * girth + loose)
            self._add('pelvis', self._rings([waist, hips, hem]), 'top', axis,
                      0.045)
        if outfit.print_color is not None and chest[2, 2] > 0.2:
            self._add_print(depth + 1e-4, outfit.print_color)
        facing = 1 if chest[2, 2] > 0 else -1
        self._add_limb('neck',
                       (points['neck'] - chest[:, 1] * 0.008, points['head']),
                       np.array([0.037, 0.033]) * girth**0.5, 'skin',
                       0.03 * facing)

    def _add_print(self, depth, color):
        chest, body = self.skeleton.frames['chest'], self.skeleton.body
        corners = np.array([(-1, 1), (1, 1), (1, -1), (-1, -1)])
        size = (0.045, 0.035) if self.outfit.tucked else (0.012, 0.09)
        spots = self.points['chest'] + (corners * size) @ chest[:, :2].T + (
            0.07 * body.girth) * chest[:, 2]
        self.parts.append(Part('chest', self.project(spots)[0], depth, color))

    def _add_arm(self, side):
        points, outfit = self.points, self.outfit
        girth = self.skeleton.body.girth**0.7
        upper = points[f'{side}_shoulder'], points[f'{side}_elbow']
        lower = points[f'{side}_elbow'], points[f'{side}_wrist']
        hand = points[f'{side}_wrist'], points[f'{side}_hand']
        thick = np.array([0.031, 0.029, 0.023]) * girth
        thin = np.array([0.024, 0.024, 0.017]) * girth
        name, loose = f'{side}_upper_arm', outfit.loose
        if outfit.sleeves < 1:
            self._add_limb(name, upper, thick, 'skin', 0.03)
        if outfit.sleeves > 0:
            self._add_limb(name, upper, thick + loose, 'sleeve', 0.032,
                           min(outfit.sleeves, 1))
        name = f'{side}_forearm'
        self._add_limb(name, lower, thin, 'skin', 0.035)
        if outfit.sleeves > 1:
            self._add_limb(name, lower, thin + 0.7 * loose, 'sleeve', 0.0355,
                           outfit.sleeves - 1)
        self._add_limb(f'{side}_hand', hand,
                       np.array([0.017, 0.024, 0.015]) * girth, 'skin', 0.036)

    def _add_leg(self, side, sign):
        points, outfit = self.points, self.outfit
        girth, loose = self.skeleton.body.girth, outfit.loose
        upper = points[f'{side}_hip'], points[f'{side}_knee']
        lower = points[f'{side}_knee'], points[f'{side}_ankle']
        foot = points[f'{side}_heel'], points[f'{side}_toe']
        thick = np.array([0.052, 0.051, 0.045, 0.036]) * girth
        thin = np.array([0.034, 0.036, 0.030, 0.021]) * girth**0.6
        if outfit.legs < 1:
            self._add_limb(f'{side}_thigh', upper, thick, 'skin', 0.015)
        if outfit.legs > 0:
            self._add_limb(f'{side}_thigh', upper, thick + 0.7 * loose,
                           'bottom', 0.016, min(outfit.legs, 1))
        if outfit.legs <= 1:
            self._add_limb(f'{side}_shank', lower, thin, 'skin', 0.014)
        else:
            self._add_limb(f'{side}_shank', lower, thin + loose, 'bottom',
                           0.0145, outfit.legs - 1)
            self._add_limb(f'{side}_shank', lower, thin[-1:].repeat(2), 'skin',
                           -0.001)
        self._add_limb(f'{side}_foot', foot, np.array([0.024, 0.025, 0.018]),
                       'shoe', 0.016)

    def _add_skirt(self):
        points, body = self.points, self.skeleton.body
        stations = [points['waist']]
        radii = [0.075 * body.girth]
        for side, _ in SIDES:
            hip, knee, ankle = (
                points[f'{side}_{joint}']
                for joint in ('hip', 'knee', 'ankle'))
            stations += [hip, hip + min(self.outfit.skirt, 1) * (knee - hip)]
            radii += [0.065 * body.girth, 0.062 * body.girth]
            if self.outfit.skirt > 1:
                stations.append(knee + (self.outfit.skirt - 1) *
                                (ankle - knee))
                radii.append(0.06)
        centers, scales = self.project(np.array(stations))
        circles = (scales * radii)[:, None, None] * CIRCLE
        depth = 0.02 + max(
            float(points[f'{side}_hip'][2] + points[f'{side}_knee'][2]) / 2
            for side, _ in SIDES)
        self._add('skirt', (centers[:, None] + circles).reshape(-1, 2),
                  'bottom', centers[2] + centers[-1] - 2 * centers[0], depth)

    def _add_head(self):
        points, frame = self.points, self.skeleton.frames['head']
        axes = self.skeleton.body.head
        centers, scales = self.project(points['head'])
        depth = float(points['head'][2]) + 0.03
        head = HeadBuilder(frame, scales[0] * axes, centers[0], self.outfit,
                           self.light).build()
        for i, part in enumerate(head):
            part.depth = depth + 1e-6 * i
        self.parts += head
        if self.outfit.hair_style == 'open':
            # Loose hair falls down the back, behind the trunk from the front.
            top = points['head'] + frame @ (axes * (0, 0.1, -0.35))
            end = points['head'] + frame @ (
                axes * (0, -self.outfit.hair_length, -0.8))
            side = 1 if frame[2, 2] < 0 else -1
            middle = (float(points['head'][2]) - float(top[2] + end[2]) / 2)
            self._add_limb('hair', (top, end), axes[0] * np.array([1, 0.85]),
                           'hair', middle + 0.07 * side)
