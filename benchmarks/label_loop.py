"""Label images with a model's help, train on them, and label the next ones.

    python benchmarks/label_loop.py --plain CONFIG CHECKPOINT \\
        --recipe CONFIG --images DIR --annotations FILE

An annotator who knows the truth sends the requests of the page to the server
of tools/annotate.py. Proposals of nobody are deleted, who is missing is added
by a click at the middle, and then the keypoint that is farthest off is dragged
to its place, until all are within a tolerance; each is a click. The other
keypoints of the person follow, or stay, as with "Follow" off. What was labeled
with following is exported, and the weights of the model are trained on it by
the recipe. The next images are labeled with both models. --out gets
label_loop.md and label_loop.json, the exported files and the training.
"""
import json
import socket
import time
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread
from typing import Iterator, List, Optional
from urllib.parse import quote
from urllib.request import Request, urlopen

import numpy as np
import uvicorn
from program import ArgumentParser
from pycocotools.coco import COCO
from tqdm import tqdm

from benchmarks.clicks import People, match_people, read_people
from benchmarks.lib.configs import read_config
from benchmarks.lib.results import Results, milliseconds
from benchmarks.lib.trainings import Training
from projects.grouppose.labeling.images import ImageList
from projects.grouppose.labeling.journal import Journal
from projects.grouppose.labeling.labeler import PoseLabeler
from projects.grouppose.labeling.people import positions
from projects.grouppose.labeling.server import Server
from projects.grouppose.labeling.session import Session

TEXT = """Clicks per object until every keypoint is within {tolerance:g} x its
sigma x the root of the object's area; adding and deleting one is a click each.
From a drop to the saved pose that follows: median (least to most)."""
COLUMNS = {
    'images': 'images',
    'model': 'model',
    'objects': 'people',
    'proposed': lambda row: f'{row["proposed"] / row["people"]:.0%}',
    'deleted': lambda row: row['following']['deleted'],
    'clicks, others stay': lambda row: per_person(row, 'staying'),
    'clicks, others follow': lambda row: per_person(row, 'following'),
    'ms per drop': milliseconds(),
}


def per_person(row: dict, way: str) -> str:
    return f'{sum(row[way].values()) / row["people"]:.2f}'


@contextmanager
def serve(labeler: PoseLabeler, images: Path, out: Path) -> Iterator[str]:
    """The server of tools/annotate.py; gives its address."""
    names = labeler.metainfo['keypoint_id2name']
    with closing(Session(labeler)) as session, closing(
            Journal(
                str(out.with_suffix('.journal')),
                [names[i] for i in sorted(names)])) as journal:
        app = Server(ImageList(str(images)), journal, session, str(out)).app
        listener = socket.create_server(('127.0.0.1', 0))
        web = uvicorn.Server(
            uvicorn.Config(app, log_config=None, log_level='warning'))
        thread = Thread(target=web.run, args=([listener], ))
        thread.start()
        try:
            yield f'http://127.0.0.1:{listener.getsockname()[1]}/api'
        finally:
            web.should_exit = True
            thread.join()


class Annotator:
    """Labels images as somebody does with the page.

    Args:
        address (str): Of the server.
        follows (bool): Whether other keypoints follow.
        tolerance (float): How far off a keypoint may be, in units of sigma
            times the root of the area.

    Attributes:
        clicks (Counter): How many of each kind: added, deleted, dragged.
        seconds (list[float]): From each drop to the saved pose.
    """

    def __init__(self, address: str, follows: bool, tolerance: float):
        self.address, self.follows = address, follows
        self.tolerance = tolerance
        self.clicks: Counter = Counter(added=0, deleted=0, dragged=0)
        self.seconds: List[float] = []

    def label(self, name: str, people: People) -> None:
        """Label an image from what the model proposes."""
        self.name, self.entry = name, {}
        self.entry = self._ask('GET')
        found = positions(self._found).reshape(-1, *people.places.shape[1:])
        matches = match_people(people, found)
        ids = [self._found[i]['id'] if i >= 0 else None for i in matches]
        for person in [one for one in self._found if one['id'] not in ids]:
            self._found.remove(self._person(person['id']))
            self._save('deleted')
        for i, number in enumerate(ids):
            if number is None:
                middle = people.middles()[i].tolist()
                person = self._ask('POST', '/person', point=middle)
                others = [one['id'] for one in self._found]
                ids[i] = person['id'] = 1 + max(others, default=0)
                self._found.append(person)
                self._save('added')
        scales = people.sigmas * np.sqrt(people.areas)[:, None]
        for number, *truth in zip(ids, people.places, people.labeled, scales):
            self._correct(number, *truth)
        self._save(done=True)

    def _correct(self, number: int, places: np.ndarray, labeled: np.ndarray,
                 scale: np.ndarray) -> None:
        """Drag keypoints of a person until all are right."""
        while True:
            person = self._person(number)
            for point, is_labeled in zip(person['keypoints'], labeled):
                point[2] = 2 * int(is_labeled)  # keys, no clicks
            points, = positions([person])
            off = np.linalg.norm(points - places, axis=-1) / scale
            off[~labeled | person['fixed']] = 0
            worst = int(off.argmax())
            if off[worst] <= self.tolerance:
                return
            person['keypoints'][worst] = [*places[worst], 2]
            person['fixed'][worst] = True
            begin = time.perf_counter()
            self._save('dragged', refine=number if self.follows else None)
            self.seconds.append(time.perf_counter() - begin)

    @property
    def _found(self) -> List[dict]:
        return self.entry['state']['people']

    def _person(self, number: int) -> dict:
        return next(one for one in self._found if one['id'] == number)

    def _save(self, click: Optional[str] = None, done: bool = False, **body):
        """Save all people after a click of some kind."""
        self.entry = self._ask(
            'PUT',
            revision=self.entry['revision'],
            people=self._found,
            done=done,
            **body)
        if click:
            self.clicks[click] += 1

    def _ask(self, method: str, path: str = '', **body) -> dict:
        request = Request(
            f'{self.address}/image{path}?name={quote(self.name)}',
            data=json.dumps(body).encode() if method != 'GET' else None,
            headers={'Content-Type': 'application/json'},
            method=method)
        with urlopen(request) as answer:
            return json.load(answer)


