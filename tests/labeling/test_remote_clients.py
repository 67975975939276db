"""The model for X-AnyLabeling and Label Studio, by their messages."""
import base64
import importlib
import importlib.util
import math

import numpy as np
import pytest

from projects.grouppose.describe.formats import read_labels
from tests.helpers.labeled_images import POSES, SIZE
from tests.helpers.labeler import STEP
from tests.helpers.labeling_tools import write_json

pytest.importorskip(
    'starlette', reason='pip install -r requirements/labeling.txt')
pytest.importorskip('httpx', reason='pip install -r requirements/dev.txt')

from projects.grouppose.labeling.label_studio import \
    read_interface  # noqa: E402
from tests.helpers.labeling_server import build_server  # noqa: E402

CONFIG = """<View>
  <Image name="img" value="$picture" zoom="true"/>
  <!-- a comment -->
  <RectangleLabels name="rect" toName="img"><Label value="plane"/>
  </RectangleLabels>
  <KeyPointLabels name="kp" toName="img" smart="true">
    <Label value="left"/><Label value="right"/><Label value="tip"/>
  </KeyPointLabels>
</View>"""
# Fields of a shape, with the types that X-AnyLabeling's server promises.
SHAPE = dict(
    label=str,
    shape_type=str,
    points=list,
    score=(float, type(None)),
    attributes=dict,
    description=(str, type(None)),
    difficult=bool,
    direction=(int, float),
    flags=(dict, type(None)),
    group_id=int,
    kie_linking=list)
REGION = {
    'id', 'type', 'from_name', 'to_name', 'original_width', 'original_height',
    'image_rotation', 'value'
}


@pytest.fixture
def made(tmp_path):
    made = build_server(tmp_path)
    yield made
    made.session.close()


@pytest.fixture
def image(made, tmp_path):
    content = (tmp_path / 'images/a.png').read_bytes()
    return 'data:image/png;base64,' + base64.b64encode(content).decode()


def ask_x_anylabeling(made, image, **params):
    """As its client asks."""
    defaults = dict(
        conf_threshold=0.0, iou_threshold=0.0, epsilon_factor=0.001)
    answer = made.client.post(
        '/v1/predict',
        json=dict(
            model='grouppose', image=image, params=dict(defaults, **params)),
        headers=dict(Token=''))
    assert answer.status_code == 200
    return answer.json()


def test_models(made):
    answer = made.client.get('/v1/models', headers=dict(Token='')).json()
    assert answer['success'] is True
    model = answer['data']['grouppose']
    assert isinstance(model['display_name'], str)
    assert {'button_run', 'button_add_point', 'button_finish_object'
            } <= {widget['name']
                  for widget in model['widgets']}
    assert all(set(w) == {'name', 'value'} for w in model['widgets'])
    assert model['batch_processing_mode'] == 'default'
    info = made.client.get('/v1/models/grouppose/info').json()
    assert info['data']['model_id'] == 'grouppose'
    assert not made.client.get('/v1/models/other/info').json()['success']


def test_shapes(made, image):
    answer = ask_x_anylabeling(made, image)
    assert answer['success'] is True
    data = answer['data']
    assert data['description'] == '' and 'replace' not in data
    assert len(data['shapes']) == 2 * (1 + 3)
    for shape in data['shapes']:
        assert shape.keys() == SHAPE.keys()
        for field, kind in SHAPE.items():
            assert isinstance(shape[field], kind), field
        assert shape['group_id'] > 0
        assert shape['score'] is None or 0 <= shape['score'] <= 1
        assert 0 <= shape['direction'] <= 2 * math.pi
    box, *points = data['shapes'][:4]
    assert (box['label'], box['shape_type']) == ('object', 'rectangle')
    assert len(box['points']) == 4
    assert [p['label'] for p in points] == ['left', 'right', 'tip']
    assert {p['group_id'] for p in points} == {box['group_id']}
    found = np.array([p['points'][0] for p in points])
    assert np.abs(found - POSES['a.png'][0]).max() < 16
    np.testing.assert_allclose(box['points'][0], found.min(0))
    np.testing.assert_allclose(box['points'][2], found.max(0))


def test_marks(made, image):
    """A person at each point that was added; the image is encoded once."""
    marks = [
        dict(type='point', data=[112, 88], label=1),
        dict(type='point', data=[42, 60], label=0),
        dict(type='rectangle', data=[36, 50, 44, 70], label=1)
    ]
    data = ask_x_anylabeling(made, image, marks=marks)['data']
    assert data['replace'] is False
    assert [s['points'][0] for s in data['shapes']
            if s['label'] == 'tip'] == [[132, 62], [62, 32]]
    ask_x_anylabeling(made, image, marks=marks[:1])
    assert made.labeler.encoded == 1


