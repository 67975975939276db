"""What methods are fed: pictures to find people in, and batches of random
images and people to train with."""
import json
from pathlib import Path
from typing import List, NamedTuple

import cv2
import numpy as np
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.structures.bbox import bbox_xyxy2corner

from .method import Method, Size


class Picture(NamedTuple):
    """An image, BGR, uint8, (H, W, 3), and boxes of the people in it, x1, y1,
    x2, y2 in pixels, float32, (n, 4), n > 0."""
    image: np.ndarray
    boxes: np.ndarray

    def boxes_of(self, people: int) -> np.ndarray:
        """Boxes of a number of people, (people, 4): those of the image, from
        the first on and again."""
        return self.boxes[np.arange(people) % len(self.boxes)]


def random_picture(size: Size) -> Picture:
    """Random pixels, and a box around all of them."""
    width, height = size
    random = np.random.RandomState(0)
    image = random.randint(0, 256, (height, width, 3)).astype(np.uint8)
    return Picture(image, np.float32([[0, 0, width, height]]))


def load_pictures(ann_file: Path,
                  image_dir: Path,
                  limit: int = 8) -> List[Picture]:
    """Load the first images of a data set in the COCO format with people in
    them, in the order of the file."""
    try:
        content = json.loads(ann_file.read_text())
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
            path = image_dir / entry['file_name']
            image = cv2.imread(str(path))
            if image is None:
                raise ValueError(f'{path}: cannot be read as an image. Check '
                                 'the folder of the images.')
            pictures.append(Picture(image, np.float32(boxes[entry['id']])))
    if not pictures:
        raise ValueError(f'{ann_file}: no image has a box of a person. Give '
                         'annotations of people.')
    return pictures


def make_training_batch(method: Method, batch_size: int, people: int) -> dict:
    """A batch of random images and people, as a data loader collates it.

    The last two transforms of the config's own training pipeline,
    ``GenerateTarget`` and ``PackPoseInputs``, make it.
    """
    init_default_scope('mmpose')
    config = method.read()
    if not config.get('train_dataloader'):
        raise RuntimeError('evaluation only: no train_dataloader in its '
                           'config')
    pipeline = config.train_dataloader.dataset.pipeline
    make = Compose([
        transform for transform in pipeline
        if transform.type in ('GenerateTarget', 'PackPoseInputs')
    ])
    corners = any(transform.type == 'BottomupRandomAffine'
                  and transform.get('bbox_keep_corner', True)
                  for transform in pipeline)
    metainfo = method.metainfo('train')
    random = np.random.RandomState(0)
    samples = []
    for _ in range(batch_size):
        sample = _random_people(random, method.size, people, metainfo)
        if corners:
            sample['bbox'] = bbox_xyxy2corner(sample['bbox'])
        samples.append(make(sample))
    return pseudo_collate(samples)


def _random_people(random: np.random.RandomState, size: Size, people: int,
                   metainfo: dict) -> dict:
    """What a data set and its augmentation know about an image."""
    num_keypoints = len(metainfo['sigmas'])
    width, height = size
    size = np.float32(size)
    sides = size * random.uniform(0.1, 0.4, (people, 2))
    corners = random.uniform(0, 1, (people, 2)) * (size - sides)
    inside = random.uniform(0, 1, (people, num_keypoints, 2))
    keypoints = corners[:, None] + inside * sides[:, None]
    return dict(
        img=random.randint(0, 256, (height, width, 3)).astype(np.uint8),
        img_path='random',
        img_id=0,
        id=list(range(people)),
        ori_shape=(height, width),
        img_shape=(height, width),
        input_size=size,
        input_scale=size,
        input_center=size / 2,
        keypoints=keypoints.astype(np.float32),
        keypoints_visible=np.ones((people, num_keypoints), np.float32),
        bbox=np.concatenate([corners, corners + sides], 1).astype(np.float32),
        bbox_score=np.ones(people, np.float32),
        area=sides.prod(1).astype(np.float32) * 0.53,
        category_id=np.ones(people, np.int64),
        dataset_keypoint_weights=np.ones(num_keypoints, np.float32),
        flip_indices=metainfo['flip_indices'])
