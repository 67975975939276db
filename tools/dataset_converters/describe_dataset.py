"""Describe keypoint annotations for training, and say what looks wrong in
them.

They may be COCO keypoints, YOLO pose, CVAT for images, Label Studio's JSON,
SLEAP, DeepLabCut's CSV or labelme: a file, a folder or a zip archive. The
content decides, not the name.

Writes into OUT: metainfo.py, MMPose's description of the keypoints; config.py,
to train and evaluate with; report.md, what looks wrong, and report.html, the
same with pictures, counts and sizes, for a browser; train.json, val.json and
test.json where files are divided, filtered or brought to COCO's form;
annotations/*.json, what was read from another format than COCO; and images/,
what was inside an archive or a SLEAP file.
"""
import argparse
import sys
from pathlib import Path
from typing import List

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from projects.grouppose.describe import describe, to_coco  # noqa: E402
from projects.grouppose.describe.recipes import SIZES  # noqa: E402


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='Exit code: 0, also with warnings; 1 if training would refuse '
        'the data,\nand then only the reports are written; 2 if there is none.'
    )
    parser.add_argument(
        'ann_file',
        metavar='PATH',
        help='keypoint annotations: a COCO file, or what another tool writes')
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        help='folder to write to; its name becomes that of the data set')
    parser.add_argument(
        '--images',
        help='folder of the images (default: that of PATH). Of the names in '
        'other formats than COCO the longest end counts that exists in it')
    parser.add_argument(
        '--val-ann',
        help='annotations to evaluate on (default: the part that PATH '
        'names so, or a share of it)')
    parser.add_argument(
        '--val-images', help='folder of their images (default: --images)')
    parser.add_argument(
        '--test-ann',
        help='annotations to evaluate on after training, with tools/test.py '
        '(default: the part that PATH names so, or those of --val-ann)')
    parser.add_argument(
        '--test-images', help='folder of their images (default: --images)')
    parser.add_argument(
        '--val-part',
        type=_share,
        default=0.1,
        help='part of the images to evaluate on without --val-ann (default: '
        '%(default)s)')
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='seed of that split (default: %(default)s)')
    parser.add_argument(
        '--group-by',
        metavar='image|folder|video|REGEX',
        help='what that split keeps together: images of a folder or of a '
        'video (the name without the number at its end), or of what the '
        'group of a regular expression finds in `file_name`, such as '
        '"^(subject[0-9]+)" (default: video where file names look like those '
        'of frames, else image)')
    categories = parser.add_mutually_exclusive_group()
    categories.add_argument(
        '--category',
        metavar='NAME',
        help='keep the annotations of this category only (default: all; '
        'several become classes of one model)')
    categories.add_argument(
        '--one-class',
        action='store_true',
        help='take all categories for the same thing')
    parser.add_argument(
        '--skip-missing',
        action='store_true',
        help='leave out images that have no file, instead of refusing them')
    parser.add_argument(
        '--redundant',
        metavar='JSON',
        help='annotations of the same people by others, to measure sigmas')
    parser.add_argument(
        '--metainfo',
        metavar='NAME|FILE',
        help="description of the keypoints that replaces PATH's: one of "
        "MMPose's by its name, such as wflw, or a file like the metainfo.py "
        'that this program writes. Such a file is Python, and is executed: '
        'give only one that you trust')
    parser.add_argument(
        '--size',
        choices=SIZES,
        default='medium',
        help='small: Group Pose that learns in minutes on a CPU, 128 pixels; '
        'medium: DETRPose-S for a GPU, 640 pixels; published: Group Pose '
        'with ResNet-50 as in the paper, 800 x 1333 pixels (default: '
        '%(default)s)')
    parser.add_argument(
        '--small',
        action='store_const',
        const='small',
        dest='size',
        help='the same as --size small')
    parser.add_argument(
        '--epochs',
        type=_count,
        help='epochs to train for (default: those of the base config, or more '
        'where images are few)')
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace metainfo.py and config.py of OUT, which may hold edits')
    return parser.parse_args(argv)


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f'{text} is not between 0 and 1')
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'{text} is less than 1')
    return value


def _refuse_existing(folder: Path) -> None:
    """Stop rather than replace files that a user may have edited."""
    for name in ('metainfo.py', 'config.py'):
        if (folder / name).exists():
            raise FileExistsError(
                f'{folder / name} exists and may hold your edits. Choose '
                'another --out, or replace it with --overwrite.')


def _convert(args: dict, folder: Path) -> List[str]:
    """Write what is not COCO as COCO, in place of the arguments; answer with
    what there is to know about it."""
    train = to_coco(args['ann_file'], folder, args['images'])
    notes = list(train.notes)
    args.update(ann_file=train.train, images=train.images)
    for split, part in (('val', train.val), ('test', train.test)):
        ann, images = f'{split}_ann', f'{split}_images'
        if args[ann] is None:
            args[ann] = part
            continue
        given = to_coco(args[ann], folder, args[images] or args['images'],
                        split)
        args.update({ann: given.train, images: given.images})
        notes += given.notes
    return notes


def main(argv=None) -> None:
    args = vars(parse_args(argv))
    folder, overwrite = args.pop('out'), args.pop('overwrite')
    try:
        if not overwrite:
            _refuse_existing(folder)
        notes = _convert(args, folder)
        result = describe(folder=folder, notes=notes, **args)
        print(result.report)
        written = result.write(folder)
    except (ImportError, OSError, ValueError) as error:
        print(f'describe_dataset.py: {error}', file=sys.stderr)
        sys.exit(2)
    print('Written: ' + ', '.join(map(str, written)))
    if not result.ready:
        print(
            'describe_dataset.py: training would refuse this data; correct '
            'the errors above and run again.',
            file=sys.stderr)
        sys.exit(1)
    config = folder / 'config.py'
    print(f'Train: python tools/train.py {config}')


if __name__ == '__main__':
    main()
