"""The model for Label Studio, as one of its machine learning backends.

Label Studio asks ``GET /health`` and ``POST /setup``, and sends tasks to
``POST /predict``; what the user just set, of a label of type
``KeyPointLabels`` with ``smart="true"``, comes along as ``context``. A person
is a rectangle, of the first ``RectangleLabels`` of the labeling interface if
there are some, and its keypoints are children of it. Of keypoints, those are
answered that have a label by the name that the model gives them.
https://github.com/HumanSignal/label-studio-ml-backend describes the messages.

A task's image is the one of that name in the folder of images: no address is
ever fetched, and the server needs no key of Label Studio.
"""
import re
from functools import partial
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..data.metainfo import classes_of
from ..version import __version__
from .images import ImageList
from .messages import Refusal, read_json
from .people import positions, rounded
from .session import Session

VERSION = f'grouppose-{__version__}'
UPLOAD = '[0-9a-f]{8}-'  # what Label Studio puts before names of uploads


class Control(NamedTuple):
    """A tag of the labeling interface that makes labels.

    Args:
        name (str): Its name.
        to_name (str): That of the image it is for.
        labels (list[str]): Its labels.
    """
    name: str
    to_name: str
    labels: List[str]


class Interface(NamedTuple):
    """A labeling interface.

    Args:
        field (str): The one of a task's data that has the image.
        points (Control): For keypoints.
        boxes (Control, optional): For rectangles.
    """
    field: str
    points: Control
    boxes: Optional[Control]


def routes(session: Session, images: ImageList) -> List[Route]:
    """What Label Studio asks for.

    Args:
        session (Session): The model.
        images (ImageList): Where the images of tasks are.
    """
    backend = Backend(session, images)

    async def health(request: Request) -> Response:
        return JSONResponse(dict(status='UP', model_class='GroupPose'))

    async def setup(request: Request) -> Response:
        await read_json(request)
        return JSONResponse(dict(model_version=VERSION))

    async def predict(request: Request) -> Response:
        body = await read_json(request)
        try:
            results = await run_in_threadpool(backend.predict, body)
        except (OSError, ValueError) as error:
            raise Refusal(400, str(error)) from error
        return JSONResponse(dict(results=results, model_version=VERSION))

    return [
        Route('/health', health),
        Route('/setup', setup, methods=['POST']),
        Route('/predict', predict, methods=['POST']),
    ]


class Backend:
    """Poses for tasks of Label Studio.

    Args:
        session (Session): The model.
        images (ImageList): Where the images of tasks are.
    """

    def __init__(self, session: Session, images: ImageList):
        self._session = session
        self._images = images
        meta = session.dataset_meta
        names = meta['keypoint_id2name']
        self._names = [names[i] for i in sorted(names)]
        self._classes = classes_of(meta)

    def predict(self, body: dict) -> List[dict]:
        """A prediction for each task.

        Args:
            body (dict): ``tasks``, ``label_config`` and ``params`` with the
                ``context``.

        Raises:
            OSError: If a task's image is not there.
            ValueError: If something is missing or is not understood.
        """
        tasks, params = body.get('tasks'), body.get('params')
        if not isinstance(tasks, list):
            raise ValueError('`tasks` must be a list')
        context = params.get('context') if isinstance(params, dict) else None
        interface = read_interface(body.get('label_config'))
        return [self._predict(task, interface, context) for task in tasks]

    def _predict(self, task: dict, interface: Interface,
                 context: Optional[dict]) -> dict:
        data = task.get('data') if isinstance(task, dict) else None
        if not isinstance(data, dict):
            raise ValueError('a task has no `data`')
        name = self._find(data.get(interface.field))
        size = self._images.size(name)
        read = partial(self._images.read, name)
        clicks = [*_read_clicks(context, size)]
        if not isinstance(context, dict) or not context.get('result'):
            people = self._session.propose(name, read)
        elif clicks:
            people = [self._follow(name, read, clicks)]
        else:
            people = []
        result = [
            region for number, person in enumerate(people)
            for region in self._regions(person, number, interface, size)
        ]
        scores = [s for person in people for s in person['scores'] or []]
        return dict(
            model_version=VERSION,
            score=round(float(np.mean(scores)), 4) if scores else 0.,
            result=result)

    def _follow(self, name: str, read, clicks: List[tuple]) -> dict:
        """The person at the first click, who follows the others."""
        known = [(self._names.index(label) if label in self._names else None,
                  point) for label, point in clicks]
        joint, point = known[0]
        person = self._session.person_at(name, read, point, joint)
        for joint, point in known[1:]:
            if joint is not None:
                person['keypoints'][joint] = [*rounded(point), 2]
                person['fixed'][joint] = True
        if len(known) > 1:
            person = self._session.refine(name, read, person)
        return person

    def _find(self, address) -> str:
        """The image that a task's address means."""
        if not isinstance(address, str):
            raise ValueError('a task has no address of an image')
        parts = urlsplit(address)
        # Local files have their path in the query.
        path, = parse_qs(parts.query).get('d') or [unquote(parts.path)]
        folders = [part for part in path.split('/') if part]
        names = ['/'.join(folders[i:]) for i in range(len(folders))]
        names += [re.sub(f'^{UPLOAD}', '', name) for name in names[-1:]]
        for name in names:
            if name in self._images:
                return name
        raise FileNotFoundError(
            f'{address}: no image of this name is in {self._images.folder}. '
            'Start annotate.py with the folder of the images that Label '
            'Studio shows.')

    def _regions(self, person: dict, number: int, interface: Interface,
                 size: Tuple[int, int]) -> Iterator[dict]:
        """A person as regions."""
        points = positions([person])[0]
        seen = np.array([point[2] > 0 for point in person['keypoints']])
        if not seen.any():
            return
        boxes = interface.boxes
        parent: Dict[str, str] = {}
        if boxes is not None:
            name = self._classes[person['category']]
            label = name if name in boxes.labels else boxes.labels[0]
            low, high = points[seen].min(0), points[seen].max(0)
            parent = dict(parentID=f'person{number}')
            yield _region(
                'rectanglelabels',
                boxes,
                label,
                size, [*low, *(high - low)],
                id=f'person{number}')
        for i in np.flatnonzero(seen).tolist():
            name = self._names[i]
            if name in interface.points.labels:
                fields: dict = dict(parent, id=f'person{number}-{i}')
                if person['scores']:
                    fields['score'] = person['scores'][i]
                yield _region('keypointlabels', interface.points, name, size,
                              [*points[i], size[0] / 200], **fields)


