"""Files as people's tools write them, described and then trained: both must
say the same."""
import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmpose.registry import DATASETS, METRICS
from PIL import Image

from projects.grouppose.data.loading import ORIENTATION
from projects.grouppose.describe import describe
from tests.helpers.bad_cases import table

SHARED = Path(__file__).resolve().parents[3] / 'shared'
CASES = SHARED / 'cases'
NAMES = ['nose', 'left_eye', 'right_eye']


def write_data(folder, num_images=10):
    """Images of 80 x 60 pixels with an object each; its annotations."""
    images, annotations = [], []
    for i in range(1, num_images + 1):
        Image.new('RGB', (80, 60)).save(folder / f'{i}.jpg')
        images.append(dict(id=i, file_name=f'{i}.jpg', width=80, height=60))
        annotations.append(
            dict(
                id=i,
                image_id=i,
                category_id=1,
                iscrowd=0,
                bbox=[10, 10, 30, 20],
                area=400,
                num_keypoints=3,
                keypoints=[20, 12, 2, 12, 28, 2, 38, 15 + i % 4, 2]))
    category = dict(id=1, name='door', keypoints=NAMES, skeleton=[[1, 2]])
    return dict(images=images, annotations=annotations, categories=[category])


@pytest.fixture
def attempt(tmp_path):
    """Describe a content and train on it, or the given file as it is; answer
    with the report, and why training refuses, '' if it does not."""

    def attempt_(content, size='small', **options):
        ann_file = tmp_path / 'ann.json'
        ann_file.write_text(json.dumps(content))
        result = describe(ann_file, tmp_path / 'out', size=size, **options)
        metainfo = tmp_path / 'metainfo.py'
        config = None
        if result.ready:
            result.write(tmp_path / 'out')
            metainfo = tmp_path / 'out/metainfo.py'
            config = Config.fromfile(tmp_path / 'out/config.py')
            load_all(config)
        else:
            sound = describe_sound(tmp_path)
            metainfo.write_text(sound)
        raw = dict(
            type='PoseImageDataset',
            skip_missing=options.get('skip_missing', False),
            class_agnostic=True,
            dataset=dict(
                type='CocoDataset',
                data_mode='bottomup',
                metainfo=dict(from_file=str(metainfo)),
                data_root=str(tmp_path),
                ann_file='ann.json',
                pipeline=[
                    dict(
                        type='LoadPoseImage',
                        color_type='color' if config is not None
                        and "color_type='color'" in result.files['config.py']
                        else 'color_ignore_orientation'),
                    dict(type='PoseInstanceFilter'),
                ]))
        refusal = ''
        try:
            dataset = DATASETS.build(raw)
            for i in range(len(dataset)):
                assert dataset[i] is not None
        except (OSError, ValueError) as error:
            refusal = str(error)
        assert result.ready == (not refusal), (result.report, refusal)
        return result, refusal, config

    return attempt_


def describe_sound(tmp_path):
    """A description of the keypoints for training on what is refused."""
    folder = tmp_path / 'sound'
    folder.mkdir(exist_ok=True)
    (folder / 'ann.json').write_text(json.dumps(write_data(folder)))
    return describe(folder / 'ann.json', folder).files['metainfo.py']


def load_all(config):
    """Read all images of both data sets, and the annotations of the metric."""
    for name in ('train_dataloader', 'val_dataloader'):
        dataset = DATASETS.build(config[name].dataset)
        assert all(dataset[i] is not None for i in range(len(dataset)))
        assert len(dataset)
    metric = METRICS.build(config.val_evaluator)
    metric.dataset_meta = dataset.metainfo
    return metric


def test_sound_files_agree(tmp_path, attempt):
    result, _, _ = attempt(write_data(tmp_path))
    assert 'Nothing looks wrong' in result.report
    assert '10 objects (door) with labeled keypoints' in result.report
    assert 'people' not in result.report + result.files['config.py']


@pytest.mark.parametrize('factor, agree', [(2, False), (1.001, True)])
def test_wrong_sizes(tmp_path, attempt, factor, agree):
    """Rounding is no other size, for both."""
    content = write_data(tmp_path)
    for image in content['images']:
        image.update(width=factor * 80, height=factor * 60)
    result, refusal, _ = attempt(content)
    assert result.ready == agree
    if not agree:
        assert '80 x 60 pixels' in refusal
        assert 'of another size: 10 of 10 files' in result.report


