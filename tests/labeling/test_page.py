"""The page in a real browser, with a server that is killed."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.helpers.labeled_images import (NAMES, PLANE, POSES, SIZE,
                                          write_images)
from tests.helpers.labeler import STEP, write_truth
from tests.helpers.tool_runs import ROOT

pytest.importorskip(
    'uvicorn', reason='pip install -r requirements/labeling.txt')
playwright = pytest.importorskip(
    'playwright.sync_api', reason='pip install -r requirements/dev.txt')
expect = playwright.expect

CONFIG = 'grouppose_res50_8xb2-60e_coco-800x1333'
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')
TIMEOUT = 30_000  # ms; for machines that are busy


class AnnotateTool:
    """``tools/annotate.py`` as a process, with the stand-in model.

    Args:
        folder (Path): With ``images``; labels go there, too.
        port (int): Where it listens. Defaults to a free port.
    """

    def __init__(self, folder, port=0):
        truth = write_truth(folder / 'truth', folder / 'images', POSES, PLANE)
        self.process = subprocess.Popen([
            sys.executable, '-m', 'tests.helpers.labeler', folder / 'images',
            '--config', CONFIG, '--checkpoint', truth, '--out',
            folder / 'poses.json', '--port',
            str(port), '--no-browser'
        ],
                                        cwd=ROOT,
                                        env=dict(
                                            os.environ,
                                            CUDA_VISIBLE_DEVICES='',
                                            OMP_NUM_THREADS='1'),
                                        stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL,
                                        text=True)
        lines = iter(self.process.stdout.readline, '')
        self.address = next(line.strip() for line in lines
                            if line.startswith('http'))
        self.port = int(self.address.rstrip('/').rpartition(':')[2])

    def kill(self):
        """As nothing can prevent."""
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope='module')
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip('needs Chromium: apt-get install chromium')
    with playwright.sync_playwright() as started:
        options = ['--no-sandbox'] if os.geteuid() == 0 else []
        browser = started.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('page')
    write_images(folder / 'images')
    return folder


@pytest.fixture(scope='module')
def tool(browser, folder):
    tool = AnnotateTool(folder)
    yield tool
    tool.kill()


@pytest.fixture
def page(browser, tool):
    """A tab; whatever goes wrong in it fails the test."""
    context = browser.new_context(viewport=dict(width=1100, height=750))
    context.set_default_timeout(TIMEOUT)
    expect.set_options(timeout=TIMEOUT)
    page = context.new_page()
    errors = []
    page.on('pageerror', lambda error: errors.append(error))
    yield page
    context.close()
    assert not errors


def open_image(page, tool, name):
    """Open an image, and wait for its poses."""
    page.goto(f'{tool.address}?image={name}')
    expect(page.locator('#title')).to_have_text(name)
    expect(page.locator('.person')).to_have_count(
        len(state_of(page, name)['people']))


def state_of(page, name):
    """What the server has, unlike what is drawn."""
    entry = page.evaluate(
        'name => fetch(`/api/image?name=${name}`).then(r => r.json())', name)
    return entry['state']


def drawn(page, person):
    """Where the joints of a person are drawn, in pixels of the image."""
    points = page.evaluate(
        """([person, width]) => {
        const box = document.getElementById('picture').getBoundingClientRect();
        const joints = [...document.querySelectorAll(
            `[data-person="${person}"] .joint`)];
        joints.sort((a, b) => a.dataset.joint - b.dataset.joint);
        return joints.map((joint) => {
            const hit = joint.querySelector('.hit').getBoundingClientRect();
            return [hit.x + hit.width / 2 - box.x, hit.y + hit.height / 2
                - box.y].map((value) => value * width / box.width);
        });
    }""", [person, SIZE[0]])
    return np.array(points)


def on_screen(page, point):
    """Where a pixel of the image is on the screen."""
    box = page.locator('#picture').bounding_box()
    scale = box['width'] / SIZE[0]
    return box['x'] + scale * point[0], box['y'] + scale * point[1]


def drag(page, person, joint, point):
    """Drag a joint to a pixel of the image."""
    page.mouse.move(*on_screen(page, drawn(page, person)[joint]))
    page.mouse.down()
    page.mouse.move(*on_screen(page, point), steps=4)
    page.mouse.up()


def wait_for_save(page):
    expect(page.locator('#saved')).to_have_attribute('data-state', 'saved')


def distances(points, truth):
    return np.linalg.norm(np.array(points)[:, :2] - truth, axis=1)


def test_label_an_image(page, tool, folder):
    """Correct a joint, undo, visibility, a new person, a killed server."""
    open_image(page, tool, 'a.png')
    truth = POSES['a.png'][0]
    before = drawn(page, 1)
    assert distances(before, truth).max() > 2
    page.locator('[data-person="1"] [data-joint="1"]').click()
    drag(page, 1, 1, truth[1])
    expect(page.locator('[data-person="1"] .joint.fixed')).to_have_count(1)
    wait_for_save(page)
    after = drawn(page, 1)
    assert distances(after, truth)[1] < 1
    # Previews go the same way, so that it may be nearer than one step.
    assert (distances(after, truth)[[0, 2]]
            <= (1 - STEP) * distances(before, truth)[[0, 2]] + 0.5).all()
    person, other = state_of(page, 'a.png')['people']
    np.testing.assert_allclose(
        np.array(person['keypoints'])[:, :2], after, atol=0.1)
    assert person['fixed'] == [False, True, False]
    assert other['fixed'] == [False] * 3

    page.keyboard.press('Control+z')
    expect(page.locator('.joint.fixed')).to_have_count(0)
    np.testing.assert_allclose(drawn(page, 1), before, atol=0.1)
    page.keyboard.press('Control+y')
    expect(page.locator('.joint.fixed')).to_have_count(1)

    page.keyboard.press('a')  # the joint before the one that was dragged
    page.keyboard.press('1')
    expect(
        page.locator('[data-person="1"] [data-joint="0"]')).to_have_attribute(
            'data-visibility', '1')
    wait_for_save(page)
    assert state_of(page, 'a.png')['people'][0]['keypoints'][0][2] == 1

    page.keyboard.press('Escape')
    page.keyboard.press('n')
    page.mouse.click(*on_screen(page, POSES['a.png'][1][2]))
    expect(page.locator('.person')).to_have_count(3)
    wait_for_save(page)
    page.keyboard.press('Delete')
    expect(page.locator('.person')).to_have_count(2)
    page.keyboard.press('Control+z')
    expect(page.locator('.person')).to_have_count(3)
    wait_for_save(page)
    page.locator('#done').click()  # goes to the next image
    expect(page.locator('#title')).to_have_text('b.jpg')
    expect(page.locator('#count')).to_have_text('1 of 3 done')
    wait_for_save(page)

    # What is changed while no server is there is saved by the next one.
    expect(page.locator('.person')).to_have_count(1)
    tool.kill()
    drag(page, 1, 2, POSES['b.jpg'][0][2])
    expect(page.locator('#saved')).to_have_attribute('data-state', 'waiting')
    tool.__init__(folder, tool.port)
    wait_for_save(page)
    page.reload()
    expect(page.locator('#count')).to_have_text('1 of 3 done')
    expect(page.locator('.joint.fixed')).to_have_count(1)
    assert distances(drawn(page, 1), POSES['b.jpg'][0])[2] < 1
    assert len(state_of(page, 'a.png')['people']) == 3

    page.keyboard.press('Control+s')
    expect(page.locator('#message')).to_contain_text(
        '2 images, of which 1 are not marked as done, 4 people')
    content = json.loads((folder / 'poses.json').read_text())
    assert [i['file_name'] for i in content['images']] == NAMES[:2]
    np.testing.assert_allclose(
        np.reshape(content['annotations'][0]['keypoints'], (3, 3))[1],
        [*truth[1], 2],
        atol=0.5)


def test_a_joint_alone(page, tool):
    """With Alt, or while following is off, the others stay."""
    open_image(page, tool, 'b.jpg')
    before = drawn(page, 1)
    page.keyboard.down('Alt')
    drag(page, 1, 0, (25, 80))
    page.keyboard.up('Alt')
    wait_for_save(page)
    np.testing.assert_allclose(drawn(page, 1)[1], before[1], atol=0.1)
    page.keyboard.press('f')
    expect(page.locator('#follow')).to_have_attribute('aria-pressed', 'false')
    drag(page, 1, 2, (55, 40))
    wait_for_save(page)
    person = state_of(page, 'b.jpg')['people'][0]
    points = np.array(person['keypoints'])
    np.testing.assert_allclose(
        points[:, :2], [(25, 80), before[1], (55, 40)], atol=0.6)
    page.keyboard.press('f')
    page.keyboard.press('r')  # now it follows
    wait_for_save(page)
    assert distances(drawn(page, 1), POSES['b.jpg'][0])[1] < distances(
        np.array(person['start']), POSES['b.jpg'][0])[1]


def test_keys(page, tool):
    """Nothing needs a mouse: a person, a joint, the help."""
    open_image(page, tool, 'sub/c.png')
    page.keyboard.press('?')
    expect(page.locator('#help')).to_be_visible()
    expect(page.locator('#keys')).to_contain_text('most doubtful joint')
    page.keyboard.press('Escape')
    expect(page.locator('#help')).to_be_hidden()
    page.keyboard.press('n')
    page.keyboard.press('ArrowLeft')
    page.keyboard.press('Enter')
    expect(page.locator('.person')).to_have_count(1)
    page.keyboard.press('s')
    before = drawn(page, 1)[0]
    for _ in range(3):
        page.keyboard.press('Shift+ArrowUp')
    page.keyboard.press('ArrowRight')
    expect(page.locator('.joint.fixed')).to_have_count(1)
    wait_for_save(page)
    np.testing.assert_allclose(drawn(page, 1)[0] - before, [1, -30], atol=0.3)
    page.keyboard.press('Control+z')  # the moves are one change
    expect(page.locator('.joint.fixed')).to_have_count(0)
    page.keyboard.press('PageUp')
    expect(page.locator('#title')).to_have_text('b.jpg')
    page.keyboard.press('q')
    expect(page.locator('.joint.current')).to_have_count(1)


def test_keys_wait_for_their_image(page, tool):
    """Pressed before the image is there, they do not change the last one."""
    open_image(page, tool, 'sub/c.png')
    before = state_of(page, 'sub/c.png')
    left = len(state_of(page, 'b.jpg')['people']) - 1

    def answer_late(route):
        time.sleep(0.5)
        route.continue_()

    page.route('**/api/image?name=b.jpg', answer_late)
    page.keyboard.press('PageUp')
    page.keyboard.press('p')
    page.keyboard.press('Delete')
    expect(page.locator('.person')).to_have_count(left)
    wait_for_save(page)
    assert len(state_of(page, 'b.jpg')['people']) == left
    assert state_of(page, 'sub/c.png') == before
    page.keyboard.press('Control+z')
    expect(page.locator('.person')).to_have_count(left + 1)
    wait_for_save(page)


def test_two_tabs(page, tool, browser):
    """The second one is told, and nothing is overwritten."""
    open_image(page, tool, 'a.png')
    other = page.context.new_page()
    open_image(other, tool, 'a.png')
    count = other.locator('.person').count()
    other.keyboard.press('p')
    other.keyboard.press('Delete')
    expect(other.locator('.person')).to_have_count(count - 1)
    wait_for_save(other)
    kept = state_of(other, 'a.png')
    page.keyboard.press('p')
    page.keyboard.press('s')
    page.keyboard.press('0')
    expect(page.locator('#message')).to_contain_text(
        'a.png was changed elsewhere')
    expect(page.locator('.person')).to_have_count(count - 1)
    assert state_of(page, 'a.png') == kept
    page.keyboard.press('p')
    page.keyboard.press('Delete')  # now it can be changed here
    expect(page.locator('.person')).to_have_count(count - 2)
    wait_for_save(page)
    assert len(state_of(page, 'a.png')['people']) == count - 2


def test_many_images(page, tool):
    """The list has the rows that are seen, and none of the others."""

    def add_names(route):
        project = route.fetch().json()
        more = [f'x/{i:05d}.jpg' for i in range(10_000)]
        route.fulfill(
            json=dict(
                project,
                names=[*project['names'], *more],
                progress=[*project['progress'], *[0] * len(more)]))

    page.route('**/api/project', add_names)
    open_image(page, tool, 'b.jpg')
    expect(page.locator('#count')).to_contain_text('of 10,003 done')
    assert 10 < page.locator('.row').count() < 60
    page.locator('#rows').evaluate('rows => { rows.scrollTop = 1e9; }')
    expect(page.locator('.row').last).to_contain_text('09999.jpg')
    page.locator('#search').fill('4321')
    expect(page.locator('.row')).to_have_count(1)


def test_a_name_is_no_markup(page, tool):
    page.route(
        '**/api/project', lambda route: route.fulfill(
            json=dict(route.fetch().json(), names=['<img src=x>.png'] * 3)))
    page.goto(tool.address)
    expect(page.locator('.row').first).to_contain_text('<img src=x>.png')
    expect(page.locator('#message')).to_contain_text('no image of this name')
    assert page.locator('.row img').count() == 0


def test_ctrl_c_writes_the_file(tool, folder):
    (folder / 'poses.json').unlink(missing_ok=True)
    tool.process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 60
    while tool.process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert tool.process.returncode == 0
    assert json.loads((folder / 'poses.json').read_text())['images']
