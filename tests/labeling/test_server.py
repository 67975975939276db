"""What the page asks the server for."""
import json
import threading

import numpy as np
import pytest

from tests.helpers.labeled_images import NAMES, POSES, SIZE, as_person
from tests.helpers.labeler import STEP

pytest.importorskip(
    'starlette', reason='pip install -r requirements/labeling.txt')
pytest.importorskip('httpx', reason='pip install -r requirements/dev.txt')

from tests.helpers.labeling_server import build_server  # noqa: E402


@pytest.fixture
def made(tmp_path):
    made = build_server(tmp_path)
    yield made
    made.session.close()


def get(made, name='a.png'):
    answer = made.client.get('/api/image', params=dict(name=name))
    assert answer.status_code == 200, answer.text
    return answer.json()


def put(made, people, revision=0, name='a.png', done=False, **fields):
    return made.client.put(
        '/api/image',
        params=dict(name=name),
        json=dict(fields, revision=revision, done=done, people=people))


def post(made, path, name='a.png', **body):
    return made.client.post(
        f'/api/image/{path}', params=dict(name=name), json=body)


def distances(person, truth):
    points = np.array(person['keypoints'])[:, :2]
    return np.linalg.norm(points - truth, axis=1)


def test_project(made):
    made.journal.add('b.jpg', SIZE, dict(done=True, people=[]))
    project = made.client.get('/api/project').json()
    assert project['names'] == NAMES
    assert project['progress'] == [0, 2, 0]
    assert project['keypoints'][1] == dict(name='right', color='#ff8000')
    assert project['links'][1] == dict(ends=[1, 2], color='#ff8000')
    assert project['flip'] == [1, 0, 2]
    assert project['classes'] == [dict(id=1, name='object')]
    assert project['follows']


def test_the_page(made):
    page = made.client.get('/')
    assert page.headers['content-type'].startswith('text/html')
    for name in ('app.js', 'style.css', 'icon.svg'):
        assert f'/page/{name}' in page.text
        assert made.client.get(f'/page/{name}').status_code == 200
    for text in ('http://', 'https://'):  # it works offline
        assert text not in page.text
    assert made.client.get('/page/../server.py').status_code == 404
    assert made.client.get('/page/server.py').status_code == 404


def test_proposals(made):
    """Until something is changed, they are not kept."""
    entry = get(made)
    assert (entry['width'], entry['height']) == SIZE
    assert entry['revision'] == 0 and not entry['state']['done']
    assert [p['id'] for p in entry['state']['people']] == [1, 2]
    person = entry['state']['people'][0]
    assert distances(person, POSES['a.png'][0]).max() < 20
    assert person['fixed'] == [False] * 3 and len(person['scores']) == 3
    assert made.journal.progress() == {}
    assert get(made, 'sub/c.png')['state']['people'] == []


def test_classes_of_proposals(made):
    made.session.dataset_meta['classes'] = {3: 'glider', 7: 'jet'}
    people = get(made)['state']['people']
    assert [person['category'] for person in people] == [3, 7]


def test_low_scores_are_not_proposed(made):
    made.session._score_thr = 0.8  # the second has 0.4
    assert len(get(made)['state']['people']) == 1


def test_the_next_image_is_encoded(made):
    get(made)
    made.session._background.submit(int).result()  # after what was asked
    assert set(made.session._images) == {'a.png', 'b.jpg'}
    assert made.labeler.encoded == 2
    get(made, 'b.jpg')
    made.session._background.submit(int).result()
    assert made.labeler.encoded == 3


