"""Annotation files as tools write them: read as if they were COCO's own."""
import copy
import json

import numpy as np
import pytest
from mmpose.registry import DATASETS, METRICS
from PIL import Image

from projects.grouppose.data.instances import stand_in_for_box
from projects.grouppose.data.repairs import repair_annotations
from tests.helpers.bad_cases import dataset_config, image_entry, person, table
from tests.helpers.evaluation import dataset_config as evaluated
from tests.helpers.evaluation import (edit, evaluate, metric_config,
                                      write_people)

FOLDER = 'images'


def make_content():
    """Two people in two images, with names of three keypoints."""
    images = [
        dict(id=i, file_name=f'{FOLDER}/{i}.png', width=60, height=50)
        for i in (3, 8)
    ]
    people = [
        person(
            i,
            image_id=image_id,
            keypoints=[10, 20, 2, 0, 0, 0, 30, 22, 2],
            num_keypoints=2) for i, image_id in ((1, 3), (2, 8))
    ]
    category = dict(id=1, name='person', keypoints=['a', 'b', 'c'])
    return dict(images=images, annotations=people, categories=[category])


def each(kind, **functions):
    """Change fields of all entries of a kind."""

    def change(content):
        for entry in content[kind]:
            for field, function in functions.items():
                entry[field] = function(entry)

    return change


def triples(ann):
    return np.reshape(ann['keypoints'], (-1, 3)).tolist()


def pairs(ann):
    return np.reshape(ann['keypoints'], (-1, 3))[:, :2].tolist()


def without(kind, *fields):

    def change(content):
        for entry in content[kind]:
            for field in fields:
                entry.pop(field)

    return change


def rename_ids(name):
    """Let all ids and what refers to them be texts."""

    def change(content):
        for kind in ('images', 'annotations', 'categories'):
            each(kind, id=lambda e: name(e['id']))(content)
        for field in ('image_id', 'category_id'):
            each('annotations', **{
                field: lambda a, f=field: name(a[f])
            })(
                content)

    return change


VARIANTS = [
    ('nothing', lambda content: None, None),
    ('nested', each('annotations', keypoints=triples), 'list of lists'),
    ('nested pairs', each('annotations', keypoints=pairs), 'no visibility'),
    ('pairs', each('annotations',
                   keypoints=lambda a: sum(pairs(a), [])), 'no visibility'),
    ('backslashes',
     each('images',
          file_name=lambda i: i['file_name'].replace('/', '\\')), '`/`'),
    ('of another folder',
     each('images',
          file_name=lambda i: 'C:\\x\\' + i['file_name'][7:]), '`/`'),
    ('ids are texts', rename_ids(str), 'integer'),
    ('ids are floats', rename_ids(float), 'integer'),
    ('references are texts',
     each('annotations', image_id=lambda a: str(a['image_id'])), 'integer'),
    ('no sizes', without('images', 'width', 'height'), 'taken from the files'),
    ('sizes are null', each('images', width=lambda i: None), 'the files'),
    ('crowd is null', each('annotations', iscrowd=lambda a: None), None),
    ('number is null', each('annotations',
                            num_keypoints=lambda a: None), None),
]


@table('change, said', VARIANTS)
def test_variants(tmp_path, change, said):
    """They become what they stand for."""
    content, right = make_content(), make_content()
    # One of them looks for its files without a folder.
    named = tmp_path / FOLDER
    named.mkdir()
    for i in (3, 8):
        for folder in (tmp_path, named):
            Image.new('RGB', (60, 50)).save(folder / f'{i}.png')
    change(content)
    repairs = repair_annotations(content, str(tmp_path))
    if said is None:
        assert not repairs
    else:
        kinds = {repair.unit for repair in repairs}
        assert len(repairs) == (3 if kinds == {'id'} else 1)
        text = f'{repairs[0].what} {repairs[0].how}'
        assert said in text.replace('without a', 'no')
        assert len(repairs[0].examples) == 2
    for found, wanted in zip(content['images'], right['images']):
        assert found['id'] == wanted['id']
        assert (found['width'], found['height']) == (60, 50)
        assert found['file_name'] in (wanted['file_name'],
                                      wanted['file_name'][7:])
    for found, wanted in zip(content['annotations'], right['annotations']):
        assert found.keys() >= wanted.keys() - {'iscrowd', 'num_keypoints'}
        for field in found:
            assert found[field] == wanted[field]
    assert content['categories'][0]['id'] == 1
    assert repair_annotations(content, str(tmp_path)) == []


