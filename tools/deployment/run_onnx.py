"""Find the people in images with an exported model:
``python run_onnx.py MODEL.onnx IMAGE... --out DIR``.

Needs numpy, Pillow, and onnxruntime or openvino; neither PyTorch nor MMPose.
The file stands alone: it may be copied to where it is needed.
"""
import argparse
import json
import os
import struct
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError

DESCRIPTION = """Find the people in images with a model from export_onnx.py.

DIR/predictions.json holds all poses in COCO's result format: image_id counts
images from 1, file_name is the input, bbox is the extent of the keypoints;
category_id is 1, or that of the training data where the model tells classes
apart, with the name as category_name. Of a model with scores of joints, the
score of a keypoint is the OKS it is expected to have, and there are also
labeled_probabilities, visible_probabilities and covariances. Coordinates are
pixels of the image as a viewer shows it, turned as its EXIF data say.
DIR/visualizations holds the images with the poses drawn.

Exit code: 0 if all went well, 1 if an image could not be read or written (it
is listed, the others are done), 2 if nothing was started."""

FIELDS = ('mean', 'std', 'channel_order', 'resize', 'pad_divisor',
          'keypoint_names', 'skeleton', 'keypoint_colors', 'link_colors')
# What Pillow raises for files that are broken in one way or another.
BROKEN = (OSError, EOFError, IndexError, SyntaxError, TypeError, ValueError,
          struct.error, zlib.error, Image.DecompressionBombError)


class OnnxRuntime:
    """A model in ONNX Runtime.

    Args:
        path (str): The ONNX file.
        device (str): 'cpu', 'cuda', 'tensorrt' or another of its providers.

    Attributes:
        metadata (dict): What the file says, strings by name.
    """

    def __init__(self, path, device):
        import onnxruntime
        providers = {
            name.replace('ExecutionProvider', '').lower(): name
            for name in onnxruntime.get_available_providers()
        }
        if device not in providers:
            raise ValueError(f'--device {device}: this ONNX Runtime has '
                             f'{", ".join(sorted(providers))} only')
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            path, options, providers=[providers[device]])
        self.metadata = self.session.get_modelmeta().custom_metadata_map

    def __call__(self, inputs):
        """Compute keypoints (B, n, K, 2), scores (B, n), of a model that
        tells classes apart labels (B, n), and of one with scores of joints
        what is predicted of each (B, n, K, 5)."""
        return self.session.run(None, inputs)


class OpenVino:
    """The same in OpenVINO.

    Args:
        path (str): The ONNX file.
        device (str): 'cpu', 'gpu', 'auto' or another of its devices.
        options: Settings of the device.
    """

    def __init__(self, path, device, **options):
        import openvino
        core = openvino.Core()
        model = core.read_model(path)
        # Without the hint, some processors compute in bfloat16.
        options = dict(INFERENCE_PRECISION_HINT='f32', **options)
        # In another thread: the one that compiles gets a stack for signals
        # that is freed with the model, and dies of the next signal then.
        with ThreadPoolExecutor(1) as executor:
            self.compiled = executor.submit(core.compile_model, model,
                                            device.upper(), options).result()
        info = {}
        if model.has_rt_info(['framework']):
            info = model.get_rt_info(['framework']).value
        self.metadata = {name: str(info[name]) for name in info}

    def __call__(self, inputs):
        """Compute the same."""
        results = self.compiled(inputs)
        return [results[output] for output in self.compiled.outputs]


BACKENDS = dict(onnxruntime=OnnxRuntime, openvino=OpenVino)


