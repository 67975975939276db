"""Convex painted parts: what the drawn people and things are made of.

A part is a convex polygon on a canvas with twice the resolution of the image,
filled with a small texture tile that also carries the shading of a cylinder.
The same polygon fills buffers, so that what hides what can be read off them.
"""
import colorsys
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple, cast

import cv2
import numpy as np

from .skeletons import pick

TILE = 64  # side of a texture tile
_SHIFT = 4  # fractional bits of the polygon corners
_TURN = np.linspace(0, 2 * np.pi, 14, endpoint=False)
CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)

_SKINS = np.array([(196, 224, 255), (172, 205, 243), (150, 188, 232),
                   (125, 168, 220), (95, 138, 198), (66, 100, 155),
                   (48, 72, 115), (38, 54, 84)],
                  dtype=float)
_HAIRS = np.array([(22, 20, 22), (30, 38, 50), (42, 62, 92), (70, 110, 160),
                   (110, 175, 215), (45, 75, 150), (150, 152, 155)],
                  dtype=float)

_PATTERNS = dict(
    plain=.45, hoops=.15, stripes=.1, checks=.1, blots=.14, halves=.06)
_STEPS = np.arange(TILE)
_ACROSS = np.linspace(-1, 1, TILE, dtype=np.float32)[:, None]
_CYLINDER = 0.62 + 0.38 * np.sqrt(1 - 0.97 * _ACROSS**2) + 0.1 * _ACROSS


def skin_color(rng: np.random.Generator) -> np.ndarray:
    """Sample a skin tone, (3, ) in BGR."""
    index = int(rng.integers(len(_SKINS) - 1))
    mix = rng.random()
    return (1 - mix) * _SKINS[index] + mix * _SKINS[index + 1]


def hair_color(rng: np.random.Generator) -> np.ndarray:
    """Sample a color of hair, (3, ) in BGR."""
    color = _HAIRS[rng.integers(len(_HAIRS))] * rng.uniform(0.8, 1.25)
    return np.clip(color, 0, 255)


def cloth_color(rng: np.random.Generator) -> np.ndarray:
    """Sample a color of clothes, (3, ) in BGR."""
    saturation = rng.uniform(0, 0.15) if rng.random() < 0.35 else rng.uniform(
        0.25, 0.9)
    rgb = colorsys.hsv_to_rgb(rng.random(), saturation, rng.uniform(0.12, 1))
    return 255 * np.array(rgb[::-1])


def make_tile(rng: np.random.Generator,
              color: np.ndarray,
              patterned: bool = False,
              round_: bool = True) -> np.ndarray:
    """Make a texture tile; its rows run across a part, columns along it.

    Args:
        rng (np.random.Generator): The source of randomness.
        color (np.ndarray): Base color, (3, ) in BGR.
        patterned (bool): Whether stripes, checks, dots or blotches may be
            added. Defaults to False.
        round_ (bool): Whether to shade like a cylinder. Defaults to True.

    Returns:
        np.ndarray: uint8 image of shape (64, 64, 3).
    """
    kind = pick(rng, _PATTERNS) if patterned else 'plain'
    gain = 0.93 + 0.14 * cv2.resize(
        rng.random((5, 7), dtype=np.float32), (TILE, TILE))
    if round_:
        gain *= _CYLINDER
    layers, colors = [gain], [color]
    if kind != 'plain':
        other = cloth_color(rng)
        layers.append(gain * _pattern(rng, kind))
        colors.append(other - color)
    tile = cv2.transform(
        cv2.merge(layers),
        np.stack(colors, axis=1).astype(np.float32))
    return cv2.convertScaleAbs(tile)


