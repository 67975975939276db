"""The model zoo lists every published model as its page does."""
import os.path as osp
import re
from glob import glob

import pytest
import yaml
from mmengine.config import Config

from tests.helpers.detrpose import DETRPOSE_DIR
from tests.helpers.models import CONFIG_DIR

FOLDERS = dict(grouppose=CONFIG_DIR, detrpose=DETRPOSE_DIR)
# What the authors have published.
COLUMNS = {
    ('grouppose', 'coco'): ['AP', 'AP@0.5', 'AP@0.75', 'AP (M)', 'AP (L)'],
    ('grouppose', 'crowdpose'):
    ['AP', 'AP@0.5', 'AP@0.75', 'AP (E)', 'AP (M)', 'AP (H)'],
    ('detrpose', 'coco'): ['AP', 'AP@0.5', 'AP@0.75', 'AR', 'AR@0.5'],
    ('detrpose', 'crowdpose'):
    ['AP', 'AP@0.5', 'AP@0.75', 'AP (E)', 'AP (M)', 'AP (H)']
}


def read(path: str) -> dict:
    with open(path) as file:
        return yaml.safe_load(file)


METAFILES = read('model-index.yml')['Import']
MODELS = [model for path in METAFILES for model in read(path)['Models']]


@pytest.mark.parametrize('model', MODELS, ids=lambda model: model['Name'])
def test_entry_is_true(model):
    folder, name = osp.split(model['Config'])
    assert osp.exists(model['Config'])
    assert name == model['Name'] + '.py'
    method, dataset = folder.split('/')[-2:]
    results, = model['Results']
    assert results['Dataset'].lower() == dataset
    assert list(results['Metrics']) == COLUMNS[method, dataset]
    assert all(0 < value < 1 for value in results['Metrics'].values())

    # the same numbers stand on the page
    with open(osp.join(folder, 'README.md')) as file:
        row, = [line for line in file if '| [' in line and name in line]
    numbers = re.findall(r'\| (\d\d\.\d) (?=\|)', row)
    assert [float(number) for number in numbers] \
        == [pytest.approx(100 * v) for v in results['Metrics'].values()]


def test_collection_is_defined():
    collections = [
        collection['Name'] for path in METAFILES
        for collection in read(path).get('Collections', [])
    ]
    assert collections == ['Group Pose', 'DETRPose']
    assert {model['In Collection'] for model in MODELS} == set(collections)


@pytest.mark.parametrize('method, dataset', COLUMNS)
def test_every_config_is_on_the_page(method, dataset):
    folder = f'{FOLDERS[method]}{dataset}/'
    configs = glob(f'{folder}*-800x1333.py') + glob(f'{folder}*-640.py')
    assert len(configs) >= 3
    with open(f'{folder}README.md') as file:
        page = file.read()
    for path in configs:
        assert f']({osp.basename(path)})' in page
    listed = {
        model['Config']
        for model in MODELS if model['Config'].startswith(folder)
    }
    published = re.findall(r'^\| \[.*?\]\((.*?)\)', page, re.MULTILINE)
    assert listed == {folder + name for name in published}


def test_links_and_commands_name_files_that_exist():
    pages = sum([glob(path + '*/README.md') for path in FOLDERS.values()], [])
    for page in pages:
        with open(page) as file:
            text = file.read()
        for link in re.findall(r'\]\((?!https?:)(.*?)\)', text):
            assert osp.exists(osp.join(osp.dirname(page), link)), link
        for path in re.findall(r'(?:tools|configs)/[\w/.-]+\.(?:py|sh)', text):
            assert osp.exists(path), path


@pytest.mark.parametrize('path', glob(CONFIG_DIR + 'c*/*-800x1333.py'))
def test_recipe_follows_its_name(path):
    """The name tells devices, batch, batches per update, epochs and data."""
    devices, batch, batches, epochs, dataset = re.search(
        r'_(\d+)xb(\d+)-(?:accum(\d+)-)?(\d+)e_(?:aic-)?(coco|crowdpose)'
        r'-800x1333.py', path).groups()
    batches = int(batches or 1)
    config = Config.fromfile(path)
    assert config.train_dataloader.batch_size == int(batch)
    assert config.test_dataloader.batch_size == int(batch)
    assert config.optim_wrapper.get('accumulative_counts', 1) == batches
    assert int(devices) * int(batch) * batches \
        == config.auto_scale_lr.base_batch_size
    assert config.train_cfg.max_epochs == int(epochs)
    assert config.param_scheduler[0].milestones == [int(epochs) - 10]
    assert config.default_hooks.checkpoint.save_best == f'{dataset}/AP'
    info = f'configs/_base_/datasets/{dataset}.py'
    for part in (config.model.head.data_decoder,
                 config.train_dataloader.dataset,
                 config.val_dataloader.dataset,
                 config.test_dataloader.dataset):
        assert part.metainfo.from_file == info
    assert config.val_dataloader == config.test_dataloader
    assert config.val_evaluator == config.test_evaluator
    assert (config.test_evaluator.get('iou_type') == 'keypoints_crowd') \
        == (dataset == 'crowdpose')
