"""The report as a page, with pictures."""
import base64
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from PIL import Image

from projects.grouppose.describe import describe
from projects.grouppose.describe.input_sizes import find_resize
from projects.grouppose.describe.recipes import SIZES
from projects.grouppose.describe.report_page import format_percent
from tests.helpers.exif import STORED

NAMES = ['nose', 'left_eye', 'right_eye', 'tail']
PIXELS = (400, 300)  # width and height of the images
EVIL = '</title><script>alert("x")</script><img src=x onerror=\'alert(1)\'>'
VOID = {'meta', 'img', 'br', 'rect', 'line', 'image', 'circle'}


def make_content(num_images=30, names=NAMES, points_per_object=4, side=100):
    """One object per image, in a box of the given side."""
    random = np.random.RandomState(0)
    images, annotations = [], []
    for i in range(num_images):
        images.append(
            dict(
                id=i, file_name=f'{i}.jpg', width=PIXELS[0], height=PIXELS[1]))
        points = 50 + random.uniform(0, side, (points_per_object, 2))
        flags = np.full(points_per_object, 2)
        flags[1] = 1
        annotations.append(
            dict(
                id=100 + i,
                image_id=i,
                category_id=1,
                bbox=[50, 50, side, side],
                area=0.5 * side**2,
                keypoints=np.column_stack([points, flags]).ravel().tolist()))
    category = dict(
        id=1, name='bug', keypoints=list(names), skeleton=[[1, 2], [1, 4]])
    return dict(images=images, annotations=annotations, categories=[category])


@pytest.fixture
def page(tmp_path):
    """Describe a content; answer with the page."""

    def page_(content, **options):
        (tmp_path / 'ann.json').write_text(json.dumps(content))
        result = describe(tmp_path / 'ann.json', tmp_path / 'out', **options)
        result.write(tmp_path / 'out')
        text = (tmp_path / 'out/report.html').read_text()
        assert text == result.page
        return text

    return page_


class Reader(HTMLParser):
    """Counts elements, and collects those that could run or load
    something."""

    def __init__(self, text):
        super().__init__()
        self.open, self.count, self.active, self.text = [], {}, [], []
        self.feed(text)
        assert not self.open

    @property
    def words(self):
        """Text without tags, with a space for each."""
        return ' '.join(' '.join(self.text).split())

    def handle_starttag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag not in VOID:
            self.open.append(tag)
        loads = [
            (name, value) for name, value in attrs if name.startswith('on') or
            (name in ('src', 'href') and not value.startswith(('#', 'data:')))
        ]
        if loads or tag in ('script', 'iframe', 'object', 'link', 'img'):
            self.active.append((tag, loads))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def write_images(folder, count, image=None):
    if image is None:
        image = np.full((*PIXELS[::-1], 3), 200, np.uint8)
    for i in range(count):
        cv2.imwrite(str(folder / f'{i}.jpg'), image)


def first_crop(text):
    """Gray pixels of the first picture."""
    data = base64.b64decode(re.search('base64,([^"]+)', text).group(1))
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)


def test_objects_are_drawn(page, tmp_path):
    write_images(tmp_path, 30)
    text = page(make_content())
    found = Reader(text)
    assert found.active == []
    # The key and the first 24.
    assert found.count['svg'] == found.count['image'] == 25
    assert found.count['figure'] == 24
    assert text.count('data:image/jpeg;base64,') == 25
    assert found.count['line'] == 2 * 25
    assert text.count('class="visible"') == 3 * 25
    assert text.count('class="occluded"') == 25
    assert text.count('<title>left_eye: occluded</title>') == 25
    assert 'annotation 100</b>' in text and 'annotation 124</b>' not in text
    assert 'stroke="rgb(51, 153, 255)"' in text  # of links as in metainfo.py
    assert 'fill="rgb(255, 128, 0)"' in text  # of the right side
    assert 'plain ground' not in text
    assert 'Nothing looks wrong.' in text and 'id="outliers"' not in text


def test_drawn_where_they_are(page, tmp_path):
    """The picture shows the part of the image that the coordinates mean."""
    image = np.zeros((*PIXELS[::-1], 3), np.uint8)
    image[50:150, 50:150] = 255
    write_images(tmp_path, 2, image)
    text = page(make_content(2))
    # The box with a margin of 15 pixels is 130 wide, for 240 units.
    assert 'viewBox="0 0 240.0 240.0"' in text
    assert 'x="0.0" y="0.0" width="240.0" height="240.0" pres' in text
    inset = round(15 * 240 / 130, 1)
    assert f'class="box" x="{inset}" y="{inset}" width="{240 - 2 * inset:.1f}"'
    crop = first_crop(text)
    assert crop.shape == (130, 130)
    assert crop[20:110, 20:110].min() > 200 and crop[:10].max() < 50


def test_turned_images(page, tmp_path):
    """Those that were annotated upright are shown upright."""
    upright = np.zeros((*PIXELS[::-1], 3), np.uint8)
    upright[50:150, 50:150] = 255
    for i in range(2):
        stored = Image.fromarray(np.ascontiguousarray(STORED[6](upright)))
        exif = Image.Exif()
        exif[0x0112] = 6
        stored.save(tmp_path / f'{i}.jpg', exif=exif)
    text = page(make_content(2))
    crop = first_crop(text)
    assert crop[20:110, 20:110].min() > 200 and crop[:10].max() < 50


