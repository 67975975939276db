"""The curves of runs, pictures of the training data, and annotation files
with a few of the images."""
import json

import cv2
import numpy as np
import pytest
import torch

from tests.helpers.models import make_sample
from tests.helpers.tool_runs import TOOLS, load_tool, run_tool


def write_log(work_dir, start, rows):
    """Write the log of a run that was started at a time."""
    folder = work_dir / start / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, rows)))


def training_row(step):
    return dict(step=step, loss=9 / step, loss_kpt=5 / step, loss_oks=3 / step)


def plot(work_dir, *arguments):
    """Draw the curves of a run; return the picture, None without one."""
    code, stdout, stderr = run_tool('analysis_tools/plot_curves.py', work_dir,
                                    work_dir / 'curves.png', *arguments)
    picture = cv2.imread(str(work_dir / 'curves.png'))
    return code, stdout, stderr, picture


def test_curves_of_a_resumed_run(tmp_path):
    """What the second start logged is added to the picture."""
    rows = [training_row(10), training_row(20), {'coco/AP': 0.1, 'step': 1}]
    write_log(tmp_path, '20260101_000000', rows)
    code, stdout, stderr, first = plot(tmp_path)
    assert code == 0, stderr
    assert 'curves.png written' in stdout
    assert first.shape == (360, 1000, 3)

    write_log(tmp_path, '20260102_000000', [{'coco/AP': 0.9, 'step': 2}])
    _, _, _, second = plot(tmp_path)
    differs = (first != second).any(axis=(0, 2))
    # Losses are drawn on the left, the metric on the right.
    assert not differs[:500].any() and differs[500:].any()


def test_curves_of_several_runs(tmp_path):
    """Beside each other, or as stages one after another."""
    rows = [training_row(10), training_row(20), {'coco/AP': 0.1, 'step': 2}]
    later = [training_row(5), {'coco/AP': 0.5, 'step': 1}]
    for name, content in (('a', rows), ('b', later)):
        write_log(tmp_path / name, '20260101_000000', content)
    tool = load_tool('plot_curves', TOOLS / 'analysis_tools')
    runs = [tool.read_scalars(str(tmp_path / name)) for name in 'ab']
    chained = tool.chain(runs)
    assert [row['step'] for row in chained] == [10, 20, 2, 25, 3]
    assert chained[3]['loss'] == later[0]['loss']

    pictures = []
    for arguments in (['a'], ['a', 'b'], ['--chain', 'a', 'b']):
        arguments = [tmp_path / x if len(x) == 1 else x for x in arguments]
        code, _, stderr = run_tool('analysis_tools/plot_curves.py', *arguments,
                                   tmp_path / 'out.png')
        assert code == 0, stderr
        pictures.append(cv2.imread(str(tmp_path / 'out.png')))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert (pictures[i] != pictures[j]).any()


def test_half_a_line_at_the_end_is_left_out(tmp_path):
    """A run that was killed may leave one."""
    write_log(tmp_path, '20260101_000000', [training_row(10)])
    with open(next(tmp_path.glob('*/vis_data/scalars.json')), 'a') as file:
        file.write('{"loss": 1.0, "st')
    code, _, stderr, picture = plot(tmp_path)
    assert code == 0 and picture is not None, stderr


@pytest.mark.parametrize('log, message', [
    (None, 'no */vis_data/scalars.json'),
    ('{"loss": 1.0, "st\n{"loss": 1.0, "step": 2}\n', 'scalars.json, line 1'),
])
def test_unusable_log(tmp_path, log, message):
    if log is not None:
        write_log(tmp_path, '20260101_000000', [])
        next(tmp_path.glob('*/vis_data/scalars.json')).write_text(log)
    code, _, stderr, picture = plot(tmp_path)
    assert code == 1 and picture is None
    assert message in stderr.splitlines()[-1] and 'Traceback' not in stderr


GREEN = 0, 200, 0


def green_parts(picture):
    """Largest and smallest coordinates, (x, y), of the boxes' color."""
    y, x = np.nonzero((picture == GREEN).all(-1))
    return x.min(), y.min(), x.max(), y.max()


