"""Say which errors predicted poses have, and what AP would be without them.

RESULT holds the poses of the images of ANN, as this writes them:

  python tools/test.py CONFIG CHECKPOINT --cfg-options \\
      test_evaluator.outfile_prefix=PREFIX    # to PREFIX.keypoints.json

or tools/infer.py (predictions.json). An image without a pose counts as one
where nobody was found.

Each pose belongs to the person with whom it has the highest OKS, of at least
0.1, as by COCO's metric, the best pose first. With similarity the OKS of a
single keypoint, the labeled keypoints of found people are

  good       similarity to the right place of at least 0.85
  jitter     similar to the right place (at least 0.5)
  inversion  more similar to the mirrored keypoint of the same person
  swap       more similar to that keypoint or the mirrored one of another one
  miss       similar to none of these

(Ronchi and Perona, ICCV 2017). People are missed, or doubled: a further pose
has an OKS of at least 0.1. All other poses are background. As for COCO, crowd
regions, people without labeled keypoints, and their poses do not count.
"""
import argparse
import json
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import List, Tuple

import numpy as np
from xtcocotools.coco import COCO

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from projects.grouppose.config_file import read_config  # noqa: E402
from projects.grouppose.data import repairs  # noqa: E402
from projects.grouppose.data import annotations, metainfo  # noqa: E402
from projects.grouppose.evaluation import coco_eval  # noqa: E402
from projects.grouppose.evaluation import error_gains  # noqa: E402
from projects.grouppose.evaluation import error_kinds  # noqa: E402
from projects.grouppose.evaluation import error_rates  # noqa: E402
from projects.grouppose.evaluation import error_report  # noqa: E402
from projects.grouppose.evaluation import multi_dataset  # noqa: E402
from projects.grouppose.evaluation import result_file  # noqa: E402

COCO_METAINFO = 'configs/_base_/datasets/coco.py'


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('result', help='poses, COCO results JSON')
    parser.add_argument('ann', help='COCO keypoint annotations of the images')
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        '--metainfo',
        default=COCO_METAINFO,
        metavar='FILE',
        help='sigmas, flip pairs and classes of the keypoints, also one of '
        "MMPose's (default: %(default)s)")
    source.add_argument(
        '--config',
        help='take the metainfo of its test data set, and what its '
        'test_evaluator says of use_area, max_dets, iou_type and classes')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help='write errors.md, errors.json and errors.png there (default: '
        'only print)')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=-np.inf,
        help='leave out poses with a lower score (default: keep all, as AP '
        'does; those of a low score are mostly background, but cost little '
        'AP)')
    parser.add_argument(
        '--samples',
        type=int,
        default=1000,
        help='how often to draw the images for the intervals '
        '(default: %(default)s)')
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='of these draws (default: %(default)s)')
    args = parser.parse_args(argv)
    if args.samples < 1:
        parser.error(f'--samples must be at least 1, got {args.samples}')
    return args


def read_settings(args: argparse.Namespace) -> Tuple[dict, dict]:
    """The metainfo, and the settings of the metric."""
    if args.config is None:
        with warnings.catch_warnings():  # of where MMPose's own files are
            warnings.simplefilter('ignore')
            return metainfo.load_metainfo(dict(from_file=args.metainfo)), {}
    cfg = read_config(args.config)
    evaluator = cfg.get('test_evaluator')
    if not isinstance(evaluator, dict) or 'test_dataloader' not in cfg:
        raise ValueError(
            f'{args.config}: it must have a `test_dataloader` and one '
            '`test_evaluator`. Give another one, or --metainfo.')
    info = multi_dataset.find_metainfo(cfg.test_dataloader.dataset)
    return metainfo.load_metainfo(info), dict(evaluator)


def read_people(path: str, meta: dict, class_agnostic: bool) -> COCO:
    """Annotations, checked and completed as for the metric."""
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path}: there is no such annotation file.')
    content, _ = repairs.load_annotations(path)
    annotations.check_annotations(
        content,
        path,
        for_training=False,
        class_agnostic=class_agnostic,
        classes=None if class_agnostic else meta['classes'])
    annotations.complete_annotations(content, class_agnostic)
    if not content['images']:
        raise ValueError(f'{path}: `images` is empty. Give the annotations of '
                         'the images of which RESULT holds poses.')
    wanted = meta['num_keypoints']
    for ann in content['annotations']:
        if len(ann['keypoints']) != 3 * wanted:
            raise ValueError(
                f'{path}: {len(ann["keypoints"]) // 3} keypoints per object, '
                f'but {wanted} in the metainfo {meta["dataset_name"]!r}. Give '
                'the metainfo of these annotations by --metainfo or --config.')
    coco = COCO()
    coco.dataset = content
    coco.createIndex()
    return coco


