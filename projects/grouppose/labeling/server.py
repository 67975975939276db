"""The server of the page: images, their people and the model's help, as JSON.

==========================  =================================================
``GET /``                   the page
``GET /api/project``        names of the images, keypoints, progress
``GET /api/image``          revision and people of an image
``GET /api/image/file``     its pixels
``PUT /api/image``          a change: saved, with what follows from it
``POST /api/image/refine``  a person whose keypoints follow the fixed ones
``POST /api/image/person``  the person at a point
``POST /api/image/undo``    the state before a change; ``redo`` is the reverse
``POST /api/export``        write the COCO file; ``GET`` answers with it
==========================  =================================================

An image is named by ``?name=``. Whatever is refused gets a JSON object with
``error``; a change of something that was changed in the meantime gets status
409 and the present state.
"""
import os
from functools import partial
from pathlib import Path
from typing import Optional

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from ..data.metainfo import classes_of
from . import label_studio, x_anylabeling
from .coco_files import export_annotations
from .guard import Guard
from .images import ImageList
from .journal import Conflict, Journal
from .messages import Refusal, answer_refusal, read_json
from .people import check_people
from .session import Session

PAGE = Path(__file__).parent / 'page'
TYPES = {
    '.css': 'text/css',
    '.html': 'text/html',
    '.js': 'text/javascript',
    '.svg': 'image/svg+xml'
}


