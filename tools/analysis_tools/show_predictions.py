"""Draw what a model predicts beside the annotated truth, on the images as the
network sees them."""
import argparse
import os.path as osp
import sys

import cv2
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
sys.path.insert(0, ROOT)

from projects.grouppose import visualization  # noqa: E402
from projects.grouppose.inference import load_model  # noqa: E402


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
        '--every',
        type=int,
        default=1,
        metavar='N',
        help='take one of N images: 10 for the first, 11th, 21st (default: 1)')
    parser.add_argument(
        '--columns', type=int, default=1, help='pairs side by side (1)')
    parser.add_argument(
        '--blank',
        action='store_true',
        help='draw on gray, where the images must not be shown')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='least score of a drawn pose (default: 0.3)')
    parser.add_argument(
        '--best',
        type=int,
        metavar='N',
        help='draw at most the N best poses of an image (default: all)')
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


def check_output(path: str) -> None:
    """Refuse a picture that could not be written in the end."""
    if not cv2.haveImageWriter(path):
        raise ValueError(f'{path}: not the name of a picture. Let it end in '
                         '.png or .jpg.')
    if not osp.isdir(osp.dirname(path) or '.'):
        raise FileNotFoundError(f'{path}: there is no such folder')


@torch.no_grad()
def show(args: argparse.Namespace) -> None:
    """Predict images of the test set that show people."""
    check_output(args.out)
    if min(args.every, args.columns) < 1:
        raise ValueError('--every and --columns must be at least 1.')
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    model = load_model(cfg, args.checkpoint)
    init_default_scope('mmpose')
    loader = dict(cfg.test_dataloader, batch_size=1, num_workers=0)
    loader['persistent_workers'] = False
    loader = Runner.build_dataloader(loader)
    visualizer = visualization.PoseVisualizer(radius=3, line_width=2)
    dataset_meta = loader.dataset.metainfo
    visualizer.set_dataset_meta(dataset_meta)
    classes = [*dataset_meta.get('classes', {}).values()]

    pairs = []
    for number, data in enumerate(loader):
        if len(pairs) == args.num_images:
            break
        if number % args.every:
            continue
        sample = data['data_samples'][0]
        if visualization.annotated_poses(sample)[1].any():
            sample, = model.test_step(data)
            sample.pred_instances = sample.pred_instances[:args.best]
            if args.blank:
                data['inputs'][0].fill_(128)
            pairs.append(
                visualization.draw_pair(visualizer, data['inputs'][0], sample,
                                        args.score_thr, args.height, classes))
    if not pairs:
        raise ValueError(f'{args.config}: no annotated image to draw. Check '
                         'test_dataloader and --num-images.')
    if not cv2.imwrite(args.out,
                       visualization.stack_pictures(pairs, args.columns)):
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