def test_wrong_size_of_an_image_that_is_not_used(tmp_path, attempt):
    content = write_data(tmp_path)
    content['images'][3].update(width=200)
    del content['annotations'][3]
    result, _, config = attempt(content)
    assert 'not use them' in result.report
    val = json.loads(result.files['val.json'])
    assert 4 not in [image['id'] for image in val['images']]


def test_swapped_sizes_do_no_harm(tmp_path, attempt):
    content = write_data(tmp_path)
    content['images'][2].update(width=60, height=80)
    result, _, _ = attempt(content)
    assert '## Warnings' not in result.report
    assert '`width` and `height` swapped: 1 of 10 files' in result.report


def turn(folder, name, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    with Image.open(folder / name) as image:
        image.load()
    image.save(folder / name, exif=exif)


@pytest.mark.parametrize('stated', [True, False])
def test_photos_annotated_upright(tmp_path, attempt, stated):
    """The config follows EXIF where sizes say that annotations do."""
    content = write_data(tmp_path)
    for image, ann in zip(content['images'][:4], content['annotations']):
        turn(tmp_path, image['file_name'], 6)
        image.update(width=60, height=80)
        if not stated:
            del image['width'], image['height']
    ann['bbox'] = [5, 60, 30, 15]
    ann['keypoints'][1::3] = [62, 70, 74]
    ann_file = tmp_path / 'ann.json'
    ann_file.write_text(json.dumps(content))
    result = describe(ann_file, tmp_path / 'out', size='small')
    assert result.ready, result.report
    assert 'as rotated by EXIF: 4 of 10 files' in result.report
    result.write(tmp_path / 'out')
    config = Config.fromfile(tmp_path / 'out/config.py')
    load_all(config)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    loader = dataset.pipeline.transforms[0]
    shapes = [
        loader(dataset.get_data_info(i))['img_shape']
        for i in range(len(dataset))
    ]
    assert (80, 60) in shapes and (60, 80) in shapes


def test_photos_annotated_in_both_ways(tmp_path):
    """No config can read them; one of them must be saved anew."""
    content = write_data(tmp_path)
    for image in content['images'][:2]:
        turn(tmp_path, image['file_name'], 6)
    content['images'][0].update(width=60, height=80)
    (tmp_path / 'ann.json').write_text(json.dumps(content))
    result = describe(tmp_path / 'ann.json', tmp_path / 'out')
    assert not result.ready
    assert 'Annotated as they are stored' in result.report


def test_photos_upside_down_are_told_of(tmp_path, attempt):
    content = write_data(tmp_path)
    turn(tmp_path, '3.jpg', 3)
    result, _, _ = attempt(content)
    assert 'by EXIF, by the size unchanged: 1 of 10 files (3.jpg)' in \
        result.report


def test_missing_files(tmp_path, attempt):
    content = write_data(tmp_path)
    (tmp_path / '3.jpg').unlink()
    result, refusal, _ = attempt(content)
    assert '3.jpg: image not found' in refusal
    assert f'Images that are not in {tmp_path}: 1 of 10 files (3.jpg)' in \
        result.report
    assert '--skip-missing' in result.report

    result, _, config = attempt(content, skip_missing=True)
    assert 'They are left out (skip_missing=True)' in result.report
    text = result.files['config.py']
    assert '# images without a file, 1 when this was written' in text
    for name in ('train_dataloader', 'val_dataloader'):
        assert config[name].dataset.skip_missing
    assert '# out: 8 images to train on, 1 to evaluate on' in text
    assert len(DATASETS.build(config.train_dataloader.dataset)) == 8


def test_missing_files_that_training_does_not_use(tmp_path, attempt):
    """It is no error, and evaluation does not get them."""
    content = write_data(tmp_path, 12)
    for ann in content['annotations'][6:]:
        ann.update(keypoints=[0] * 9, num_keypoints=0)
    for i in range(7, 12):
        (tmp_path / f'{i}.jpg').unlink()
    result, _, _ = attempt(content, val_part=0.9)
    assert 'Training does not use them' in result.report
    val = json.loads(result.files['val.json'])
    ids = {image['id'] for image in val['images']}
    assert 12 in ids and not ids & set(range(7, 12))


def test_all_files_missing_are_no_images(tmp_path, attempt):
    """Nothing remains to train on, which both say."""
    content = write_data(tmp_path)
    for i in range(2, 11):
        (tmp_path / f'{i}.jpg').unlink()
    content['annotations'][0].update(keypoints=[0] * 9, num_keypoints=0)
    result, refusal, _ = attempt(content, skip_missing=True)
    assert 'Nothing can be trained on' in result.report
    assert 'nothing can be trained on' in refusal


@pytest.mark.parametrize('changes', [
    dict(bbox=[500, 500, 9, 9]),
    dict(num_keypoints=0),
    dict(iscrowd=1),
    dict(keypoints=[0] * 9),
])
def test_nobody_remains(tmp_path, attempt, changes):
    content = write_data(tmp_path)
    for ann in content['annotations']:
        ann.update(changes)
    result, refusal, _ = attempt(content)
    assert 'Nothing can be trained on: ' in result.report
    assert 'ann.json: nothing can be trained on: 10 ' in refusal


POINT = dict(
    bbox=[9, 9, 0, 0], area=0, keypoints=[9, 9, 2] + [0] * 6, num_keypoints=1)
LINE = dict(bbox=[9, 9, 0, 30], area=0, keypoints=[9, 9, 2, 9, 39, 2, 0, 0, 0])


@table('changes', [('points', POINT), ('lines', LINE),
                   ('boxes of zeros', dict(bbox=[0] * 4)),
                   ('boxes null', dict(bbox=None, area=None))])
def test_objects_without_a_box(tmp_path, attempt, changes):
    """All are trained and evaluated, and the report counts them."""
    content = write_data(tmp_path)
    for ann in content['annotations']:
        ann.update(changes)
    result, _, config = attempt(content)
    assert 'No usable `bbox`: 10 annotations (1, 2, ' in result.report
    assert '## Warnings' not in result.report
    dataset = DATASETS.build(config.train_dataloader.dataset)
    assert dataset.num_people.tolist() == [1] * 9
    metric = load_all(config)
    for ann in metric.coco.anns.values():
        assert min(ann['bbox'][2:]) > 0 and ann['area'] > 0
    # The files that are written say it to every program.
    for name in ('train.json', 'val.json'):
        for ann in json.loads(result.files[name])['annotations']:
            assert min(ann['bbox'][2:]) > 0


def test_files_that_need_repair_are_written(tmp_path):
    """Also where a file to evaluate on is given."""
    content = write_data(tmp_path)
    path = tmp_path / 'ann.json'
    path.write_text(json.dumps(content))
    result = describe(path, tmp_path / 'out', val_ann=path)
    assert 'train.json' not in result.files
    del content['annotations'][0]['bbox']
    path.write_text(json.dumps(content))
    result = describe(path, tmp_path / 'out', val_ann=path)
    assert set(result.files) > {'train.json', 'val.json'}


def nothing(content):
    content['annotations'] = []
    content['categories'] = [
        dict(id=i, name=name, keypoints=[]) for i, name in enumerate(NAMES)
    ]


def boxes_only(content):
    for ann in content['annotations']:
        del ann['keypoints']
    del content['categories'][0]['keypoints']


@table('change, message', [
    ('nothing', nothing, '10 images, no annotations and 3 categories '
     r'\(nose, left_eye, right_eye\)\. No category .*skeleton'),
    ('boxes', boxes_only, r'annotated is `bbox` \(10\)\. No category'),
])
def test_exports_without_skeletons(tmp_path, change, message):
    """What was found and why it is not enough, from both."""
    content = write_data(tmp_path)
    change(content)
    path = tmp_path / 'ann.json'
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='ann.json: .*' + message):
        describe(path, tmp_path / 'out')
    config = dict(
        type='PoseImageDataset',
        dataset=dict(
            type='CocoDataset',
            data_mode='bottomup',
            data_root=str(tmp_path),
            ann_file='ann.json'))
    with pytest.raises(ValueError, match='ann.json: .*' + message):
        DATASETS.build(config)


