"""Requests and answers in JSON."""
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

MOST_BYTES = 2**23  # of what the page sends
MOST_IMAGE_BYTES = 2**26  # of an image and what belongs to it, in base64


class Refusal(Exception):
    """A request that cannot be answered.

    Args:
        status (int): Of HTTP.
        message (str): What is wrong with it.
        fields: What else the answer has.
    """

    def __init__(self, status: int, message: str, **fields):
        super().__init__(message)
        self.status = status
        self.fields = fields


async def answer_refusal(request: Request, error: Exception) -> JSONResponse:
    """Tell why a request is refused."""
    assert isinstance(error, Refusal)
    return JSONResponse(dict(error.fields, error=str(error)), error.status)


async def read_json(request: Request, limit: int = MOST_BYTES) -> dict:
    """The JSON object that a request brings.

    Args:
        request (Request): The request.
        limit (int): Most bytes that are read. Defaults to 8 MiB.

    Raises:
        Refusal: If it brings something else, or more.
    """
    kind = request.headers.get('content-type', '')
    if kind.partition(';')[0].strip().lower() != 'application/json':
        # Forms of other pages cannot send this type.
        raise Refusal(415, 'the Content-Type must be application/json')
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > limit:
            raise Refusal(413, f'more than {limit >> 20} MiB')
    try:
        body: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f'not valid JSON ({error})') from error
    if not isinstance(body, dict):
        raise Refusal(400, 'not a JSON object')
    return body