def test_browse_dataset(drawn_config, tmp_path):
    """In evaluation, images without people are drawn, too."""
    code, stdout, stderr = run_tool('analysis_tools/browse_dataset.py',
                                    drawn_config, '--out', tmp_path, '-n', 2,
                                    '--split', 'val')
    assert code == 0, stderr
    assert f'2 pictures written to {tmp_path}' in stdout
    alone, people = [
        cv2.imread(str(path)) for path in sorted(tmp_path.glob('*.png'))
    ]
    assert max(alone.shape) == max(people.shape) == 480
    assert not (alone == GREEN).all(-1).any()
    green_parts(people)


def test_browsed_targets(monkeypatch):
    """Targets come from the codec, boxes from the pipeline."""
    monkeypatch.syspath_prepend(str(TOOLS.parent))
    tool = load_tool('browse_dataset', TOOLS / 'analysis_tools')
    visualizer = tool.visualization.PoseVisualizer(
        radius=3, kpt_color=[(255, 0, 0)])
    sample = make_sample((480, 240), 1, num_keypoints=1)
    sample.gt_instance_labels.keypoint_labels[:] = torch.tensor([0.5, 0.25])
    sample.gt_instances.bboxes = np.float32([[60, 40, 200, 300]])
    item = dict(inputs=torch.zeros(3, 480, 240).byte(), data_samples=sample)
    picture = tool.draw_targets(visualizer, item)
    assert picture.shape == (480, 240, 3)
    assert picture[120, 120].tolist() == [0, 0, 255]
    assert green_parts(picture) == (60, 40, 200, 300)

    # A joint without label is not trained on.
    sample.gt_instance_labels.keypoint_weights[:] = 0
    picture = tool.draw_targets(visualizer, item)
    assert not (picture == (0, 0, 255)).all(-1).any()


def test_browse_without_data(drawn_config, tmp_path, monkeypatch):
    tool = load_tool('browse_dataset', TOOLS / 'analysis_tools')
    setting = 'train_dataloader.dataset.dataset.ann_file=no.json'
    monkeypatch.setattr('sys.argv', [
        'browse_dataset.py',
        str(drawn_config), '--out',
        str(tmp_path), '--cfg-options', setting
    ])
    with pytest.raises(
            SystemExit, match='^browse_dataset.py: .*no.json: annotation'):
        tool.main()


@pytest.fixture
def select(tmp_path):
    """Select among five images, three of which show labeled people."""
    people = [
        dict(id=1, image_id=9, num_keypoints=3),
        dict(id=2, image_id=2, num_keypoints=0),
        dict(id=3, image_id=3, num_keypoints=5, iscrowd=1),
        dict(id=4, image_id=4, num_keypoints=1, iscrowd=0),
        dict(id=5, image_id=4, num_keypoints=0, iscrowd=0),
        dict(id=6, image_id=5, num_keypoints=2, iscrowd=0),
        dict(id=7, image_id=5, num_keypoints=2, iscrowd=1),
        dict(id=8, image_id=5, num_keypoints=4, iscrowd=0),
    ]
    (tmp_path / 'all.json').write_text(
        json.dumps(
            dict(
                images=[dict(id=i) for i in (9, 5, 4, 3, 2)],
                annotations=people,
                categories=[dict(id=1, name='person')])))

    def call(num_images, *arguments):
        code, _, stderr = run_tool('dataset_converters/select_images.py',
                                   tmp_path / 'all.json',
                                   tmp_path / 'few.json', '--num-images',
                                   num_images, *arguments)
        return code, stderr, tmp_path / 'few.json'

    return call


def test_selected_images(select):
    """The lowest ids, with all annotations, crowds included."""
    code, stderr, few = select(2)
    assert code == 0, stderr
    content = json.loads(few.read_text())
    assert [image['id'] for image in content['images']] == [5, 4]
    assert [ann['id'] for ann in content['annotations']] == [4, 5, 6, 7, 8]
    assert content['categories'] == [dict(id=1, name='person')]


def test_images_with_more_people_are_left_out(select):
    code, stderr, few = select(2, '--max-people', 1)
    assert code == 0, stderr
    images = json.loads(few.read_text())['images']
    assert [image['id'] for image in images] == [9, 4]


@pytest.mark.parametrize('num_images', [0, 4])
def test_images_that_are_not_there(select, num_images):
    code, stderr, few = select(num_images)
    assert code == 1 and not few.exists()
    assert f'{num_images} images wanted, but 3' in stderr
    assert stderr.count('\n') == 1
