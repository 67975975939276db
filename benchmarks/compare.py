"""Whole-image and top-down methods in one report: accuracy, time, memory.

    python benchmarks/compare.py METHOD METHOD ... --out DIR

METHOD is CONFIG or CONFIG:CHECKPOINT, a config being a file, mmpose:: and the
path of one of MMPose's own, or a short name: grouppose-r50, edpose-r50,
rtmo-s, dekr-hrnet-w32, cid-hrnet-w32, yoloxpose-s, rtmpose-m, vitpose-s,
hrnet-w32 and so on (lib/zoo.yml). Without --data or --random, people are
drawn; nothing is downloaded.

All methods take turns. Measured are the latency by precision, mode, batch size
and number of people, with and without a detector for top-down methods, the
parts it goes to beside the floor that the machine sets, memory, training
steps, and AP of those with a checkpoint. A method that fails is a row with its
error. DIR gets comparison.md, comparison.json and charts; --resume goes on
with a run that was interrupted.
"""
import argparse
from functools import partial
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional, Tuple

from program import ArgumentParser, positive
from tqdm import tqdm

from benchmarks.lib.accuracy import DataSet, measure_accuracy
from benchmarks.lib.case import InferenceCase, Load, TrainingCase
from benchmarks.lib.comparison import EXPLANATION, SECTIONS
from benchmarks.lib.comparison_charts import draw_charts, show_charts
from benchmarks.lib.configs import TOP_DOWN
from benchmarks.lib.inputs import load_pictures
from benchmarks.lib.measure import measure_cases, measure_facts, measure_rates
from benchmarks.lib.method import find_detector, find_methods
from benchmarks.lib.modes import MODES, PRECISIONS
from benchmarks.lib.results import Results, Section
from projects.grouppose.synthetic import draw_dataset

USUAL_PEOPLE = 5  # on an image where their number is not varied
DRAWN_IMAGES = 32


class Step(NamedTuple):
    """What is measured in one go: its name, the table that its rows belong
    to, and what returns them."""
    name: str
    table: str
    measure: Callable[[], List[dict]]


def make_parser() -> ArgumentParser:
    """Define the arguments."""
    parser = ArgumentParser(__doc__, repeats=5)
    add = parser.add_argument
    add('methods',
        nargs='+',
        metavar='METHOD',
        help='ratios are to the first; one given twice tells the noise')
    add('--resume',
        action='store_true',
        help='go on with what DIR holds already')
    add('--data',
        type=Path,
        help='folder of a data set (default: people are drawn into DIR/data)')
    add('--ann-file',
        default='annotations/person_keypoints_val2017.json',
        help='annotations in COCO format, within the folder (%(default)s)')
    add('--images', default='val2017', help='within the folder (%(default)s)')
    add('--random',
        action='store_true',
        help='random pixels in the size of the input of each method, in place '
        'of people; no accuracy')
    add('--boxes',
        type=Path,
        metavar='FILE',
        help='detections as COCO has them, for AP of top-down methods also '
        'with other boxes than the true ones')
    parser.add_number('--image-size', 640, 'longer side of drawn images')
    add('--size',
        type=positive,
        nargs=2,
        metavar=('W', 'H'),
        help='input of whole-image methods and of the detector, made a '
        'multiple of what they need (default: that of their configs)')
    parser.add_numbers('--people', [1, 5, 20, 50], 'on an image')
    parser.add_numbers('--batch-sizes', [1, 4], 'images at a time')
    add('--precisions', nargs='+', choices=PRECISIONS, default=['fp32'])
    add('--modes',
        nargs='+',
        choices=MODES,
        default=['eager'],
        help='as the model is, prepared for inference, by torch.compile, or '
        'as a CUDA graph')
    add('--training-batch',
        type=positive,
        help='images of a training step (default: the smallest batch)')
    for name, text in (('parts', 'the time by part'),
                       ('training', 'training steps'), ('detector',
                                                        'what boxes cost')):
        add(f'--no-{name}', action='store_true', help=f'leave out {text}')
    add('--detector',
        default='rtmdet-m',
        metavar='CONFIG[:CHECKPOINT]',
        help='of MMDetection, for top-down methods: rtmdet-m (the default), '
        'rtmdet-nano or a config')
    parser.add_device()
    return parser


def find_data(args: argparse.Namespace) -> Tuple[Optional[DataSet], str]:
    """The given images, drawn ones, or none, and a sentence about them."""
    if args.random:
        return None, 'Images are random pixels, in the size of the input.'
    if args.data:
        data = DataSet(args.data.resolve(), args.ann_file, args.images)
        return data, f'Images are those of {args.ann_file}.'
    root, size = args.out.resolve() / 'data', args.image_size
    draw_dataset(root, 1, DRAWN_IMAGES, size)
    return (DataSet(root, 'annotations/person_keypoints_val.json',
                    'val'), f'Images are drawn, {size} pixels wide or high.')


def usual_people(counts: List[int]) -> int:
    """The number of people where it is not varied."""
    return min((n for n in counts if n >= USUAL_PEOPLE), default=max(counts))


