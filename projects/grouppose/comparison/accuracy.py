"""AP of every method by ``tools/test.py``, on the same images and people."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import List, NamedTuple, Optional

import mmengine
from mmengine.config import Config

from ..benchmark.measure import shorten
from .contender import Contender
from .series import TOP_DOWN

TEST = Path(__file__).resolve().parents[3] / 'tools/test.py'


class DataSet(NamedTuple):
    """Annotated images in the COCO format.

    Attributes:
        root (Path): Its folder.
        ann_file (str): Annotations, within the folder.
        images (str): Folder of the images, within the folder.
    """
    root: Path
    ann_file: str
    images: str


def measure_accuracy(contender: Contender,
                     data: DataSet,
                     folder: Path,
                     boxes: Optional[Path] = None,
                     device: str = 'cpu') -> List[dict]:
    """Evaluate a method in a process of its own.

    A top-down method gets the annotated boxes, and then those of the file.
    Its flip test, its metric and what it drops are as its config says.

    Args:
        contender (Contender): The method.
        data (DataSet): To evaluate on.
        folder (Path): Where configs, logs and metrics are left.
        boxes (Path, optional): Detections as COCO's result files have them.
        device (str): 'cpu' or 'cuda'.

    Returns:
        list[dict]: Rows with method, boxes and metrics by name, or missing,
        or failed.
    """
    if contender.checkpoint is None:
        return [dict(method=contender.name, missing='no checkpoint')]
    sources = {'none': None}
    if contender.kind == TOP_DOWN:
        sources = {'true': None}
        if boxes:
            sources['given file'] = boxes
    rows = []
    for source, file in sources.items():
        facts = dict(method=contender.name, boxes=source)
        name = re.sub(r'[^\w.-]+', '_', f'{contender.name} {source}')
        try:
            _check_keypoints(contender, data)
            # MMEngine evaluates weights that are random in part, too.
            contender.build('cpu')
            config = make_test_config(contender.read(), data, file)
            metrics = _run_test(config, contender.checkpoint, folder / name,
                                device)
        except Exception as error:  # of any model
            rows.append(dict(facts, failed=shorten(error)))
        else:
            rows.append(dict(facts, metrics=metrics))
    return rows


def make_test_config(config: Config,
                     data: DataSet,
                     boxes: Optional[Path] = None) -> Config:
    """Let a config evaluate on other images.

    Args:
        config (Config): Is changed.
        data (DataSet): The images.
        boxes (Path, optional): Of top-down methods. The annotated ones
            without.

    Returns:
        Config: The same.

    Raises:
        ValueError: If it does not say where its images are.
    """
    dataset = config.test_dataloader.dataset
    while 'dataset' in dataset:  # one around another
        dataset = dataset.dataset
    if 'ann_file' not in dataset:
        raise ValueError(f'a test data set of type {dataset.type} has no '
                         'ann_file to replace')
    dataset.update(
        data_root=str(data.root),
        ann_file=data.ann_file,
        data_prefix=dict(img=data.images))
    dataset.pop('bbox_file', None)
    if boxes:
        dataset.bbox_file = str(boxes)

    evaluators = config.test_evaluator
    if not isinstance(evaluators, (list, tuple)):
        evaluators = [evaluators]
    for evaluator in evaluators:
        if 'ann_file' in evaluator:
            evaluator.ann_file = str(data.root / data.ann_file)
    return config


def _check_keypoints(contender: Contender, data: DataSet) -> None:
    """MMPose would stop in the middle, or compare what is not the same.

    Raises:
        ValueError: If people are annotated by other keypoints than the
            method finds.
    """
    expected = contender.metainfo()['num_keypoints']
    content = json.loads((data.root / data.ann_file).read_text())
    for category in content['categories']:
        number = len(category.get('keypoints', ()))
        if number != expected:
            raise ValueError(f'finds {expected} keypoints, people in '
                             f'{Path(data.ann_file).name} have {number}')


def _run_test(config: Config, checkpoint: str, stem: Path,
              device: str) -> dict:
    """Run tools/test.py; return its metrics without the prefix.

    Of metrics with the same name, it is that of the first evaluator.

    Raises:
        RuntimeError: If it fails, with the last line of its log.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    config_file, log_file, metrics_file = [
        stem.with_name(stem.name + suffix)
        for suffix in ('.py', '.log', '.json')
    ]
    config.dump(str(config_file))
    environment = dict(os.environ)
    if device == 'cpu':
        environment['CUDA_VISIBLE_DEVICES'] = ''
    command = [
        sys.executable,
        str(TEST),
        str(config_file), checkpoint, '--out',
        str(metrics_file), '--work-dir',
        str(stem)
    ]
    with log_file.open('w') as log:
        process = subprocess.run(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment)
    if process.returncode:
        lines = log_file.read_text().strip().splitlines() or ['killed']
        raise RuntimeError(f'see {log_file.name}: {lines[-1]}')
    metrics = {}
    for name, value in mmengine.load(metrics_file).items():
        metrics.setdefault(name.rpartition('/')[2], float(value))
    return metrics