@pytest.mark.parametrize('change, code, message', [
    (dict(model='yolo'), 'MODEL_NOT_FOUND', 'there is grouppose only'),
    (dict(image='data:image/png;base64,AAAA'), 'INVALID_IMAGE', 'decoded'),
    (dict(image='%%%'), 'INVALID_IMAGE', 'base64'),
    (dict(image=None), 'INVALID_IMAGE', 'base64'),
    (dict(image='file:///etc/passwd'), 'INVALID_IMAGE', 'base64'),
    (dict(params=dict(marks=[dict(label=1, data=[1])])), 'INVALID_IMAGE',
     'x and y'),
])
def test_errors_of_x_anylabeling(made, image, change, code, message):
    """Status 200 with a code, as its own server has them."""
    body = dict(dict(model='grouppose', image=image, params={}), **change)
    answer = made.client.post('/v1/predict', json=body)
    assert answer.status_code == 200
    error = answer.json()
    assert error['success'] is False and error['error']['code'] == code
    assert message in error['error']['message']


def test_the_real_client_of_x_anylabeling(made, image, tmp_path, monkeypatch):
    """Its own code sends the requests and reads the answers."""
    if importlib.util.find_spec('anylabeling') is None:
        pytest.skip('pip install x-anylabeling-cvhub')
    pytest.importorskip('PyQt6.QtWidgets', exc_type=ImportError)
    remote = pytest.importorskip(
        'anylabeling.services.auto_labeling.remote_server',
        exc_type=ImportError)

    def redirect(method):

        def call(url, timeout=None, headers=None, **fields):
            path = url.replace('http://localhost:8000', '')
            given = {key: value for key, value in headers.items() if value}
            send = getattr(made.client, method)
            return send(path, headers=given, **fields)

        return call

    for method in ('get', 'post'):
        monkeypatch.setattr(remote.requests, method, redirect(method))
    settings = importlib.import_module('anylabeling.config')
    monkeypatch.setattr(settings, 'current_config_file', '{}')
    config = dict(type='remote_server', name='x', display_name='x')
    model = remote.RemoteServer(config, print)
    assert 'grouppose' in model.get_available_models()
    model.set_model_id('grouppose')
    model.set_auto_labeling_marks(
        [dict(type='point', data=[112, 88], label=1)])
    result = model.predict_shapes(object(), str(tmp_path / 'images/a.png'))
    assert [shape.label
            for shape in result.shapes] == ['object', 'left', 'right', 'tip']
    assert result.replace is False
    assert {shape.group_id for shape in result.shapes} == {1}


def ask_label_studio(made, picture, context=None, config=CONFIG):
    """As Label Studio asks."""
    return made.client.post(
        '/predict',
        json=dict(
            tasks=[dict(id=3, data=dict(picture=picture))],
            model_version='undefined',
            project='1.1700000000',
            label_config=config,
            params=dict(login=None, password=None, context=context)))


def click(label, x, y, **fields):
    """A point as it comes in the context, in pixels."""
    return dict(
        fields,
        id='Dx_aB91ISN',
        type='keypointlabels',
        from_name='kp',
        to_name='img',
        original_width=SIZE[0],
        original_height=SIZE[1],
        image_rotation=0,
        value=dict(
            x=100 * x / SIZE[0],
            y=100 * y / SIZE[1],
            width=0.5,
            keypointlabels=[label]))


def test_health_and_setup(made):
    assert made.client.get('/health').json()['status'] == 'UP'
    answer = made.client.post(
        '/setup',
        json=dict(
            project='1.1700000000',
            schema=CONFIG,
            hostname='http://localhost:8080',
            access_token='secret'))
    assert answer.status_code == 200
    assert answer.json()['model_version'].startswith('grouppose-')


@pytest.mark.parametrize('picture', [
    '/data/local-files/?d=images/a.png', '/data/upload/3/1a2b3c4d-a.png',
    'http://localhost:8080/data/local-files/?d=x/y/a.png', 'a.png',
    'https://example.com/images/a.png'
])
def test_predictions(made, picture, tmp_path):
    """What they hold, and that the annotations they become are read."""
    answer = ask_label_studio(made, picture)
    assert answer.status_code == 200, answer.text
    prediction, = answer.json()['results']
    assert prediction.keys() == {'model_version', 'score', 'result'}
    assert 0 < prediction['score'] < 1
    assert len(prediction['result']) == 8
    for region in prediction['result']:
        assert REGION <= region.keys()
        assert region['to_name'] == 'img'
        assert (region['original_width'], region['original_height']) == SIZE
        kind = region['type']
        assert region['from_name'] == dict(
            rectanglelabels='rect', keypointlabels='kp')[kind]
        assert len(region['value'][kind]) == 1
        assert 0 <= region['value']['x'] <= 100
    assert len({region['id'] for region in prediction['result']}) == 8
    task = dict(
        id=3,
        data=dict(image='/data/local-files/?d=images/a.png'),
        annotations=[dict(result=prediction['result'])])
    path = write_json(tmp_path / 'export.json', [task])
    content, _, _ = read_labels(str(path), str(tmp_path))
    keypoints = np.array([a['keypoints'] for a in content['annotations']])
    points = keypoints.reshape(2, 3, 3)
    assert np.abs(points[..., :2] - POSES['a.png']).max() < 20


