"""What the tables of bad files share: a model, a data set that is right but
for one thing, and what an answer must look like."""
import json
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import torch
from mmpose.apis import init_model
from mmpose.registry import DATASETS
from PIL import Image

from projects.grouppose.inference import load_model
from tests.helpers.models import build_small_model

WIDTH, HEIGHT = 60, 50
NULL = object()
PIPELINE = [
    dict(type='LoadPoseImage'),
    dict(type='PoseInstanceFilter'),
    dict(type='PoseResize', short_side=32),
    dict(type='GenerateTarget', encoder=dict(type='OKSKeypointCodec')),
    dict(type='PackPoseInputs'),
]


def table(arguments: str, rows: list):
    """Make a test of each row of a table, which starts with its name.

    Args:
        arguments (str): What the other columns are called in the test.
        rows (list[tuple]): The table.
    """
    return pytest.mark.parametrize(
        arguments, [pytest.param(*values, id=name) for name, *values in rows])


def answer(act: Callable, expected):
    """Call something that may refuse.

    Args:
        act (Callable): What a user does.
        expected: A text if it must be refused, a pattern of the message; all
            else means that it must not.

    Returns:
        What it returns, None if it was refused.
    """
    if not isinstance(expected, str):
        return act()
    with pytest.raises((OSError, ValueError), match=expected) as caught:
        act()
    assert len(str(caught.value)) < 1000
    return None


def person(ann_id: int = 1, **changes) -> dict:
    """An annotation of image 1; fields that are None are missing, those that
    are NULL say null."""
    ann = dict(
        id=ann_id,
        image_id=1,
        category_id=1,
        iscrowd=0,
        bbox=[5, 5, 30, 40],
        area=700,
        keypoints=[10, 20, 2] * 17,
        num_keypoints=17)
    ann.update(changes)
    return {
        key: None if value is NULL else value
        for key, value in ann.items() if value is not None
    }


def image_entry(image_id: int = 1, **changes) -> dict:
    """An entry of `images`."""
    entry = dict(
        id=image_id, file_name=f'{image_id}.png', width=WIDTH, height=HEIGHT)
    return dict(entry, **changes)


def dataset_config(folder: Path, people=None, images=None, **changes) -> dict:
    """Write the images 1 and 2 and ann.json; give the config that reads them.

    Args:
        folder (Path): Where to write.
        people (list[dict], optional): Annotations. Defaults to one.
        images (list[dict], optional): Entries. Defaults to both images.
        changes: Of the data set's config.
    """
    for image_id in (1, 2):
        pixels = np.full((HEIGHT, WIDTH, 3), image_id, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f'{image_id}.png')
    content = dict(
        images=images or [image_entry(1), image_entry(2)],
        annotations=[person()] if people is None else people,
        categories=[dict(id=1, name='person')])
    (folder / 'ann.json').write_text(json.dumps(content))
    dataset = dict(
        type='CocoDataset',
        data_mode='bottomup',
        data_root=str(folder),
        ann_file='ann.json',
        pipeline=PIPELINE)
    return dict(type='PoseImageDataset', dataset=dict(dataset, **changes))


def train_once(model: torch.nn.Module, config: dict) -> list:
    """Build a data set and compute losses of all of its images.

    Args:
        model (nn.Module): To train.
        config (dict): Of the data set.

    Returns:
        list: Each image as the model gets it. Losses and gradients were
        finite.
    """
    dataset = DATASETS.build(config)
    items = [dataset[i] for i in range(len(dataset))]
    batch = {
        key: [item[key] for item in items]
        for key in ('inputs', 'data_samples')
    }
    model.train()
    data = model.data_preprocessor(batch, training=True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    model.zero_grad()
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert loss.isfinite() and all(g.isfinite().all() for g in gradients)
    return items


def make_checkpoint(config: Path, path: Path) -> Path:
    """Save weights that nothing was learned with."""
    torch.manual_seed(0)
    model = init_model(str(config), device='cpu')
    torch.save(dict(meta=dict(), state_dict=model.state_dict()), path)
    return path


@pytest.fixture(scope='session')
def drawn_checkpoint(drawn_config, tmp_path_factory):
    """Weights for the model of drawn_config."""
    folder = tmp_path_factory.mktemp('weights')
    return make_checkpoint(drawn_config, folder / 'model.pth')


@pytest.fixture(scope='session')
def drawn_model(drawn_config, drawn_checkpoint):
    """That model, for inference."""
    return load_model(str(drawn_config), str(drawn_checkpoint), 'cpu')


@pytest.fixture(scope='session')
def trained_model():
    """A model of 17 keypoints to train, as small as can be."""
    return build_small_model(17, num_queries=4, decoder=dict(num_layers=1))