def choose_area(coco: COCO, settings: dict, notes: List[str]) -> bool:
    """Whether to take the annotated areas, which all people must have."""
    use_area = settings.get('use_area', True)
    lacking = sum(not ann.get('area', 0) > 0 for ann in coco.anns.values()
                  if ann['num_keypoints'] and not ann['iscrowd'])
    if use_area and not lacking:
        return True
    reason = f'{lacking} people have no positive `area`' if use_area else \
        'the config has `use_area=False`'
    notes.append(f'Areas are 0.53 of the boxes: {reason}.')
    return False


def explain(args: argparse.Namespace) -> error_report.ErrorReport:
    """Read the files, match the poses, and count the errors."""
    meta, settings = read_settings(args)
    classes = meta.get('classes', {})
    if settings.get('class_agnostic') or \
            settings.get('type') == 'ClassAgnosticCocoMetric':
        classes = {}
    if not np.greater(meta['sigmas'], 0).all():
        raise ValueError(f'{meta["dataset_name"]}: `sigmas` of the metainfo '
                         f'must be positive. {metainfo.SIGMAS_HINT}')
    with redirect_stdout(None):  # in which COCO's reader says what it does
        coco = read_people(args.ann, meta, class_agnostic=not classes)
    results = result_file.read_results(args.result, coco.imgs,
                                       meta['num_keypoints'], args.ann)
    for entry in results:
        if not classes:
            entry['category_id'] = annotations.CATEGORY_ID
        elif entry['category_id'] not in classes:
            raise ValueError(
                f'{args.result}: `category_id` {entry["category_id"]} is none '
                f'of the `classes` of the metainfo, {classes}.')
    most = max(coco_eval.count_people(coco).values(), default=0)
    max_dets = settings.get('max_dets', coco_eval.COCO_MAX_DETS)
    max_dets = max_dets or max(coco_eval.COCO_MAX_DETS, most)
    limit = f' with a score of at least {args.score_thr:g}' if np.isfinite(
        args.score_thr) else ''
    notes = [
        f'Of {args.ann}, with sigmas of {meta["dataset_name"]}, and of each '
        f'image the best {max_dets} poses{limit}.'
    ]
    use_area = choose_area(coco, settings, notes)
    fields = sorted(result_file.FIELDS)
    with redirect_stdout(None):
        poses = coco.loadRes([{
            field: entry[field]
            for field in fields
        } for entry in results if entry['score'] >= args.score_thr])
    evaluation = error_kinds.ErrorEvaluation(
        coco,
        poses,
        meta,
        use_area,
        settings.get('iou_type', 'keypoints'),
        max_dets=max_dets,
        classes=classes)
    evaluation.evaluate()
    errors = evaluation.find_errors()
    notes += describe(evaluation, errors)
    names = [meta['keypoint_id2name'][i] for i in range(len(meta['sigmas']))]
    groups = error_rates.count_errors(errors, names, args.samples, args.seed)
    gains = error_gains.find_gains(evaluation, errors) if errors.people else {}
    return error_report.ErrorReport(f'Errors of {args.result}', groups,
                                    evaluation.average_precision(), gains,
                                    notes)


def describe(evaluation: error_kinds.ErrorEvaluation,
             errors: error_kinds.PoseErrors) -> List[str]:
    """What a reader of the numbers must know."""
    people = len(errors.people)
    notes = [
        f'{len(errors.crowding)} images show {errors.crowding.sum()} people, '
        f'{people} of them with labeled keypoints.'
    ]
    tried = {pose['image_id'] for pose in evaluation.cocoDt.anns.values()}
    empty = sum(evaluation.params.imgIds[i] not in tried
                for i in {*errors.images.tolist()})
    if empty:
        notes.append(f'{empty} images with people have no pose. If they were '
                     'not run, take them out of the annotations.')
    if not people:
        notes.append('Nobody has labeled keypoints, so there is no AP, and '
                     'all poses that count are background.')
    if (evaluation.flip_indices == np.arange(len(evaluation.sigmas))).all():
        notes.append('No keypoint of the metainfo has a mirror partner '
                     '(`swap`), so there are no inversions.')
    return notes


def write(report: error_report.ErrorReport, folder: Path) -> None:
    """Write table, numbers and chart."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'errors.md').write_text(report.to_markdown(), encoding='utf-8')
    (folder / 'errors.json').write_text(
        json.dumps(report.to_dict(), indent=1, allow_nan=False) + '\n')
    report.draw(folder / 'errors.png')


def main(argv=None) -> None:
    args = parse_args(argv)
    try:
        report = explain(args)
        print(report.to_markdown(), end='')
        if args.out is not None:
            write(report, args.out)
            print(f'\n{args.out}/errors.md, errors.json and errors.png '
                  'written')
    except (OSError, ValueError) as error:
        sys.exit(f'explain_errors.py: {error}')


if __name__ == '__main__':
    main()
