"""What README.md and the pages of docs/ say is there."""
import importlib
import re

import mmengine.registry
import mmpose.registry
import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import Registry

from tests.helpers.models import build_small_model, compute_losses, make_batch
from tests.helpers.tool_runs import ROOT

PAGES = [
    ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', ROOT / 'CHANGELOG.md',
    *sorted(ROOT.glob('docs/**/*.md')), *sorted(ROOT.glob('configs/**/*.md'))
]
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]
CHANGING = ROOT / 'docs/changing.md'
# Folders of the repository that a page may name files of.
PATH = re.compile(r'(?<![\w/.-])((?:benchmarks|configs|docs|projects|'
                  r'requirements|tests|tools)/[\w./-]*\w)')
CONFIG = re.compile(
    r'\b((?:detrpose|edpose|grouppose|rtmdet|rtmo|rtmpose|vitpose)_'
    r'(?:hgnetv2|res|swin|tiny)[\w-]*\w)(?![\w*-]|\.pth)')
CONFIGS = {
    path.stem
    for folder in (ROOT / 'configs', ROOT / 'benchmarks')
    for path in folder.rglob('*.py')
}
REGISTRIES = [
    registry for module in (mmengine.registry, mmpose.registry)
    for registry in vars(module).values() if isinstance(registry, Registry)
]


def pages(function):
    return pytest.mark.parametrize('path', PAGES, ids=NAMES)(function)


def blocks(path, language: str) -> list:
    """Code blocks of a page in a language."""
    return re.findall(rf'^```{language}\n(.*?)^```', path.read_text(),
                      re.DOTALL | re.MULTILINE)


def without_code(text: str) -> str:
    return re.sub(r'^```.*?^```', '', text, flags=re.DOTALL | re.MULTILINE)


def anchors(path) -> set:
    """Anchors of the headings of a page, as GitHub and MkDocs make them."""
    headings = re.findall(r'^#+ (.*)', without_code(path.read_text()),
                          re.MULTILINE)
    return {
        re.sub(r'[^\w -]', '', heading).strip().lower().replace(' ', '-')
        for heading in headings
    }


def test_readme_is_short():
    text = (ROOT / 'README.md').read_text()
    assert len(text.splitlines()) < 125
    start = text.splitlines()[:40]
    for needed in ('bash tools/quickstart.sh', 'bash tools/run_tests.sh',
                   'we have not trained on COCO', 'docs/images/'):
        assert any(needed in line for line in start), needed


@pages
def test_links(path):
    """Every relative link leads to a file, and to a heading of it."""
    text = without_code(path.read_text())
    for link in re.findall(r'\]\((?![a-z]+:)([^)\s]+)\)', text):
        name, _, anchor = link.partition('#')
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pages
def test_named_files_exist(path):
    """But for those that a user or a data set has."""
    text = path.read_text()
    if path.name == 'CHANGELOG.md':
        text = without_code(text)
    for name in PATH.findall(text):
        if not name.startswith('configs/_base_/datasets/'):  # MMPose's
            assert (ROOT / name).exists(), name
    if path == CHANGING:  # which names them from the package on
        for name in re.findall(r'`(\w+(?:/\w+)+\.py)`', text):
            assert (ROOT / name).exists() or (ROOT / 'projects/grouppose' /
                                              name).exists(), name
    for name in CONFIG.findall(text):
        assert name in CONFIGS, name


@pages
def test_python_is_valid(path):
    """Code compiles, names what is registered, and imports what exists."""
    text = path.read_text()
    defined = re.findall(r'^class (\w+)', text, re.MULTILINE)
    for block in blocks(path, 'python'):
        compile(block, path.name, 'exec')
        for name in re.findall(r"type='(\w+)'", block):
            assert name in defined or any(
                registry.get(name) for registry in REGISTRIES), name
        for module, names in re.findall(r'^from (projects[\w.]*) import (.*)$',
                                        block, re.MULTILINE):
            module = importlib.import_module(module)
            for name in names.split(', '):
                assert hasattr(module, name), name


@pytest.fixture(scope='module')
def examples():
    """Register the classes of docs/changing.md and call its tests; answer
    with its changes of the head."""
    changes, classes = [], {}
    for block in blocks(CHANGING, 'python'):
        if not re.search(r'register_module|^model = |^def test_', block, re.M):
            continue
        if block.startswith('_base_'):
            continue
        # The model of the tests is smaller.
        block = block.replace('embed_dims=256', 'embed_dims=32')
        block = block.replace('num_levels=4', 'num_levels=3')
        # Each block imports what it needs, but for the classes of the page.
        names = dict(classes)
        exec(block, names)
        for name, value in list(names.items()):
            if getattr(value, '__module__', None) == 'builtins' and \
                    isinstance(value, type):
                classes[name] = value
            if name.startswith('test_'):
                value()
        if 'model' in names:
            changes.append(ConfigDict(names['model']['head']))
    assert len(classes) == 8
    return changes


def test_examples_of_changing_something(examples):
    """Each trains a step, with a gradient for all that it adds."""
    assert len(examples) == 5
    logged = {'loss_square', 'loss_labeled', 'noisy.loss_cls'}
    for head in examples:
        model = build_small_model(**head)
        for people in ([2, 1], [0, 0]):
            model.zero_grad()
            total, losses = compute_losses(
                model, make_batch([(64, 96), (96, 64)], people))
            total.backward()
            assert torch.isfinite(total)
            for name, parameter in model.named_parameters():
                assert parameter.grad is not None or \
                    not parameter.requires_grad, name
        logged -= set(losses)
        if head.get('criterion', {}).get('losses', {}).get('loss_square'):
            assert 'loss_kpt' not in losses
    assert not logged
    image = np.random.randint(256, size=(8, 8, 3), dtype=np.uint8)
    gray = mmpose.registry.TRANSFORMS.build(dict(type='RandomGray', prob=1.1))
    changed = gray(dict(img=image.copy()))['img']
    assert (changed[..., :1] == changed).all()
    assert not (image[..., :1] == image).all()
