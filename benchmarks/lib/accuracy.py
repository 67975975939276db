"""AP of every method by ``tools/test.py``, on the same images and people."""
import json
import re
from pathlib import Path
from typing import List, NamedTuple, Optional

from mmengine.config import Config

from .configs import TOP_DOWN, evaluators_of
from .method import Method
from .tools import run_test
from .turns import shorten


class DataSet(NamedTuple):
    """Images in the COCO format: their folder, and annotations and folder of
    the images within it."""
    root: Path
    ann_file: str
    images: str


def measure_accuracy(method: Method,
                     data: DataSet,
                     folder: Path,
                     boxes: Optional[Path] = None,
                     device: str = 'cpu') -> List[dict]:
    """Evaluate a method as its config says, which leaves logs in a folder.

    A top-down method gets the annotated boxes, and then those of a file as
    COCO's result files have them.

    Returns:
        list[dict]: Rows with method, boxes and metrics by name (of the first
        evaluator that has them), or missing, or failed.
    """
    if method.checkpoint is None:
        return [dict(method=method.name, missing='no checkpoint')]
    sources = {'none': None}
    if method.kind == TOP_DOWN:
        sources = {'true': None}
        if boxes:
            sources['given file'] = boxes
    rows = []
    for source, file in sources.items():
        row = dict(method=method.name, boxes=source)
        name = re.sub(r'[^\w.-]+', '_', f'{method.name} {source}')
        try:
            _check_keypoints(method, data)
            # MMEngine evaluates weights that are random in part, too.
            method.build()
            config = make_test_config(method.read(), data, file)
            found = run_test(config, Path(method.checkpoint), folder / name,
                             device)
            row['metrics'] = {
                prefixed.rpartition('/')[2]: float(value)
                for prefixed, value in reversed(found.items())
            }
        except Exception as error:  # of any model
            row['failed'] = shorten(error)
        rows.append(row)
    return rows


def make_test_config(config: Config, data: DataSet,
                     boxes: Optional[Path]) -> Config:
    """Let a config evaluate on other images; top-down methods on the
    annotated boxes without other ones."""
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
    for evaluator in evaluators_of(config):
        if 'ann_file' in evaluator:
            evaluator.ann_file = str(data.root / data.ann_file)
    return config


def _check_keypoints(method: Method, data: DataSet) -> None:
    """Refuse people with other keypoints than the method finds: MMPose would
    stop in the middle, or compare what is not the same."""
    expected = method.metainfo()['num_keypoints']
    content = json.loads((data.root / data.ann_file).read_text())
    for category in content['categories']:
        number = len(category.get('keypoints', ()))
        if number != expected:
            raise ValueError(f'finds {expected} keypoints, people in '
                             f'{Path(data.ann_file).name} have {number}')