@pytest.mark.parametrize('present', [0, 3])
def test_without_images(page, tmp_path, present):
    """Poses on a plain ground, and a sentence that says so."""
    write_images(tmp_path, present)
    text = page(make_content())
    assert Reader(text).count['svg'] == 25
    assert text.count('class="visible"') == 3 * 25
    assert f'{present or "None"} of the images of these pictures' in text
    assert 'plain ground' in text


def test_data_that_training_refuses(page, tmp_path):
    """Nobody to draw or to count, and no sizes: the page says what is
    wrong."""
    content = make_content(2)
    for ann in content['annotations']:
        ann['iscrowd'] = 1
    for image in content['images']:
        del image['width']
    text = page(content)
    assert not (tmp_path / 'out/config.py').exists()
    assert Reader(text).count.get('svg') is None
    assert 'class="finding error"' in text
    assert 'in the network are not known' in text


def test_names_are_escaped(page):
    content = make_content()
    category = content['categories'][0]
    category['name'] = EVIL
    category['keypoints'] = [f'{name}{EVIL}' for name in NAMES]
    for image in content['images']:
        image['file_name'] = f'{EVIL}{image["id"]}.jpg'
    content['images'].append(dict(content['images'][0], id=99))
    found = Reader(page(content, notes=[f'read `{EVIL}`']))
    assert found.active == []
    text = ''.join(found.text)
    assert text.count(EVIL) > 24  # shown as it is, but nothing happens
    assert f'nose{EVIL}' in text and f'{EVIL}0.jpg' in text


def test_findings_are_drawn(page, tmp_path):
    """A warning has pictures of its annotations, at most six; a note only
    where pictures tell more."""
    content = make_content(30)
    for ann in content['annotations'][2:12]:
        ann.update(bbox=[250, 150, 40, 40], area=800)
    for ann in content['annotations'][20:22]:
        ann.update(keypoints=[0] * 12)
    content['annotations'][29]['num_keypoints'] = 3
    text = page(content)
    report = (tmp_path / 'out/report.md').read_text()
    what = 'Boxes that most of their keypoints are outside of'
    assert what in report and '`num_keypoints` is not' in report
    stands_out = text[text.index('id="outliers"'):text.index('id="keypoints"')]
    assert what in stands_out and 'without a labeled' in stands_out
    assert '<code>num_keypoints</code> is not' in text
    assert 'num_keypoints' not in stands_out
    ids = re.findall(r'<b>annotation (\d+)</b>', stands_out)
    assert ids == [str(i) for i in (102, 103, 104, 105, 106, 107, 120, 121)]


def test_both_reports_say_the_same(page, tmp_path):
    content = make_content(30)
    content['annotations'][0]['area'] = 0.
    content['annotations'][1]['keypoints'][2] = 5
    found = Reader(page(content))
    text = ' '.join(''.join(found.text).split())
    report = (tmp_path / 'out/report.md').read_text()
    lines = re.findall('^- (.*)', report, re.MULTILINE)
    assert len(lines) >= 3
    for line in lines:
        assert line.replace('`', '') in text


def test_size_is_limited(page, tmp_path):
    """Noise, which is the worst for JPEG, and many keypoints."""
    random = np.random.RandomState(0)
    noise = random.randint(0, 256, (*PIXELS[::-1], 3), np.uint8)
    write_images(tmp_path, 30, noise)
    names = [f'point_{i}' for i in range(133)]
    content = make_content(30, names, 133, side=180)
    for ann in content['annotations']:
        ann['keypoints'][2] = 7  # a warning, to be drawn
    text = page(content)
    assert Reader(text).count['svg'] == 31
    assert len(text) < 2_500_000
    assert max(map(len, re.findall('base64,([^"]+)', text))) <= 40_000
    content = make_content(30, [f'point_{i}' for i in range(1000)], 1000, 180)
    assert len(page(content)) < 3_000_000


@pytest.mark.parametrize('base, size, expected', [
    ('published', (640, 480), (1066, 800)),
    ('small', (640, 480), (128, 128)),
    ('medium', (640, 480), (640, 640)),
])
def test_input_sizes(base, size, expected):
    assert find_resize(SIZES[base].base)(size) == expected


@pytest.mark.parametrize(
    'side, advice, below',
    [
        (130, 'small', '0%'),  # 130 * 128 / 300 = 55 pixels
        (60, 'medium', '100%'),  # 26 pixels, and 96
    ])
def test_advised_size(page, side, advice, below):
    text = page(make_content(side=side), size='small')
    text = Reader(text).words
    assert f'--size {advice} is enough' in text
    table = text[text.index('--size median side'):]
    small = re.search(r'small \(config.py\) (\d+) (\S+) (\S+)', table).groups()
    assert small == (str(round(side * 128 / 300)), '0%', below)
    published = re.search(r'published (\d+) (\S+) (\S+)', table).groups()
    assert published == (str(round(side * 800 / 300)), '0%', '0%')


def test_counts(page):
    content = make_content()
    for ann in content['annotations'][:15]:
        ann['keypoints'][9:] = [0, 0, 0]
    text = Reader(page(content)).words
    assert 'nose 30 100% 0 0%' in text
    assert 'left_eye right_eye 0 0% 30 100%' in text
    assert 'tail 15 50% 0 0%' in text
    assert '400 x 300 30' in text


@pytest.mark.parametrize('share, expected', [(0, '0%'), (0.001, '< 1%'),
                                             (0.5, '50%'), (0.999, '> 99%'),
                                             (1, '100%')])
def test_percent(share, expected):
    assert format_percent(share) == expected
