"""What a wheel holds, and that configs are found by their names, from any
folder, in a checkout and in what pip installs."""
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import setuptools
from mmengine.utils import digit_version
from mmpose.apis import MMPoseInferencer

from projects import grouppose
from projects.grouppose import config_file
from projects.grouppose.inference import load_model, predict
from tests.helpers.bad_cases import drawn_checkpoint
from tests.helpers.tool_runs import ROOT

__all__ = ['drawn_checkpoint']  # a fixture

NAME = 'grouppose_res50_8xb2-60e_coco-800x1333'
PUBLISHED = ROOT / f'configs/body_2d_keypoint/grouppose/coco/{NAME}.py'
# In a process that knows the installed package only: the config by its name,
# its model (the backbone is not downloaded), and its data sets' description.
PROGRAM = """
import sys
from mmpose.apis import MMPoseInferencer

from projects import grouppose
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, MODELS
from projects.grouppose.config_file import read_config, shipped
from projects.grouppose.data.metainfo import load_metainfo

path = grouppose.config_path({name!r})
config = read_config({name!r})
init_default_scope('mmpose')
config.model.backbone.init_cfg = None
model = MODELS.build(config.model)
meta = load_metainfo(config.test_dataloader.dataset.metainfo)
try:
    shipped('tools')
except FileNotFoundError as error:
    print(error)
print(grouppose.__file__, path, sum(p.numel() for p in model.parameters()),
      meta['num_keypoints'], sep='\\n')
"""


def test_configs_have_names(tmp_path, monkeypatch):
    """All of them have different ones, from any folder."""
    monkeypatch.chdir(tmp_path)
    assert grouppose.config_path(NAME) == str(PUBLISHED)
    assert grouppose.config_path(f'{NAME}.py') == str(PUBLISHED)
    paths = [
        path for path in (ROOT / 'configs').rglob('*.py')
        if '_base_' not in path.parts
    ]
    assert sorted(map(grouppose.config_path,
                      (path.stem
                       for path in paths))) == sorted(map(str, paths))


@pytest.mark.parametrize('name, message', [
    ('grouppose_res50_coco', "no config named 'grouppose_res50_coco'. Similar "
     'names: .*grouppose_res50_8xb2-60e_coco-800x1333'),
    ('default_runtime', "named 'default_runtime'. (There are|Similar)"),
    ('', "named ''. There are: .*edpose_res50_coco.*, grouppose_res50_1xb2"),
])
def test_unknown_names(name, message):
    with pytest.raises(FileNotFoundError, match=message):
        grouppose.config_path(name)


def test_configs_are_read_by_name(tmp_path, monkeypatch):
    """Unless there is a file of that name; a path is no name."""
    monkeypatch.chdir(tmp_path)
    config = config_file.read_config(NAME, dict(model=dict(test_cfg=None)))
    assert config.filename == str(PUBLISHED)
    assert config.model.test_cfg is None
    for wrong, message in ((f'configs/{NAME}.py', f'^configs/{NAME}.py: there '
                            'is no such config file$'),
                           ('grouppose_res50', '^grouppose_res50: there is no '
                            'such config file, and there is no config named')):
        with pytest.raises(FileNotFoundError, match=message):
            config_file.read_config(wrong)
    Path(NAME).write_text('')
    with pytest.raises(ValueError, match=f'{NAME}: '):
        config_file.read_config(NAME)


def test_models_are_loaded_by_name(drawn_checkpoint, tmp_path, monkeypatch):
    """From any folder, and by MMPose's inferencer from the path of one."""
    monkeypatch.chdir(tmp_path)
    name, weights = 'grouppose_tiny-res18_1xb8-6e_drawn-128', str(
        drawn_checkpoint)
    image = np.random.RandomState(0).randint(0, 256, (64, 96, 3), np.uint8)
    model = load_model(name, weights, 'cpu')
    expected, = predict(model, [image])
    inferencer = MMPoseInferencer(
        pose2d=grouppose.config_path(name),
        pose2d_weights=weights,
        device='cpu')
    people, = next(inferencer(image, bbox_thr=0))['predictions']
    np.testing.assert_allclose(
        np.array([pose['keypoints'] for pose in people]),
        expected.pred_instances.keypoints,
        atol=1e-4)


