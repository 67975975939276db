"""Draw a data set of people in the COCO keypoint format."""
import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from projects.grouppose import synthetic  # noqa: E402

LEFT, MIDDLE, RIGHT = (40, 160, 255), (80, 230, 80), (255, 140, 40)


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='The same arguments give the same files on every run.')
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument(
        '--num-train',
        type=int,
        default=2000,
        help='images to train on (default: %(default)s)')
    parser.add_argument(
        '--num-val',
        type=int,
        default=200,
        help='images to evaluate on (default: %(default)s)')
    parser.add_argument(
        '--size',
        type=int,
        default=320,
        help='pixels of the longer side, at least 64 (default: %(default)s)')
    parser.add_argument(
        '--people',
        type=int,
        nargs=2,
        metavar=('LEAST', 'MOST'),
        help='people on an image (default: 0 to 8, mostly one or two)')
    parser.add_argument(
        '--calm',
        action='store_true',
        help='images that are easier to see: larger people, at most four, '
        'little behind and in front of them, no noise')
    parser.add_argument(
        '--seed', type=int, default=0, help='default: %(default)s')
    parser.add_argument(
        '--workers', type=int, help='processes (default: all CPUs)')
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace a drawn data set that has other arguments')
    parser.add_argument(
        '--preview',
        type=Path,
        metavar='PNG',
        help='also write a sheet of samples with their annotations')
    args = parser.parse_args()
    if args.preview and args.preview.suffix.lower() not in ('.png', '.jpg'):
        parser.error(f'--preview {args.preview} must end in .png or .jpg')
    return parser, args


def draw_annotation(image, annotation, skeleton, zoom):
    """Draw the box, the skeleton and the keypoints of one person.

    Keypoints are filled circles where they are visible and hollow ones where
    they are hidden; the left side is orange, the right side is blue.
    """
    x, y, width, height = np.multiply(annotation['bbox'], zoom)
    cv2.rectangle(image, (int(x), int(y)),
                  (int(x + width) - 1, int(y + height) - 1), (0, 0, 230), 1)
    keypoints = np.array(annotation['keypoints']).reshape(-1, 3)
    spots = (keypoints[:, :2] + 0.5) * zoom - 0.5
    spots = np.rint(spots).astype(int).tolist()
    for start, end in np.array(skeleton) - 1:
        if keypoints[start, 2] and keypoints[end, 2]:
            cv2.line(image, spots[start], spots[end], MIDDLE, 1, cv2.LINE_AA)
    for i, (spot, seen) in enumerate(zip(spots, keypoints[:, 2])):
        color = MIDDLE if i == 0 else (LEFT if i % 2 else RIGHT)
        if seen:
            cv2.circle(image, spot, 3, color, -1 if seen == 2 else 1,
                       cv2.LINE_AA)


def write_preview(out, path, count=12, columns=4):
    """Write the first images of the validation split with annotations."""
    content = json.loads(synthetic.annotation_file(out, 'val').read_text())
    skeleton = content['categories'][0]['skeleton']
    images = content['images'][:count]
    side = max(max(entry['width'], entry['height']) for entry in images)
    zoom = max(1, round(640 / side))
    rows = -(-len(images) // columns)
    columns = min(columns, len(images))
    side = side * zoom + 4
    sheet = np.full((rows * side, columns * side, 3), 40, dtype=np.uint8)
    for i, entry in enumerate(images):
        image = cv2.imread(str(out / 'val' / entry['file_name']))
        image = cv2.resize(
            image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
        for annotation in content['annotations']:
            if annotation['image_id'] == entry['id']:
                draw_annotation(image, annotation, skeleton, zoom)
        top, left = i // columns * side, i % columns * side
        sheet[top:top + image.shape[0], left:left + image.shape[1]] = image
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), sheet):
        raise OSError(f'cannot write {path}')


def main():
    parser, args = parse_args()
    try:
        drawn = synthetic.draw_dataset(args.out, args.num_train, args.num_val,
                                       args.size, args.seed, args.workers,
                                       args.overwrite, args.people, args.calm)
        if args.preview:
            write_preview(args.out, args.preview)
    except (ValueError, OSError) as error:
        parser.exit(2, f'{parser.prog}: error: {error}\n')
    print(f'{args.out}: ' +
          ('drawn' if drawn else 'kept, it was drawn with these arguments'))
    for split in synthetic.SPLITS:
        path = synthetic.annotation_file(args.out, split)
        content = json.loads(path.read_text())
        print(f'  {path.relative_to(args.out)}: {len(content["images"])} '
              f'images, {len(content["annotations"])} people')
    if args.preview:
        print(f'  {args.preview}: preview')


if __name__ == '__main__':
    main()
