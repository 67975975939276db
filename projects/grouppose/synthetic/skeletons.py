"""Random human skeletons in 3D: proportions, posture, joint positions.

Lengths are in units of the standing height (stature). The axes are x to the
right of the image, y up and z toward the camera. A person with yaw 0 faces
the camera, so that the left side of the body is at positive x.
"""
from dataclasses import dataclass
from typing import Dict, Tuple

import numpy as np

KEYPOINT_NAMES = ('nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear',
                  'left_shoulder', 'right_shoulder', 'left_elbow',
                  'right_elbow', 'left_wrist', 'right_wrist', 'left_hip',
                  'right_hip', 'left_knee', 'right_knee', 'left_ankle',
                  'right_ankle')

SIDES = (('left', 1), ('right', -1))

# The places of the face, in units of the half axes of the head: x to the
# left of the person, y up, z to the front.
FACE = {
    'nose': (0, -0.12, 1.12),
    'left_eye': (0.36, 0.14, 0.92),
    'right_eye': (-0.36, 0.14, 0.92),
    'left_ear': (1.06, 0.0, -0.08),
    'right_ear': (-1.06, 0.0, -0.08),
}

_POSTURES = dict(
    stand=.42,
    walk=.24,
    run=.08,
    sit=.10,
    crouch=.04,
    jump=.05,
    lunge=.04,
    lie=.03)
_ARMS = dict(
    hang=.36,
    bent=.17,
    raised=.11,
    forward=.09,
    sideways=.08,
    waist=.07,
    face=.06,
    folded=.06)


@dataclass
class Body:
    """Proportions of one person, in units of the stature."""

    stature: float  # height, in units of the height of an adult
    head: np.ndarray  # half axes: width, height, depth
    neck: float
    torso: float
    shoulder: float  # half of the distance between the shoulder joints
    hip: float  # half of the distance between the hip joints
    upper_arm: float
    forearm: float
    hand: float
    thigh: float
    shank: float
    foot: float
    girth: float  # multiplies all widths; 1 is average


@dataclass
class Posture:
    """Joint angles in degrees; limbs hold left, then right."""

    legs: Tuple[Tuple[float, ...], ...]  # flexion, abduction, knee, turn
    arms: Tuple[Tuple[float, ...], ...]  # flexion, abduction, elbow, turn
    spine: Tuple[float, float, float]  # forward, sideways, twist
    head: Tuple[float, float, float]  # nod, tilt, turn
    root: Tuple[float, float, float]  # forward, sideways, yaw
    name: str


@dataclass
class Skeleton:
    """Joints of one person around the middle of the hips.

    Attributes:
        body (Body): The proportions.
        posture (Posture): The posture that was applied.
        points (dict): (3, ) positions by name: the 17 COCO keypoints and the
            'pelvis', 'waist', 'chest', 'neck', 'head', and, of each side,
            'hand', 'heel' and 'toe'.
        frames (dict): (3, 3) rotations of 'pelvis', 'chest' and 'head'. The
            columns point to the left, the top and the front of the person.
    """

    body: Body
    posture: Posture
    points: Dict[str, np.ndarray]
    frames: Dict[str, np.ndarray]


def pick(rng: np.random.Generator, weights: Dict[str, float]) -> str:
    """Pick a key with the probability that is its value."""
    left = rng.random()
    for name, weight in weights.items():
        left -= weight
        if left < 0:
            break
    return name


def rotation(axis: int, degrees: float) -> np.ndarray:
    """Right-handed rotation about a coordinate axis, (3, 3)."""
    angle = np.deg2rad(degrees)
    matrix = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[j, i] = np.sin(angle)
    matrix[i, j] = -matrix[j, i]
    return matrix


