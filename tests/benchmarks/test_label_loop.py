"""An annotator labels, the model is trained on it, and labels go on."""
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmpose.apis import init_model

from benchmarks.clicks import People
from projects.grouppose.synthetic import annotation_file
from tests.helpers.labeled_images import PLANE, POSES, SIZE, write_images
from tests.helpers.labeler import StandInLabeler, write_truth

pytest.importorskip(
    'uvicorn', reason='pip install -r requirements/labeling.txt')

from benchmarks import label_loop  # noqa: E402

AREA = 3600.  # a keypoint may be 0.05 * 60 = 3 pixels off
EXTRA = [[(20, 20), (60, 20), (40, 80)]]  # somebody nobody proposes


@pytest.fixture
def made(tmp_path):
    """Images, and the stand-in that knows their people."""
    images = write_images(tmp_path / 'images')
    truth = write_truth(tmp_path / 'truth', images, POSES, PLANE)
    return SimpleNamespace(
        images=images,
        truth=str(truth),
        labeler=StandInLabeler(None, str(truth)))


def people_of(poses):
    places = np.array(poses, float)
    return People(places, np.ones(places.shape[:2], bool),
                  np.full(len(places), AREA), np.full(3, 0.05))


def label(made, out, follows, name, poses):
    """Label an image alone; gives the annotator and its export."""
    with label_loop.serve(made.labeler, made.images, out) as address:
        annotator = label_loop.Annotator(address, follows, 1)
        annotator.label(name, people_of(poses))
        annotator.label(name, people_of(poses))  # nothing is left to do
        label_loop.urlopen(f'{address}/export').close()
    return annotator, json.loads(out.read_text())


def points_of(content):
    points = [ann['keypoints'] for ann in content['annotations']]
    return np.reshape(points, (len(points), -1, 3))


@pytest.mark.parametrize('follows', [False, True])
def test_all_are_within_the_tolerance(made, tmp_path, follows):
    """What is near enough is not dragged, and what follows neither."""
    poses = POSES['a.png']
    proposed = made.labeler.poses(np.array(poses, np.float32)).keypoints
    off = np.linalg.norm(proposed - poses, axis=-1)
    annotator, content = label(made, tmp_path / 'out.json', follows, 'a.png',
                               poses)
    dragged = annotator.clicks['dragged']
    if follows:  # of the first the worst, and one that is 3.4 off then
        assert dragged == 2 + 1
    else:
        assert dragged == (off > 3).sum() == 5
    assert annotator.clicks['added'] == annotator.clicks['deleted'] == 0
    assert len(annotator.seconds) == dragged
    points = points_of(content)
    distance = np.linalg.norm(points[..., :2] - poses, axis=-1)
    assert distance.max() <= 3 and (distance < 0.01).sum() >= dragged
    assert (points[..., 2] == 2).all()


def test_people_are_added_and_deleted(made, tmp_path):
    annotator, content = label(made, tmp_path / 'out.json', True, 'a.png',
                               POSES['a.png'][1:])
    assert annotator.clicks['deleted'] == 1
    assert len(content['annotations']) == 1
    annotator, content = label(made, tmp_path / 'other.json', True,
                               'sub/c.png', EXTRA)
    # All start where the click is, at their middle, and nothing follows.
    assert annotator.clicks == dict(added=1, deleted=0, dragged=3)
    np.testing.assert_allclose(points_of(content)[..., :2], EXTRA, atol=0.01)


def test_program(made, tmp_path, monkeypatch, capsys):
    """The images after those that were trained on are labeled twice."""
    given = []

    def train(labels, args):
        content = json.loads(labels.read_text())
        given.append([image['file_name'] for image in content['images']])
        return made.truth

    monkeypatch.setattr(label_loop, 'train', train)
    monkeypatch.setattr(label_loop, 'PoseLabeler', StandInLabeler)
    names = ['a.png', 'b.jpg']
    content = dict(
        images=[
            dict(id=i, file_name=name, width=SIZE[0], height=SIZE[1])
            for i, name in enumerate(names)
        ],
        annotations=[
            dict(
                id=10 * i + j,
                image_id=i,
                category_id=1,
                area=AREA,
                keypoints=[value for point in pose for value in (*point, 2)])
            for i, name in enumerate(names)
            for j, pose in enumerate(POSES[name])
        ],
        categories=[dict(id=1, name='plane')])
    file = tmp_path / 'truth.json'
    file.write_text(json.dumps(content))
    arguments = [
        '--plain', 'x', made.truth, '--recipe', 'x', '--images',
        str(made.images), '--annotations',
        str(file), '--number', '1', '--out',
        str(tmp_path / 'out')
    ]
    label_loop.main(arguments)
    assert given == [['a.png']]
    rows = json.loads((tmp_path / 'out/label_loop.json').read_text())['rows']
    assert [(row['model'], row['images'], row['people'])
            for row in rows] == [('first', '1 to 1', 2),
                                 ('first', '2 to 2', 1),
                                 ('trained', '2 to 2', 1)]
    assert rows[0]['staying']['dragged'] == 5
    assert rows[0]['following']['dragged'] == 3
    assert rows[1]['following'] == rows[2]['following']
    assert '| 1 to 1 | first | 2 | 100% | 0 | 2.50 | 1.50 |' in (
        tmp_path / 'out/label_loop.md').read_text()
    with pytest.raises(SystemExit):
        label_loop.main(arguments)
    assert 'labels of an earlier run' in capsys.readouterr().err


@pytest.mark.usefixtures('unformatted_configs')
def test_training(drawn_config, tmp_path, monkeypatch):
    """From the weights, on the labels, without an evaluation."""
    torch.manual_seed(7)  # not that of the run
    weights = tmp_path / 'first.pth'
    model = init_model(str(drawn_config), device='cpu')
    torch.save(dict(state_dict=model.state_dict()), weights)
    data = drawn_config.parent / 'data'

    def run(training, threads):
        config = training.config
        config.work_dir = str(training.folder)
        runner = Runner.from_cfg(config)
        runner.load_or_resume()
        for name, value in runner.model.state_dict().items():
            torch.testing.assert_close(value, model.state_dict()[name])
        runner.train()
        assert runner.max_epochs == 1 and runner.val_loop is None

    monkeypatch.setattr(label_loop.Training, 'run', run)
    args = SimpleNamespace(
        plain=['x', str(weights)],
        recipe=str(drawn_config),
        images=data / 'train',
        epochs=1,
        threads=None,
        out=tmp_path)
    checkpoint = label_loop.train(annotation_file(data, 'train'), args)
    assert torch.load(checkpoint, map_location='cpu')['meta']['epoch'] == 1