def test_clicks(made):
    """The first finds the person; the others of it follow the next."""
    context = dict(result=[click('right', 150, 91)])
    result = ask_label_studio(made, 'a.png', context).json()['results']
    regions = {
        r['value']['keypointlabels'][0]: r
        for r in result[0]['result'] if r['type'] == 'keypointlabels'
    }
    assert regions.keys() == {'left', 'right', 'tip'}

    def pixels(region):
        value = region['value']
        return [value['x'] * SIZE[0] / 100, value['y'] * SIZE[1] / 100]

    np.testing.assert_allclose(pixels(regions['right']), [150, 91], atol=.01)
    np.testing.assert_allclose(pixels(regions['tip']), [132, 62], atol=.01)
    parents = {r.get('parentID') for r in regions.values()}
    assert parents == {result[0]['result'][0]['id']}
    context['result'] += [
        click('left', 111, 92),
        click('tip', 0, 0, is_positive=False)
    ]
    result = ask_label_studio(made, 'a.png', context).json()['results']
    points = [pixels(r) for r in result[0]['result'][1:]]
    step = 2 * (1 - STEP)
    np.testing.assert_allclose(
        points, [[111, 92], [150, 91], [130 + step, 60 + step]], atol=0.02)


def test_interfaces():
    interface = read_interface(CONFIG)
    assert interface.field == 'picture'
    assert interface.points == ('kp', 'img', ['left', 'right', 'tip'])
    assert interface.boxes == ('rect', 'img', ['plane'])
    plain = CONFIG.replace('RectangleLabels', 'BrushLabels')
    assert read_interface(plain).boxes is None


def test_only_keypoints(made):
    """Without rectangles, and of keypoints those that have a label."""
    config = CONFIG.replace('RectangleLabels',
                            'BrushLabels').replace('<Label value="tip"/>', '')
    answer = ask_label_studio(made, 'a.png', config=config).json()
    names = [
        r['value']['keypointlabels'][0] for r in answer['results'][0]['result']
    ]
    assert names == ['left', 'right'] * 2


@pytest.mark.parametrize('picture, config, message', [
    ('/data/upload/3/other.png', CONFIG, 'no image of this name is in'),
    ('/data/local-files/?d=../../etc/passwd', CONFIG, 'no image of this name'),
    ('http://169.254.169.254/x', CONFIG, 'no image of this name'),
    (None, CONFIG, 'no address of an image'),
    ('a.png', None, 'must be XML'),
    ('a.png', '<View>', 'not valid XML'),
    ('a.png', '<!DOCTYPE x [<!ENTITY y "z">]><View/>', 'without declarations'),
    ('a.png', '<View/>', 'has no <KeyPointLabels>'),
])
def test_errors_of_label_studio(made, picture, config, message):
    answer = ask_label_studio(made, picture, config=config)
    assert answer.status_code == 400
    assert message in answer.json()['error']


def test_the_real_backend_answers_alike(made, tmp_path, monkeypatch):
    """Label Studio's own server, with a model that answers the same."""
    if importlib.util.find_spec('label_studio_ml') is None:
        pytest.skip('pip install label-studio-ml')
    api = pytest.importorskip('label_studio_ml.api', exc_type=ImportError)
    model = pytest.importorskip('label_studio_ml.model', exc_type=ImportError)
    ours = ask_label_studio(made, 'a.png').json()

    class Model(model.LabelStudioMLBase):

        def predict(self, tasks, **kwargs):
            return ours['results']

    client = api.init_app(
        Model, model_dir=str(tmp_path / 'models')).test_client()
    setup = dict(
        project='1.1700000000', schema=CONFIG, hostname='', access_token='')
    for answers in (made.client, client):
        assert answers.get('/health').status_code == 200
        assert answers.post('/setup', json=setup).status_code == 200
    answer = client.post(
        '/predict',
        json=dict(
            tasks=[dict(id=3, data=dict(picture='a.png'))],
            project='1.1700000000',
            label_config=CONFIG,
            params={})).get_json()
    assert answer['results'] == ours['results']
    assert answer.keys() == ours.keys()


def test_the_real_schema_of_label_studio(made):
    """Its SDK checks predictions against the labeling interface."""
    interface = pytest.importorskip(
        'label_studio_sdk.label_interface', exc_type=ImportError)
    prediction, = ask_label_studio(made, 'a.png').json()['results']
    checker = interface.LabelInterface(CONFIG)
    assert checker.validate_prediction(prediction)