def train(labels: Path, args) -> str:
    """Train on an exported file; gives the checkpoint."""
    config = read_config(args.recipe)
    config.load_from = str(Path(args.plain[1]).resolve())
    config.train_dataloader.dataset.dataset.update(
        data_root='',
        ann_file=str(labels.resolve()),
        data_prefix=dict(img=f'{args.images.resolve()}/'))
    config.train_cfg = dict(by_epoch=True, max_epochs=args.epochs)
    config.param_scheduler[1].update(end=args.epochs, T_max=args.epochs)
    config.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
    training = Training('recipe', config, args.out / 'training')
    training.write_config()
    problem = training.run(args.threads or 1)
    if problem:
        raise RuntimeError(problem)
    return str(training.checkpoint)


def parse_args(argv):
    parser = ArgumentParser(__doc__)
    parser.add_argument(
        '--plain',
        nargs=2,
        metavar='FILE',
        required=True,
        help='config and checkpoint of the first model')
    parser.add_argument(
        '--recipe', required=True, help='config to train its weights by')
    parser.add_truth()
    parser.add_number('--number', 50, 'images to label before and after')
    parser.add_number('--epochs', 25, 'epochs to train')
    parser.add_argument(
        '--tolerance',
        type=float,
        default=1.,
        help='how far off a keypoint may be (%(default)s)')
    args = parser.parse_args(argv)
    if [*args.out.glob('*.journal')]:
        parser.error(f'{args.out} holds labels of an earlier run: remove it, '
                     'or choose another --out')
    return args


def main(argv=None) -> None:
    args = parse_args(argv)
    labeler = PoseLabeler(*args.plain)
    images = [
        *read_people(
            COCO(str(args.annotations)),
            np.array(labeler.metainfo['sigmas'], float))
    ]
    if len(images) < 2 * args.number:
        raise ValueError(f'{args.annotations}: {len(images)} images show '
                         f'somebody, 2 x {args.number} are needed')
    results = Results(args.out / 'label_loop', 'Label, train, label',
                      TEXT.format(tolerance=args.tolerance), COLUMNS)

    def label(model: str, first: int) -> Path:
        """Label images from one on in both ways."""
        part = images[first:first + args.number]
        row = dict(
            model=model,
            images=f'{first + 1} to {first + len(part)}',
            people=sum(len(people.places) for _, people in part))
        for way, follows in (('staying', False), ('following', True)):
            out = args.out / f'{model}_{first + 1}_{way}.json'
            with serve(labeler, args.images, out) as address:
                annotator = Annotator(address, follows, args.tolerance)
                for name, people in tqdm(part, desc=out.stem, disable=None):
                    annotator.label(name, people)
                urlopen(f'{address}/export').close()  # it is written, too
            row[way] = annotator.clicks
        row['proposed'] = row['people'] - annotator.clicks['added']
        results.add(dict(row, seconds=annotator.seconds))
        return out

    labels = label('first', 0)
    label('first', args.number)
    labeler = PoseLabeler(args.recipe, train(labels, args))
    label('trained', args.number)
    print(results.markdown())


if __name__ == '__main__':
    main()
