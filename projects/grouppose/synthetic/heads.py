"""Heads: a shaded ellipsoid with hair, eyes, nose, mouth and ears.

The face tells the left from the right of a person, so it turns with the head,
and the hair covers the back.
"""
from dataclasses import dataclass, field
from typing import List, Tuple

import cv2
import numpy as np

from .parts import CIRCLE, Part
from .skeletons import FACE, SIDES


@dataclass
class HeadPart(Part):
    """An ellipsoid with hair, shaded pixel by pixel.

    Attributes:
        center (np.ndarray): (2, ) center on the canvas.
        to_head (np.ndarray): (3, 3) map of canvas offsets (x, y, depth) to
            the unit sphere of the head.
        light (np.ndarray): (2, ) direction that the light comes from.
        hair (np.ndarray): (3, ) color of the hair.
        hairline (float): Lower means more hair on the forehead.
        beard (float): Height on the face up to which a beard grows.
    """

    center: np.ndarray = field(default_factory=lambda: np.zeros(2))
    to_head: np.ndarray = field(default_factory=lambda: np.eye(3))
    light: np.ndarray = field(default_factory=lambda: np.zeros(2))
    hair: np.ndarray = field(default_factory=lambda: np.zeros(3))
    hairline: float = 0.
    beard: float = -2.

    def _blend(self, view, mask, corner):
        x = (np.arange(view.shape[1], dtype=np.float32) + corner[0] -
             self.center[0]).astype(np.float32)[None, :, None]
        y = (np.arange(view.shape[0], dtype=np.float32) + corner[1] -
             self.center[1]).astype(np.float32)[:, None, None]
        to_head = self.to_head.astype(np.float32)
        # The front crossing of the line of sight with the unit sphere.
        base = x * to_head[:, 0] + y * to_head[:, 1]
        sight = to_head[:, 2]
        square, half = float(sight @ sight), base @ sight
        root = half**2 - square * ((base**2).sum(axis=2) - 1)
        root = np.sqrt(np.maximum(root, 0))
        place = base + ((root - half) / square)[..., None] * sight
        size = np.sqrt(square)
        gain = 0.68 + 0.3 * root / size + 0.12 * size * (
            x[..., 0] * self.light[0] + y[..., 0] * self.light[1])
        hairy = (0.8 * place[..., 1] - 0.75 * place[..., 2] > self.hairline)
        hairy |= (place[..., 1] < self.beard) & (place[..., 2] > -0.1)
        color = np.where(hairy[..., None], self.hair.astype(np.float32),
                         self.tile.astype(np.float32)) * gain[..., None]
        cv2.copyTo(np.clip(color, 0, 255).astype(np.uint8), mask, view)


