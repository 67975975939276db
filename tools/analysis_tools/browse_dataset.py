"""Draw what the network is trained on: images after augmentation, with the
targets decoded back to pixels."""
import argparse
import os
import os.path as osp
import sys

import cv2
import numpy as np
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from tqdm import tqdm

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
sys.path.insert(0, ROOT)

from mmpose.registry import DATASETS  # noqa: E402

from projects.grouppose import visualization  # noqa: E402

GREEN = (0, 200, 0)
MIN_SIZE = 480  # pixels of the longer side of a picture


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the model')
    parser.add_argument('--out', required=True, help='folder for the pictures')
    parser.add_argument(
        '-n',
        '--num-images',
        type=int,
        default=20,
        help='how many, evenly over the data set (default: 20)')
    parser.add_argument(
        '--split',
        choices=('train', 'val', 'test'),
        default='train',
        help='which data loader of the config (default: train)')
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='seed of the augmentation (default: 0)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config')
    return parser.parse_args()


def draw_targets(visualizer: visualization.PoseVisualizer,
                 item: dict) -> np.ndarray:
    """Draw an item of a data set as the model gets it.

    Labeled joints and their links in the colors of the data set; in green,
    the box and the square root of the area, in pixels of the input.

    Args:
        visualizer (PoseVisualizer): With the data set's metainfo.
        item (dict): ``inputs`` (uint8, (3, h, w), BGR) and ``data_samples``.
            Targets of the codec are drawn if there are any, else, as in
            evaluation, the annotations.

    Returns:
        np.ndarray: uint8 BGR; small images are enlarged.
    """
    image = visualization.input_image(item['inputs'])
    sample = item['data_samples']
    boxes = sample.gt_instances.get('bboxes', np.empty((0, 4)))
    targets = sample.gt_instance_labels.numpy()
    height, width = image.shape[:2]
    areas = None
    if 'keypoint_labels' in targets:
        keypoints = targets.keypoint_labels * (width, height)
        visible = targets.keypoint_weights
        areas = targets.area_labels * width * height
    else:
        keypoints, visible = visualization.annotated_poses(sample)
        if visualization.annotated_in_file(sample):
            corners = boxes.reshape(-1, 2, 2)
            boxes = visualization.to_input(corners, sample.metainfo)

    scale = max(1, MIN_SIZE / max(height, width))
    image = cv2.resize(
        image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    image = visualization.draw_poses(visualizer, image, keypoints * scale,
                                     visible)
    image = np.ascontiguousarray(image)
    boxes = (scale * boxes.reshape(-1, 4)).round().astype(int).tolist()
    for person, (x1, y1, x2, y2) in enumerate(boxes):
        cv2.rectangle(image, (x1, y1), (x2, y2), GREEN)
        if areas is not None:
            cv2.putText(image, f'{areas[person]**0.5:.0f}', (x1 + 2, y1 + 12),
                        cv2.FONT_HERSHEY_SIMPLEX, 0.4, GREEN, 1, cv2.LINE_AA)
    return image


def browse(args: argparse.Namespace) -> int:
    """Draw images of a data loader's data set.

    Returns:
        int: How many were written.
    """
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    init_default_scope('mmpose')
    dataset = DATASETS.build(cfg[f'{args.split}_dataloader'].dataset)
    visualizer = visualization.PoseVisualizer(radius=3, line_width=2)
    visualizer.set_dataset_meta(dataset.metainfo)
    os.makedirs(args.out, exist_ok=True)
    set_random_seed(args.seed)

    count = min(args.num_images, len(dataset))
    indices = np.linspace(0, len(dataset) - 1, count).astype(int)
    for index in tqdm(indices.tolist(), disable=None):
        item = dataset[index]
        name = osp.basename(item['data_samples'].metainfo['img_path'])
        path = osp.join(args.out, f'{index:06d}_{osp.splitext(name)[0]}.png')
        if not cv2.imwrite(path, draw_targets(visualizer, item)):
            raise OSError(f'{path} cannot be written.')
    return count


def main() -> None:
    args = parse_args()
    try:
        count = browse(args)
    except (OSError, ValueError) as error:
        sys.exit(f'browse_dataset.py: {error}')
    print(f'{count} pictures written to {args.out}')


if __name__ == '__main__':
    main()
