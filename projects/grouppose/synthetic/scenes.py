"""Scenes for drawn people: backgrounds, distractors, furniture, light.

A scene fixes where the horizon is and from which height the camera looks, so
that people who are farther away are smaller and stand closer to the horizon.
"""
from dataclasses import dataclass
from typing import List, Tuple

import cv2
import numpy as np

from .parts import (CIRCLE, Part, clip_box, cloth_color, make_tile, skin_color,
                    textured_part)


@dataclass
class Scene:
    """Image size, camera and light, shared by all people of an image.

    Attributes:
        size (tuple): (width, height) of the image in pixels.
        horizon (float): Row of the horizon, in pixels.
        eye_height (float): Height of the camera, in heights of a person.
        pitch (float): How far the camera looks down, in degrees.
        light (np.ndarray): (2, ) direction that the light comes from.
        calm (bool): Whether little distracts from the people: few things
            behind them, rarely one in front, and a good camera.
    """

    size: Tuple[int, int]
    horizon: float
    eye_height: float
    pitch: float
    light: np.ndarray
    calm: bool = False


def sample_scene(rng: np.random.Generator,
                 long_side: int,
                 calm: bool = False) -> Scene:
    """Sample the shape of the image, square if it is calm, and the camera."""
    ratio = 1 if calm else rng.choice((4 / 3, 3 / 2, 1, 3 / 4))
    short = int(round(long_side * min(ratio, 1 / ratio)))
    size = (long_side, short) if ratio >= 1 else (short, long_side)
    pitch = rng.uniform(-3, 18)
    angle = np.deg2rad(rng.uniform(-160, -20))
    return Scene(
        size=size,
        horizon=size[1] * float(rng.uniform(0.15, 0.5)),
        eye_height=0.85 + 0.05 * max(pitch, 0) + rng.uniform(-0.3, 0.1),
        pitch=pitch,
        light=np.array([np.cos(angle), np.sin(angle)]),
        calm=calm)


