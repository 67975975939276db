"""Where labels are kept: every change of every image, in one SQLite file."""
import json
import os.path as osp
import sqlite3
import threading
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional, Tuple

TABLES = """
CREATE TABLE IF NOT EXISTS facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS images (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    revision INTEGER NOT NULL,  -- of changes of any kind, undone ones, too
    position INTEGER NOT NULL,  -- in the states of the image
    done INTEGER NOT NULL,
    imported TEXT);             -- what else an annotation file said
CREATE TABLE IF NOT EXISTS states (
    image INTEGER NOT NULL REFERENCES images(id),
    position INTEGER NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (image, position)) WITHOUT ROWID;
"""
VERSION = 1
KEPT_STATES = 200  # of an image, which can be undone


class Conflict(Exception):
    """Somebody else changed the image in the meantime.

    Args:
        entry (dict): What :meth:`Journal.get` returns now.
    """

    def __init__(self, entry: dict):
        super().__init__('the image was changed in the meantime')
        self.entry = entry


class Journal:
    """States of images, each written to the disk before the call returns.

    A process that is killed loses nothing. Several processes may use the
    same file.

    Args:
        path (str): SQLite file, made if missing.
        keypoints (list[str]): Names of the K keypoints.

    Raises:
        ValueError: If the file is something else, or holds labels of other
            keypoints.
    """

    def __init__(self, path: str, keypoints: List[str]):
        self.path = path
        self._lock = threading.RLock()
        try:
            self._database = sqlite3.connect(
                path,
                timeout=30,
                isolation_level=None,
                check_same_thread=False)
            self._database.execute('PRAGMA journal_mode = WAL')
            self._database.execute('PRAGMA synchronous = FULL')
            self._database.executescript(TABLES)
            self._check('version', VERSION)
            self._check('keypoints', keypoints)
        except sqlite3.DatabaseError as error:
            remedy = f'Move it away, or choose another --out. ({error})'
            if not osp.isdir(osp.dirname(path) or '.'):
                remedy = 'There is no such folder.'
            raise ValueError(
                f'{path}: cannot be used as the file that labels are kept '
                f'in. {remedy}') from error

    def _check(self, name: str, value: Any) -> None:
        """Record a fact, or compare it with the recorded one."""
        known = self.fact(name)
        if known is None:
            self.record(name, value)
        elif known != value:
            raise ValueError(
                f'{self.path}: holds labels of another kind: `{name}` is '
                f'{known}, now it is {value}. Start with the config that it '
                'was begun with, or choose another --out.')

    def fact(self, name: str) -> Any:
        """What was recorded of the whole file, None if nothing was."""
        row = self._one('SELECT value FROM facts WHERE name = ?', name)
        return None if row is None else json.loads(row[0])

    def record(self, name: str, value: Any) -> None:
        """Record something about the whole file."""
        self._do('INSERT OR REPLACE INTO facts VALUES (?, ?)', name,
                 json.dumps(value))

    def progress(self) -> Dict[str, bool]:
        """Whether an image is done, by name, of all that were changed."""
        return {
            name: bool(done)
            for name, done in self._all('SELECT name, done FROM images')
        }

    def get(self, name: str) -> Optional[dict]:
        """The present state of an image.

        Returns:
            dict, optional: None if it was never changed. ``revision``,
            ``state``, see :mod:`.people`, and whether it can ``undo`` and
            ``redo``.
        """
        row = self._one(
            'SELECT revision, state, EXISTS(SELECT * FROM states WHERE '
            'image = id AND position = images.position - 1), EXISTS(SELECT * '
            'FROM states WHERE image = id AND position = images.position + '
            '1) FROM images JOIN states ON image = id AND states.position = '
            'images.position WHERE name = ?', name)
        if row is None:
            return None
        revision, state, undo, redo = row
        return dict(
            revision=revision,
            state=json.loads(state),
            undo=bool(undo),
            redo=bool(redo))

    def add(self,
            name: str,
            size: Tuple[int, int],
            state: dict,
            image_id: Optional[int] = None,
            imported: Optional[dict] = None) -> None:
        """Enter the first state of an image, which has none yet.

        Args:
            name (str): The image.
            size (tuple[int]): Width and height in pixels.
            state (dict): What cannot be undone.
            image_id (int, optional): Its id in COCO files. Defaults to a new
                one.
            imported (dict, optional): What else is to be exported again.
        """
        with self.transaction():
            image_id = self._do(
                'INSERT INTO images VALUES (?, ?, ?, ?, 0, 0, ?, ?)', image_id,
                name, *size, state['done'],
                None if imported is None else json.dumps(imported)).lastrowid
            self._do('INSERT INTO states VALUES (?, 0, ?)', image_id,
                     json.dumps(state))

    def save(self, name: str, revision: int, state: dict) -> dict:
        """Make a state the present one of an image.

        Args:
            name (str): An image that has one.
            revision (int): That of the state that was changed.
            state (dict): The new one.

        Returns:
            dict: What :meth:`get` returns now.

        Raises:
            Conflict: If there is a later revision.
        """
        with self.transaction():
            image, position = self._expect(name, revision)
            self._do('DELETE FROM states WHERE image = ? AND position > ?',
                     image, position)
            self._do('DELETE FROM states WHERE image = ? AND position < ?',
                     image, position + 1 - KEPT_STATES)
            self._do('INSERT INTO states VALUES (?, ?, ?)', image,
                     position + 1, json.dumps(state))
            self._move(image, position + 1, state['done'])
            return self._entry(name)

    def step(self, name: str, revision: int, by: int) -> dict:
        """Undo (by -1) or redo (by 1) a change.

        Args and returns as those of :meth:`save`; nothing happens where
        nothing can be undone or redone.
        """
        with self.transaction():
            image, position = self._expect(name, revision)
            row = self._one(
                'SELECT state FROM states WHERE image = ? AND position = ?',
                image, position + by)
            if row is not None:
                self._move(image, position + by, json.loads(row[0])['done'])
            return self._entry(name)

    def entries(self) -> Iterator[dict]:
        """All images that were changed, by id: ``id``, ``name``, ``width``,
        ``height``, ``state`` and ``imported``."""
        rows = self._all(
            'SELECT id, name, width, height, state, imported FROM images '
            'JOIN states ON image = id AND states.position = '
            'images.position ORDER BY id')
        for image_id, name, width, height, state, imported in rows:
            yield dict(
                id=image_id,
                name=name,
                width=width,
                height=height,
                state=json.loads(state),
                imported=json.loads(imported) if imported else {})

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Let what is written be there as a whole, or not at all."""
        with self._lock:
            if self._database.in_transaction:
                yield
                return
            self._database.execute('BEGIN IMMEDIATE')
            try:
                yield
            except BaseException:
                self._database.execute('ROLLBACK')
                raise
            self._database.execute('COMMIT')

    def _expect(self, name: str, revision: int) -> Tuple[int, int]:
        """Id and position of an image that has a revision."""
        row = self._one(
            'SELECT id, position, revision FROM images WHERE name = ?', name)
        if row is None:
            raise KeyError(name)
        if row[2] != revision:
            raise Conflict(self._entry(name))
        return row[0], row[1]

    def _entry(self, name: str) -> dict:
        entry = self.get(name)
        assert entry is not None
        return entry

    def _move(self, image: int, position: int, done: bool) -> None:
        self._do(
            'UPDATE images SET position = ?, done = ?, revision = revision + '
            '1 WHERE id = ?', position, done, image)

    def _one(self, query: str, *values) -> Optional[tuple]:
        rows = self._all(query, *values)
        return rows[0] if rows else None

    def _all(self, query: str, *values) -> List[tuple]:
        # Threads share the connection: no cursor is left open.
        with self._lock:
            return self._do(query, *values).fetchall()

    def _do(self, query: str, *values) -> sqlite3.Cursor:
        with self._lock:
            return self._database.execute(query, values)