def prepare(args: argparse.Namespace) -> Tuple[Results, List[Step]]:
    """Find all that is needed, and what was measured before.

    Raises:
        ValueError: If it is not there, or other than it has to be.
    """
    methods, unreadable = find_methods(args.methods, args.size)
    if not methods:
        raise ValueError('no method can be read: ' +
                         '; '.join(f'{row["method"]}: {row["failed"]}'
                                   for row in unreadable))
    detectors = []
    if any(one.kind == TOP_DOWN for one in methods) and not args.no_detector:
        detectors = [find_detector(args.detector, args.size)]
    if args.boxes and not args.boxes.is_file():
        raise ValueError(f'{args.boxes}: no such file')
    data, sentence = find_data(args)
    steps = plan(args, methods, detectors, unreadable, data)
    settings = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(args).items()
        if name not in ('out', 'resume', 'settings')
    }
    kinds = {one.name: one.kind for one in (*methods, *detectors)}
    results = Results(
        args.out / 'comparison',
        'Comparison',
        EXPLANATION.format(
            images=sentence, repeats=args.repeats, warmup=args.warmup), [
                Section('facts', describe_progress), *SECTIONS,
                Section('facts', lambda _: show_charts(args.out))
            ],
        settings=dict(settings, names=list(kinds)),
        kinds=kinds,
        people=usual_people(args.people),
        steps=[step.name for step in steps],
        rates=[])
    if args.resume:
        results.resume()
    elif results.path.exists():
        raise ValueError(f'{results.path}: there already. Give --resume to '
                         'go on with it, or another folder')
    return results, steps


def describe_progress(content: dict) -> str:
    """A sentence on a report that is not complete."""
    done, steps = len(content['done']), len(content['steps'])
    return '' if done == steps else (
        f'**Not finished: {done} of {steps} steps done.**')


def plan(args: argparse.Namespace, methods: list, detectors: list,
         unreadable: List[dict], data: Optional[DataSet]) -> List[Step]:
    """All that is to be measured, in order."""
    settings, people = args.settings, usual_people(args.people)
    pictures = data and load_pictures(data.root / data.ann_file,
                                      data.root / data.images)
    infer = partial(InferenceCase, pictures=pictures, device=settings.device)
    train = partial(TrainingCase, device=settings.device)
    everything = [*methods, *detectors]

    def cases(methods: list, load: Load, make: Callable, **options) -> partial:
        return partial(measure_cases, methods, load, make, settings, **options)

    steps = [
        Step(f'facts of {one.name}', 'facts',
             partial(measure_facts, one, infer)) for one in everything
    ]
    steps.append(Step('unreadable methods', 'facts', lambda: unreadable))
    loads = [
        Load(precision, mode, size, people) for precision in args.precisions
        for mode in args.modes for size in args.batch_sizes
    ]
    loads += [
        Load(args.precisions[0], args.modes[0], 1, n) for n in args.people
    ]
    for load in dict.fromkeys(loads):
        measure = cases(
            everything, load, infer, with_memory=load.people == people)
        steps.append(
            Step('latency, {}, {}, batch {}, people {}'.format(*load),
                 'latency', measure))
    if not args.no_parts:
        rates = partial(measure_rates, args.precisions, settings.device)
        steps.append(Step('rates', 'rates', rates))
    for precision in args.precisions:
        if not args.no_parts:
            measure = cases(
                everything,
                Load(precision, people=people),
                infer,
                measure=InferenceCase.time_parts,
                with_costs=True)
            steps.append(Step(f'parts in {precision}', 'parts', measure))
        if not args.no_training:
            size = args.training_batch or min(args.batch_sizes)
            measure = cases(
                methods,
                Load(precision, 'eager', size, people),
                train,
                measure=TrainingCase.__call__,
                with_memory=True)
            steps.append(Step(f'training in {precision}', 'training', measure))
    if data:
        boxes = args.boxes and args.boxes.resolve()
        steps += [
            Step(
                f'accuracy of {one.name}', 'accuracy',
                partial(measure_accuracy, one, data, args.out / 'accuracy',
                        boxes, settings.device)) for one in methods
        ]
    return steps


def main(argv=None) -> None:
    parser = make_parser()
    args = parser.parse_args(argv)
    try:
        results, steps = prepare(args)
    except (ValueError, FileExistsError) as error:
        parser.error(str(error))
    left = [step for step in steps if step.name not in results.content['done']]
    try:
        with tqdm(left, unit='step') as bar:
            for step in bar:
                bar.set_description(step.name)
                results.add(*step.measure(), table=step.table, step=step.name)
    except KeyboardInterrupt:
        parser.exit(130, f'interrupted; --resume goes on in {args.out}\n')
    draw_charts(results.content, args.out)
    results.write()  # with the charts
    print(results.markdown())
    rows = [
        row for table in dict.fromkeys(x.table for x in SECTIONS)
        for row in results.content[table]
    ]
    print(f'{args.out} written: comparison.md, comparison.json, charts\n'
          f'{sum("failed" in row for row in rows)} of {len(rows)} rows failed')


if __name__ == '__main__':
    main()
