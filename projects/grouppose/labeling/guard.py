"""Who is answered: what stands before every request."""
import base64
import binascii
import hashlib
import hmac
from ipaddress import ip_address
from typing import Optional
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

HEADERS = {
    'Cache-Control':
    'no-store',
    'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    'Cross-Origin-Resource-Policy':
    'same-origin',
    'Referrer-Policy':
    'no-referrer',
    'X-Content-Type-Options':
    'nosniff',
    'X-Frame-Options':
    'DENY',
}


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach a host name."""
    if host.lower() == 'localhost':
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Answers only whom the server is for.

    - With a token, those who have it: as a cookie, which the page's address
      with ``?token=TOKEN`` sets, or in a header, ``Token: TOKEN`` or
      ``Authorization: Bearer TOKEN``, or as the password of
      ``Authorization: Basic``.
    - Without one, those who ask for the server by a name of this machine.
      Another name in ``Host`` is that of a page that had itself resolved to
      this address.
    - No page of another origin, whatever it knows.

    Args:
        app: The ASGI application behind it.
        token (str, optional): What to ask for. Defaults to nothing.
    """

    def __init__(self, app, token: Optional[str] = None):
        self._app = app
        self._token = None if token is None else _digest(token)

    async def __call__(self, scope, receive, send) -> None:
        if scope['type'] == 'lifespan':
            await self._app(scope, receive, send)
            return
        if scope['type'] != 'http':
            return  # there are no web sockets

        async def send_with_headers(message) -> None:
            if message['type'] == 'http.response.start':
                message['headers'] = [
                    *message['headers'],
                    *((name.lower().encode(), value.encode())
                      for name, value in HEADERS.items())
                ]
            await send(message)

        request = Request(scope)
        answer = self._refuse(request) or self._welcome(request) or self._app
        await answer(scope, receive, send_with_headers)

    def _refuse(self, request: Request) -> Optional[Response]:
        """What those get who are not served."""
        host = request.headers.get('host', '')
        if self._token is None and not is_loopback(_name(host)):
            return PlainTextResponse(
                'This server is for 127.0.0.1 and localhost only.\n', 403)
        origin = request.headers.get('origin')
        if origin is not None and urlsplit(origin).netloc != host:
            return _foreign()
        site = request.headers.get('sec-fetch-site', 'none')
        is_link = (
            request.method == 'GET' and request.scope['path'] == '/'
            and request.headers.get('sec-fetch-mode') == 'navigate')
        if site not in ('none', 'same-origin') and not is_link:
            return _foreign()
        if self._token is not None and not self._is_known(request):
            return PlainTextResponse(
                'A token is needed. Open the address that the server showed '
                'when it was started.\n',
                401,
                headers={'WWW-Authenticate': 'Bearer'})
        return None

    def _is_known(self, request: Request) -> bool:
        given = [
            request.headers.get('token'),
            _authorization(request),
            *(value for name, value in _query(request) if name == 'token')
        ]
        digests = [_digest(value) for value in given if value]
        digests.append(request.cookies.get(_cookie(request), ''))
        # All are compared, each in the same time whatever it is.
        return any([
            hmac.compare_digest(digest.encode(),
                                str(self._token).encode())
            for digest in digests
        ])

    def _welcome(self, request: Request) -> Optional[Response]:
        """For one who came with the token in the address: a cookie, and the
        address without it, which may be shown."""
        query = _query(request)
        rest = [(name, value) for name, value in query if name != 'token']
        if self._token is None or request.method != 'GET' or \
                request.scope['path'] != '/' or len(rest) == len(query):
            return None
        response = RedirectResponse(f'/?{urlencode(rest)}'.rstrip('?'), 303)
        response.set_cookie(
            _cookie(request),
            self._token,
            max_age=90 * 86400,
            httponly=True,
            samesite='strict')
        return response


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors='surrogatepass')).hexdigest()


def _cookie(request: HTTPConnection) -> str:
    """The name of the cookie: browsers share them between ports."""
    return f'annotate-{(request.scope.get("server") or ("", 0))[1]}'


def _query(request: HTTPConnection) -> list:
    # Not of request.url, which whoever writes the Host header shapes.
    text = request.scope['query_string'].decode('latin-1')
    return parse_qsl(text, keep_blank_values=True)


def _authorization(request: HTTPConnection) -> Optional[str]:
    kind, _, value = request.headers.get('authorization', '').partition(' ')
    if kind.lower() != 'basic':
        return value if kind.lower() == 'bearer' else None
    try:
        return base64.b64decode(value).decode().partition(':')[2]
    except (binascii.Error, UnicodeDecodeError):
        return None


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f'//{host}').hostname or ''
    except ValueError:
        return ''


def _foreign() -> Response:
    return PlainTextResponse('Pages of other origins are not answered.\n', 403)
