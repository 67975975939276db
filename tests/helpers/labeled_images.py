"""Three drawn images with people whose poses are known, to label."""
from pathlib import Path
from typing import Dict, List

import numpy as np
from PIL import Image

SIZE = 160, 120
NAMES = ['a.png', 'b.jpg', 'sub/c.png']
# Metainfo of three keypoints, the first two of which are a pair.
PLANE = dict(
    dataset_name='planes',
    paper_info=dict(),
    keypoint_info={
        0: dict(name='left', id=0, color=[0, 255, 0], swap='right'),
        1: dict(name='right', id=1, color=[255, 128, 0], swap='left'),
        2: dict(name='tip', id=2, color=[51, 153, 255], swap=''),
    },
    skeleton_info={
        0: dict(link=('left', 'tip'), id=0, color=[0, 255, 0]),
        1: dict(link=('right', 'tip'), id=1, color=[255, 128, 0]),
    },
    joint_weights=[1.] * 3,
    sigmas=[0.05] * 3)
POSES: Dict[str, List] = {
    'a.png': [[(40, 60), (80, 60), (60, 30)], [(110, 90), (150, 90),
                                               (130, 60)]],
    'b.jpg': [[(30, 90), (70, 90), (50, 50)]],
    'sub/c.png': [],
}


def write_images(folder: Path) -> Path:
    """Draw the images, each of which is different."""
    for number, name in enumerate(NAMES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = np.full((*SIZE[::-1], 3), 60 + 40 * number, np.uint8)
        for pose in POSES[name]:
            for x, y in pose:
                image[y - 2:y + 3, x - 2:x + 3] = 255
        Image.fromarray(image).save(path)
    return folder


def as_person(pose, number: int = 1, visibility: int = 2, **fields) -> dict:
    """A person as the page sends it."""
    return dict(
        dict(
            id=number,
            category=1,
            keypoints=[[float(x), float(y), visibility] for x, y in pose],
            fixed=[False] * len(pose),
            scores=None), **fields)
