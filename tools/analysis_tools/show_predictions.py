"""Draw what a model predicts beside the annotated truth."""
import argparse
import os.path as osp
import sys

import cv2
import numpy as np
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
sys.path.insert(0, ROOT)

from mmpose.apis import init_model  # noqa: E402
from mmpose.structures import PoseDataSample  # noqa: E402
from mmpose.visualization import PoseLocalVisualizer  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the model')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument('out', help='picture to write')
    parser.add_argument(
        '--num-images',
        type=int,
        default=6,
        help='how many images of the test set (default: 6)')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='least score of a drawn pose (default: 0.3)')
    parser.add_argument(
        '--height',
        type=int,
        default=256,
        help='height of each image in pixels (default: 256)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config')
    return parser.parse_args()


def draw_pair(visualizer: PoseLocalVisualizer, sample: PoseDataSample,
              score_thr: float, height: int) -> np.ndarray:
    """Draw the truth on the left and the prediction on the right.

    Args:
        visualizer (PoseLocalVisualizer): With the data set's metainfo.
        sample (PoseDataSample): With ``pred_instances`` in pixels of the
            original image, and ``raw_ann_info``.
        score_thr (float): Least score of a drawn pose.
        height (int): Height of the picture in pixels.

    Returns:
        np.ndarray: uint8 BGR.
    """
    img = cv2.imread(sample.img_path, cv2.IMREAD_COLOR
                     | cv2.IMREAD_IGNORE_ORIENTATION)
    scale = height / img.shape[0]
    img = cv2.resize(
        img, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)

    annotations = [
        ann for ann in sample.metainfo.get('raw_ann_info') or []
        if not ann.get('iscrowd', 0)
    ]
    truth = np.array([ann['keypoints'] for ann in annotations])
    truth = truth.reshape(len(annotations), -1, 3)
    pred = sample.pred_instances
    kept = pred.bbox_scores >= score_thr
    pictures = []
    for keypoints, visible in ((truth[..., :2], truth[..., 2] > 0),
                               (pred.keypoints[kept],
                                np.ones(pred.keypoints[kept].shape[:2]))):
        poses = InstanceData(
            keypoints=keypoints * scale,
            keypoints_visible=visible.astype(np.float32),
            keypoint_scores=np.ones(visible.shape))
        pictures.append(
            visualizer._draw_instances_kpts(
                np.ascontiguousarray(img[..., ::-1]), poses, kpt_thr=0.5))
    return np.hstack(pictures)[..., ::-1]


@torch.no_grad()
def show(args: argparse.Namespace) -> None:
    """Predict the first images of the test set that show people."""
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    model = init_model(cfg, args.checkpoint, device='cpu')
    init_default_scope('mmpose')
    loader = dict(cfg.test_dataloader, batch_size=1, num_workers=0)
    loader['persistent_workers'] = False
    loader = Runner.build_dataloader(loader)
    visualizer = PoseLocalVisualizer(radius=3, line_width=2)
    visualizer.set_dataset_meta(loader.dataset.metainfo)

    pairs = []
    for data in loader:
        if len(pairs) == args.num_images:
            break
        if data['data_samples'][0].metainfo.get('raw_ann_info'):
            sample, = model.test_step(data)
            pairs.append(
                draw_pair(visualizer, sample, args.score_thr, args.height))
    if not pairs:
        raise ValueError(f'{args.config}: no annotated image to draw. Check '
                         'test_dataloader and --num-images.')
    width = max(pair.shape[1] for pair in pairs)
    pairs = [
        cv2.copyMakeBorder(
            pair,
            0,
            8,
            0,
            width - pair.shape[1],
            cv2.BORDER_CONSTANT,
            value=(255, 255, 255)) for pair in pairs
    ]
    if not cv2.imwrite(args.out, np.vstack(pairs)):
        raise OSError(f'{args.out} cannot be written.')


def main() -> None:
    args = parse_args()
    try:
        show(args)
    except (OSError, ValueError) as error:
        sys.exit(f'show_predictions.py: {error}')
    print(f'{args.out} written (truth left, prediction right)')


if __name__ == '__main__':
    main()