class Server:
    """Answers the page.

    Args:
        images (ImageList): The images.
        journal (Journal): Where labels are kept.
        session (Session): The model.
        out (str): COCO file to export to.
        category (str, optional): What an object is called in it.
        token (str, optional): What a request must know. Defaults to nothing.

    Attributes:
        app (Starlette): What uvicorn runs.
    """

    def __init__(self,
                 images: ImageList,
                 journal: Journal,
                 session: Session,
                 out: str,
                 category: Optional[str] = None,
                 token: Optional[str] = None):
        self.images = images
        self.journal = journal
        self.session = session
        self._out = out
        self._category = category
        meta = session.dataset_meta
        self._num_keypoints = len(meta['keypoint_id2name'])
        self._classes = classes_of(meta)
        files = {path.name: path for path in PAGE.iterdir()}
        routes = [
            Route('/', partial(_file, files['index.html'])),
            *(Route(f'/page/{name}', partial(_file, path))
              for name, path in files.items() if path.suffix in TYPES),
            Route('/api/project', self.project),
            Route('/api/image', self.image),
            Route('/api/image', self.change, methods=['PUT']),
            Route('/api/image/file', self.file),
            Route('/api/image/refine', self.refine, methods=['POST']),
            Route('/api/image/person', self.person_at, methods=['POST']),
            Route('/api/image/undo', partial(self.step, -1), methods=['POST']),
            Route('/api/image/redo', partial(self.step, 1), methods=['POST']),
            Route('/api/export', self.download),
            Route('/api/export', self.export_file, methods=['POST']),
            *x_anylabeling.routes(session),
            *label_studio.routes(session, images),
        ]
        self.app = Starlette(
            routes=routes,
            middleware=[Middleware(Guard, token=token)],
            exception_handlers={Refusal: answer_refusal})

    async def project(self, request: Request) -> Response:
        """What does not depend on an image."""
        meta = self.session.dataset_meta
        progress = self.journal.progress()
        names = self.images.names
        keypoints = [
            dict(name=meta['keypoint_id2name'][i], color=_color(color))
            for i, color in enumerate(meta['keypoint_colors'])
        ]
        links = [
            dict(ends=[int(end) for end in link],
                 color=_color(color)) for link, color in zip(
                     meta['skeleton_links'], meta['skeleton_link_colors'])
        ]
        return JSONResponse(
            dict(
                folder=os.path.basename(os.path.abspath(self.images.folder)),
                out=os.path.abspath(self._out),
                names=names,
                # 0: as it was found, 1: changed, 2: done
                progress=[
                    1 + progress[name] if name in progress else 0
                    for name in names
                ],
                keypoints=keypoints,
                links=links,
                flip=[int(i) for i in meta['flip_indices']],
                classes=[
                    dict(id=i, name=name) for i, name in self._classes.items()
                ],
                follows=self.session.follows))

    async def image(self, request: Request) -> Response:
        """An image as it was left, or with what the model proposes."""
        name = self._name(request)
        following = self.images.next_name(name)

        def find() -> dict:
            width, height = self.images.size(name)
            entry = self.journal.get(name) or self._proposal(name)
            self.session.prepare(name, partial(self.images.read, name))
            self.session.prepare(following, partial(self.images.read,
                                                    following))
            return dict(entry, width=width, height=height)

        return JSONResponse(await self._work(find))

    async def file(self, request: Request) -> Response:
        """The pixels of an image."""
        name = self._name(request)
        content, kind = await self._work(self.images.content, name)
        return Response(content, media_type=kind)

    async def change(self, request: Request) -> Response:
        """Save a change, and let the person ``refine`` follow first."""
        name = self._name(request)
        body = await read_json(request)
        revision, done = body.get('revision'), body.get('done')
        if type(revision) is not int or type(done) is not bool:
            raise Refusal(400, '`revision` must be an integer, `done` a bool')
        people = self._people(body.get('people'))
        chosen = body.get('refine')

        def save() -> dict:
            # Nobody waits for the model in vain.
            known = self.journal.get(name)
            if known is not None and known['revision'] != revision:
                raise Conflict(known)
            state = dict(
                done=done,
                people=[
                    self._refine(name, person)
                    if person['id'] == chosen else person for person in people
                ])
            start, size = None, self.images.size(name)
            if known is None:  # what the first change was made to
                start = self._proposal(name)['state']
            with self.journal.transaction():
                if start is not None and self.journal.get(name) is None:
                    self.journal.add(name, size, start)
                return self.journal.save(name, revision, state)

        return JSONResponse(await self._work(save))

    async def step(self, by: int, request: Request) -> Response:
        """Undo or redo."""
        name = self._name(request)
        revision = (await read_json(request)).get('revision')
        if type(revision) is not int:
            raise Refusal(400, '`revision` must be an integer')

        def step() -> dict:
            if self.journal.get(name) is None:
                return self._proposal(name)
            return self.journal.step(name, revision, by)

        return JSONResponse(await self._work(step))

    async def refine(self, request: Request) -> Response:
        """Let a person follow without saving it, while a joint is dragged."""
        name = self._name(request)
        person, = self._people([(await read_json(request)).get('person')])
        return JSONResponse(await self._work(self._refine, name, person))

    async def person_at(self, request: Request) -> Response:
        """Find the person at a point."""
        name = self._name(request)
        body = await read_json(request)
        joint = body.get('joint')
        point = body.get('point')
        if joint is not None and (type(joint) is not int
                                  or not 0 <= joint < self._num_keypoints):
            raise Refusal(400, '`joint` must be the index of a keypoint')
        if not isinstance(point, list) or len(point) != 2 or not all(
                type(value) in (int, float) for value in point):
            raise Refusal(400, '`point` must be x and y')
        return JSONResponse(await self._work(self.session.person_at, name,
                                             partial(self.images.read, name),
                                             point, joint))

    async def export_file(self, request: Request) -> Response:
        """Write the COCO file."""
        return JSONResponse(await self._work(self.export))

    async def download(self, request: Request) -> Response:
        """The COCO file, as it is now."""
        await self._work(self.export)
        return FileResponse(self._out, filename=os.path.basename(self._out))

    def export(self) -> dict:
        """Write the COCO file, see :func:`export_annotations`."""
        return export_annotations(self.journal, self.session.dataset_meta,
                                  self._out, self._category)

    def _refine(self, name: str, person: dict) -> dict:
        return self.session.refine(name, partial(self.images.read, name),
                                   person)

    def _proposal(self, name: str) -> dict:
        """The state of an image that nobody has changed."""
        people = self.session.propose(name, partial(self.images.read, name))
        state = dict(done=False, people=people)
        return dict(revision=0, state=state, undo=False, redo=False)

    def _name(self, request: Request) -> str:
        """The image that a request is about."""
        name = request.query_params.get('name')
        if name not in self.images:
            raise Refusal(404, f'{name}: no image of this name')
        return str(name)

    def _people(self, people) -> list:
        try:
            check_people(people, self._num_keypoints, [*self._classes])
        except ValueError as error:
            raise Refusal(400, str(error)) from error
        return people

    async def _work(self, function, *arguments):
        """Do something that takes time beside other requests."""
        try:
            return await run_in_threadpool(function, *arguments)
        except Conflict as error:
            raise Refusal(409, str(error), entry=error.entry) from error
        except (OSError, ValueError) as error:
            raise Refusal(500, str(error)) from error


async def _file(path: Path, request: Request) -> Response:
    return FileResponse(path, media_type=TYPES[path.suffix])


def _color(rgb) -> str:
    return '#' + ''.join(f'{int(value):02x}' for value in rgb)