def paint_background(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """Paint wall, floor, shapes and things that look like body parts.

    Args:
        rng (np.random.Generator): The source of randomness.
        scene (Scene): The shape of the image and the camera.

    Returns:
        np.ndarray: uint8 canvas of shape (2 * height, 2 * width, 3).
    """
    width, height = scene.size
    wall, floor = (
        rng.uniform(0.4, 1) * cloth_color(rng) + rng.uniform(0, 110)
        for _ in range(2))
    rows = np.arange(height)[:, None]
    top, bottom = rng.uniform(0.65, 1.1, 2)
    fade = np.linspace(top, bottom, height)[:, None]
    column = np.where(rows < scene.horizon, wall, floor) * fade
    image = np.repeat(
        np.clip(column, 0, 255).astype(np.uint8)[:, None], width, axis=1)
    # Smooth noise: color on the large scales, gray on the small ones.
    for cells, depth, most in ((3, 3, 0.3), (8, 1, 0.3), (30, 1, 0.2)):
        weight = most * rng.random()
        grid = rng.integers(0, 256, (cells, cells, depth), dtype=np.uint8)
        cloud = cv2.resize(
            np.broadcast_to(grid, (cells, cells, 3)).copy(),
            scene.size,
            interpolation=cv2.INTER_CUBIC)
        image = cv2.addWeighted(image, 1 - weight, cloud, weight, 0)
    canvas = cv2.resize(image, (2 * width, 2 * height))
    if scene.calm:
        for _ in range(rng.integers(0, 4)):
            _paint_shape(rng, canvas)
        return canvas
    for _ in range(rng.integers(3, 14)):
        _paint_shape(rng, canvas)
    for _ in range(rng.integers(0, 4)):
        _distractor(rng, canvas.shape, scene.light).paint(canvas)
    return canvas


def _paint_shape(rng, canvas):
    """Paint a box, polygon, line or circle of one color."""
    height, width = canvas.shape[:2]
    color = cloth_color(rng).tolist()
    spot = rng.uniform((0, 0), (width, height))
    size = max(width, height) * rng.uniform(0.02, 0.22)
    kind = rng.integers(5)
    corner = spot.astype(int).tolist()
    other = (spot + size * rng.uniform(0.3, 2, 2)).astype(int).tolist()
    if kind == 0:
        cv2.rectangle(canvas, corner, other, color, -1)
    elif kind == 1:
        cv2.rectangle(canvas, corner, other, color, int(rng.integers(1, 8)))
    elif kind == 2:
        points = spot + rng.normal(0, size, (int(rng.integers(3, 6)), 2))
        cv2.fillPoly(canvas, [points.astype(np.int32)], color)
    elif kind == 3:
        end = (spot + rng.normal(0, 3 * size, 2)).astype(int).tolist()
        cv2.line(canvas, corner, end, color, int(rng.integers(1, 9)))
    else:
        cv2.circle(canvas, corner, int(size * 0.5), color,
                   int(rng.choice((-1, 3))))


def _distractor(rng, shape, light) -> Part:
    """Make a thing that looks like a limb or a head but is none."""
    start = rng.uniform((0, 0), (shape[1], shape[0]))
    size = max(shape) * rng.uniform(0.03, 0.16)
    angle = rng.uniform(0, 2 * np.pi)
    radii = size * rng.uniform(0.08, 0.2) * np.array([1, rng.uniform(0.5, 1)])
    if rng.random() < 0.3:  # short and thick, upright
        radii = size * np.array([0.25, 0.25])
        size, angle = rng.uniform(0.3, 0.9) * radii[0], np.pi / 2
    axis = size * np.array([np.cos(angle), np.sin(angle)])
    points = np.stack([start, start + axis])[:, None]
    points = points + radii[:, None, None] * CIRCLE
    color = skin_color(rng) if rng.random() < 0.5 else cloth_color(rng)
    return textured_part('distractor', points.reshape(-1, 2), 0.,
                         make_tile(rng, color, True), axis,
                         float(8 * radii[0]), light)


def sample_occluders(rng: np.random.Generator, scene: Scene) -> List[Part]:
    """Sample things in front of all people: tables, boxes, posts, blobs."""
    width, height = 2 * scene.size[0], 2 * scene.size[1]
    parts: List[Part] = []
    if rng.random() > (0.1 if scene.calm else 0.3):
        return parts
    for _ in range(rng.integers(1, 4)):
        kind = rng.choice(('box', 'post', 'rail', 'blob', 'table'))
        x, y = rng.uniform((0, 0.35 * height), (width, height))
        half = np.array([width, height]) * rng.uniform(0.04, 0.11, 2)
        if kind == 'table':
            y = height
            half = half * (rng.uniform(2, 5), rng.uniform(1, 2))
        elif kind == 'post':
            half = np.array([width * rng.uniform(0.006, 0.02), height])
        elif kind == 'rail':
            half = np.array([width, height * rng.uniform(0.005, 0.02)])
        if kind == 'blob':
            points = half * CIRCLE * rng.uniform(0.8, 1.2, (len(CIRCLE), 1))
        else:
            points = half * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
            points = points + rng.normal(0, 0.06, (4, 2)) * half.min()
        tile = make_tile(rng, cloth_color(rng), True, kind in ('post', 'rail'))
        axis = (0., 1.) if kind in ('post', 'blob') else (1., 0.)
        parts.append(
            textured_part(kind, points + (x, y), 0., tile, np.array(axis),
                          float(max(half) / 2), scene.light))
    return parts


def seat(rng: np.random.Generator, hips: np.ndarray, ground: float,
         size: float, light: np.ndarray) -> List[Part]:
    """Make a box as the seat of a person.

    Args:
        rng (np.random.Generator): The source of randomness.
        hips (np.ndarray): (2, ) middle of the hips on the canvas.
        ground (float): Row of the canvas where the feet are.
        size (float): Height of a person, in pixels of the canvas.
        light (np.ndarray): (2, ) direction that the light comes from.

    Returns:
        list[Part]: The parts of the box from back to front.
    """
    half, top = size * rng.uniform(0.1, 0.3), hips[1] + 0.05 * size
    ground = max(ground - 0.03 * size, top + 0.05 * size)
    left, right = hips[0] - half, hips[0] + half
    color, parts = cloth_color(rng), []
    for name, low, high, gain in (('front', top, ground, 0.75),
                                  ('top', top - 0.06 * size, top, 1.)):
        corners = np.array([(left, low), (right, low), (right, high),
                            (left, high)])
        parts.append(
            textured_part(name, corners, 0.,
                          make_tile(rng, gain * color, False, False),
                          np.array([1., 0.]), size / 4, light))
    return parts


def paint_shadow(canvas: np.ndarray, spot: np.ndarray, size: float) -> None:
    """Darken the ground around a spot of the canvas."""
    corners = spot + size * CIRCLE * (0.22, 0.045)
    part = Part('shadow', corners, 0., np.zeros(3))
    x0, y0, x1, y1 = clip_box(part.box, canvas.shape)
    if x0 < x1 and y0 < y1:
        view = canvas[y0:y1, x0:x1]
        dark = (view * 0.55).astype(np.uint8)
        mask = np.zeros(view.shape[:2], dtype=np.uint8)
        Part('shadow', corners - (x0, y0), 0., np.zeros(3)).mark(mask, 255)
        cv2.copyTo(dark, mask, view)


def finish_image(rng: np.random.Generator,
                 canvas: np.ndarray,
                 calm: bool = False) -> np.ndarray:
    """Downsample the canvas by two and add light, blur and camera noise.

    Args:
        rng (np.random.Generator): The source of randomness.
        canvas (np.ndarray): uint8 canvas of shape (2 * h, 2 * w, 3).
        calm (bool): Add light alone. Defaults to False.

    Returns:
        np.ndarray: uint8 image of shape (h, w, 3).
    """
    size = (canvas.shape[1] // 2, canvas.shape[0] // 2)
    image = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
    if not calm and rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 0.9))
    # Light that fades across the image, with a tint.
    corners = rng.uniform(0.75, 1.2, (2, 2, 1)) * rng.uniform(0.9, 1.1, 3)
    light = cv2.resize((128 * corners).astype(np.uint8), size)
    image = cv2.multiply(image, light, scale=1 / 128)
    if calm:
        return image
    strength = rng.uniform(0, 0.08)
    noise = np.frombuffer(rng.bytes(image.size), dtype=np.uint8)
    return cv2.addWeighted(image, 1, noise.reshape(image.shape), strength,
                           -127.5 * strength)
