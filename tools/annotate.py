"""Label keypoints in the browser; the model proposes poses, and where one
joint is corrected, the rest follows:
``python tools/annotate.py IMAGES --config C --checkpoint W``.
"""
import threads  # noqa: F401  (before PyTorch)

# isort: split

import argparse
import os
import os.path as osp
import secrets
import signal
import socket
import sys
import threading
import webbrowser
from urllib.parse import quote

import launch

DESCRIPTION = """Label keypoints in the browser with the help of a model.

The model proposes the people of each image. Drag a joint to its place: it
stays there, and the other joints of that person follow. The page shows all
keys after "?". Every change is kept at once in the journal, a file beside
--out with the suffix .journal, from which a later start goes on; --out is
written by "Export" in the page, and at the end.

The same address serves X-AnyLabeling (as a remote server) and Label Studio
(as a machine learning backend).

Exit code: 0 after Ctrl-C, 2 if nothing was started."""
PACKAGES = 'pip install -r requirements/labeling.txt'


def parse_args(argv=None):
    """Define and read the arguments.

    Args:
        argv (list[str], optional): Instead of the command line's.

    Returns:
        tuple: The parser, for errors found later, and the arguments.
    """
    parser = launch.ArgumentParser(DESCRIPTION)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        'images',
        metavar='IMAGES',
        help='folder of the images, which may have subfolders')
    parser.add_argument('--config', required=True, help='config of the model')
    parser.add_argument('--checkpoint', required=True, help='its weights')
    parser.add_argument(
        '--annotations',
        metavar='FILE',
        help='COCO keypoint file to begin with; it is read once and left as '
        'it is')
    parser.add_argument(
        '--out',
        metavar='FILE',
        help='COCO keypoint file to write (default: IMAGES.json, beside the '
        'folder)')
    parser.add_argument(
        '--category',
        metavar='NAME',
        help='what an object is called in it, of a model that tells no '
        'classes apart (default: the name in --annotations, or object)')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='least score of a pose that is proposed (default: 0.3)')
    parser.add_argument(
        '--device',
        help='cpu, cuda, cuda:1 (default: GPU if there is one, else CPU)')
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to listen at (default: 127.0.0.1, this machine only); '
        'any other needs --token')
    parser.add_argument(
        '--port',
        type=int,
        default=8000,
        help='port to listen at; 0 takes a free one (default: 8000)')
    parser.add_argument(
        '--token',
        help='what a browser or labeling tool must know to be answered')
    parser.add_argument(
        '--no-browser', action='store_true', help='open no browser')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=launch.Settings,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config')
    return parser, parser.parse_args(argv)


def listen(host, port):
    """A socket that listens.

    Raises:
        OSError: If it cannot; the message says why.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, None, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        if os.name == 'posix':  # elsewhere, two programs would share it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address[0], port, *address[2:]))
        listener.listen()
        return listener
    except (OSError, OverflowError) as error:
        raise OSError(f'cannot listen at {host}, port {port} ({error}). If it '
                      'is taken, choose another --port; 0 takes a free one.')


def address_of(host, port, token):
    """Where a browser finds the page."""
    name = {'0.0.0.0': socket.gethostname(), '::': socket.gethostname()}
    shown = name.get(host, host)
    shown = f'[{shown}]' if ':' in shown else shown
    query = '' if token is None else f'?token={quote(token, safe="")}'
    return f'http://{shown}:{port}/{query}'


def main(argv=None):
    """Run the program.

    Returns:
        int: Exit code, see DESCRIPTION.
    """
    parser, args = parse_args(argv)
    try:
        import uvicorn

        from projects.grouppose.labeling.coco_files import import_annotations
        from projects.grouppose.labeling.guard import is_loopback
        from projects.grouppose.labeling.images import ImageList
        from projects.grouppose.labeling.journal import Journal
        from projects.grouppose.labeling.server import Server
        from projects.grouppose.labeling.session import Session
    except ModuleNotFoundError as error:
        if error.name not in ('starlette', 'uvicorn'):
            raise
        parser.error(f'the package {error.name} is missing: {PACKAGES}')
    if not is_loopback(args.host) and not args.token:
        parser.error(
            f'--host {args.host} lets others in: give a --token that they '
            f'must know, for instance --token {secrets.token_urlsafe(16)}')
    if args.token == '':
        parser.error('--token must not be empty')
    out = args.out or osp.abspath(args.images) + '.json'
    journal_path = osp.splitext(out)[0] + '.journal'
    try:
        images = ImageList(args.images)
        if osp.exists(out) and not osp.exists(journal_path) and not (
                args.annotations and osp.exists(args.annotations)
                and osp.samefile(out, args.annotations)):
            parser.error(
                f'{out} exists, and no journal of it: go on from it with '
                f'--annotations {out}, or choose another --out')
        listener = listen(args.host, args.port)
        from projects.grouppose.labeling.labeler import PoseLabeler
        labeler = PoseLabeler(
            launch.read_config(args.config, args.cfg_options), args.checkpoint,
            args.device)
        names = labeler.metainfo['keypoint_id2name']
        journal = Journal(journal_path, [names[i] for i in sorted(names)])
        notes = images.notes[:]
        if args.annotations:
            notes += import_annotations(journal, images, args.annotations,
                                        labeler.metainfo)
    except (OSError, ValueError) as error:
        parser.error(str(error))

    session = Session(labeler, args.score_thr)
    server = Server(images, journal, session, out, args.category, args.token)
    port = listener.getsockname()[1]
    address = address_of(args.host, port, args.token)
    for note in notes:
        print(note)
    print(
        f'{len(images)} images, {len(journal.progress())} of them labeled '
        f'or begun\n{address}\nCtrl-C ends',
        flush=True)
    if not args.no_browser:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    config = uvicorn.Config(
        server.app,
        log_config=None,  # its own closes the log files of others
        log_level='warning',
        ws='none',
        access_log=False,
        server_header=False)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # it has ended in order
    session.close()
    if journal.progress():
        done = server.export()
        print(f'{done["path"]}: {done["images"]} images, {done["people"]} '
              f'objects; {done["unfinished"]} images not marked as done')
    journal.close()
    return 0


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
