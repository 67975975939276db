"""Find the people in images, videos or a camera's pictures:
``python tools/infer.py INPUT... --config C --checkpoint W --out DIR``.
"""
import threads  # noqa: F401  (before PyTorch)

# isort: split

import argparse
import os
import os.path as osp
import signal
import sys
import time

import cv2
import torch
from tqdm import tqdm

import launch
from projects.grouppose.inference import (DATASETS, DatasetFiles, ImageFile,
                                          PictureFiles, PoseDrawer, ResultFile,
                                          coco_results, find_sources,
                                          load_model, predict)
from projects.grouppose.model.joint_scores import (ellipse_radius,
                                                   find_joint_scores)

DESCRIPTION = """Find the people in images, videos or a camera's pictures.

DIR/predictions.json holds all poses in COCO's result format: image_id counts
images and frames from 1; file_name is the input, of a URL without user and
password; frame counts the frames of a video from 0; bbox is the extent of the
keypoints; category_id is 1, or that of the training data where the model tells
classes apart, with the name as category_name. Of a model with JointScores, the
score of a keypoint is the OKS it is expected to have, and there are also
labeled_probabilities, visible_probabilities and covariances. Coordinates are
pixels of the image as a viewer shows it, turned as its EXIF data say.
DIR/visualizations holds the same images and videos with the poses drawn.
With --format, DIR/dataset holds a data set of the images and poses, to be
corrected in a labeling tool and given to describe_dataset.py.
All are written as results come: Ctrl-C loses nothing.

Exit code: 0 if all went well, 1 if an input could not be read to its end (it
is listed, the others are done), 2 if nothing was started, 130 after Ctrl-C."""


def device(name):
    """Check an argument that names a device."""
    try:
        return torch.device(name)
    except RuntimeError:
        raise argparse.ArgumentTypeError(f'no such device: {name}')


def parse_args(argv=None):
    """Define and read the arguments.

    Args:
        argv (list[str], optional): Instead of the command line's.

    Returns:
        tuple: The parser, for errors found later, and the arguments.
    """
    parser = launch.ArgumentParser(DESCRIPTION)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        'inputs',
        nargs='+',
        metavar='INPUT',
        help="image, video, folder, pattern such as 'photos/**/*.jpg' (in "
        'quotes), webcam or webcam:1, URL of an image or video (http, https) '
        'or of a camera (rtsp and what else OpenCV opens)')
    parser.add_argument('--config', required=True, help='config of the model')
    parser.add_argument('--checkpoint', required=True, help='its weights')
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='folder for the results')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='least score of a pose that is written and drawn (default: 0.3)')
    parser.add_argument(
        '--device',
        type=device,
        help='cpu, cuda, cuda:1 (default: GPU if there is one, else CPU)')
    parser.add_argument(
        '--batch-size',
        type=int,
        default=1,
        help='images at a time (default: 1). More are faster on a GPU; images '
        'of different sizes then influence each other slightly through their '
        'padding')
    parser.add_argument(
        '--boxes', action='store_true', help='draw boxes around poses, too')
    parser.add_argument(
        '--joint-thr',
        type=float,
        default=0.0,
        help='least score of a keypoint that is drawn (default: 0)')
    parser.add_argument(
        '--ellipses',
        action='store_true',
        help='draw around each keypoint where it is with a probability of '
        '90 %%; the model needs JointScores')
    parser.add_argument(
        '--format',
        choices=list(DATASETS),
        help='write a data set, too: COCO keypoints, YOLO pose, or tasks of '
        'Label Studio')
    parser.add_argument(
        '--category',
        metavar='NAME',
        help='what an object is called in that data set, of a model that '
        'tells no classes apart (default: object)')
    parser.add_argument(
        '--no-pictures', action='store_true', help='draw nothing')
    parser.add_argument(
        '--show',
        action='store_true',
        help='show the pictures in a window; Esc or q ends')
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace the results of an earlier run in DIR, file by file')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=launch.Settings,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config, for instance '
        'model.test_cfg.flip_test=True')
    return parser, parser.parse_args(argv)