def read_interface(text) -> Interface:
    """Read a labeling interface.

    Args:
        text (str): XML, the ``label_config``.

    Raises:
        ValueError: If it is none, or has nothing to set keypoints with.
    """
    if not isinstance(text, str) or '<!' in re.sub('<!--', '', text):
        raise ValueError('`label_config` must be XML without declarations')
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f'`label_config` is not valid XML ({error})') \
            from error
    images = {
        tag.get('name'): str(tag.get('value')).lstrip('$')
        for tag in root.iter('Image')
    }
    points, boxes = (
        next(_controls(root, kind, images), None)
        for kind in ('KeyPointLabels', 'RectangleLabels'))
    if points is None:
        raise ValueError(
            'the labeling interface has no <KeyPointLabels> for an <Image>. '
            'Add one with a <Label> for each keypoint.')
    return Interface(images[points.to_name], points, boxes)


def _controls(root: ElementTree.Element, kind: str,
              images: dict) -> Iterator[Control]:
    for tag in root.iter(kind):
        labels = [str(label.get('value')) for label in tag.iter('Label')]
        if tag.get('toName') in images and labels:
            yield Control(str(tag.get('name')), str(tag.get('toName')), labels)


def _read_clicks(context, size: Tuple[int, int]) -> Iterator[tuple]:
    """Labels and places, in pixels, of the points that the user set."""
    result = context.get('result') if isinstance(context, dict) else None
    for region in result if isinstance(result, list) else []:
        if not isinstance(region, dict) or \
                region.get('type') != 'keypointlabels' or \
                region.get('is_positive', True) in (0, False):
            continue
        value: Any = region.get('value')
        try:
            point = [
                float(value[key]) * side / 100
                for key, side in zip('xy', size)
            ]
            label = str(value['keypointlabels'][0])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError('a point of the context has no `x`, `y` and '
                             '`keypointlabels`') from error
        yield label, point


def _region(kind: str, control: Control, label: str, size: Tuple[int, int],
            values: list, **fields) -> dict:
    """A region, whose sides are percent of those of the image."""
    value = {
        key: round(100 * float(value) / side, 6)
        for key, value, side in zip(('x', 'y', 'width',
                                     'height'), values, [*size, *size])
    }
    if kind == 'rectanglelabels':
        value['rotation'] = 0
    return dict(
        fields,
        type=kind,
        from_name=control.name,
        to_name=control.to_name,
        original_width=size[0],
        original_height=size[1],
        image_rotation=0,
        value=dict(value, **{kind: [label]}))
