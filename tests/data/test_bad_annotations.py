"""Annotation files with something wrong in them: what training and evaluation
do with each, as a user meets it when the data set is built."""
import json

import pytest
from mmpose.registry import DATASETS
from PIL import Image

from tests.helpers.bad_cases import (NULL, answer, dataset_config, image_entry,
                                     person, table, train_once, trained_model)

__all__ = ['trained_model']  # a fixture

NAN, INF = float('nan'), float('inf')
HALF = '\ud800.png'  # of a character, which JSON can say and no file has

# Fields of a second person, and the number of people that are trained on: 2
# with this one, 1 without. Or why the file is refused.
PEOPLE = [
    ('nothing wrong', dict(), 2),
    # keypoints
    ('no keypoints', dict(keypoints=None), 1),
    ('keypoints null', dict(keypoints='null'), '7: `keypoints` must be a lis'),
    ('keypoints empty', dict(keypoints=[]), r'`keypoints` .*lists of \[0, 51'),
    ('two numbers a keypoint', dict(keypoints=[9] * 34), '7: .* 34 numbers'),
    ('14 of 17 keypoints', dict(keypoints=[9] * 42), r'`keypoints` .*\[42, 5'),
    ('keypoint NaN', dict(keypoints=[NAN] * 51), '7: `keypoints` .*finite'),
    ('keypoint infinite', dict(keypoints=[INF] * 51), '7: `keypoints` .*fin'),
    ('keypoint 1e400', dict(keypoints=[10**400] * 51), '7: `keypoints` .*fin'),
    ('keypoint a text', dict(keypoints=['9'] * 51), '7: `keypoints` .*finite'),
    ('keypoint a list', dict(keypoints=[[9]] * 51), '7: .*finite.*a list for'),
    ('keypoint 1e30', dict(keypoints=[1e30] * 51), '7: `keypoints` .* 1e.06'),
    ('keypoint outside', dict(keypoints=[-90, 400, 2] * 17), 2),
    # visibility
    ('visibility -1', dict(keypoints=[9, 9, -1] * 17), '7: .*visibility of -'),
    ('visibility NaN', dict(keypoints=[9, 9, NAN] * 17), '7: .*finite'),
    ('visibility 5', dict(keypoints=[9, 9, 5] * 17), 2),
    ('all hidden', dict(keypoints=[9, 9, 1] * 17), 2),
    ('none labeled', dict(keypoints=[0] * 51, num_keypoints=0), 1),
    ('none labeled, 17 stated', dict(keypoints=[9, 9, 0] * 17), 1),
    ('none stated', dict(num_keypoints=None), 2),
    ('a negative number stated', dict(num_keypoints=-1), '7: `num_keypoints`'),
    ('a text stated', dict(num_keypoints='17'), '7: `num_keypoints` must be'),
    ('1e400 stated', dict(num_keypoints=10**400), '7: `num_keypoints` must'),
    # box
    ('no box', dict(bbox=None), 2),
    ('box null', dict(bbox=NULL), 2),
    ('box of nothing', dict(bbox=[]), 2),
    ('no box, nor keypoints', dict(bbox=None, keypoints=[0] * 51), 1),
    ('box of three numbers', dict(bbox=[5, 5, 9]), '7: `bbox` must be x, y'),
    ('box NaN', dict(bbox=[5, 5, NAN, 9]), '7: `bbox` .*finite'),
    ('box infinite', dict(bbox=[5, 5, INF, 9]), '7: `bbox` .*finite'),
    ('box 1e30', dict(bbox=[5, 5, 1e30, 9]), '7: `bbox` .*beyond 1e.06'),
    ('box negative', dict(bbox=[35, 45, -30, -40]), 2),
    ('box empty', dict(bbox=[5, 5, 0, 0]), 2),
    ('box a line', dict(bbox=[5, 5, 30, 0]), 2),
    ('box empty, area, too', dict(bbox=[5, 5, 0, 0], area=0), 2),
    ('box outside', dict(bbox=[100, 100, 9, 9]), 1),
    ('box partly outside', dict(bbox=[-20, -20, 50, 50]), 2),
    # area
    ('no area', dict(area=None), 2),
    ('area null', dict(area=NULL), 2),
    ('area zero', dict(area=0), '7: `area` must be positive.*Without'),
    ('area negative', dict(area=-3), '7: `area` must be positive'),
    ('area NaN', dict(area=NAN), '7: `area` .*finite'),
    ('area infinite', dict(area=INF), '7: `area` .*finite'),
    ('area 1e400', dict(area=10**400), '7: `area` .*finite'),
    ('area 1e30', dict(area=1e30), '7: `area` .*larger than any'),
    ('area of a pixel', dict(area=1e-6), 2),
    # crowd
    ('crowd region', dict(iscrowd=1, area=0), 1),
    ('crowd not said', dict(iscrowd=None), 2),
    ('crowd a text', dict(iscrowd='0'), "7: `iscrowd` must be .* got '0'"),
    ('crowd 7', dict(iscrowd=7), '7: `iscrowd` must be 0 or 1, got 7'),
    # to what it belongs
    ('unknown category', dict(category_id=3), r'category_id` 1, found \[1, 3'),
    ('category a text', dict(category_id='1'), 2),
    ('category no number', dict(category_id='x'), '7: `category_id` must be'),
    ('image a text', dict(image_id='1'), 2),
    ('id a text', dict(id='7'), 2),
    ('no category', dict(category_id=None), '7: `category_id` must be an int'),
    ('of a missing image', dict(image_id=9), '7: .* no entry .*`id` 9'),
    ('of no image', dict(image_id=None), '7: `image_id` must be an integer'),
    ('duplicate id', dict(id=1), 'annotation 1: another .* same `id`'),
    ('no id', dict(id=None), 'number 1 of the list: `id` must be an integer'),
]


