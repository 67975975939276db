"""Which images are for evaluation: what belongs together stays together."""
import json

import pytest

from projects.grouppose.describe import describe
from projects.grouppose.describe.coco_file import KeypointFile
from projects.grouppose.describe.split import frame_of, split_content
from tests.helpers.bad_cases import answer, image_entry, person, table


def make_content(names, labeled=None):
    """An image of each name, with somebody in the first ones of them."""
    count = len(names) if labeled is None else labeled
    return dict(
        images=[
            image_entry(i, file_name=name) for i, name in enumerate(names, 1)
        ],
        annotations=[person(i, image_id=i) for i in range(1, count + 1)],
        categories=[dict(id=1, name='person')])


def split(names, group_by=None, part=0.1, labeled=None):
    """Names for evaluation, and what is said of the split."""
    file = KeypointFile(make_content(names, labeled), 'ann.json')
    train, val, how = split_content(file, part, 0, group_by)
    chosen = [[image['file_name'] for image in content['images']]
              for content in (train, val)]
    assert sorted(chosen[0] + chosen[1]) == sorted(names)
    assert f'{len(chosen[0])} images to train on' in how
    return chosen[1], how


def frames(video, count, pattern='{}_{:04}.png'):
    return [pattern.format(video, i) for i in range(count)]


VIDEOS = [name for i in range(10) for name in frames(f'day{i}', 5)]
EXPORT = '{}_mp4-{}_jpg.rf.0a1b2c{}.jpg'
EXPORTS = [EXPORT.format('a', i, i) for i in range(20)]
PHOTOS = [f'img_{i}.png' for i in range(20)]


@pytest.mark.parametrize('name, video, number', [
    ('a/clip_0012.png', 'a/clip_', '0012'),
    ('a\\7.png', 'a/', '7'),
    ('000123.jpg', '', '000123'),
    ('door.jpg', 'door', ''),
    ('clip.mp4_0012.png', 'clip.mp4_', '0012'),
    (EXPORT.format('clip', 12, 'd'), 'clip_mp4-', '12'),
    ('', '', ''),
])
def test_frames(name, video, number):
    assert frame_of(name) == (video, number)


def test_videos_stay_whole():
    chosen, how = split(VIDEOS)
    assert len(chosen) == 5 and len({name[:4] for name in chosen}) == 1
    assert f'by video (as file names look like those of frames): 1 of 10 ' \
        f'are for evaluation, {chosen[0][:5]}. ' in how
    assert '--group-by image' in how


@pytest.mark.parametrize('name', ['frame', 'my-video', 'GOPR1_mp4'])
def test_a_video_is_cut_in_time(name):
    """Numbers count, not the order in the file."""
    names = frames(name, 20, '{}_{}.jpg')[::-1]
    chosen, how = split(names)
    assert chosen == [f'{name}_19.jpg', f'{name}_18.jpg']
    assert 'by time (as file names look like those of frames)' in how
    assert split(EXPORTS)[0] == EXPORTS[-2:]


def test_two_long_videos_are_cut_in_time():
    """Half of the images would be too many for evaluation."""
    names = frames('a', 20) + frames('b', 20)
    assert split(names)[0] == [*names[18:20], *names[38:]]
    whole, how = split(names, 'video')
    assert whole in (names[:20], names[20:])
    assert 'by video (--group-by): 1 of 2' in how


