"""Who is answered, and who is not."""
import base64

import pytest

pytest.importorskip(
    'starlette', reason='pip install -r requirements/labeling.txt')
pytest.importorskip('httpx', reason='pip install -r requirements/dev.txt')

from projects.grouppose.labeling.guard import is_loopback  # noqa: E402
from tests.helpers.labeling_server import build_server  # noqa: E402

TOKEN = 'a token, with ü; and "quotes"'
PATHS = ('/', '/page/app.js', '/page/icon.svg', '/api/project',
         '/api/image?name=a.png', '/api/image/file?name=a.png', '/api/export',
         '/v1/models', '/health', '/no/such/path')


@pytest.fixture(scope='module')
def local(tmp_path_factory):
    made = build_server(tmp_path_factory.mktemp('local'))
    yield made.client
    made.session.close()


@pytest.fixture(scope='module')
def server_with_token(tmp_path_factory):
    made = build_server(tmp_path_factory.mktemp('guarded'), TOKEN)
    yield made.client
    made.session.close()


@pytest.fixture
def guarded(server_with_token):
    server_with_token.cookies.clear()
    return server_with_token


@pytest.mark.parametrize('host, expected', [('127.0.0.1', True),
                                            ('localhost', True), ('::1', True),
                                            ('127.9.9.9', True),
                                            ('0.0.0.0', False), ('::', False),
                                            ('192.168.1.5', False),
                                            ('', False),
                                            ('localhost.evil.com', False),
                                            ('127.0.0.1.evil.com', False)])
def test_loopback(host, expected):
    assert is_loopback(host) == expected


@pytest.mark.parametrize('path', PATHS)
def test_nothing_without_the_token(guarded, path):
    """Not even whether there is something."""
    for headers in ({}, {
            'Token': 'wrong'
    }, {
            'Token': ''
    }, {
            'Authorization': 'Bearer wrong'
    }, {
            'Authorization': 'Basic !'
    }, {
            'Cookie': 'annotate-8000=wrong'
    }, {
            'Cookie': f'annotate-8000={TOKEN}'.encode()
    }):
        answer = guarded.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.text.startswith('A token is needed.')
    wrong = '&' if '?' in path else '?'
    assert guarded.get(f'{path}{wrong}token=wrong').status_code == 401
    assert guarded.put('/api/image?name=a.png', json={}).status_code == 401
    assert guarded.post('/v1/predict', json={}).status_code == 401


def test_first_visit(guarded):
    """The address with the token leaves a cookie and forgets the token."""
    answer = guarded.get(
        '/', params=dict(token=TOKEN, image='a.png'), follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers['location'] == '/?image=a.png'
    cookie = answer.headers['set-cookie']
    assert 'HttpOnly' in cookie and 'SameSite=strict' in cookie
    assert 'token' not in cookie.split(';')[0]  # it is not the token itself
    for path in ('/', '/api/project'):  # the client keeps the cookie
        assert guarded.get(path).status_code == 200
    guarded.cookies.clear()
    assert guarded.get('/').status_code == 401


@pytest.mark.parametrize('headers', [
    {
        'Token': 'plain-token'
    },
    {
        'Authorization': 'Bearer plain-token'
    },
    {
        'authorization':
        'basic ' + base64.b64encode(b'grouppose:plain-token').decode()
    },
])
def test_headers(tmp_path, headers):
    """Of X-AnyLabeling, of programs, of Label Studio."""
    made = build_server(tmp_path, 'plain-token')
    assert made.client.get('/v1/models', headers=headers).status_code == 200
    made.session.close()


@pytest.mark.parametrize('host, status', [('127.0.0.1:8000', 200),
                                          ('localhost:8000', 200),
                                          ('localhost', 200),
                                          ('[::1]:8000', 200),
                                          ('localhost:9999', 200),
                                          ('evil.com', 403),
                                          ('evil.com:8000', 403),
                                          ('localhost.evil.com', 403),
                                          ('localhost@evil.com', 403),
                                          ('evil.com/127.0.0.1', 403),
                                          ('', 403), ('[', 403)])
def test_names_of_the_server(local, host, status):
    """A page elsewhere that lets its name resolve to this machine."""
    for path in ('/', '/api/project'):
        assert local.get(path, headers=dict(Host=host)).status_code == status


@pytest.mark.parametrize('headers, status', [
    ({
        'Origin': 'http://127.0.0.1:8000'
    }, 200),
    ({
        'Origin': 'http://evil.com'
    }, 403),
    ({
        'Origin': 'http://127.0.0.1:9000'
    }, 403),
    ({
        'Origin': 'null'
    }, 403),
    ({
        'Origin': 'file://'
    }, 403),
    ({
        'Sec-Fetch-Site': 'same-origin'
    }, 200),
    ({
        'Sec-Fetch-Site': 'none'
    }, 200),
    ({
        'Sec-Fetch-Site': 'cross-site',
        'Sec-Fetch-Mode': 'no-cors'
    }, 403),
    ({
        'Sec-Fetch-Site': 'same-site',
        'Sec-Fetch-Mode': 'cors'
    }, 403),
    ({
        'Sec-Fetch-Site': 'cross-site',
        'Sec-Fetch-Mode': 'navigate'
    }, 403),
])
def test_other_origins(local, guarded, headers, status):
    given = dict(
        headers,
        Authorization='Basic ' +
        base64.b64encode(f':{TOKEN}'.encode()).decode())
    for path in ('/api/project', '/api/image/file?name=a.png'):
        assert local.get(path, headers=headers).status_code == status
        assert guarded.get(path, headers=given).status_code == status
    change = local.put(
        '/api/image?name=a.png',
        json=dict(revision=99, done=False, people=[]),
        headers=headers)
    assert change.status_code == (409 if status == 200 else 403)


def test_a_link_to_the_page_works(local):
    headers = {'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate'}
    assert local.get('/', headers=headers).status_code == 200


def test_headers_of_answers(local):
    """No frame, no foreign script, nothing kept by caches."""
    for path in ('/', '/api/project', '/no/such/path'):
        headers = local.get(path).headers
        assert "default-src 'none'" in headers['content-security-policy']
        assert "frame-ancestors 'none'" in headers['content-security-policy']
        assert headers['cache-control'] == 'no-store'
        assert headers['x-content-type-options'] == 'nosniff'
        assert 'access-control-allow-origin' not in headers
    forms = local.put(
        '/api/image?name=a.png',
        content='{}',
        headers={'Content-Type': 'application/x-www-form-urlencoded'})
    assert forms.status_code == 415