@table('changes, expected', PEOPLE)
def test_people(trained_model, tmp_path, changes, expected):
    config = dataset_config(tmp_path, [person(), person(7, **changes)])
    if isinstance(expected, str):
        expected = 'ann.json: .*' + expected
    items = answer(lambda: train_once(trained_model, config), expected)
    if items:
        item, = items
        labels = item['data_samples'].gt_instance_labels
        assert len(labels) == expected


# Fields of image 1, and whether it is used; or why it is refused, by the name
# of the image if the file has to be opened to know it.
IMAGES = [
    ('width and height swapped', dict(width=50, height=60), True),
    ('a pixel more', dict(width=61), True),
    ('of a larger version', dict(width=120, height=100),
     '1.png: has 60 x 50 pixels, but .*`height` .*120 x 100. If the key'),
    ('no width', dict(width=None), True),
    ('height zero', dict(height=0), True),
    ('no size, nor file', dict(width=None, file_name='3.png'),
     'ann.json: image 1: `width` must be .*not found'),
    ('height NaN', dict(height=NAN), 'ann.json: image 1: `height` must be'),
    ('width a text', dict(width='60'), "ann.json: image 1: `width` .*'60'"),
    ('no name', dict(file_name=None), 'ann.json: image 1: no `file_name`'),
    ('empty name', dict(file_name=''), 'ann.json: image 1: no `file_name`'),
    ('name a number', dict(file_name=1), 'ann.json: image 1: no `file_name`'),
    ('name no text', dict(file_name=HALF), 'image 1: `file_name` .*cannot be'),
    ('name with a zero byte', dict(file_name='1\0.png'), '1: `file_name`'),
    ('name of a folder', dict(file_name='.'), r'\.: cannot be read as an ima'),
    ('name of no file', dict(file_name='3.png'), '3.png: .*found.*`data_pre'),
    ('duplicate id', dict(id=2), 'ann.json: image 2: another .* same `id`'),
    ('id a text', dict(id='1'), True),
]


@table('changes, expected', IMAGES)
def test_images(trained_model, tmp_path, changes, expected):
    images = [image_entry(**changes), image_entry(2)]
    config = dataset_config(tmp_path, images=images)
    items = answer(lambda: train_once(trained_model, config), expected)
    if items:
        right = dataset_config(tmp_path)
        item, expected = items[0], DATASETS.build(right)[0]
        for field in ('keypoint_labels', 'area_labels'):
            found, wanted = [
                sample['data_samples'].gt_instance_labels[field]
                for sample in (item, expected)
            ]
            assert (found == wanted).all()


TRUNCATED = '{"images": [{"id": 1, "file_name": "1.p'
LISTS = '{"images": %s, "annotations": %s, "categories": []}'
# The content of the annotation file, and why it is refused.
FILES = [
    ('empty', '', 'not valid JSON .*Restore the file'),
    ('truncated', TRUNCATED, 'not valid JSON .*Restore the file'),
    ('no text', '\0\1\2', 'not valid JSON'),
    ('nested too deep', '[' * 100000, 'not valid JSON'),
    ('null', 'null', 'not a COCO-format .*`images`, `annotations` and'),
    ('results', '[{"image_id": 1, "score": 1}]', 'not a COCO-format'),
    ('no annotations', '{"images": []}', 'not a COCO-format'),
    ('entries that are no objects', LISTS % ('[3]', '[]'), 'not a COCO-for'),
    ('nobody', LISTS % ('[]', '[]'),
     'nothing can be trained on: no annotation has'),
]


