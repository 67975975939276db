"""Images to measure methods with, and boxes of the people in them."""
import json
from pathlib import Path
from typing import List, NamedTuple, Union

import cv2
import numpy as np


class Picture(NamedTuple):
    """An image and who is in it.

    Attributes:
        image (np.ndarray): BGR, uint8, (H, W, 3).
        boxes (np.ndarray): x1, y1, x2, y2 in pixels, float32, (n, 4), n > 0.
    """
    image: np.ndarray
    boxes: np.ndarray

    def boxes_of(self, people: int) -> np.ndarray:
        """Boxes of a number of people, (people, 4): those of the image, from
        the first on and again."""
        return self.boxes[np.arange(people) % len(self.boxes)]


def load_pictures(ann_file: Union[str, Path],
                  image_dir: Union[str, Path],
                  limit: int = 8) -> List[Picture]:
    """Load the first images of a data set with people in them.

    Args:
        ann_file (str | Path): Annotations in the COCO format.
        image_dir (str | Path): Folder of the images.
        limit (int): Number of images at most. Defaults to 8.

    Returns:
        list[Picture]: In the order of the file.

    Raises:
        ValueError: If the annotations cannot be read, an image cannot, or
            there is nobody in any.
    """
    try:
        content = json.loads(Path(ann_file).read_text())
        boxes = {image['id']: [] for image in content['images']}
        for annotation in content['annotations']:
            x, y, width, height = annotation['bbox']
            if min(width, height) > 0 and not annotation.get('iscrowd'):
                boxes[annotation['image_id']].append(
                    (x, y, x + width, y + height))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{ann_file}: cannot be read as annotations in the '
                         f'COCO format: {type(error).__name__}: {error}. Give '
                         'the file with the keypoints.') from error
    pictures = []
    for entry in content['images']:
        if len(pictures) < limit and boxes[entry['id']]:
            path = Path(image_dir) / entry['file_name']
            image = cv2.imread(str(path))
            if image is None:
                raise ValueError(f'{path}: cannot be read as an image. Check '
                                 'the folder of the images.')
            pictures.append(Picture(image, np.float32(boxes[entry['id']])))
    if not pictures:
        raise ValueError(f'{ann_file}: no image has a box of a person. Give '
                         'annotations of people.')
    return pictures