def test_the_others_follow(made):
    """One joint is placed, the others go towards the truth; it is saved."""
    people = get(made)['state']['people']
    before = distances(people[0], POSES['a.png'][0])
    people[0]['keypoints'][1] = [80.0, 60.0, 2]
    people[0]['fixed'][1] = True
    entry = put(made, people, refine=1).json()
    assert entry['revision'] == 1 and entry['undo'] and not entry['redo']
    first, second = entry['state']['people']
    after = distances(first, POSES['a.png'][0])
    np.testing.assert_allclose(
        after[[0, 2]], (1 - STEP) * before[[0, 2]], atol=0.02)
    assert first['keypoints'][1] == [80, 60, 2]
    assert second == people[1]
    assert made.journal.get('a.png') == entry
    # The proposal is what comes back.
    back = post(made, 'undo', revision=1).json()
    assert back['state']['people'][0]['fixed'] == [False] * 3
    assert post(made, 'redo', revision=2).json()['state'] == entry['state']


def test_fixed_joints_stay(made, monkeypatch):
    """Whatever a model says."""
    monkeypatch.setattr(made.labeler, 'refine',
                        lambda encoded, keypoints, fixed: keypoints + 5)
    person = as_person(POSES['a.png'][0], fixed=[False, True, False])
    refined = post(made, 'refine', person=person).json()
    assert refined['keypoints'] == [[45, 65, 2], [80, 60, 2], [65, 35, 2]]


def test_refinement_begins_where_the_model_did(made, monkeypatch):
    """However often it is asked for, but for fixed joints; people without a
    start, of a file, begin where they are."""
    monkeypatch.setattr(made.labeler, 'refine',
                        lambda encoded, keypoints, fixed: keypoints + 5)
    person = get(made)['state']['people'][0]
    start = np.array(person['start'])
    np.testing.assert_array_equal(np.array(person['keypoints'])[:, :2], start)
    person['keypoints'][1][:2] = 8, 9
    person['fixed'][1] = True
    for _ in range(2):
        person = post(made, 'refine', person=person).json()
        expected = start + 5
        expected[1] = 8, 9
        np.testing.assert_allclose(
            np.array(person['keypoints'])[:, :2], expected, atol=0.01)
    person.pop('start')
    moved = post(made, 'refine', person=person).json()
    expected[[0, 2]] += 5
    np.testing.assert_allclose(
        np.array(moved['keypoints'])[:, :2], expected, atol=0.01)


def test_preview_saves_nothing(made):
    person = get(made)['state']['people'][0]
    refined = post(made, 'refine', person=person).json()
    assert distances(refined, POSES['a.png'][0]).max() < distances(
        person, POSES['a.png'][0]).max()
    assert made.journal.progress() == {}


def test_person_at_a_point(made):
    found = post(made, 'person', point=[115, 85], joint=None).json()
    assert distances(found, POSES['a.png'][1]).max() < 3
    assert found['fixed'] == [False] * 3
    found = post(made, 'person', point=[77.25, 60], joint=0).json()
    assert found['keypoints'][0] == [77.25, 60, 2]
    assert found['fixed'] == [True, False, False]


def test_conflicts(made):
    """Two tabs: the second is refused and told what there is."""
    first = put(made, [as_person(POSES['a.png'][0])])
    assert first.status_code == 200
    second = put(made, [])
    assert second.status_code == 409
    assert second.json()['entry'] == first.json()
    undo = post(made, 'undo', revision=0)
    assert undo.status_code == 409
    assert made.journal.get('a.png') == first.json()


def test_conflicts_of_threads(made):
    """Of changes of one state at the same time, one is taken."""
    people = [as_person(POSES['a.png'][0])]
    codes = []
    threads = [
        threading.Thread(
            target=lambda: codes.append(put(made, people).status_code))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200] + 5 * [409]


def test_restart(made, tmp_path):
    """A server that starts on the same files goes on."""
    put(made, [as_person(POSES['a.png'][0])], done=True)
    again = build_server(tmp_path)
    entry = get(again)
    assert entry['revision'] == 1 and entry['undo']
    assert again.client.get('/api/project').json()['progress'][0] == 2
    again.session.close()