def check_arguments(parser, args):
    """Stop early if a number makes no sense or something is not there."""
    if args.batch_size < 1:
        parser.error(f'--batch-size must be positive, not {args.batch_size}')
    if args.device is not None and args.device.type == 'cuda':
        found = torch.cuda.device_count()
        if (args.device.index or 0) >= found:
            parser.error(f'--device {args.device}: {found} GPUs found')
    if args.show and sys.platform == 'linux' and not (
            os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')):
        parser.error('--show needs a display, and there is none')


def refuse_existing(parser, args, paths):
    """Stop rather than replace or mix up what is there."""
    for path in paths:
        if osp.exists(path) and not args.overwrite:
            parser.error(f'{path} exists, perhaps from an earlier run; choose '
                         'another --out, or replace it with --overwrite')


def read_frames(sources, failures):
    """Go through all images of all sources.

    Args:
        sources (list): From :func:`find_sources`.
        failures (dict): Gets a line for each source that cannot be read to
            its end.

    Yields:
        tuple: Source, number of the frame in it, and the image.
    """
    for source in sources:
        try:
            for index, image in enumerate(source.frames()):
                yield source, index, image
        except (OSError, ValueError) as error:
            failures[source] = str(error)


def in_batches(items, size):
    """Gather items into lists of a size; the last may be shorter."""
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


class Progress:
    """Images done and their rate: a bar on a terminal, else a few lines.

    Args:
        total (int, optional): If known.
        interval (float): Seconds between lines. Defaults to 30.
    """

    def __init__(self, total, interval=30):
        self.bar = tqdm(total=total, unit=' images', disable=None)
        self.interval = interval
        self.num_images = self.num_poses = 0
        self.start = self.last = time.monotonic()

    def update(self, num_poses):
        """Count an image more, with its poses."""
        self.num_images += 1
        self.num_poses += num_poses
        self.bar.update()
        now = time.monotonic()
        if self.bar.disable and now - self.last >= self.interval:
            self.last = now
            print(self.summary(), file=sys.stderr)

    def summary(self):
        """Tell in a line what was done so far."""
        seconds = max(time.monotonic() - self.start, 1e-9)
        total = '' if self.bar.total is None else f' of {self.bar.total}'
        return (f'{self.num_images}{total} images, {self.num_poses} poses, '
                f'{self.num_images / seconds:.1f} images/s')


def show(picture):
    """Show a picture; tell whether the user wants to see more."""
    cv2.imshow('infer.py', picture)
    return cv2.waitKey(1) & 0xFF not in (27, ord('q'))


def infer(args, model, drawer, frames, results, files, dataset, progress,
          failures):
    """Predict all images, and write what is found.

    Args:
        args (argparse.Namespace): Arguments of the program.
        model (nn.Module): From :func:`load_model`.
        drawer (PoseDrawer): For pictures of the poses.
        frames (Iterable): From :func:`read_frames`.
        results (ResultFile): For the poses.
        files (PictureFiles, optional): For pictures of them.
        dataset (DatasetFiles, optional): For a data set of them.
        progress (Progress): Counts.
        failures (dict): Gets a line for each source whose pictures cannot be
            written.
    """
    for batch in in_batches(frames, args.batch_size):
        samples = predict(model, [image for _, _, image in batch])
        for (source, index, image), sample in zip(batch, samples):
            poses = sample.pred_instances
            poses = poses[poses.bbox_scores >= args.score_thr]
            fields = dict(
                image_id=progress.num_images + 1, file_name=source.name)
            if not isinstance(source, ImageFile):
                fields['frame'] = index
            results.extend(coco_results(poses, model.dataset_meta, **fields))
            progress.update(len(poses))
            if dataset is not None:
                try:
                    dataset.add(source, index, image, poses)
                except OSError as error:
                    failures[source] = str(error)

            if files is None and not args.show:
                continue
            picture = drawer.draw(image, poses)
            if files is not None:
                try:
                    files.write(source, picture)
                except OSError as error:
                    failures[source] = str(error)
            if args.show and not show(picture):
                return


def main(argv=None):
    """Run the program.

    Returns:
        int: Exit code, see DESCRIPTION.
    """
    parser, args = parse_args(argv)
    check_arguments(parser, args)
    json_path = osp.join(args.out, 'predictions.json')
    folder = osp.join(args.out, 'visualizations')
    dataset_folder = osp.join(args.out, 'dataset')
    try:
        sources = find_sources(args.inputs)
        refuse_existing(parser, args, (json_path, folder, dataset_folder))
        model = load_model(
            launch.read_config(args.config, args.cfg_options), args.checkpoint,
            args.device)
        radius = None
        if args.ellipses:
            part = find_joint_scores(model, f'--ellipses: {args.config}')
            radius = ellipse_radius(0.9, part.mixture.tolist())
        drawer = PoseDrawer(model.dataset_meta, args.boxes, args.joint_thr,
                            radius)
        os.makedirs(args.out, exist_ok=True)
        results = ResultFile(json_path)
        files = None if args.no_pictures else PictureFiles(folder, sources)
        dataset = None if args.format is None else DatasetFiles(
            args.format, dataset_folder, model.dataset_meta, args.category)
    except (OSError, ValueError) as error:
        parser.error(str(error))

    counts = [source.num_frames for source in sources]
    progress = Progress(None if None in counts else sum(counts))
    failures = {}
    interrupted = False
    try:
        infer(args, model, drawer, read_frames(sources, failures), results,
              files, dataset, progress, failures)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        progress.bar.close()
        results.close()
        if files is not None:
            files.close()
        if dataset is not None:
            dataset.close()

    print(f'{progress.summary()}: {args.out}')
    for failure in failures.values():
        print(f'failed: {failure}', file=sys.stderr)
    if interrupted:
        print('interrupted; what was done by then is written', file=sys.stderr)
        return 130
    return 1 if failures else 0


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