def test_ids_that_are_no_numbers_are_counted():
    content = make_content()
    rename_ids(lambda i: f'uuid-{9 - i}')(content)
    first, *_ = repair_annotations(content)
    assert 'numbered from 1' in first.how
    assert [image['id'] for image in content['images']] == [1, 2]
    assert [ann['image_id'] for ann in content['annotations']] == [1, 2]
    assert [ann['id'] for ann in content['annotations']] == [1, 2]
    assert [ann['category_id'] for ann in content['annotations']] == [1, 1]


def test_pairs_are_told_by_the_number_of_names():
    """Twelve numbers are four keypoints or six."""
    for count, length in ((4, 12), (6, 18)):
        content = make_content()
        content['categories'][0]['keypoints'] = list('abcdef')[:count]
        each('annotations', keypoints=lambda a: [5] * 12)(content)
        repair_annotations(content)
        assert len(content['annotations'][0]['keypoints']) == length


SIZE = (128, 160)
BOXES = [
    # points, box
    ('one point', [(76, 64, 2)], (76 - 32 / 3, 64 - 32 / 3, 64 / 3, 64 / 3)),
    ('one place', [(76, 64, 2),
                   (77, 64, 1)], (76.5 - 32 / 3, 64 - 32 / 3, 64 / 3, 64 / 3)),
    ('a line', [(10, 20, 2), (10, 60, 2)], (5, 15, 10, 50)),
    ('others are not labeled', [(10, 20, 2), (50, 60, 1),
                                (99, 99, 0)], (5, 15, 50, 50)),
    ('none labeled', [(10, 20, 0)], None),
]


@table('points, expected', BOXES)
@pytest.mark.parametrize('box', [None, [0, 0, 0, 0], [9, 9, 5, 0]])
def test_box_of_the_labeled_keypoints(points, expected, box):
    values = [value for point in points for value in point]
    ann = dict(keypoints=values)
    if box is not None:
        ann['bbox'] = box
    found = stand_in_for_box(ann, SIZE)
    if expected is None:
        assert found == {}
        return
    assert found['bbox'] == pytest.approx(expected)
    area = 0.53 * expected[2] * expected[3]
    assert found['area'] == pytest.approx(area)
    assert 'area' not in stand_in_for_box(dict(ann, area=7), SIZE)


@pytest.mark.parametrize('box',
                         [[1, 2, 3, 4], [500, 500, 3, 4], [1, 2], ['a'] * 4])
def test_other_boxes_stay(box):
    """They are usable, though outside of the image, or refused."""
    ann = dict(bbox=box, keypoints=[5, 5, 2])
    assert stand_in_for_box(ann, SIZE) == {}


def damage_boxes(content):
    for i, ann in enumerate(content['annotations']):
        ann.update(bbox=[0, 0, 0, 0], area=0)
        if i % 3 == 0:
            del ann['bbox'], ann['area']
        elif i % 3 == 1:
            ann.update(bbox=None, area=None)


