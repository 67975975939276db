"""Annotation files from their description to ONNX, and three formats from
which a model learns (``bash tools/run_slow_tests.sh``)."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.helpers.pages import code_blocks
from tests.helpers.tool_runs import ROOT, run_tool

pytestmark = pytest.mark.skipif(
    not float(os.environ.get('SLOW_TESTS', 0)),
    reason='takes minutes: bash tools/run_slow_tests.sh')

DATA = ROOT.parent / 'shared'
# Files, and where their images are; most are those of MMPose's tests.
FILES = {
    'aic': ('data/samples/aic/test_aic.json', ''),
    'ap10k': ('data/samples/ap10k/test_ap10k.json', ''),
    'coco': ('data/samples/coco/test_coco.json', ''),
    'coco_wholebody': ('data/samples/coco/test_coco_wholebody.json', ''),
    'crowdpose': ('data/samples/crowdpose/test_crowdpose.json', ''),
    'humanart': ('data/samples/humanart/test_humanart.json', ''),
    'ochuman': ('data/samples/ochuman/test_ochuman.json', ''),
    'fly': ('cases/fly/test_fly.json', ''),
    'one_point': ('cases/cvat1kp/ann.json', 'images'),
    'coco_mini':
    ('data/coco_mini/annotations/person_keypoints_val2017.json', '../val2017'),
}


def run(tool, *arguments, timeout=900):
    """Run a program that must succeed; return what it printed."""
    code, stdout, stderr = run_tool(tool, *arguments, timeout=timeout)
    assert code == 0, f'{tool} {arguments}\n{stdout[-2000:]}{stderr[-3000:]}'
    return stdout + stderr


def read_ap(work_dir):
    """AP as tools/test.py writes it."""
    path, = work_dir.glob('*/*.json')
    return json.loads(path.read_text())['coco/AP']


@pytest.mark.parametrize('name', FILES)
def test_from_description_to_onnx(tmp_path, name):
    path, images = FILES[name]
    path = DATA / path
    if not path.exists():
        pytest.skip(f'{path} is not there')
    folder = tmp_path / 'in'
    folder.mkdir()
    for source in sorted((path.parent / images).iterdir()):
        (folder / source.name).symlink_to(source)
    if not (folder / path.name).exists():
        (folder / path.name).symlink_to(path)
    if name == 'humanart':  # as its file names say
        (folder / 'HumanArt').mkdir()
        (folder / 'HumanArt/images').symlink_to(path.parent)
    out, work_dir = tmp_path / 'out', tmp_path / 'work'
    run('dataset_converters/describe_dataset.py', folder / path.name, '--out',
        out, '--size', 'small', '--epochs', '1', '--val-part', '0.3',
        '--skip-missing')
    config = out / 'config.py'
    run('train.py', config, '--work-dir', work_dir)
    weights = work_dir / 'epoch_1.pth'
    run('test.py', config, weights, '--work-dir', tmp_path / 'test')
    assert 0 <= read_ap(tmp_path / 'test') <= 1
    image = folder / json.loads(path.read_text())['images'][0]['file_name']
    run('infer.py', image, '--config', config, '--checkpoint', weights,
        '--out', tmp_path / 'poses', '--score-thr', '0')
    found = json.loads((tmp_path / 'poses/predictions.json').read_text())
    assert found
    model = tmp_path / 'model.onnx'
    run('deployment/export_onnx.py', config, weights, model)
    run('test.py', config, model, '--work-dir', tmp_path / 'onnx')
    assert read_ap(tmp_path / 'onnx') == pytest.approx(
        read_ap(tmp_path / 'test'), abs=0.01)


def write_variant(content, planes, folder):
    """COCO with nested keypoints, ids as texts, other slashes and neither
    boxes nor areas."""
    for ann in content['annotations']:
        values = ann['keypoints']
        ann.update(
            id=str(ann['id']),
            image_id=f'plane-{ann["image_id"]}',
            keypoints=[values[i:i + 3] for i in range(0, len(values), 3)])
        del ann['bbox'], ann['area']
    for image in content['images']:
        image.update(
            id=f'plane-{image["id"]}',
            file_name='images\\' + image['file_name'])
    shutil.copytree(planes / 'images', folder / 'images')
    (folder / 'planes.json').write_text(json.dumps(content))
    return folder / 'planes.json'


def write_yolo(content, planes, folder):
    """YOLO pose, with two numbers per keypoint."""
    for image in content['images']:
        part = 'val' if image['id'] % 10 == 0 else 'train'
        lines = []
        for ann in content['annotations']:
            if ann['image_id'] == image['id']:
                x, y, w, h = ann['bbox']
                points = ann['keypoints']
                values = [x + w / 2, y + h / 2, w, h]
                for i in range(0, len(points), 3):
                    values += points[i:i + 2]
                lines.append(' '.join(
                    ['0', *(f'{v / 96:.5f}' for v in values)]))
        name = Path(image['file_name'])
        for kind in ('images', 'labels'):
            (folder / kind / part).mkdir(parents=True, exist_ok=True)
        shutil.copy(planes / 'images' / name, folder / 'images' / part / name)
        (folder / 'labels' / part / name.with_suffix('.txt')).write_text(
            '\n'.join(lines))
    (folder / 'data.yaml').write_text(
        'train: images/train\nval: images/val\nkpt_shape: [5, 2]\n'
        'flip_idx: [0, 2, 1, 4, 3]\nnames: [plane]\n')
    return folder


def write_cvat(content, planes, folder):
    """CVAT for images 1.1, zipped with the images."""
    names = content['categories'][0]['keypoints']
    root = ElementTree.Element('annotations')
    for image in content['images']:
        node = ElementTree.SubElement(
            root,
            'image',
            id=str(image['id']),
            name=image['file_name'],
            width='96',
            height='96')
        for ann in content['annotations']:
            if ann['image_id'] == image['id']:
                skeleton = ElementTree.SubElement(
                    node, 'skeleton', label='plane')
                for i, name in enumerate(names):
                    x, y = ann['keypoints'][3 * i:3 * i + 2]
                    ElementTree.SubElement(
                        skeleton,
                        'points',
                        label=name,
                        outside='0',
                        occluded='0',
                        points=f'{x:.2f},{y:.2f}')
    shutil.copytree(planes / 'images', folder / 'job/images')
    ElementTree.ElementTree(root).write(folder / 'job/annotations.xml')
    return shutil.make_archive(str(folder / 'job'), 'zip', folder / 'job')


@pytest.fixture(scope='module')
def planes(tmp_path_factory):
    """The data set of docs/your_own_data.md."""
    folder = tmp_path_factory.mktemp('planes')
    program, = code_blocks('your_own_data.md', 'python')
    subprocess.run([sys.executable, '-c', program,
                    str(folder), '650'],
                   check=True)
    return folder


@pytest.mark.parametrize('write', [write_variant, write_yolo, write_cvat])
def test_learn_from_formats(tmp_path, capsys, planes, write):
    """Each format leads to an AP above 0.5 in minutes."""
    content = json.loads((planes / 'planes.json').read_text())
    (tmp_path / 'in').mkdir()
    path = write(content, planes, tmp_path / 'in')
    out, work_dir = tmp_path / 'out', tmp_path / 'work'
    run('dataset_converters/describe_dataset.py', path, '--out', out, '--size',
        'small', '--epochs', '16')
    config = out / 'config.py'
    run('train.py', config, '--work-dir', work_dir)
    run('test.py', config, work_dir / 'epoch_16.pth', '--work-dir',
        tmp_path / 'test')
    with capsys.disabled():
        print(f'\n{write.__name__[6:]}: AP {read_ap(tmp_path / "test"):.3f}')
    assert read_ap(tmp_path / 'test') > 0.5
