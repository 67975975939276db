"""tools/annotate.py: what is refused, with one line."""
import json
import logging
import socket
import sys
from contextlib import closing

import pytest
import torch
from mmpose.apis import init_model

from tests.helpers import labeler
from tests.helpers.labeled_images import PLANE, POSES, as_person, write_images
from tests.helpers.tool_runs import TOOLS, load_tool

uvicorn = pytest.importorskip(
    'uvicorn', reason='pip install -r requirements/labeling.txt')

CONFIG = 'grouppose_res50_8xb2-60e_coco-800x1333'


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Call it; what would serve only notes what it was given."""
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, labeler.MODULE, labeler.stand_in_module())
    write_images(tmp_path / 'images')
    truth = labeler.write_truth(tmp_path / 'truth', tmp_path / 'images', POSES,
                                PLANE)
    tool = load_tool('annotate')
    served = []

    def serve(server, sockets):
        served.append((server.config.app, sockets[0].getsockname()))
        sockets[0].close()

    monkeypatch.setattr(uvicorn.Server, 'run', serve)

    def call(*arguments, images='images'):
        """Exit code, output, and what was served."""
        served.clear()
        try:
            code = tool.main([
                images, '--config', CONFIG, '--checkpoint',
                str(truth), '--no-browser', '--port', '0', *arguments
            ])
        except SystemExit as error:
            code = error.code
        out, err = capsys.readouterr()
        assert len(err.splitlines()) <= 1 or code == 0
        return code, out + err, served[0] if served else None

    call.tool = tool
    return call


def test_start(run, tmp_path):
    code, text, (_, address) = run()
    assert code == 0
    assert address[0] == '127.0.0.1'
    assert '3 images, 0 of them labeled or begun' in text
    assert f'http://127.0.0.1:{address[1]}/\n' in text
    assert (tmp_path / 'images.journal').exists()
    assert not (tmp_path / 'images.json').exists()  # there is nothing to write


def test_log_files_of_others_stay_open(run, tmp_path):
    """MMEngine's, for instance, which a model writes to when it is built."""
    with closing(logging.FileHandler(tmp_path / 'other.log')) as handler:
        assert run()[0] == 0
        assert handler.stream is not None


def test_annotations_and_end(run, tmp_path):
    """They are read, and written at the end with what there is."""
    (tmp_path / 'given.json').write_text(
        json.dumps(
            dict(
                images=[dict(id=1, file_name='a.png', width=160, height=120)],
                annotations=[
                    dict(
                        id=1,
                        image_id=1,
                        category_id=1,
                        bbox=[40, 30, 40, 30],
                        keypoints=sum(
                            as_person(POSES['a.png'][0])['keypoints'], []))
                ],
                categories=[
                    dict(
                        id=1, name='plane', keypoints=['left', 'right', 'tip'])
                ])))
    arguments = ('--annotations', 'given.json', '--out', 'out.json')
    code, text, _ = run(*arguments)
    assert code == 0
    assert 'given.json: 1 images read.' in text
    assert 'out.json: 1 images, 1 objects; 1 images not marked as done' in text
    found = json.loads((tmp_path / 'out.json').read_text())
    assert found['annotations'][0]['keypoints'][:3] == [40, 60, 2]
    assert found['categories'][0]['name'] == 'plane'
    code, text, _ = run(*arguments)
    assert code == 0 and 'was read on an earlier start' in text


@pytest.mark.parametrize('arguments, message', [
    (('--host', '0.0.0.0'), '--host 0.0.0.0 lets others in: give a --token'),
    (('--host', '192.0.2.1', '--token', 'x'), 'cannot listen at 192.0.2.1'),
    (('--token', ''), '--token must not be empty'),
    (('--port', '99999'), 'cannot listen at 127.0.0.1, port 99999'),
    (('--annotations', 'no.json'), 'no.json: annotation file not found'),
    (('--annotations', 'truth'), 'truth: not valid JSON'),
    (('--config', 'no.py'), 'no.py'),
    (('--out', 'no/such/out.json'), 'There is no such folder'),
])
def test_refused(run, arguments, message):
    code, text, served = run(*arguments)
    assert (code, served) == (2, None)
    assert message in text and 'error: ' in text


def test_refused_folders(run, tmp_path):
    (tmp_path / 'empty').mkdir()
    for folder in ('empty', 'no'):
        code, text, _ = run(images=folder)
        assert code == 2 and f'error: {folder}: no ' in text


def test_taken_port(run):
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        port = other.getsockname()[1]
        code, text, _ = run('--port', str(port))
    assert code == 2
    assert f'port {port}' in text and 'choose another --port' in text


def test_an_existing_file_is_kept(run, tmp_path):
    (tmp_path / 'images.json').write_text('{}')
    code, text, _ = run()
    assert code == 2
    assert 'images.json exists, and no journal of it: go on' in text
    assert (tmp_path / 'images.json').read_text() == '{}'


def test_another_model(run, tmp_path):
    """A journal of other keypoints is not mixed up."""
    assert run()[0] == 0
    labeler.write_truth(tmp_path / 'coco', tmp_path / 'images', {})
    code, text, _ = run('--checkpoint', 'coco')
    assert code == 2
    assert 'images.journal: holds labels of another kind' in text


def test_tokens(run):
    code, text, (app, address) = run('--host', '0.0.0.0', '--token', 'a b&c')
    assert code == 0 and address[0] == '0.0.0.0'
    assert '/?token=a%20b%26c\n' in text


def test_missing_packages(run, monkeypatch):
    monkeypatch.setitem(sys.modules, 'uvicorn', None)
    code, text, _ = run()
    assert code == 2
    assert 'the package uvicorn is missing: pip install -r' in text


def test_a_model_itself(run, tmp_path, monkeypatch, drawn_config):
    """From the files of a model to poses, without the stand-in."""
    testclient = pytest.importorskip(
        'starlette.testclient', reason='pip install -r requirements/dev.txt')
    monkeypatch.delitem(sys.modules, labeler.MODULE)
    torch.manual_seed(0)
    model = init_model(str(drawn_config), device='cpu')
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'weights.pth')
    answers = {}

    def serve(server, sockets):
        client = testclient.TestClient(server.config.app,
                                       'http://127.0.0.1:8000')
        name = dict(name='a.png')
        answers['project'] = client.get('/api/project').json()
        answers['image'] = client.get('/api/image', params=name).json()
        person = client.post(
            '/api/image/person',
            params=name,
            json=dict(point=[40, 60], joint=5)).json()
        answers['person'] = person
        answers['refined'] = client.post(
            '/api/image/refine', params=name, json=dict(person=person)).json()
        sockets[0].close()

    monkeypatch.setattr(uvicorn.Server, 'run', serve)
    code, text, _ = run('--config', str(drawn_config), '--checkpoint',
                        'weights.pth', '--device', 'cpu', '--score-thr', '0')
    assert code == 0, text
    assert len(answers['project']['keypoints']) == 17
    assert answers['project']['classes'] == [dict(id=1, name='object')]
    assert not answers['project']['follows']  # it was not trained for it
    people = answers['image']['state']['people']
    assert people and all(person['scores'] is None for person in people)
    for person in answers['person'], answers['refined']:
        assert person['keypoints'][5] == [40, 60, 2]
        assert person['fixed'] == [i == 5 for i in range(17)]