class Model:
    """An exported model with what its file says about images and poses.

    Args:
        path (str): The ONNX file.
        backend (str): One of ``BACKENDS``. Defaults to 'onnxruntime'.
        device (str): As the backend calls it. Defaults to 'cpu'.

    Raises:
        ImportError: If the backend is not installed.
        ValueError: If the file is no model from ``export_onnx.py``, or there
            is no such device.
    """

    def __init__(self, path, backend='onnxruntime', device='cpu'):
        if not os.path.isfile(path):
            raise ValueError(f'{path}: no such file')
        try:
            self.run = BACKENDS[backend](path, device)
        except (ImportError, ValueError):
            raise
        except Exception as error:  # the backends' own have no other base
            raise ValueError(f'{path}: {backend} cannot load it on {device} '
                             f'({str(error).strip()})') from error
        missing = [name for name in FIELDS if name not in self.run.metadata]
        if missing:
            raise ValueError(
                f'{path}: the metadata lack {", ".join(missing)}. Export the '
                'model with tools/deployment/export_onnx.py.')
        for name in FIELDS:
            setattr(self, name, json.loads(self.run.metadata[name]))
        self.categories = json.loads(self.run.metadata.get('categories', '[]'))
        self.joint_mixture = json.loads(
            self.run.metadata.get('joint_mixture', '[[1], [1]]'))

    def predict(self, image):
        """Find the people in an image.

        Args:
            image (np.ndarray): RGB, uint8, (H, W, 3).

        Returns:
            tuple[np.ndarray]: keypoints in pixels of the image (n, K, 2),
            scores (n, ), best first, and labels (n, ), which are places in
            ``categories``. Of a model with scores of joints, also the
            probability that each is labeled, that it is labeled and visible,
            and the covariance of x and x, x and y, y and y in pixels of the
            image, (n, K, 5).
        """
        canvas, size = self.prepare(image)
        keypoints, scores, *more = self.run(
            dict(images=canvas[None], valid_sizes=np.array([size])))
        kept = scores[0] >= 0
        x, y = np.float32(image.shape[1::-1]) / np.float32(size)
        more = {values.ndim: values[0][kept] for values in more}
        labels = more.get(2, np.zeros(kept.sum(), int))
        found = keypoints[0][kept] * (x, y), scores[0][kept], labels
        if 4 not in more:
            return found
        return (*found, more[4] * (1, 1, x * x, x * y, y * y))

    def score_joints(self, poses, joints, size):
        """The OKS that joints are expected to have, times the probability
        that they are labeled. Areas of people are estimated: 0.53 of the box
        of the keypoints with 1/8 of its longer extent on each side.

        Args:
            poses (np.ndarray): From :meth:`predict`, (n, K, 2).
            joints (np.ndarray): From :meth:`predict`, (n, K, 5).
            size (tuple): Width and height of the image.

        Returns:
            np.ndarray: (n, K).
        """
        sides = poses.max(1) - poses.min(1)
        longer = sides.max(-1, keepdims=True)
        sides = np.where(longer > 2, sides + longer / 4, min(size) / 6)
        sigmas = np.array(json.loads(self.run.metadata['sigmas']))
        areas = 0.53 * sides.prod(-1)[:, None] * (2 * sigmas)**2
        xx, xy, yy = np.moveaxis(joints[..., 2:] / areas[..., None], -1, 0)
        oks = sum(weight * (scale**2 * (xx * yy - xy * xy) + scale *
                            (xx + yy) + 1)**-0.5
                  for weight, scale in zip(*self.joint_mixture))
        return joints[..., 0] * oks

    def prepare(self, image):
        """Resize, normalize and pad an image.

        Args:
            image (np.ndarray): RGB, uint8, (H, W, 3).

        Returns:
            tuple: float32 (3, h, w), and width and height without padding.
        """
        frame = self.resize.get('frame')
        old = image.shape[1::-1]
        if 'size' in self.resize:
            size = tuple(self.resize['size'])
        elif frame:
            size = fitted_size(old, frame)
        else:
            size = resized_size(old, self.resize['short_side'],
                                self.resize['max_size'])
        if size != old:
            image = Image.fromarray(image).resize(size, Image.BILINEAR)
        pixels = np.asarray(image, dtype=np.float32)
        if self.channel_order == 'bgr':
            pixels = pixels[..., ::-1]
        pixels = (pixels - np.float32(self.mean)) / np.float32(self.std)
        width, height = frame or [
            -(-side // self.pad_divisor) * self.pad_divisor for side in size
        ]
        canvas = np.zeros((3, height, width), dtype=np.float32)
        canvas[:, :size[1], :size[0]] = pixels.transpose(2, 0, 1)
        return canvas, size

    def draw(self, image, poses, labels, shown=None):
        """Draw poses, with the names of their classes if there are any.

        Args:
            image (np.ndarray): RGB, uint8, (H, W, 3).
            poses (np.ndarray): In pixels of it, (n, K, 2).
            labels (np.ndarray): From :meth:`predict`.
            shown (np.ndarray, optional): Which joints are drawn, bool,
                (n, K). Defaults to all.

        Returns:
            PIL.Image.Image: The picture.
        """
        picture = Image.fromarray(image)
        width = max(1, round(float(np.hypot(*picture.size)) / 400))
        painter = ImageDraw.Draw(picture)
        if shown is None:
            shown = np.ones(poses.shape[:2], bool)
        for pose, drawn in zip(poses.tolist(), shown):
            for (start, end), color in zip(self.skeleton, self.link_colors):
                if drawn[start] and drawn[end]:
                    painter.line([*pose[start], *pose[end]], tuple(color),
                                 width)
            for (x, y), color, one in zip(pose, self.keypoint_colors, drawn):
                radius = 1.5 * width
                if one:
                    painter.ellipse(
                        [x - radius, y - radius, x + radius, y + radius],
                        tuple(color))
        for pose, label in zip(poses, labels if self.categories else ()):
            # Letters that Pillow has no shapes for become question marks.
            name = self.categories[label]['name'].encode('latin-1', 'replace')
            painter.text(
                tuple(pose.min(0)),
                name.decode('latin-1'),
                'white',
                anchor='ls',
                stroke_width=1,
                stroke_fill='black')
        return picture


def read_image(path):
    """Read an image as a viewer shows it.

    Returns:
        np.ndarray: RGB, uint8, (H, W, 3).

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        with Image.open(path) as image:
            return np.array(_to_rgb(ImageOps.exif_transpose(image)))
    except BROKEN as error:
        unknown = isinstance(error, UnidentifiedImageError)
        reason = 'unknown format' if unknown else error
        raise ValueError(
            f'{path}: cannot be read as an image ({reason}). '
            'Replace the file, or convert it to JPEG or PNG.') from error


def _to_rgb(image):
    """Convert an image of any mode; transparent parts show white."""
    if image.mode == 'F':
        raise ValueError('floating-point pixels have no defined white')
    if image.mode.startswith('I'):
        values = np.asarray(image)
        if values.min() < 0 or values.max() >= 2**16:
            raise ValueError('more than 16 bits a pixel')
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode[-1] in 'Aa' or 'transparency' in image.info:
        image = image.convert('RGBA')
        paper = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(paper, image)
    return image.convert('RGB')


def resized_size(size, short_side, max_size):
    """Width and height of an image whose shorter side gets a length, unless
    its longer side passes a limit then. As in training: truncated."""
    width, height = size
    short, long = min(size), max(size)
    if max_size is not None and long / short * short_side > max_size:
        short_side = int(round(max_size * short / long))
        if short_side < 1:
            return (1, max_size) if width < height else (max_size, 1)
    if short == short_side:
        return width, height
    if width < height:
        return short_side, int(short_side * height / width)
    return int(short_side * width / height), short_side


def fitted_size(size, frame):
    """Width and height of an image that just fits into a frame."""
    ratio = min(frame[0] / size[0], frame[1] / size[1])
    return tuple(
        min(limit, max(1, round(side * ratio)))
        for side, limit in zip(size, frame))


def coco_results(poses,
                 scores,
                 labels,
                 categories,
                 joints=None,
                 joint_scores=None,
                 **fields):
    """Poses in COCO's result format.

    Args:
        poses (np.ndarray): (n, K, 2).
        scores (np.ndarray): (n, ).
        labels (np.ndarray): (n, ).
        categories (list[dict]): ``id`` and ``name`` of each label, empty if
            no classes are told apart.
        joints (np.ndarray, optional): From :meth:`Model.predict`,
            (n, K, 5).
        joint_scores (np.ndarray, optional): (n, K). Defaults to those of the
            poses.
        fields: What else each entry gets, such as ``image_id``.
    """
    entries = []
    categories = [
        dict(category_id=category['id'], category_name=category['name'])
        for category in categories
    ] or [dict(category_id=1)]
    if joint_scores is None:
        joint_scores = [[score] * poses.shape[1] for score in scores]
    for i, (pose, score, label) in enumerate(zip(poses, scores, labels)):
        low, high = pose.min(0), pose.max(0)
        rows = np.column_stack([pose.round(2), joint_scores[i]])
        more = {}
        if joints is not None:
            more = dict(
                labeled_probabilities=_rounded(joints[i, :, 0], 4),
                visible_probabilities=_rounded(joints[i, :, 1], 4),
                covariances=[_rounded(terms, 4) for terms in joints[i, :, 2:]])
        entries.append(
            dict(
                fields,
                **categories[label],
                keypoints=_rounded(rows.ravel(), 4),
                score=round(float(score), 4),
                bbox=_rounded(np.concatenate([low, high - low]), 2),
                **more))
    return entries


def _rounded(values, digits):
    return [round(float(value), digits) for value in values]


def picture_path(folder, source, taken):
    """Where the picture of an image goes: ``a.jpg``, then ``a-2.jpg``.

    Args:
        folder (str): For the pictures.
        source (str): The image.
        taken (set): Files that must not be written, see :func:`file_key`; it
            gets the new one.
    """
    stem, suffix = os.path.splitext(os.path.basename(source))
    suffix = suffix if suffix.lower() in ('.jpg', '.jpeg') else '.png'
    number, path = 1, os.path.join(folder, stem + suffix)
    while file_key(path) in taken:
        number += 1
        path = os.path.join(folder, f'{stem}-{number}{suffix}')
    taken.add(file_key(path))
    return path


def file_key(path):
    """The same for all names of a file, on any file system."""
    return os.path.realpath(path).casefold()


def parse_args(argv=None):
    """Define and read the arguments."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', help='ONNX file from export_onnx.py')
    parser.add_argument('images', nargs='+', metavar='IMAGE')
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='folder for the results')
    parser.add_argument(
        '--backend',
        choices=sorted(BACKENDS),
        default='onnxruntime',
        help='(default: onnxruntime)')
    parser.add_argument(
        '--device',
        type=str.lower,
        default='cpu',
        help='as the backend calls it: cpu, cuda, gpu (default: cpu)')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='least score of a pose that is written and drawn (default: 0.3)')
    parser.add_argument(
        '--joint-thr',
        type=float,
        default=0.0,
        help='least score of a keypoint that is drawn, of a model with scores '
        'of joints (default: 0)')
    parser.add_argument(
        '--no-pictures', action='store_true', help='write the JSON file only')
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace the results of an earlier run in DIR, file by file')
    return parser, parser.parse_args(argv)