def test_export(made):
    put(made, [as_person(POSES['a.png'][0])], done=True)
    put(made, [], name='sub/c.png')
    numbers = made.client.post('/api/export').json()
    assert numbers == dict(
        path=str(made.out), images=2, unfinished=1, people=1)
    content = json.loads(made.out.read_text())
    assert [i['file_name'] for i in content['images']] == NAMES[::2]
    assert content['annotations'][0]['keypoints'][:3] == [40, 60, 2]
    assert content['categories'][0]['name'] == 'plane'
    file = made.client.get('/api/export')
    assert file.json() == content
    assert 'poses.json' in file.headers['content-disposition']


def test_pixels(made):
    file = made.client.get('/api/image/file', params=dict(name='sub/c.png'))
    assert file.headers['content-type'] == 'image/png'
    assert file.content[1:4] == b'PNG'


@pytest.mark.parametrize('name', [
    '../poses.journal', '/etc/passwd', 'sub', 'A.PNG', '', 'sub/../a.png',
    '..%2fposes.journal'
])
def test_other_files_are_not_served(made, name):
    for path in ('/api/image', '/api/image/file'):
        answer = made.client.get(path, params=dict(name=name))
        assert answer.status_code == 404
        assert 'no image of this name' in answer.json()['error']
    assert put(made, [], name=name).status_code == 404
    assert post(made, 'undo', name, revision=0).status_code == 404
    assert made.client.get('/api/image').status_code == 404


POSE = [(1, 1)] * 3


@pytest.mark.parametrize('people, message', [
    (None, '`people` must be a list'),
    ([1], 'a person must have id'),
    ([dict(as_person(POSE), extra=1)], 'a person must have id'),
    ([as_person(POSE), as_person(POSE)], 'different integers'),
    ([as_person(POSE, category=2)], '`category` must be one of'),
    ([as_person(POSE[:2])], '`keypoints` must be 3 lists'),
    ([as_person(POSE, visibility=3)], '`keypoints` must be 3 lists'),
    ([as_person([(1, 1e9)] * 3)], '`keypoints` must be 3 lists'),
    ([as_person(POSE, fixed=[1, 0, 0])], '`fixed` must be 3 booleans'),
    ([as_person(POSE, scores=['a', 1, 1])], '`scores` must be 3 numbers'),
    ([as_person(POSE, start=[[1, 2]])], '`start` must be 3 lists of x and y'),
    ([as_person(POSE, start=[1, 2, 3])], '`start` must be 3 lists of x and y'),
    ([as_person(POSE, i) for i in range(1001)], 'at most 1000'),
])
def test_refused_people(made, people, message):
    answer = put(made, people)
    assert answer.status_code == 400
    assert message in answer.json()['error']
    assert made.journal.progress() == {}


def test_refused_bodies(made):

    def send(content, kind='application/json'):
        return made.client.put(
            '/api/image?name=a.png',
            content=content,
            headers={'Content-Type': kind})

    assert send('{}', 'text/plain').status_code == 415
    assert send('[]').status_code == 400
    assert send('{"revision": NaN}').status_code == 400
    assert send('[' * 100000).status_code == 400
    assert send(b' ' * (2**23 + 1)).status_code == 413
    for body in (dict(revision='0', done=False,
                      people=[]), dict(revision=0, done=0, people=[])):
        assert send(json.dumps(body)).status_code == 400
    for path, body in (('person', dict(point=[1])), ('person',
                                                     dict(point=[1, 'a'])),
                       ('person', dict(point=[1, 1], joint=3)),
                       ('person', dict(point=[1, 1], joint=True)),
                       ('refine', dict(person=None)), ('undo', dict())):
        assert post(made, path, **body).status_code == 400, (path, body)


def test_a_broken_image(made, tmp_path):
    """It is told, every time, and the next one works."""
    (tmp_path / 'images/b.jpg').write_bytes(b'\xff\xd8\xff broken')
    for _ in range(2):
        answer = made.client.get('/api/image', params=dict(name='b.jpg'))
        assert answer.status_code == 500
        assert 'b.jpg: cannot be decoded' in answer.json()['error']
    assert get(made, 'sub/c.png')['state']['people'] == []
    (tmp_path / 'images/a.png').unlink()
    assert made.client.get('/api/image?name=a.png').status_code == 500
