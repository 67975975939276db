"""Keypoints and boxes of an image, put together to objects, for tools that
draw both apart."""
from dataclasses import dataclass
from typing import Dict, Hashable, List, Optional, Tuple


@dataclass
class Point:
    """A labeled keypoint.

    Args:
        name (str): Of the keypoint.
        x (float): In pixels.
        y (float): In pixels.
        visibility (int): 1 (hidden) or 2 (visible).
        group (Hashable, optional): What the tool says it belongs to.
    """
    name: str
    x: float
    y: float
    visibility: int = 2
    group: Optional[Hashable] = None


@dataclass
class Box:
    """A box around an object.

    Args:
        category (str): What it is.
        xywh (tuple[float]): Left, top, width and height in pixels.
        group (Hashable, optional): What the tool says it belongs to.
    """
    category: str
    xywh: Tuple[float, float, float, float]
    group: Optional[Hashable] = None

    def holds(self, point: Point) -> bool:
        """Whether a keypoint lies in the box."""
        x, y, width, height = self.xywh
        return x <= point.x <= x + width and y <= point.y <= y + height


@dataclass
class Object:
    """An object: its keypoints by name, and its box if there is one."""
    points: Dict[str, Tuple[float, float, float]]
    box: Optional[Box] = None

    @property
    def category(self) -> str:
        """str: What it is, 'object' without a box."""
        return self.box.category if self.box else 'object'

    @property
    def xywh(self) -> Optional[Tuple[float, float, float, float]]:
        """tuple, optional: The box, if somebody drew one."""
        return self.box.xywh if self.box else None


def group_objects(points: List[Point], boxes: List[Box], where: str,
                  remedy: str) -> List[Object]:
    """Find out what belongs together in an image.

    Keypoints and boxes of one group are an object. A keypoint without a
    group belongs to the only box that holds it; without boxes, all of them
    are one object, if no name repeats.

    Args:
        points (list[Point]): All keypoints of an image.
        boxes (list[Box]): All boxes of an image. One without keypoints is
            an object without labeled keypoints.
        where (str): File and image, for messages.
        remedy (str): How the tool groups, for messages.

    Returns:
        list[Object]: The objects.

    Raises:
        ValueError: If a name repeats in an object, or nothing tells where a
            keypoint belongs.
    """
    objects: Dict[Hashable, Object] = {}
    for i, box in enumerate(boxes):
        key = ('box', i) if box.group is None else box.group
        if key in objects:
            raise ValueError(f'{where}: two boxes of the group {key}. '
                             f'{remedy}')
        objects[key] = Object({}, box)
    for point in points:
        key = point.group
        if key is None and boxes:
            holders = [
                key for key, found in objects.items()
                if found.box is not None and found.box.holds(point)
            ]
            if len(holders) != 1:
                raise ValueError(
                    f'{where}: {point.name!r} at {point.x:g}, {point.y:g} '
                    f'lies in {len(holders)} boxes, and nothing else tells '
                    f'which object it belongs to. {remedy}')
            key = holders[0]
        found = objects.setdefault(key, Object({}))
        if point.name in found.points:
            raise ValueError(
                f'{where}: {point.name!r} occurs twice in one object, and '
                f'nothing tells which object each belongs to. {remedy}')
        found.points[point.name] = (point.x, point.y, point.visibility)
    return list(objects.values())