def _pattern(rng, kind):
    """Make the share of the second color, (64, 64) from 0 to 1."""
    period = (8, 16, 32)[rng.integers(3)]
    wave = (_STEPS % period < period * rng.uniform(0.25, 0.6))
    wave = np.broadcast_to(wave.astype(np.float32), (TILE, TILE))
    if kind == 'hoops':
        return wave
    if kind == 'stripes':
        return wave.T
    if kind == 'checks':
        return (wave + wave.T) / 2
    if kind == 'halves':
        return np.broadcast_to(_STEPS[:, None] >= TILE // 2, (TILE, TILE))
    blots = cv2.resize(rng.random((8, 8), dtype=np.float32), (TILE, TILE))
    return (blots > rng.uniform(0.4, 0.65)).astype(np.float32)


def clip_box(box: Sequence[int],
             shape: Sequence[int]) -> Tuple[int, int, int, int]:
    """Clip a box (x0, y0, x1, y1) to the shape of an array; x0 = x1 if nothing
    is left."""
    x0, y0, x1, y1 = box
    x0, y0 = min(max(x0, 0), shape[1]), min(max(y0, 0), shape[0])
    return x0, y0, max(min(x1, shape[1]), x0), max(min(y1, shape[0]), y0)


@dataclass
class Part:
    """A convex polygon with a texture.

    Attributes:
        name (str): One of ``PART_NAMES``, or anything for things.
        polygon (np.ndarray): (n, 2) corners on the canvas, in order.
        depth (float): Parts are painted in ascending order of it.
        tile (np.ndarray): (64, 64, 3) texture, or (3, ) flat color.
        matrix (np.ndarray, optional): (2, 3) map of the canvas to the tile.
        box (tuple): The pixels that it may touch, x0, y0, x1, y1.
    """

    name: str
    polygon: np.ndarray
    depth: float
    tile: np.ndarray
    matrix: Optional[np.ndarray] = None

    def __post_init__(self):
        self._corners = np.rint(self.polygon * (1 << _SHIFT)).astype(np.int32)
        x, y, width, height = cv2.boundingRect(self._corners)
        self.box = (x >> _SHIFT, y >> _SHIFT, (x + width >> _SHIFT) + 2,
                    (y + height >> _SHIFT) + 2)

    def mark(self, buffer: np.ndarray, value: int) -> None:
        """Fill the polygon in a buffer of one channel."""
        cv2.fillConvexPoly(buffer, self._corners, value, shift=_SHIFT)

    def paint(self, image: np.ndarray) -> None:
        """Paint the part into a uint8 image of shape (h, w, 3)."""
        if self.matrix is None:
            cv2.fillConvexPoly(
                image, self._corners, self.tile.tolist(), shift=_SHIFT)
            return
        x0, y0, x1, y1 = clip_box(self.box, image.shape)
        if x0 >= x1 or y0 >= y1:
            return
        mask = np.zeros((y1 - y0, x1 - x0), dtype=np.uint8)
        offset = np.array([x0, y0]) << _SHIFT
        cv2.fillConvexPoly(mask, self._corners - offset, 255, shift=_SHIFT)
        self._blend(image[y0:y1, x0:x1], mask, (x0, y0))

    def _blend(self, view: np.ndarray, mask: np.ndarray,
               corner: Tuple[int, int]) -> None:
        matrix = cast(np.ndarray, self.matrix).copy()
        matrix[:, 2] += matrix[:, :2] @ corner
        texture = cv2.warpAffine(
            self.tile,
            matrix, (view.shape[1], view.shape[0]),
            flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_WRAP)
        cv2.copyTo(texture, mask, view)


def textured_part(name: str, points: np.ndarray, depth: float,
                  tile: np.ndarray, axis: np.ndarray, length: float,
                  light: np.ndarray) -> Part:
    """Make a part from the convex hull of points.

    Args:
        name (str): Name of the part.
        points (np.ndarray): (n, 2) points on the canvas.
        depth (float): Parts are painted in ascending order of it.
        tile (np.ndarray): (64, 64, 3) texture.
        axis (np.ndarray): (2, ) direction of the columns of the tile.
        length (float): Length of one tile, in pixels of the canvas.
        light (np.ndarray): (2, ) direction that the light comes from.

    Returns:
        Part: The part.
    """
    polygon = cv2.convexHull(points.astype(np.float32))[:, 0]
    norm = float(np.hypot(*axis))
    along = axis / norm if norm > 1e-6 else np.array([0., 1.])
    across = np.array([-along[1], along[0]])
    if across @ light < 0:
        across = -across
    reach = polygon @ across
    low, high = float(reach.min()), float(reach.max())
    rows = (TILE - 1) / max(high - low, 1e-6)
    columns = TILE / length
    matrix = np.array([[*(along * columns), -columns * (along @ polygon[0])],
                       [*(across * rows), -rows * low]])
    return Part(name, polygon, depth, tile, matrix)