def sample_body(rng: np.random.Generator) -> Body:
    """Sample proportions between those of a small child and of an adult."""
    youth = rng.uniform(0.4, 1) if rng.random() < 0.2 else 0
    legs = rng.uniform(0.94, 1.05) * (1 - 0.12 * youth)
    arms = rng.uniform(0.94, 1.06) * (1 - 0.08 * youth)
    head = rng.uniform(0.95, 1.08) * (1 + 0.5 * youth)
    girth = rng.lognormal(0.05, 0.13) * (1 + 0.12 * youth)
    return Body(
        stature=rng.uniform(0.93, 1.05) * (1 - 0.45 * youth),
        head=head * np.array([0.05, 0.068, 0.057]),
        neck=0.125 + 0.045 * youth,
        torso=0.285 * rng.uniform(0.96, 1.04),
        shoulder=0.103 * rng.uniform(0.9, 1.1) * (1 - 0.1 * youth),
        hip=0.056 * rng.uniform(0.92, 1.1),
        upper_arm=0.168 * arms,
        forearm=0.142 * arms,
        hand=0.062 * arms,
        thigh=0.245 * legs,
        shank=0.235 * legs,
        foot=0.105,
        girth=float(np.clip(girth, 0.8, 1.55)))


def _sample_arm(rng: np.random.Generator, swing: float) -> Tuple[float, ...]:
    """Sample flexion, abduction, elbow and inward turn of one arm."""
    u = rng.uniform
    kind = pick(rng, _ARMS)
    if kind == 'bent':
        return u(-20, 40), u(2, 25), u(40, 115), u(-15, 45)
    if kind == 'raised':
        return u(-10, 30), u(125, 172), u(5, 70), u(-60, 0)
    if kind == 'forward':
        return u(45, 105), u(-10, 25), u(5, 60), u(-10, 40)
    if kind == 'sideways':
        return u(-10, 25), u(55, 105), u(0, 80), u(-70, 60)
    if kind == 'waist':
        return u(-20, 0), u(38, 52), u(85, 105), u(60, 85)
    if kind == 'face':
        return u(35, 70), u(0, 25), u(125, 145), u(0, 25)
    if kind == 'folded':
        return u(20, 40), u(0, 12), u(85, 110), u(60, 80)
    return swing + u(-12, 15), u(3, 18), u(5, 35), u(0, 30)


def sample_posture(rng: np.random.Generator) -> Posture:
    """Sample a posture from one of the families of everyday movement."""
    u = rng.uniform
    name = pick(rng, _POSTURES)
    swing, lean, bow, sideways = 0., u(-4, 6), u(-6, 12), u(-4, 4)
    first = (u(-6, 12), u(0, 9), u(0, 12), u(0, 20))
    second = (u(-6, 12), u(0, 9), u(0, 12), u(0, 20))
    if name == 'walk':
        swing = u(8, 28)
        first = (u(15, 32), u(-1, 4), u(2, 20), u(0, 8))
        second = (u(-25, -10), u(-1, 4), u(5, 40), u(0, 8))
    elif name == 'run':
        swing, lean = u(30, 50), u(4, 16)
        first = (u(35, 75), u(-2, 6), u(40, 100), u(0, 8))
        second = (u(-35, -5), u(-2, 6), u(15, 95), u(0, 8))
    elif name == 'sit':
        lean, bow = u(-12, 12), u(-5, 25)
        first, second = ((u(75, 98), u(0, 22), u(65, 105), u(-5, 20))
                         for _ in range(2))
    elif name == 'crouch':
        lean, bow = u(10, 35), u(5, 30)
        first, second = ((u(95, 125), u(5, 30), u(110, 140), u(0, 25))
                         for _ in range(2))
    elif name == 'jump':
        lean, sideways = u(-10, 15), u(-12, 12)
        first, second = ((u(-15, 70), u(0, 35), u(10, 95), u(0, 20))
                         for _ in range(2))
    elif name == 'lunge':
        lean, sideways = u(0, 25), u(-10, 10)
        first = (u(45, 85), u(0, 25), u(30, 95), u(0, 15))
        second = (u(-30, 0), u(0, 25), u(0, 30), u(0, 15))
    elif name == 'lie':
        sideways = rng.choice((-1, 1)) * u(65, 105)
        first, second = ((u(-5, 60), u(0, 15), u(0, 90), u(0, 20))
                         for _ in range(2))
    arms = [_sample_arm(rng, side * swing) for side in (-1, 1)]
    if name == 'run':
        arms = [(side * swing + u(-15, 15), u(5, 20), u(65, 105), u(5, 40))
                for side in (-1, 1)]
    elif rng.random() < 0.25:  # both arms do about the same
        arms[1] = tuple(angle + u(-8, 8) for angle in arms[0])
    if rng.random() < 0.5:
        first, second = second, first
        arms = arms[::-1]
    return Posture(
        legs=(first, second),
        arms=tuple(arms),
        spine=(bow, u(-7, 7), u(-15, 15)),
        head=(u(-12, 22), u(-10,
                            10), float(np.clip(rng.normal(0, 22), -60, 60))),
        root=(lean, sideways, _sample_yaw(rng)),
        name=name)


