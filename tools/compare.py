"""Whole-image and top-down methods in one table: accuracy, time, memory.

    python tools/compare.py METHOD METHOD ... --out DIR

METHOD is CONFIG or CONFIG:CHECKPOINT, a config being a file, mmpose:: and the
path of one of MMPose's own, or a short name: grouppose-r50, edpose-r50,
rtmo-s, dekr-hrnet-w32, cid-hrnet-w32, yoloxpose-s, rtmpose-m, vitpose-s,
hrnet-w32 and so on. Without --data, people are drawn; nothing is downloaded.

All methods take turns. Measured are the latency by batch size and by number
of people, with and without a detector for top-down methods, what it goes to,
memory, training steps, and AP of those with a checkpoint. A method that fails
is a row with its error. DIR gets comparison.md, comparison.json and charts;
--resume goes on with a run that was interrupted.
"""
import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional, Tuple

import torch
from tqdm import tqdm

ROOT = str(Path(__file__).resolve().parents[1])
sys.path.insert(0, ROOT)

# flake8: noqa: E402
from projects.grouppose.benchmark import describe_machine
from projects.grouppose.comparison.accuracy import DataSet, measure_accuracy
from projects.grouppose.comparison.charts import draw_charts
from projects.grouppose.comparison.contender import (Contender,
                                                     find_contenders,
                                                     find_detector)
from projects.grouppose.comparison.images import load_pictures
from projects.grouppose.comparison.measure import (Settings, measure_facts,
                                                   measure_latency,
                                                   measure_memory,
                                                   measure_training)
from projects.grouppose.comparison.report import Comparison
from projects.grouppose.comparison.series import TOP_DOWN
from projects.grouppose.synthetic import draw_dataset

USUAL_PEOPLE = 5  # on an image where their number is not varied
DRAWN_IMAGES = 32


class Cell(NamedTuple):
    """What is measured in one go.

    Attributes:
        name (str): No other's.
        table (str): Of the report.
        measure (Callable): Returns the rows. Takes ``progress`` if it moves
            the bar.
        runs (int): By how much it moves the bar, 0 if it does not.
    """
    name: str
    table: str
    measure: Callable[..., List[dict]]
    runs: int = 0


