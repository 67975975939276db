"""Images and videos by their URLs."""
import os.path as osp
import re
import string
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from typing import Iterator
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import (HTTPBasicAuthHandler, HTTPDigestAuthHandler,
                            HTTPPasswordMgrWithDefaultRealm, Request,
                            build_opener)

MAX_BYTES = 2**28  # of an image
TIMEOUT = 30  # seconds without an answer
CHECK_ADDRESS = 'Check the address, and that it can be reached.'


def is_url(text: str) -> bool:
    """Whether a text is the address of something on the network."""
    return re.match('[a-z][a-z0-9+.-]+://', text, re.IGNORECASE) is not None


def percent_encoded(url: str) -> str:
    """A URL with its spaces and other characters encoded that no server
    takes as they are."""
    return quote(url, safe=string.punctuation, errors='surrogateescape')


def without_password(url: str) -> str:
    """A URL without user and password, which no file or message should show;
    a path as it is."""
    return re.sub('(?<=://)[^/?#]*@', '', url, 1) if is_url(url) else url


def file_name(url: str) -> str:
    """A name for a file with what a URL shows, safe on any file system."""
    path = re.match('[^?#]*', without_password(url))[0].rstrip('/')
    return re.sub(r'[^\w.%-]', '_', osp.basename(path))


def download(url: str) -> bytes:
    """Fetch a file of at most 256 MiB.

    Args:
        url (str): http or https.

    Returns:
        bytes: Its content.

    Raises:
        OSError: If it cannot be fetched, or the server is silent for 30
            seconds.
        ValueError: If it is larger.
    """
    with _answer(url) as response:
        content = response.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f'{without_password(url)}: has more than '
                         f'{MAX_BYTES >> 20} MiB, too much for an image')
    return content


def content_type(url: str) -> str:
    """What a server says a URL holds, e.g. 'image/jpeg'; '' if nothing.

    Args:
        url (str): http or https.

    Raises:
        OSError: If the server does not answer within 30 seconds, or has no
            such file.
    """
    with _answer(url) as response:
        return response.headers.get('Content-Type', '').strip().lower()


@contextmanager
def _answer(url: str) -> Iterator[HTTPResponse]:
    """Ask for a URL; errors on the way name it."""
    name = without_password(url)
    try:
        # Some servers refuse the name that Python gives by default.
        request = Request(name, headers={'User-Agent': 'grouppose'})
        with _opener(url).open(request, timeout=TIMEOUT) as response:
            yield response
    except (OSError, HTTPException, ValueError) as error:
        is_status = isinstance(error, HTTPError)
        reason = error if is_status else getattr(error, 'reason', error)
        raise OSError(f'{name}: cannot be fetched ({reason}). '
                      f'{CHECK_ADDRESS}') from error


def _opener(url: str):
    """What opens a URL, with the user and password that it states."""
    parts = urlsplit(url)
    passwords = HTTPPasswordMgrWithDefaultRealm()
    if parts.username is not None:
        passwords.add_password(None, without_password(url),
                               unquote(parts.username),
                               unquote(parts.password or ''))
    return build_opener(
        HTTPBasicAuthHandler(passwords), HTTPDigestAuthHandler(passwords))