@pytest.mark.parametrize('names', [
    PHOTOS,
    [f'{i:06}.jpg' for i in range(20)],
    [f'photos/{i}.jpg' for i in range(20)],
    [f'{i * 7919:x}.jpg' for i in range(20)],
    ['door.jpg', 'window.jpg'],
])
def test_other_names_are_split_by_image(names):
    chosen, how = split(names)
    assert len(chosen) == max(1, len(names) // 10)
    assert how.endswith('at random by image.')


def test_single_images_of_videos():
    chosen, how = split(VIDEOS, 'image')
    assert len({name[:4] for name in chosen}) > 1
    assert how.endswith('at random by image.')


def test_folders_and_expressions():
    names = [f'{folder}/{i}-{i % 3}.png' for folder in 'ab' for i in range(9)]
    chosen, how = split(names, 'folder')
    assert len(chosen) == 9 and len({name[0] for name in chosen}) == 1
    assert 'by folder' in how
    chosen, how = split(names, r'-(\d)')
    assert len(chosen) == 6 and len({name[-5] for name in chosen}) == 1
    assert r'by -(\d) (--group-by): 1 of 3' in how


@table('names, group_by, expected', [
    ('not closed', PHOTOS, '(', 'group-by .*no regular expression'),
    ('no group', PHOTOS, 'img', 'must be image, folder, video, or a regular '
     'expression with one group .*not 0'),
    ('two groups', PHOTOS, '(i)(m)', 'not 2'),
    ('no match', [*PHOTOS, 'x.png'], '(img)', "ann.json: .*'x.png' has no "),
    ('one group', PHOTOS, '(img)', 'ann.json: .*into one group'),
    ('one folder', PHOTOS, 'folder', 'ann.json: .*into one group'),
    ('one image', ['1.png'], None, 'at least 2.*--val-ann'),
])
def test_wrong_groups(names, group_by, expected):
    answer(lambda: split(names, group_by), expected)


@pytest.mark.parametrize('part', [0.01, 0.5, 0.99])
@pytest.mark.parametrize('group_by', ['image', 'video'])
def test_both_sides_have_somebody(part, group_by):
    names = [*frames('a', 5), *frames('b', 5), *frames('c', 5)]
    chosen, _ = split(names, group_by, part, labeled=10)
    assert 0 < len(set(chosen) & set(names[:10])) < 10


def test_images_without_labels_are_split_alike():
    names = [f'{i}.png' for i in range(40)]
    chosen, _ = split(names, part=0.25, labeled=20)
    assert len(set(chosen) & set(names[:20])) == 5
    assert len(set(chosen) & set(names[20:])) == 5


def test_unusable_images_are_not_evaluated():
    file = KeypointFile(make_content(frames('clip', 20)), 'ann.json')
    file.unusable = {19, 20}
    _, val, _ = split_content(file, 0.1, 0)
    assert [image['id'] for image in val['images']] == [17, 18]


def describe_files(folder, **names):
    """The report on a file to train on and others."""
    for split_name, each in names.items():
        (folder / f'{split_name}.json').write_text(
            json.dumps(make_content(each)))
    others = {
        f'{name}_ann': str(folder / f'{name}.json')
        for name in names if name != 'train'
    }
    return describe(folder / 'train.json', folder / 'out', **others)


@pytest.mark.parametrize('kind', ['val', 'test'])
@pytest.mark.parametrize('train, other, videos', [
    (VIDEOS[:8], VIDEOS[8:], '1 name (day1_)'),
    (frames('clip', 9), frames('clip', 9), '1 name (clip_)'),
    (VIDEOS[:10], VIDEOS[10:], None),
    (PHOTOS[:9], PHOTOS[9:], None),
    (PHOTOS[:9], VIDEOS, None),
])
def test_a_video_on_both_sides(tmp_path, train, other, videos, kind):
    others = dict(val=['x.png']) if kind == 'test' else {}
    result = describe_files(tmp_path, train=train, **others, **{kind: other})
    message = f'Names of one video or series in both files, for training ' \
        f'and for evaluation: {videos}'
    assert (message in result.report) == (videos is not None)
    assert result.ready


def test_the_report_tells_of_the_split(tmp_path):
    assert '\nSplit: 45 images to train on, 5 to evaluate on, by video' in \
        describe_files(tmp_path, train=VIDEOS).report
    report = describe_files(tmp_path, train=PHOTOS, val=VIDEOS).report
    assert 'Split:' not in report
