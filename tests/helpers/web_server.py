"""A web server on this machine for what a test wants to fetch."""
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Callable, Dict, Iterator, Tuple, Union

# Content-Type and content by path, or what answers a request.
Routes = Dict[str, Union[Tuple[str, bytes], Callable]]


@contextmanager
def serve(routes: Routes) -> Iterator[str]:
    """Answer requests for as long as the context lasts.

    Args:
        routes (dict): By path without the query. A callable gets the
            ``BaseHTTPRequestHandler``.

    Yields:
        str: Address, without a slash at its end.
    """

    class Handler(BaseHTTPRequestHandler):

        def do_GET(self):
            answer = routes.get(self.path.partition('?')[0])
            if answer is None:
                self.send_error(404)
            elif callable(answer):
                answer(self)
            else:
                send(self, *answer)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01, ))
    thread.start()
    try:
        yield f'http://127.0.0.1:{server.server_port}'
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(handler: BaseHTTPRequestHandler, kind: str, content: bytes) -> None:
    """Answer a request; ``kind`` is the Content-Type, '' for none."""
    handler.send_response(200)
    if kind:
        handler.send_header('Content-Type', kind)
    handler.send_header('Content-Length', str(len(content)))
    handler.end_headers()
    try:
        handler.wfile.write(content)
    except ConnectionError:  # it has seen enough
        pass