@pytest.mark.parametrize('num_labeled', [1, 17])
@pytest.mark.parametrize('use_area', [True, False])
def test_evaluation_has_the_boxes_of_training(tmp_path, use_area, num_labeled):
    """Perfect poses are worth 1, and the areas are those that are trained."""
    ann_file = write_people(tmp_path, [3, 5])
    edit(ann_file, damage_boxes)

    def hide(content):
        for ann in content['annotations']:
            ann['keypoints'][3 * num_labeled:] = [0] * 3 * (17 - num_labeled)
            ann['num_keypoints'] = num_labeled

    edit(ann_file, hide)
    config = evaluated(ann_file)
    metric = metric_config(ann_file, use_area=use_area)
    metrics = evaluate(config, metric)
    assert metrics['coco/AP'] == pytest.approx(1)

    built = METRICS.build(metric)
    dataset = DATASETS.build(config)
    assert dataset.num_people.tolist() == [3, 5]
    for i in range(2):
        for ann in dataset.get_data_info(i)['raw_ann_info']:
            other = built.coco.anns[ann['id']]
            assert other['bbox'] == ann['bbox'] and other['area'] > 0
            assert other['area'] == ann['area']
            size = 0.53 * np.prod(other['bbox'][2:])
            assert other['area'] == pytest.approx(size)


def test_objects_without_a_box_are_targets(tmp_path):
    config = dataset_config(tmp_path, [
        person(1, bbox=[0, 0, 0, 0], area=0),
        person(2, bbox=None, keypoints=[40, 40, 2] + [0] * 48)
    ])
    labels = DATASETS.build(config)[0]['data_samples'].gt_instance_labels
    assert len(labels) == 2
    side = 50 / 6 / 60, 50 / 6 / 50
    assert labels.area_labels[0].item() == pytest.approx(
        0.53 * side[0] * side[1], rel=1e-4)


def test_metric_without_sizes_of_images(tmp_path):
    """One point has no box then; the message says what to add."""
    ann_file = write_people(tmp_path, [2])

    def damage(content):
        without('images', 'width', 'height')(content)
        for ann in content['annotations']:
            ann.update(bbox=[0] * 4, keypoints=[9, 9, 2] + [0] * 48)

    edit(ann_file, damage)
    with pytest.raises(
            ValueError,
            match='ann.json: annotation 1: no usable `bbox`'
            '.*`width` and `height`'):
        METRICS.build(metric_config(ann_file))


@pytest.mark.parametrize('test_mode', [False, True])
def test_images_without_a_file_are_left_out(tmp_path, monkeypatch, test_mode):
    lines = []
    monkeypatch.setattr('projects.grouppose.data.dataset.print_log',
                        lambda message, *_: lines.append(message))
    images = [
        image_entry(1),
        image_entry(2),
        image_entry(3),
        image_entry(4, width=None)
    ]
    people = [person(i, image_id=i) for i in (1, 3, 4)]
    config = dataset_config(tmp_path, people, images, test_mode=test_mode)
    with pytest.raises(ValueError, match='image 4: `width`'):
        DATASETS.build(config)
    lines.clear()
    dataset = DATASETS.build(dict(config, skip_missing=True))
    assert len(dataset) == (2 if test_mode else 1)
    line, = lines
    assert '2 images without a file' in line
    (tmp_path / '1.png').unlink()
    (tmp_path / '2.png').unlink()
    with pytest.raises(ValueError, match='none of its 4 images has a file'):
        DATASETS.build(dict(config, skip_missing=True))


def test_nothing_is_lost_of_what_is_right(tmp_path):
    """A file in COCO's form stays as it is, to the last field."""
    content = json.loads(write_people(tmp_path, [2, 3]).read_text())
    before = copy.deepcopy(content)
    assert repair_annotations(content, str(tmp_path)) == []
    assert content == before


def test_objects_are_not_called_people(tmp_path, monkeypatch):
    config = dataset_config(tmp_path)
    lines = []
    monkeypatch.setattr('projects.grouppose.data.dataset.print_log',
                        lambda message, *_: lines.append(message))
    edit(tmp_path / 'ann.json',
         lambda content: content['categories'][0].update(name='door'))
    DATASETS.build(config)
    line, = lines
    assert 'with 1 objects to train on' in line
    assert 'people' not in line and 'person' not in line
