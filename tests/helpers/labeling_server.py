"""The server of the page with the stand-in model, in this process."""
from pathlib import Path
from types import SimpleNamespace

from projects.grouppose.labeling.images import ImageList
from projects.grouppose.labeling.journal import Journal
from projects.grouppose.labeling.session import Session
from tests.helpers.labeled_images import PLANE, POSES, write_images
from tests.helpers.labeler import StandInLabeler, write_truth


def build_server(folder: Path, token=None, **fields) -> SimpleNamespace:
    """Make what ``tools/annotate.py`` makes of three drawn images.

    Args:
        folder (Path): Where images and journal are. What is there is used.
        token (str, optional): Of the server.
        fields: Of the stand-in, see :func:`write_truth`.

    Returns:
        SimpleNamespace: ``server``, a ``client`` for it, the ``labeler``, the
        ``journal`` and the COCO file ``out``.
    """
    from starlette.testclient import TestClient

    from projects.grouppose.labeling.server import Server

    images = folder / 'images'
    if not images.exists():
        write_images(images)
    truth = write_truth(folder / 'truth.json', images, POSES, PLANE, **fields)
    labeler = StandInLabeler(None, str(truth))
    journal = Journal(str(folder / 'poses.journal'), ['left', 'right', 'tip'])
    session = Session(labeler)
    out = folder / 'poses.json'
    server = Server(
        ImageList(str(images)), journal, session, str(out), 'plane', token)
    client = TestClient(server.app, 'http://127.0.0.1:8000')
    return SimpleNamespace(
        server=server,
        client=client,
        labeler=labeler,
        journal=journal,
        session=session,
        out=out)
