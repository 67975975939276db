"""Give a checkpoint other keypoints, to fine-tune it on another data set.

What a keypoint has learned goes to the keypoint of the same name. If the
description that is wanted has `classes`, each starts as the class of the same
name, or else as the mean of all, which is a person for a model of people. The
result is for `load_from` of a config, or --cfg-options load_from=DST.
"""
import argparse
import sys
from typing import Dict, List, Tuple

import conversion

from projects.grouppose.checkpoints import keypoint_transfer
from projects.grouppose.checkpoints.safe_unpickler import load_weights
from projects.grouppose.data.metainfo import load_metainfo

COCO = 'configs/_base_/datasets/coco.py'


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', help='checkpoint to read')
    parser.add_argument('dst', help='checkpoint to write')
    parser.add_argument(
        '--to-metainfo',
        required=True,
        metavar='PY',
        help='MMPose\'s description of the keypoints that are wanted, e.g. '
        'metainfo.py of describe_dataset.py')
    parser.add_argument(
        '--from-metainfo',
        default=COCO,
        metavar='PY',
        help='description of those that src was trained on (default: COCO)')
    parser.add_argument(
        '--alias',
        nargs='+',
        action='extend',
        default=[],
        metavar='NEW=OLD',
        help='take the keypoint OLD of src for NEW, where names do not tell')
    parser.add_argument(
        '--num-queries',
        type=int,
        help='model.head.num_queries of the config, if it differs from that '
        'of src; only weights of DETRPose depend on it')
    return parser.parse_args(argv)


def read_names(path: str) -> Tuple[List[str], List[str]]:
    """Names of the keypoints of a description, and of its classes."""
    metainfo = load_metainfo(dict(from_file=path))
    return (list(metainfo['keypoint_id2name'].values()),
            list(metainfo.get('classes', {}).values()))


def read_aliases(texts: List[str]) -> Dict[str, str]:
    """Aliases from the command line."""
    for text in texts:
        if '=' not in text:
            raise ValueError(f'--alias {text}: expected NEW=OLD')
    return dict(text.split('=', 1) for text in texts)


def convert(args: argparse.Namespace) -> None:
    """Read, change and write a checkpoint.

    Raises:
        OSError: If a file is missing or cannot be written.
        ValueError: If the names do not fit the checkpoint.
    """
    if args.num_queries is not None and args.num_queries < 1:
        raise ValueError(f'--num-queries {args.num_queries}: less than 1')
    source, old_classes = read_names(args.from_metainfo)
    target, classes = read_names(args.to_metainfo)
    matches = keypoint_transfer.match_keypoints(source, target,
                                                read_aliases(args.alias))
    weights = load_weights(args.src, 'state_dict')
    try:
        count = keypoint_transfer.count_keypoints(weights)
        if count != len(source):
            raise ValueError(
                f'it is for {count} keypoints, {args.from_metainfo} has '
                f'{len(source)}. Give the description of the keypoints that '
                'it was trained on by --from-metainfo.')
        weights = keypoint_transfer.change_keypoints(weights, matches)
        weights = keypoint_transfer.change_classes(weights, old_classes,
                                                   classes)
        if args.num_queries is not None:
            weights = keypoint_transfer.change_queries(weights,
                                                       args.num_queries)
    except ValueError as error:
        raise ValueError(f'{args.src}: {error}') from error
    conversion.save(dict(meta=dict(), state_dict=weights), args.dst)
    print(keypoint_transfer.format_matches(source, target, matches))
    if classes:
        print(f'  classes: {", ".join(classes)}')
    print(f'{args.dst}: {len(target)} keypoints, '
          f'{len(target) - matches.count(None)} of them known to {args.src}')


def main(argv=None) -> None:
    args = parse_args(argv)
    try:
        convert(args)
    except (OSError, ValueError) as error:
        sys.exit(f'change_keypoints.py: {error}')


if __name__ == '__main__':
    main()