def main(argv=None):
    """Run the program.

    Returns:
        int: Exit code, see DESCRIPTION.
    """
    parser, args = parse_args(argv)
    json_path = os.path.join(args.out, 'predictions.json')
    folder = os.path.join(args.out, 'visualizations')
    for path in (json_path, folder):
        if os.path.exists(path) and not args.overwrite:
            parser.error(f'{path} exists, perhaps from an earlier run; choose '
                         'another --out, or replace it with --overwrite')
    try:
        model = Model(args.model, args.backend, args.device)
        os.makedirs(args.out if args.no_pictures else folder, exist_ok=True)
    except ImportError as error:
        parser.error(f'{error}. Install {args.backend} with pip.')
    except (OSError, ValueError) as error:
        parser.error(str(error))

    taken = {file_key(path) for path in args.images}
    results, failures = [], []
    for number, path in enumerate(args.images, 1):
        try:
            image = read_image(path)
            poses, scores, labels, *joints = model.predict(image)
            kept = scores >= args.score_thr
            poses, labels = poses[kept], labels[kept]
            fields, shown = dict(image_id=number, file_name=path), None
            if joints:
                joints = joints[0][kept]
                joint_scores = model.score_joints(poses, joints,
                                                  image.shape[1::-1])
                fields.update(joints=joints, joint_scores=joint_scores)
                shown = joint_scores >= args.joint_thr
            results += coco_results(poses, scores[kept], labels,
                                    model.categories, **fields)
            if not args.no_pictures:
                model.draw(image, poses, labels,
                           shown).save(picture_path(folder, path, taken))
        except (OSError, ValueError) as error:
            failures.append(str(error))
    # Names that are not UTF-8 are escaped as JSON does it.
    with open(
            json_path, 'w', encoding='utf-8',
            errors='backslashreplace') as file:
        lines = [json.dumps(entry, ensure_ascii=False) for entry in results]
        file.write('\n'.join(['[', ',\n'.join(lines), ']\n']))

    print(f'{len(args.images) - len(failures)} of {len(args.images)} images, '
          f'{len(results)} poses: {args.out}')
    for failure in failures:
        print(f'failed: {failure}', file=sys.stderr)
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
