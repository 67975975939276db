"""The model for X-AnyLabeling, as one of its remote servers has models.

Its client asks ``GET /v1/models`` for what there is, and sends images to
``POST /v1/predict``, with the points that the user sets as marks. A person is
a rectangle and its keypoints, points of the same group.
https://github.com/CVHub520/X-AnyLabeling-Server describes the messages.
"""
import base64
import binascii
import hashlib
from typing import List

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..data.loading import decode_image
from ..data.metainfo import classes_of
from .messages import MOST_IMAGE_BYTES, read_json
from .people import positions
from .session import Session

MODEL = 'grouppose'
WIDGETS = ('button_run', 'button_add_point', 'button_clear',
           'button_finish_object', 'toggle_preserve_existing_annotations')


def routes(session: Session) -> List[Route]:
    """What X-AnyLabeling asks for.

    Args:
        session (Session): The model.
    """
    meta = session.dataset_meta
    names = [meta['keypoint_id2name'][i] for i in range(meta['num_keypoints'])]
    classes = classes_of(meta)
    description = dict(
        display_name='Group Pose',
        widgets=[dict(name=name, value=None) for name in WIDGETS],
        params={},
        classes=[*classes.values()],
        batch_processing_mode='default')

    async def list_models(request: Request) -> Response:
        return JSONResponse(dict(success=True, data={MODEL: description}))

    async def describe_model(request: Request) -> Response:
        name = request.path_params['name']
        if name != MODEL:
            return _error('MODEL_NOT_FOUND', f'{name}: there is {MODEL} only')
        return JSONResponse(
            dict(success=True, data=dict(description, model_id=MODEL)))

    async def predict(request: Request) -> Response:
        body = await read_json(request, MOST_IMAGE_BYTES)
        if body.get('model') != MODEL:
            return _error('MODEL_NOT_FOUND',
                          f'{body.get("model")}: there is {MODEL} only')
        try:
            content = _read_data(body.get('image'))
            points = _read_marks(body.get('params'))
            people = await run_in_threadpool(_find, session, content, points)
        except ValueError as error:
            return _error('INVALID_IMAGE', str(error))
        shapes = [
            shape
            for group, person in enumerate(people, 1) for shape in _shapes(
                person, group, names, classes[person['category']])
        ]
        data: dict = dict(shapes=shapes, description='')
        if points:
            data['replace'] = False  # what was drawn stays
        return JSONResponse(dict(success=True, data=data))

    return [
        Route('/v1/models', list_models),
        Route('/v1/models/{name}/info', describe_model),
        Route('/v1/predict', predict, methods=['POST']),
    ]


def _find(session: Session, content: bytes, points: List[list]) -> List[dict]:
    """The people at points, or all if there is no point."""
    key = 'sha256:' + hashlib.sha256(content).hexdigest()

    def read() -> np.ndarray:
        return decode_image(content, 'image')

    if not points:
        return session.propose(key, read)
    return [session.person_at(key, read, point) for point in points]


def _read_data(text) -> bytes:
    """The file in a data URI, or in base64 alone."""
    if not isinstance(text, str):
        raise ValueError('`image` must be a file in base64, or a data URI')
    try:
        return base64.b64decode(text.rpartition('base64,')[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f'`image` is not valid base64 ({error})') from error


def _read_marks(params) -> List[list]:
    """Points that the user added: those with the label 1."""
    marks = params.get('marks') if isinstance(params, dict) else None
    points = []
    for mark in marks if isinstance(marks, list) else []:
        if not isinstance(mark, dict) or mark.get('label') != 1:
            continue
        data = mark.get('data')
        if not isinstance(data, list) or len(data) not in (2, 4) or not all(
                type(value) in (int, float) for value in data):
            raise ValueError('`data` of a mark must be x and y, or two '
                             'corners')
        # A rectangle stands for its center.
        points.append(np.mean(np.reshape(data, (-1, 2)), 0).tolist())
    return points


def _shapes(person: dict, group: int, names: List[str],
            label: str) -> List[dict]:
    """A person as shapes of X-AnyLabeling."""
    points = positions([person])[0]
    seen = [keypoint[2] > 0 for keypoint in person['keypoints']]
    if not any(seen):
        return []
    (left, top), (right, bottom) = points[seen].min(0), points[seen].max(0)
    corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
    scores = person['scores'] or [None] * len(names)
    return [
        _shape(label, 'rectangle', corners, group, None),
        *(_shape(name, 'point', [point], group, score)
          for name, point, score, is_seen in zip(names, points, scores, seen)
          if is_seen)
    ]


def _shape(label: str, kind: str, points, group: int, score) -> dict:
    return dict(
        label=label,
        shape_type=kind,
        points=[[round(float(value), 2) for value in point]
                for point in points],
        score=score,
        attributes={},
        description=None,
        difficult=False,
        direction=0,
        flags=None,
        group_id=group,
        kie_linking=[])


def _error(code: str, message: str) -> Response:
    # Its client expects status 200.
    return JSONResponse(
        dict(success=False, error=dict(code=code, message=message)))