@table('content, expected', FILES)
def test_files(tmp_path, content, expected):
    config = dataset_config(tmp_path)
    (tmp_path / 'ann.json').write_text(content)
    answer(lambda: DATASETS.build(config), 'ann.json: ' + expected)


@pytest.mark.parametrize('ann_file, expected', [
    ('none.json', 'none.json: annotation file not found. Check `data_root`'),
    ('folder', 'folder: cannot be read as an annotation file .*Check `ann_f'),
])
def test_paths(tmp_path, ann_file, expected):
    (tmp_path / 'folder').mkdir()
    config = dataset_config(tmp_path, ann_file=ann_file)
    answer(lambda: DATASETS.build(config), expected)


# All people of a file with two images: how many images are trained on, and
# how many people.
CONTENTS = [
    ('a crowd', [person(), person(7, iscrowd=1, segmentation=[])], 1, 1),
    ('an image without people', [person()], 1, 1),
    ('500 people in an image', [person(i) for i in range(500)], 1, 500),
]


@table('people, num_images, num_people', CONTENTS)
def test_contents(trained_model, tmp_path, people, num_images, num_people):
    config = dataset_config(tmp_path, people)
    items = train_once(trained_model, config)
    labels = [item['data_samples'].gt_instance_labels for item in items]
    assert len(items) == num_images
    assert sum(map(len, labels)) == num_people
    # Evaluation takes all images.
    testing = dict(config['dataset'], test_mode=True, pipeline=FOR_TESTING)
    dataset = DATASETS.build(dict(config, dataset=testing))
    assert len(dataset) == 2
    assert [len(dataset[i]['data_samples'].gt_instances)
            for i in range(2)] == [len(people), 0]


FOR_TESTING = [dict(type='LoadPoseImage'), dict(type='PackPoseInputs')]

# What is wrong with a person for evaluation, or else what is warned of.
EVALUATION = [
    ('nothing wrong', dict(), None),
    ('no keypoints', dict(keypoints=None), ValueError),
    ('no box', dict(bbox=None), None),
    ('box and area zero', dict(bbox=[5, 5, 0, 0], area=0), None),
    ('unknown category', dict(category_id=3), ValueError),
    ('no area', dict(area=None),
     '7, have no positive `area`. .*use_area=False'),
    ('area zero', dict(area=0),
     '7, have no positive `area`. .*use_area=False'),
]


@table('changes, expected', EVALUATION)
def test_evaluation(tmp_path, monkeypatch, changes, expected):
    config = dataset_config(
        tmp_path, [person(), person(7, **changes)], test_mode=True)
    if expected is ValueError:
        answer(lambda: DATASETS.build(config), 'ann.json: .*(7|3)')
        return
    check_warning(monkeypatch, config, expected)


def check_warning(monkeypatch, config, expected):
    """Build a data set; compare with all that it warns of."""
    warned = []
    monkeypatch.setattr('projects.grouppose.data.annotations.print_log',
                        lambda message, *_: warned.append(message))
    DATASETS.build(config)
    assert len(warned) == (expected is not None)
    if expected:
        assert_matches(expected, warned[0])


def assert_matches(pattern, text):
    with pytest.raises(ValueError, match=pattern):
        raise ValueError(text)


def test_sideways_photos_are_not_trained_on(tmp_path, trained_model):
    """Their annotations are upright, but training does not turn them."""
    images = [image_entry(width=50, height=60), image_entry(2)]
    config = dataset_config(tmp_path, images=images)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (60, 50)).save(tmp_path / '1.png', exif=exif)
    answer(lambda: train_once(trained_model, config),
           '1.png: .*EXIF orientation.*color_type')
    config['dataset']['pipeline'] = [
        dict(type='LoadPoseImage', color_type='color'),
        *config['dataset']['pipeline'][1:]
    ]
    assert len(train_once(trained_model, config)) == 1


def test_categories_are_one_where_it_is_said(tmp_path, trained_model):
    config = dataset_config(tmp_path, [person(), person(7, category_id=3)])
    item, = train_once(trained_model, dict(config, class_agnostic=True))
    assert len(item['data_samples'].gt_instance_labels) == 2


def test_json_is_what_is_written_by_others(tmp_path):
    """A mark of the byte order is refused by name; any ending is taken."""
    config = dataset_config(tmp_path, ann_file='ann.txt')
    (tmp_path / 'ann.json').rename(tmp_path / 'ann.txt')
    assert len(DATASETS.build(config)) == 1
    content = json.loads((tmp_path / 'ann.txt').read_text())
    (tmp_path / 'ann.txt').write_text(json.dumps(content), 'utf-8-sig')
    answer(lambda: DATASETS.build(config), 'ann.txt: not valid JSON .*BOM')