@pytest.mark.parametrize('ids, expected', [
    ((1, 2),
     '2 categories: antelope (`id` 1, 5 objects), deer (`id` 2, 5 objects)'),
    (('antelope', 'deer'),
     '2 categories: antelope (`id` 1, 5 objects), deer (`id` 2, 5 objects)'),
    ((5, 5),
     'A category with another `id` than 1: antelope (`id` 5, 10 objects)'),
    (('antelope', ) * 2, None),
])
def test_categories_by_name(tmp_path, ids, expected):
    content = write_data(tmp_path)
    category, = content['categories']
    content['categories'] = [
        dict(category, id=i, name=name)
        for i, name in dict(zip(ids[::-1], ('deer', 'antelope'))).items()
    ][::-1]
    for i, ann in enumerate(content['annotations']):
        ann['category_id'] = ids[i % 2]
    path = tmp_path / 'ann.json'
    path.write_text(json.dumps(content))
    report = describe(path, tmp_path / 'out').report
    if expected is None:
        assert 'categories:' not in report and 'another `id`' not in report
    else:
        assert expected in report


needs_cases = pytest.mark.skipif(
    not CASES.is_dir(), reason='no files in ../shared/cases')


def check_case(path, images, tmp_path, found):
    """Describe, build what the config says, and compare with the report."""
    result = describe(path, tmp_path / 'out', images=str(images), size='small')
    assert found in result.report, result.report
    assert result.ready
    result.write(tmp_path / 'out')
    config = Config.fromfile(tmp_path / 'out/config.py')
    load_all(config)
    return result, config