def parse_args(
        argv=None) -> Tuple[argparse.ArgumentParser, argparse.Namespace]:
    """Define and read the arguments; the parser is for errors found later."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'methods',
        nargs='+',
        metavar='METHOD',
        help='ratios are to the first; one given twice tells the noise')
    parser.add_argument(
        '--out', type=Path, required=True, help='folder for the report')
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on with what DIR holds already')
    add_data_arguments(parser.add_argument_group('data'))
    add_measuring_arguments(parser.add_argument_group('measuring'))
    args = parser.parse_args(argv)

    numbers = [args.repeats, *args.people, *args.batch_sizes]
    numbers += [*(args.size or ()), args.threads or 1]
    if min(numbers) < 1 or args.warmup < 0 or args.threads == 0:
        parser.error('--repeats, --people, --batch-sizes, --size and '
                     '--threads must be 1 or more, --warmup 0 or more')
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('--device cuda: no GPU is visible')
    check_files(parser, args)
    return parser, args


def add_data_arguments(group) -> None:
    group.add_argument(
        '--data',
        type=Path,
        help='folder of a data set (default: people are drawn into DIR/data)')
    group.add_argument(
        '--ann-file',
        default='annotations/person_keypoints_val2017.json',
        help='annotations in COCO format, within the folder (%(default)s)')
    group.add_argument(
        '--images', default='val2017', help='within the folder (%(default)s)')
    group.add_argument(
        '--image-size',
        type=int,
        metavar='PIXELS',
        default=640,  # as COCO's
        help='longer side of drawn images (640)')
    group.add_argument(
        '--boxes',
        type=Path,
        metavar='FILE',
        help='detections as COCO has them, for AP of top-down methods also '
        'with other boxes than the true ones')


def add_measuring_arguments(group) -> None:
    group.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('W', 'H'),
        help='input of whole-image methods and of the detector, made a '
        'multiple of what they need (default: that of their configs)')
    group.add_argument(
        '--people',
        type=int,
        nargs='+',
        default=[1, 5, 20, 50],
        help='on an image (1 5 20 50)')
    group.add_argument(
        '--batch-sizes',
        type=int,
        nargs='+',
        default=[1, 4],
        help='images at a time (1 4)')
    group.add_argument(
        '--repeats', type=int, default=5, help='turns of each (5)')
    group.add_argument(
        '--warmup', type=int, default=1, help='turns before them (1)')
    group.add_argument(
        '--no-training', action='store_true', help='leave training out')
    group.add_argument(
        '--detector',
        default='rtmdet-m',
        metavar='CONFIG[:CHECKPOINT]',
        help='of MMDetection, for top-down methods: rtmdet-m (the default), '
        'rtmdet-nano or a config')
    group.add_argument(
        '--no-detector', action='store_true', help='leave out what boxes cost')
    group.add_argument(
        '--device',
        choices=('cpu', 'cuda'),
        default='cuda' if torch.cuda.is_available() else 'cpu')
    group.add_argument('--threads', type=int, help='threads on the CPU')


def check_files(parser: argparse.ArgumentParser,
                args: argparse.Namespace) -> None:
    """Stop before anything is measured if a file is not there."""
    paths = [args.boxes]
    if args.data:
        paths += [args.data / args.ann_file, args.data / args.images]
    for path in paths:
        if path is not None and not path.exists():
            parser.error(f'{path}: no such file or folder')


def find_data(args: argparse.Namespace) -> Tuple[DataSet, str]:
    """The given images or drawn ones, and a sentence about them."""
    if args.data:
        return (DataSet(args.data, args.ann_file,
                        args.images), f'Images are those of {args.ann_file}.')
    root, size = args.out / 'data', args.image_size
    draw_dataset(root, 1, DRAWN_IMAGES, size)
    return (DataSet(root, 'annotations/person_keypoints_val.json',
                    'val'), f'Images are drawn, {size} pixels wide or high.')


def find_methods(args: argparse.Namespace) -> tuple:
    """Contenders, the detector, if any needs it, and rows of unreadable
    methods."""
    contenders, unreadable = find_contenders(args.methods, args.size)
    if not contenders:
        raise ValueError('no method can be read: ' +
                         '; '.join(f'{row["method"]}: {row["failed"]}'
                                   for row in unreadable))
    needed = any(one.kind == TOP_DOWN for one in contenders)
    detector = None
    if needed and not args.no_detector:
        detector = find_detector(args.detector, args.size)
    return contenders, detector, unreadable


def usual_people(counts: List[int]) -> int:
    """The number of people where it is not varied."""
    return min((n for n in counts if n >= USUAL_PEOPLE), default=max(counts))


def plan(args: argparse.Namespace, contenders: List[Contender],
         detector: Optional[Contender], unreadable: List[dict],
         data: DataSet) -> List[Cell]:
    """All that is to be measured, in order."""
    settings = Settings(
        args.device, args.repeats, args.warmup,
        load_pictures(data.root / data.ann_file, data.root / data.images))
    everything = [*contenders, detector] if detector else contenders
    people = usual_people(args.people)
    cells = [
        Cell(f'facts of {one.name}', 'facts',
             partial(measure_facts, one, settings)) for one in everything
    ]
    cells.append(Cell('unreadable methods', 'facts', lambda: unreadable))

    cases = [(size, people) for size in args.batch_sizes]
    cases += [(1, count) for count in args.people]
    cells += [
        Cell(
            f'latency, batch {size}, {count} people', 'latency',
            partial(measure_latency, contenders, detector, size, count,
                    settings),
            len(everything) * settings.runs)
        for size, count in dict.fromkeys(cases)
    ]
    cells += [
        Cell(f'memory of {one.name}', 'memory',
             partial(measure_memory, one, 1, people, settings))
        for one in everything
    ]
    if not args.no_training:
        cells.append(
            Cell(
                'training', 'training',
                partial(measure_training, contenders, min(args.batch_sizes),
                        people, settings),
                len(contenders) * settings.runs))
    cells += [
        Cell(
            f'accuracy of {one.name}', 'accuracy',
            partial(measure_accuracy, one, data, args.out / 'accuracy',
                    args.boxes, args.device)) for one in contenders
    ]
    return cells


def prepare(args: argparse.Namespace) -> Tuple[Comparison, List[Cell]]:
    """Find all that is needed, and what was measured before.

    Raises:
        ValueError: If it is not there, or other than it has to be.
    """
    contenders, detector, unreadable = find_methods(args)
    args.out.mkdir(parents=True, exist_ok=True)
    data, sentence = find_data(args)
    cells = plan(args, contenders, detector, unreadable, data)
    settings = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(args).items() if name not in ('out', 'resume')
    }
    kinds = {one.name: one.kind for one in (*contenders, detector) if one}
    comparison = Comparison(args.out, describe_machine(), settings, kinds,
                            usual_people(args.people), min(args.batch_sizes),
                            sentence, [cell.name for cell in cells])
    if args.resume:
        comparison.resume()
    elif comparison.path.exists():
        raise ValueError(f'{comparison.path}: there already. Give --resume to '
                         'go on with it, or another folder')
    return comparison, cells


def measure_all(cells: List[Cell], comparison: Comparison) -> None:
    """Measure what has not been measured yet."""
    done, end = comparison.content['done'], 0
    total = sum(cell.runs or 1 for cell in cells)
    # A log gets a line now and then.
    interval = 0.1 if sys.stderr.isatty() else 10
    with tqdm(total=total, mininterval=interval) as progress:
        for cell in cells:
            progress.set_description(cell.name, refresh=False)
            if cell.name not in done:
                options = dict(progress=progress) if cell.runs else {}
                comparison.add(cell.name, cell.table, cell.measure(**options))
            end += cell.runs or 1
            progress.update(end - progress.n)


def main(argv=None) -> None:
    parser, args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        comparison, cells = prepare(args)
    except (ValueError, FileExistsError) as error:
        parser.error(str(error))
    try:
        measure_all(cells, comparison)
    except KeyboardInterrupt:
        parser.exit(130, f'interrupted; --resume goes on in {args.out}\n')
    draw_charts(comparison.content, args.out)
    comparison.write()  # with the charts
    print(comparison.markdown())
    print(f'{args.out} written: comparison.md, comparison.json, charts')
    print(f'{comparison.count_failed()} of {comparison.count_rows()} rows '
          'failed')


if __name__ == '__main__':
    main()