class HeadBuilder:
    """Builds the parts of one head.

    Args:
        frame (np.ndarray): (3, 3) rotation of the head.
        axes (np.ndarray): (3, ) half axes of the head on the canvas.
        center (np.ndarray): (2, ) center of the head on the canvas.
        outfit (Outfit): Colors and hair.
        light (np.ndarray): (2, ) direction that the light comes from.
    """

    def __init__(self, frame, axes, center, outfit, light):
        self.center = center
        self.outfit = outfit
        self.light = light
        # Columns: where the unit vectors of the head go, as x, y, depth.
        self.base = frame * axes * [[1], [-1], [1]]
        self.normals = frame / axes
        self.behind: List[Part] = []
        self.front: List[Part] = []

    def build(self) -> List[Part]:
        """Make the parts from back to front."""
        outfit = self.outfit
        self._add_hair()
        for side, _ in SIDES:
            rim = np.stack(
                [0 * CIRCLE[:, 0], 0.24 * CIRCLE[:, 0], 0.2 * CIRCLE[:, 1]],
                axis=1)
            ear = np.concatenate([rim + (0.14, 0, 0), rim - (0.14, 0, 0)])
            self._add(f'{side}_ear', ear + FACE[f'{side}_ear'],
                      0.86 * outfit.skin)
        if outfit.hair_style == 'open':
            self._add_locks()
        self._add_face()
        nose = [(0, 0.12, 0.97), (0, -0.14, 1.22), (0.17, -0.26, 0.95),
                (-0.17, -0.26, 0.95)]
        self._add('nose', np.array(nose), 0.8 * outfit.skin)
        return [*self.behind, self._skull(), *self.front]

    def _canvas(self, places):
        return self.center + places @ self.base[:2].T

    def _add(self, name, places, color, front=None):
        """Add the hull of places of the head in front of it or behind."""
        hull = cv2.convexHull(self._canvas(places).astype(np.float32))[:, 0]
        if front is None:
            front = self.base[2] @ places.mean(axis=0) > 0
        (self.front if front else self.behind).append(
            Part(name, hull, 0., np.asarray(color, dtype=float)))

    def _skull(self):
        spread = np.linalg.cholesky(self.base[:2] @ self.base[:2].T)
        turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        outline = np.stack([np.cos(turn), np.sin(turn)], axis=1) @ spread.T
        outfit = self.outfit
        return HeadPart(
            'head',
            self.center + outline,
            0.,
            outfit.skin,
            np.zeros((2, 3)),
            center=self.center,
            to_head=(self.normals * [[1], [-1], [1]]).T,
            light=self.light,
            hair=outfit.hair,
            hairline=outfit.hairline,
            beard=outfit.beard)

    def _add_face(self):
        """Add eyes, brows and mouth, each if it is turned to the camera."""
        outfit = self.outfit
        white = np.array([225, 230, 235]) * (0.75 + 0.25 * outfit.skin / 255)
        mouth = 0.5 * outfit.skin + 0.5 * np.array([60, 50, 150])
        spots: List[Tuple[str, float, float, float, float, np.ndarray]] = [
            ('mouth', 0, -0.52, 0.3, 0.08, mouth)
        ]
        for _, sign in SIDES:
            x, y = sign * FACE['left_eye'][0], FACE['left_eye'][1]
            spots += [('eye', x, y, 0.2, 0.13, white),
                      ('iris', x, y, 0.1, 0.12, outfit.iris),
                      ('brow', x, y + 0.24, 0.23, 0.05, 0.6 * outfit.hair)]
        for name, x, y, width, height, color in spots:
            disc = np.array([x, y]) + CIRCLE * (width, height)
            if name == 'brow':
                disc[:, 1] -= 0.15 * (np.abs(disc[:, 0]) - abs(x))
            deep = np.sqrt(np.maximum(1 - (disc**2).sum(axis=1), 0.05))
            toward = self.normals @ (x, y, np.sqrt(1 - x * x - y * y))
            if toward[2] > 0.08 * np.linalg.norm(toward):
                self._add('head', np.column_stack([disc, deep]), color, True)

    def _add_hair(self):
        outfit = self.outfit
        if outfit.hairline < 1:
            # The volume of the hair around the upper back of the head.
            rings = [
                np.column_stack([
                    np.cos(height) * CIRCLE[:, 0],
                    np.full(len(CIRCLE), np.sin(height)),
                    np.minimum(np.cos(height) * CIRCLE[:, 1], 0.45)
                ]) for height in (0.15, 0.6, 1.1)
            ]
            self._add('hair', 1.09 * np.concatenate(rings), 0.8 * outfit.hair,
                      False)
        if outfit.hair_style == 'tied':
            length = outfit.hair_length
            knot = np.column_stack([CIRCLE, 0 * CIRCLE[:, 0]])
            self._add(
                'hair',
                np.concatenate([
                    0.3 * knot + (0, 0.35, -1.1),
                    0.3 * knot[:, ::-1] + (0, 0.35, -1.1),
                    0.22 * knot + (0, 0.2 - length, -1.3)
                ]), 0.9 * outfit.hair)

    def _add_locks(self):
        """Add the hair that falls over the ears."""
        ball = np.concatenate([
            np.column_stack([CIRCLE, 0 * CIRCLE[:, 0]]),
            np.column_stack([0 * CIRCLE[:, 0], CIRCLE])
        ]) * (0.27, 0.2, 0.3)
        for _, sign in SIDES:
            top, end = (sign * 0.9, 0.4, -0.2), (sign * 1.02, -0.95, -0.25)
            self._add('hair', np.concatenate([ball + top, ball + end]),
                      0.82 * self.outfit.hair)