@needs_cases
@pytest.mark.parametrize('name, found', [
    ('nobox', 'No usable `bbox`: 12 annotations'),
    ('nested', '`keypoints` as a list of lists: 14 annotations'),
    ('twod', '`keypoints` without a visibility: 14 annotations'),
    ('win', 'It is read as `/`'),
    ('strid', 'no integer: 4 ids'),
    ('nosize', 'without `width` and `height`: 4 files'),
    ('nullseg', 'No `area`: 14 of 14'),
])
def test_variants_of_coco(tmp_path, name, found):
    images = SHARED / 'data/samples/coco'
    result, config = check_case(CASES / f'coco_variants/{name}.json', images,
                                tmp_path, found)
    # As many people as in the file without the change.
    counts = [
        DATASETS.build(dict(config[f'{part}_dataloader'].dataset)).num_people
        for part in ('train', 'val')
    ]
    assert sum(map(np.sum, counts)) == 12
    assert '## Warnings' not in result.report


@needs_cases
def test_variant_of_another_size(tmp_path):
    path = CASES / 'coco_variants/wrongsize.json'
    images = SHARED / 'data/samples/coco'
    result = describe(path, tmp_path / 'out', images=str(images))
    assert not result.ready
    assert 'of another size: 4 of 4 files' in result.report


@needs_cases
def test_export_without_skeletons(tmp_path):
    with pytest.raises(
            ValueError,
            match='87 images, no annotations and 17 '
            r'categories \(nose, .*skeleton'):
        describe(CASES / 'coco_variants/cvat_no_skeleton.json', tmp_path)


@needs_cases
def test_skeletons_of_one_point(tmp_path):
    result, config = check_case(CASES / 'cvat1kp/ann.json',
                                CASES / 'cvat1kp/images', tmp_path,
                                'No usable `bbox`: 83 annotations')
    dataset = DATASETS.build(config.train_dataloader.dataset)
    assert len(dataset) == 36 and dataset.num_people.min() >= 1
    assert '83 objects (thing)' in result.report


@needs_cases
def test_sides_inside_names(tmp_path):
    result, config = check_case(CASES / 'fly/test_fly.json', CASES / 'fly',
                                tmp_path, 'Nothing looks wrong')
    metainfo = DATASETS.build(config.train_dataloader.dataset).metainfo
    assert len(metainfo['flip_pairs']) == 2 * 14
    assert metainfo['flip_indices'][6:10] == [18, 19, 20, 21]
    assert 'PoseRandomFlip' not in result.files['config.py']