def test_what_is_shipped(tmp_path, monkeypatch):
    assert config_file.shipped('tools') == ROOT / 'tools'
    package = tmp_path / 'projects/grouppose'
    monkeypatch.setattr(config_file, 'PACKAGE', package)
    with pytest.raises(FileNotFoundError, match='came without configs: it w'):
        config_file.shipped('configs')
    (package / '.mim/configs').mkdir(parents=True)
    (package / '.mim/model-index.yml').touch()
    assert config_file.shipped('configs') == package / '.mim/configs'
    with pytest.raises(FileNotFoundError, match='has no tools: an installed'):
        config_file.shipped('tools')


def pip(*arguments) -> None:
    subprocess.run([
        sys.executable, '-m', 'pip', '--quiet', '--disable-pip-version-check',
        '--no-cache-dir', *map(str, arguments)
    ],
                   check=True,
                   timeout=300)


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """A wheel of this checkout, built in a copy: builds leave things."""
    if digit_version(setuptools.__version__) < digit_version(
            '70.1.0') and not importlib.util.find_spec('wheel'):
        pytest.skip('setuptools before 70.1 builds wheels with the package '
                    'wheel, which is not installed')
    if not importlib.util.find_spec('pip'):
        pytest.skip('pip is not installed')
    folder = tmp_path_factory.mktemp('wheel')
    source = folder / 'source'
    ignored = shutil.ignore_patterns('__pycache__')
    for name in ('projects', 'configs', 'tests/helpers', 'tools'):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ('setup.py', 'setup.cfg', 'pyproject.toml', 'MANIFEST.in',
                 'README.md', 'LICENSE', 'model-index.yml'):
        shutil.copy(ROOT / name, source)
    # Left by a build of an older version.
    stale = source / 'build/lib/projects/grouppose/.mim/configs/old.py'
    stale.parent.mkdir(parents=True)
    stale.touch()
    pip('wheel', '--no-deps', '--no-build-isolation', '--wheel-dir', folder,
        source)
    path, = folder.glob('*.whl')
    return path


def test_content_of_the_wheel(wheel):
    assert wheel.name.startswith(
        f'grouppose_mmpose-{grouppose.__version__}-py3-none-any')
    files = {
        Path(name)
        for name in zipfile.ZipFile(wheel).namelist()
        if '.dist-info/' not in name
    }
    package = Path('projects/grouppose')
    assert {file.parts[:2] for file in files} == {package.parts}
    assert package / 'py.typed' in files
    modules = {
        path.relative_to(ROOT)
        for path in (ROOT / package).rglob('*.py')
    }
    shipped = {
        package / '.mim' / path.relative_to(ROOT)
        for path in [ROOT / 'model-index.yml', *(ROOT / 'configs').rglob('*')]
        if path.is_file() and path.suffix != '.pyc'
    }
    others = {'py.typed', 'describe/report.html.jinja'}
    page = {
        path.relative_to(ROOT)
        for path in (ROOT / package / 'labeling/page').iterdir()
    }
    assert package / 'labeling/page/index.html' in page
    assert files == modules | shipped | page | {
        package / name
        for name in others
    }


def test_the_installed_wheel(wheel, tmp_path):
    """Its configs and their bases, in a folder that has nothing else."""
    target = tmp_path / 'site'
    pip('install', '--no-deps', '--no-index', '--target', target, wheel)
    folder = tmp_path / 'elsewhere'
    folder.mkdir()
    result = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c',
         PROGRAM.format(name=NAME)],
        cwd=folder,
        env=dict(os.environ, PYTHONPATH=str(target)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=300)
    assert result.returncode == 0, result.stderr
    error, module, path, size, keypoints = result.stdout.splitlines()[-5:]
    package = target / 'projects/grouppose'
    assert 'has no tools: an installed package has configs only' in error
    assert Path(module) == package / '__init__.py'
    assert Path(path) == package / '.mim' / PUBLISHED.relative_to(ROOT)
    assert (int(size), int(keypoints)) == (49_318_396, 17)
