"""The file that labels are kept in."""
import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from projects.grouppose.labeling import journal as module
from projects.grouppose.labeling.journal import KEPT_STATES, Conflict, Journal
from tests.helpers.labeled_images import as_person

KEYPOINTS = ['left', 'right']


def state(x, done=False):
    return dict(done=done, people=[as_person([(x, 0), (x, 1)])])


@pytest.fixture
def journal(tmp_path):
    journal = Journal(str(tmp_path / 'poses.journal'), KEYPOINTS)
    journal.add('a.png', (30, 20), state(0))
    return journal


def test_undo_and_redo(journal):
    assert journal.get('b.png') is None
    first = journal.get('a.png')
    assert first == dict(revision=0, state=state(0), undo=False, redo=False)
    journal.save('a.png', 0, state(1))
    second = journal.save('a.png', 1, state(2, done=True))
    assert second == dict(
        revision=2, state=state(2, done=True), undo=True, redo=False)
    assert journal.progress() == {'a.png': True}
    back = journal.step('a.png', 2, -1)
    assert back == dict(revision=3, state=state(1), undo=True, redo=True)
    assert journal.progress() == {'a.png': False}
    assert journal.step('a.png', 3, 1)['state'] == state(2, done=True)
    # Beyond either end, nothing happens.
    again = journal.step('a.png', 4, 1)
    assert again == dict(
        revision=4, state=state(2, done=True), undo=True, redo=False)
    # What was undone is gone once something else is done.
    journal.step('a.png', 4, -1)
    assert not journal.save('a.png', 5, state(9))['redo']
    assert journal.step('a.png', 6, -1)['state'] == state(1)
    journal.step('a.png', 7, -1)
    assert journal.get('a.png')['state'] == state(0)


def test_conflicts(journal):
    """Of two who change the same state, the second is told."""
    journal.save('a.png', 0, state(1))
    other = Journal(journal.path, KEYPOINTS)
    for change in (lambda: journal.save('a.png', 0, state(2)),
                   lambda: other.save('a.png', 0, state(2)),
                   lambda: other.step('a.png', 0, -1)):
        with pytest.raises(Conflict) as error:
            change()
        assert error.value.entry['revision'] == 1
        assert error.value.entry['state'] == state(1)
    assert journal.get('a.png')['state'] == state(1)


def test_old_states_go(journal):
    for i in range(KEPT_STATES + 20):
        journal.save('a.png', i, state(i))
    revision = KEPT_STATES + 20
    while journal.get('a.png')['undo']:
        journal.step('a.png', revision, -1)
        revision += 1
    assert revision == 2 * KEPT_STATES + 20
    assert journal.get('a.png')['state'] == state(19)


# Saves states without end, and says when each is saved. Of the package, it
# imports the one module.
PROGRAM = """
import itertools, sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location('journal', sys.argv[1])
module = module_from_spec(spec)
spec.loader.exec_module(module)
journal = module.Journal(sys.argv[2], ['left', 'right'])
for i in itertools.count():
    journal.save('a.png', i, dict(done=False, people=[i] * 100))
    print(i, flush=True)
"""


def test_a_killed_process_loses_nothing(journal):
    """And a new one goes on."""
    path = journal.path
    journal.close()
    process = subprocess.Popen(
        [sys.executable, '-c', PROGRAM, module.__file__, path],
        stdout=subprocess.PIPE,
        text=True)
    for line in process.stdout:
        if int(line) >= 20:
            break
    os.kill(process.pid, signal.SIGKILL)
    said = [int(line), *map(int, process.stdout.read().split())]
    process.wait()
    entry = Journal(path, KEYPOINTS).get('a.png')
    found = entry['state']['people'][0]
    assert entry['revision'] == found + 1
    assert said[-1] <= found <= said[-1] + 1  # saved, but not said


def test_half_a_transaction_is_none(journal):
    with pytest.raises(ZeroDivisionError):
        with journal.transaction():
            journal.save('a.png', 0, state(1))
            journal.add('b.png', (1, 1), state(2))
            raise ZeroDivisionError
    assert journal.get('a.png')['state'] == state(0)
    assert journal.get('b.png') is None


def test_what_is_refused(journal, tmp_path):
    with pytest.raises(
            ValueError,
            match="journal: holds labels of another k.*"
            r"`keypoints` is \['left', 'right'\], now it is"):
        Journal(journal.path, ['left', 'right', 'tip'])
    (tmp_path / 'text').write_text('not SQLite at all' * 100)
    with pytest.raises(ValueError, match='text: cannot be used.*Move it away'):
        Journal(str(tmp_path / 'text'), KEYPOINTS)
    with pytest.raises(ValueError, match='There is no such folder'):
        Journal(str(tmp_path / 'no/poses.journal'), KEYPOINTS)


def test_changes_are_on_the_disk(journal):
    """Not only in the memory of the system."""
    database = journal._database
    assert database.execute('PRAGMA journal_mode').fetchone() == ('wal', )
    assert database.execute('PRAGMA synchronous').fetchone() == (2, )
    other = sqlite3.connect(journal.path)
    assert other.execute('SELECT name FROM images').fetchall() == [('a.png', )]