def _sample_yaw(rng: np.random.Generator) -> float:
    """Sample the heading in degrees; facing the camera is the most usual."""
    if rng.random() < 0.8:
        return float(rng.normal(0, 30))
    return float(rng.uniform(-180, 180))


def pose_skeleton(body: Body, posture: Posture,
                  camera_pitch: float) -> Skeleton:
    """Apply a posture to a body (forward kinematics).

    Args:
        body (Body): The proportions.
        posture (Posture): The joint angles.
        camera_pitch (float): How far the camera looks down, in degrees.

    Returns:
        Skeleton: The joints, with the middle of the hips at the origin.
    """
    down = np.array([0., -1., 0.])
    forward, sideways, yaw = posture.root
    pelvis = rotation(0, camera_pitch) @ rotation(2, sideways) @ rotation(
        1, yaw) @ rotation(0, forward)
    bow, bend, twist = posture.spine
    chest = pelvis @ rotation(1, twist) @ rotation(2, bend) @ rotation(0, bow)
    nod, tilt, turn = posture.head
    head = chest @ rotation(1, turn) @ rotation(0, nod - bow / 2) @ rotation(
        2, tilt)

    points = {'pelvis': np.zeros(3)}
    points['waist'] = points['pelvis'] - 0.36 * body.torso * (pelvis @ down)
    points['chest'] = points['waist'] - 0.38 * body.torso * (chest @ down)
    points['neck'] = points['chest'] - 0.26 * body.torso * (chest @ down)
    points['head'] = points['neck'] + head @ (0, body.neck, 0.02)
    for name, place in FACE.items():
        points[name] = points['head'] + head @ (body.head * place)

    for (side, sign), arm, leg in zip(SIDES, posture.arms, posture.legs):
        flexion, abduction, elbow, turn = arm
        upper = chest @ rotation(2, sign * abduction) @ rotation(
            0, -flexion) @ rotation(1, -sign * turn)
        lower = upper @ rotation(0, -elbow)
        # A raised arm lifts its shoulder.
        lift = 0.035 * max(0., abduction - 60) / 100
        shoulder = points['neck'] + chest @ (sign * body.shoulder,
                                             lift - 0.012, 0)
        points[f'{side}_shoulder'] = shoulder
        points[f'{side}_elbow'] = shoulder + body.upper_arm * (upper @ down)
        points[f'{side}_wrist'] = points[f'{side}_elbow'] + body.forearm * (
            lower @ down)
        points[f'{side}_hand'] = points[f'{side}_wrist'] + body.hand * (
            lower @ down)

        flexion, abduction, knee, turn = leg
        upper = pelvis @ rotation(2, sign * abduction) @ rotation(
            0, -flexion) @ rotation(1, sign * turn)
        lower = upper @ rotation(0, knee)
        hip = pelvis @ (sign * body.hip, 0, 0)
        points[f'{side}_hip'] = hip
        points[f'{side}_knee'] = hip + body.thigh * (upper @ down)
        ankle = points[f'{side}_knee'] + body.shank * (lower @ down)
        points[f'{side}_ankle'] = ankle
        points[f'{side}_heel'] = ankle + lower @ (0, -0.025, -0.012)
        points[f'{side}_toe'] = ankle + lower @ (0, -0.032, 0.72 * body.foot)
    return Skeleton(body, posture, points,
                    dict(pelvis=pelvis, chest=chest, head=head))
