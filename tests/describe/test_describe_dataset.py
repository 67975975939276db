"""From a COCO-format file to metainfo, config and report."""
import copy
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmpose.registry import DATASETS, METRICS, MODELS
from PIL import Image

from projects.grouppose.data import PoseRandomFlip
from projects.grouppose.data.metainfo import load_metainfo
from projects.grouppose.describe import describe
from projects.grouppose.describe.coco_file import KeypointFile
from projects.grouppose.describe.known_datasets import KnownDataset
from projects.grouppose.describe.names import pair_sides
from projects.grouppose.describe.recipes import SIZES
from projects.grouppose.describe.sigmas import estimate_sigmas
from tests.helpers.tool_runs import TOOLS, load_tool

SAMPLES = Path(__file__).resolve().parents[3] / 'shared/data'
NAMES = ['tip', 'left_wing', 'right_wing', 'tailL', 'tailR']
SHAPE = np.array([(0, -30), (25, 10), (-25, 10), (10, 25), (-10, 25)])


def make_content(num_images: int = 30, seed: int = 0) -> dict:
    """Two sound people in each image, side by side, of about 60 pixels."""
    random = np.random.RandomState(seed)
    images, annotations = [], []
    for image_id in range(1, num_images + 1):
        images.append(
            dict(
                id=image_id,
                file_name=f'{image_id}.png',
                width=200,
                height=100))
        for center in ((50, 50), (140, 50)):
            points = SHAPE + center + random.uniform(-3, 3, (5, 2))
            low, size = points.min(0), np.ptp(points, axis=0)
            visibility = [2, 2, 1, 2, 2]
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=1,
                    iscrowd=0,
                    bbox=[*low, *size],
                    area=0.6 * size.prod(),
                    num_keypoints=5,
                    keypoints=np.column_stack([points,
                                               visibility]).ravel().tolist()))
    category = dict(
        id=1, name='plane', keypoints=NAMES, skeleton=[[1, 2], [1, 3]])
    return dict(images=images, annotations=annotations, categories=[category])


@pytest.fixture
def write(tmp_path):

    def write_(content, name='ann.json'):
        (tmp_path / name).write_text(json.dumps(content))
        return str(tmp_path / name)

    return write_


def test_sound_data_gives_no_findings(write, tmp_path):
    result = describe(write(make_content()), tmp_path / 'out')
    assert 'Nothing looks wrong.' in result.report
    assert 'Warnings' not in result.report
    assert set(result.files) == {
        'metainfo.py', 'config.py', 'train.json', 'val.json'
    }


@pytest.mark.parametrize('flip', [[1, 0], [1, 2, 0, 3, 4], 'x', ['0'] * 5])
def test_wrong_mirror_partners(write, tmp_path, flip):
    content = make_content()
    content['categories'][0]['flip_idx'] = flip
    with pytest.raises(
            ValueError,
            match='ann.json: `flip_idx` of the '
            "category 'plane' must name"):
        describe(write(content), tmp_path / 'out')


def each(field, change):
    """Damage that changes a field of every annotation."""

    def damage(content):
        for ann in content['annotations']:
            ann[field] = change(ann)

    return damage


def first(**changes):
    """Damage of the first annotation."""

    def damage(content):
        content['annotations'][0].update(copy.deepcopy(changes))

    return damage


def move(index, *values):
    """Damage that sets a keypoint of the first annotation."""

    def damage(content):
        content['annotations'][0]['keypoints'][3 * index:3 * index +
                                               3] = values

    return damage


def swap_values(ann, i, j):
    points = np.reshape(ann['keypoints'], (5, 3))
    points[[i, j]] = points[[j, i]]
    return points.ravel().tolist()


def corners(ann):
    x, y, width, height = ann['bbox']
    return [x, y, x + width, y + height]


def swap_sizes(content):
    for image in content['images']:
        image.update(width=image['height'], height=image['width'])


def repeat(offset):

    def damage(content):
        new = copy.deepcopy(content['annotations'][0])
        points = np.reshape(new['keypoints'], (5, 3)) + (offset, 0, 0)
        new.update(id=999, keypoints=points.ravel().tolist())
        content['annotations'].append(new)

    return damage


def rename(*names, **changes):

    def damage(content):
        content['categories'][0].update(keypoints=list(names), **changes)

    return damage


@pytest.mark.parametrize('damage, level, message', [
    (move(0, 60, 60, 3), 'warning', 'Visibility other than 0.*(1)'),
    (move(0, 0, 0, 2), 'warning', 'labeled at x = y = 0: 1 of 60'),
    (move(0, 60, 60, 0), 'note', 'a place, but visibility 0: 1 of 60'),
    (first(keypoints=[0] * 15, num_keypoints=0), 'note', 'without a labeled'),
    (first(num_keypoints=0), 'warning', '`num_keypoints` is 0, but'),
    (first(num_keypoints=3), 'note', '`num_keypoints` is not the number'),
    (first(bbox=[20, 20, 0, 50]), 'note', 'No usable `bbox`: 1 annot'),
    (first(bbox=[300, 20, 50, 50]), 'warning', 'Boxes outside their image'),
    (first(bbox=[20, 20, 250, 50]), 'note', 'Boxes that reach beyond'),
    (first(bbox=[120, 20, 50, 50]), 'warning', 'Boxes that most of their'),
    (each('bbox', corners), 'warning', 'corners x1, y1, x2, y2'),
    (each('area', lambda a: a['bbox'][2] * a['bbox'][3]), 'note',
     'Areas are those of the boxes'),
    (first(area=9999), 'warning', 'Areas larger than their box: 1 of 60'),
    (first(area=0), 'error', '`area` must be positive'),
    (first(keypoints=[1, 2, 2]), 'error', '1 keypoints, most .* have 5'),
    (first(bbox=[1, 2, 3]), 'error', '`bbox` must be x, y, width, height'),
    (first(id=2), 'error', 'Annotations with the `id` of another'),
    (first(image_id=77), 'error', 'images that are not in `images`'),
    (swap_sizes, 'warning', 'not if width and height trade places: 30 of'),
    (each('keypoints',
          lambda a: [v * 3 if v > 2 else v for v in a['keypoints']]),
     'warning', 'Keypoints beyond the image: 30 of 30'),
    (each('keypoints',
          lambda a: [v / 200 if v > 2 else v for v in a['keypoints']]),
     'warning', 'All keypoints lie between 0 and 1'),
    (each('keypoints', lambda a: swap_values(a, 3, 4)), 'warning',
     'Left and right contradict'),
    (repeat(0), 'warning', 'copies of another one: 1 annotation .999.'),
    (repeat(2), 'warning', 'annotated twice: 1 annotation .999.'),
    (rename('tip', 'left_wing', 'wing', 'tailL', 'tailR'), 'warning',
     'no single partner on the other: 1 keypoint .left_wing.'),
    (rename(*'abcde'), 'warning', 'No left and right keypoints'),
    (rename(), 'warning', 'Categories without `keypoints`'),
    (rename(*NAMES[:3]), 'warning', '3 names in `categories`, 5 keypoints'),
    (rename('tip', *NAMES[:4]), 'warning', 'occur twice.*tip'),
    (rename(*NAMES, skeleton=[[9, 1]]), 'warning', '`skeleton` links'),
    (rename(*NAMES, skeleton=[[0, 4]]), 'note', '`skeleton` with the keypo'),
    (rename(*NAMES, skeleton=[]), 'note', 'No `skeleton`'),
    (each('category_id', lambda a: 1 + a['id'] % 2), 'warning',
     'that `categories` does not list: 1 id .2.'),
])
def test_findings(write, tmp_path, damage, level, message):
    content = make_content()
    damage(content)
    result = describe(write(content), tmp_path / 'out')
    section = result.report.split(f'## {level.capitalize()}s: ')[1]
    assert re.search(message, section.split('##')[0]), result.report
    assert result.ready == (level != 'error')


def test_image_files(write, tmp_path):
    """Only heads are read: sizes, EXIF, what is missing or broken."""
    content = make_content(6)
    for image in content['images']:
        shape = (100, 200, 3)
        if image['id'] in (2, 3):
            shape = (200, 100, 3)
        if image['id'] == 4:
            shape = (50, 100, 3)
        if image['id'] == 5:
            (tmp_path / '5.png').write_text('no image')
        elif image['id'] != 6:
            cv2.imwrite(str(tmp_path / image['file_name']), np.zeros(shape))
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(tmp_path / '3.png') as image:
        image.save(tmp_path / '3.png', exif=exif)
    report = describe(
        write(content), tmp_path / 'out', images=str(tmp_path)).report
    for message in ('`width` and `height` swapped: 1 of 6 files (2.png)',
                    'Annotated as rotated by EXIF: 1 of 6 files (3.png)',
                    'of another size: 1 of 6 files (4.png)',
                    'cannot be read: 1 of 6 files (5.png)',
                    f'not in {tmp_path}: 1 of 6 files (6.png)'):
        assert message in report


@pytest.mark.parametrize('names, pairs, alone', [
    (['left_x', 'right_x', 'nose'], [(0, 1)], []),
    (['Left-X', 'RIGHT X'], [(0, 1)], []),
    (['xL', 'xR'], [(0, 1)], []),
    (['x_left', 'x_right'], [(0, 1)], []),
    (['l_x', 'r_x'], [(0, 1)], []),
    (['LShoulder', 'RShoulder', 'LHip', 'RHip'], [(0, 1), (2, 3)], []),
    (['leftx', 'rightx', 'leye', 'reye'], [(0, 1), (2, 3)], []),
    (['front_left_paw', 'right_front_paw', 'left_back_paw', 'paw_back_right'
      ], [(0, 1)], [2, 3]),
    (['left_hand_1', 'right_hand_1', 'left_hand_2'], [(0, 1)], [2]),
    (['ear', 'rib', 'lip', 'upright', 'rear', 'L1', 'L2'], [], []),
    (['left', 'right'], [(0, 1)], []),
    (['forelegL1', 'forelegR1', 'forelegL2', 'forelegR2'], [(0, 1),
                                                            (2, 3)], []),
    (['fl1', 'fr1', 'bl1', 'br1'], [(0, 1), (2, 3)], []),
    (['FL_paw', 'FR_paw', 'HL_paw'], [(0, 1)], [2]),
    (['Lwrist', 'Rwrist', 'lAnkle', 'R-ankle', 'Lelbow'], [(0, 1),
                                                           (2, 3)], [4]),
    (['forelegL1', 'forelegR2', 'wingL'], [], [0, 1, 2]),
    (['ul', 'ur', 'll', 'lr'], [(0, 1), (2, 3)], []),
    (['left_eye_left_corner', 'right_eye_right_corner'], [(0, 1)], []),
    (['left_eye', 'leye', 'right_eye'], [], [0, 1, 2]),
    (['Face_1', 'Face_2', 'Face_3'], [], []),
])
def test_sides(names, pairs, alone):
    partners = {i: j for pair in pairs for i, j in (pair, pair[::-1])}
    assert pair_sides(names) == (partners, alone)


def test_metainfo(write, tmp_path):
    content = make_content()
    names = ['Nose', 'L_Eye', 'R_Eye', 'tailL', 'tailR']
    content['categories'][0].update(keypoints=names, skeleton=[[1, 2], [4, 5]])
    result = describe(write(content), tmp_path / 'birds')
    result.write(tmp_path / 'birds')
    metainfo = load_metainfo(
        dict(from_file=str(tmp_path / 'birds/metainfo.py')))
    assert metainfo['dataset_name'] == 'birds'
    assert list(metainfo['keypoint_name2id']) == names
    assert metainfo['flip_indices'] == [0, 2, 1, 4, 3]
    assert metainfo['skeleton_links'] == [(0, 1), (3, 4)]
    np.testing.assert_allclose(metainfo['sigmas'],
                               [0.026, 0.025, 0.025, 0.079, 0.079])
    assert '| L_Eye | R_Eye | 100% | 0.025 | coco |' in result.report
    assert '| tailL | tailR | 100% | 0.079 | default |' in result.report


def name_points(count, pattern):
    """A file with many keypoints, of which only a number tells the names."""
    content = make_content()
    for ann in content['annotations']:
        ann['keypoints'] = (ann['keypoints'] + [60, 60, 2] * count)[:3 * count]
    content['categories'][0].update(
        keypoints=[pattern.format(i) for i in range(count)], skeleton=[])
    return content


@pytest.mark.parametrize('pattern', ['Face_{}', 'face-{}', 'kpt{}'])
def test_numbers_alone_pair_nothing(write, tmp_path, pattern):
    """WholeBody's face-0 is opposite of face-16, other faces are numbered in
    other ways."""
    result = describe(write(name_points(68, pattern)), tmp_path / 'out')
    assert all(f'| {pattern.format(i)} |  |' in result.report
               for i in range(68))
    assert 'Left and right are not known: only a number' in result.report
    assert 'PoseRandomFlip=dict(prob=0.0)' in result.files['config.py']


def test_points_of_wholebody_are_paired(write, tmp_path):
    """Where all of its keypoints are there, the numbers are its own."""
    known = KnownDataset.load('coco_wholebody').metainfo
    names = list(known['keypoint_id2name'].values())
    content = name_points(133, '{}')
    content['categories'][0]['keypoints'] = names
    result = describe(write(content), tmp_path / 'out')
    assert '| face-0 | face-16 |' in result.report
    assert '| face-8 |  |' in result.report
    assert 'PoseRandomFlip' not in result.files['config.py']


@pytest.mark.parametrize('names, mirrored', [
    (NAMES, True),
    (['a', 'left_x', 'right_x', 'tail1', 'tail2'], True),
    (['nose', 'left_x', 'right_x', 'left_y', 'b'], False),
    (list('abcde'), False),
    (['nose', 'neck', 'tail1', 'tail2', 'tail3'], True),
    (['left_x', 'right_x', 'p1', 'p2', 'p3'], False),
])
def test_mirroring_is_off_where_pairs_are_unknown(write, tmp_path, names,
                                                  mirrored):
    content = make_content()
    content['categories'][0]['keypoints'] = names
    result = describe(write(content), tmp_path / 'out')
    config = load(result, tmp_path / 'out')
    dataset = DATASETS.build(config.train_dataloader.dataset)
    flip, = [
        step for step in dataset.pipeline.transforms
        if isinstance(step, PoseRandomFlip)
    ]
    assert flip.prob == (0.5 if mirrored else 0)
    assert ('# No mirroring: ' in result.files['config.py']) != mirrored


@pytest.mark.parametrize('in_one_file', [False, True])
def test_sigmas_of_redundant_annotations(in_one_file):
    """Two annotators who scatter by a known sigma around the truth."""
    sigmas = np.array([0.02, 0.05, 0.05, 0.1, 0.2])
    random = np.random.RandomState(0)
    contents = []
    for annotator in range(2):
        content = make_content(300)
        for ann in content['annotations']:
            scale = sigmas * np.sqrt(ann['area'])
            points = np.reshape(ann['keypoints'], (5, 3))
            # The mean square of a distance is that of x plus that of y.
            points[:, :2] += random.normal(
                size=(5, 2)) * scale[:, None] / np.sqrt(2)
            ann['keypoints'] = points.ravel().tolist()
            if in_one_file:
                ann['instance_id'] = ann['id']
                ann['id'] += 1000 * annotator
        contents.append(content)
    if in_one_file:
        contents[0]['annotations'] += contents[1]['annotations']
        first_file = second = KeypointFile(contents[0], 'ann.json')
    else:
        # Ids need not agree, file names do.
        for entry in contents[1]['images']:
            entry['id'] += 500
        for entry in contents[1]['annotations']:
            entry['image_id'] += 500
        first_file, second = [KeypointFile(c, 'ann.json') for c in contents]
    found, counts = estimate_sigmas(first_file, second)
    assert counts.tolist() == [600] * 5
    np.testing.assert_allclose(found, sigmas, rtol=0.08)


def test_measured_sigmas_go_first(write, tmp_path):
    content = make_content()
    second = copy.deepcopy(content)
    for ann in second['annotations']:
        ann['keypoints'][0] += 2
    result = describe(
        write(content),
        tmp_path / 'out',
        redundant=write(second, 'second.json'))
    assert '| measured on 60 pairs |' in result.report


def load(result, folder):
    result.write(folder)
    return Config.fromfile(folder / 'config.py')


@pytest.mark.parametrize('size', SIZES)
def test_config(write, tmp_path, size):
    """It builds a model, data sets of disjoint images, and the metric."""
    result = describe(
        write(make_content()), tmp_path / 'out', size=size, epochs=12)
    config = load(result, tmp_path / 'out')
    assert MODELS.build(config.model).head.codec.num_keypoints == 5
    assert config.train_cfg.max_epochs == 12
    train, val = [
        DATASETS.build(config[f'{name}_dataloader'].dataset)
        for name in ('train', 'val')
    ]
    paths = [{data.get_data_info(i)['img_path']
              for i in range(len(data))} for data in (train, val)]
    assert len(paths[0]) == 27 and len(paths[1]) == 3
    assert paths[0] | paths[1] == {
        str(tmp_path / f'{i}.png')
        for i in range(1, 31)
    }
    metric = METRICS.build(config.val_evaluator)
    metric.dataset_meta = val.metainfo
    assert metric.use_area and len(metric.coco.getImgIds()) == 3
    assert metric.max_dets is None  # follows the data
    assert list(metric.pck) == [0.05, 0.1, 0.2]


def test_split_depends_on_the_seed_only(write, tmp_path):
    path = write(make_content())
    vals = [
        describe(path, tmp_path / 'out', seed=seed).files['val.json']
        for seed in (0, 0, 1)
    ]
    assert vals[0] == vals[1] != vals[2]


def test_config_of_few_images_and_many_people(write, tmp_path):
    content = make_content(4)
    for ann in content['annotations'][2:]:
        ann['image_id'] = 2
    extra = [
        dict(ann, id=100 + i, image_id=2, bbox=[5 * i, 0, 50, 50])
        for i, ann in enumerate(content['annotations'] * 2)
    ]
    content['annotations'] += extra
    del content['annotations'][0]['area']
    config = load(
        describe(
            write(content),
            tmp_path / 'out',
            val_ann=write(content, 'val.json'),
            size='small'), tmp_path / 'out')
    assert config.train_dataloader.batch_size == 2  # of two useful images
    assert config.model.head.num_queries == 28  # for 22 people
    assert config.val_evaluator.use_area is False


def two_categories(second=3, name='plane'):
    """Content whose objects are in turn kites and planes."""
    content = make_content()
    for ann in content['annotations']:
        ann['category_id'] = (2, second)[ann['id'] % 2]
    category = content['categories'][0]
    content['categories'] = [
        dict(category, id=second, name=name),
        dict(category, id=2, name='kite')
    ]
    return content


def test_categories_become_classes(write, tmp_path):
    """Of one model, which trains and is evaluated as the config says."""
    path = write(two_categories())
    result = describe(path, tmp_path / 'out')
    assert '2 categories: kite (`id` 2, 30 objects), plane (`id` 3, 30 ' \
        'objects). They are classes of one model' in result.report
    config = load(result, tmp_path / 'out')
    assert config.model.head.num_classes == 2
    assert 'class_agnostic' not in config.train_dataloader.dataset
    dataset = DATASETS.build(config.train_dataloader.dataset)
    assert dataset.metainfo['classes'] == {2: 'kite', 3: 'plane'}
    assert dataset.get_data_info(0)['class_label'].tolist() == [1, 0]
    head = dict(config.model.head, encoder=None, positional_encoding=None)
    codec = MODELS.build(head).codec
    assert codec.classes == {2: 'kite', 3: 'plane'}
    assert config.val_evaluator.type == 'PoseCocoMetric'
    METRICS.build(config.val_evaluator)


def test_one_class_or_one_category(write, tmp_path):
    path = write(two_categories())
    result = describe(path, tmp_path / 'all', one_class=True)
    assert 'takes all instances for the same thing' in result.report
    config = load(result, tmp_path / 'all')
    assert len(DATASETS.build(config.train_dataloader.dataset)) == 27
    assert config.val_evaluator.type == 'ClassAgnosticCocoMetric'
    METRICS.build(config.val_evaluator)

    config = load(
        describe(path, tmp_path / 'one', category='kite'), tmp_path / 'one')
    dataset = DATASETS.build(config.val_dataloader.dataset)
    assert len(dataset.get_data_info(0)['id']) == 1
    assert config.val_evaluator.type == 'PoseCocoMetric'
    for config in ('all', 'one'):
        text = (tmp_path / config / 'metainfo.py').read_text()
        assert 'classes' not in text


def test_names_of_classes(write, tmp_path):
    """They are text, whatever they hold, and no two are alike."""
    strange = '"""\n{{ fileDirname }}'
    path = write(two_categories(-7, strange))
    result = describe(path, tmp_path / 'out')
    result.write(tmp_path / 'out')
    metainfo = load_metainfo(dict(from_file=str(tmp_path / 'out/metainfo.py')))
    assert [*metainfo['classes'].items()] == [(-7, strange), (2, 'kite')]
    path = write(two_categories(name='kite'))
    with pytest.raises(ValueError, match="`name` 'kite'.*--one-class"):
        describe(path, tmp_path / 'out')
    describe(path, tmp_path / 'out', one_class=True)
    content = two_categories()
    del content['categories'][0]['name']
    result = describe(write(content), tmp_path / 'out')
    assert "3: 'category 3'" in result.files['metainfo.py']
    dataset = load(result, tmp_path / 'out').train_dataloader.dataset
    assert len(DATASETS.build(dataset)) == 27


@pytest.mark.parametrize('second, name, message', [
    (4, 'plane', '1 name (plane (`id` 4))'),
    (3, 'boat', '1 name (boat (`id` 3))'),
    (3, 'plane', ''),
])
def test_categories_of_the_evaluation(write, tmp_path, second, name, message):
    result = describe(
        write(two_categories()),
        tmp_path / 'out',
        val_ann=write(two_categories(second, name), 'val.json'))
    assert result.ready == (not message)
    if message:
        assert message + '. There they are kite (`id` 2), plane (`id` 3)' \
            in result.report
        assert '--one-class' in result.report


@pytest.mark.parametrize('lengths', [(5, 4), (5, 5)])
def test_categories_with_other_keypoints(write, tmp_path, lengths):
    content = make_content()
    names = list('abcde')[:lengths[1]]
    content['categories'].append(dict(id=2, name='toy kite', keypoints=names))
    for ann in content['annotations'][::2]:
        ann['category_id'] = 2
        ann['keypoints'] = ann['keypoints'][:3 * lengths[1]]
    path = write(content)
    with pytest.raises(ValueError) as refusal:
        describe(path, tmp_path / 'out', one_class=True)
    text = str(refusal.value)
    for line in ('ann.json: the categories have different keypoints',
                 '\n  plane: 5 keypoints (tip, left_wing, ',
                 f'\n  toy kite: {lengths[1]} keypoints (a, b, c, d',
                 '\n  --category plane --out plane',
                 "\n  --category 'toy kite' --out 'toy kite'"):
        assert line in text, text
    report = describe(path, tmp_path / 'out', category='toy kite').report
    assert f'| {names[-1]} |' in report
    with pytest.raises(ValueError, match="no categories are named 'boat'"):
        describe(path, tmp_path / 'out', category='boat')


def test_evaluation_file(write, tmp_path):
    """It must have the same keypoints and other images."""
    content = make_content()
    train = write(content)
    report = describe(train, tmp_path / 'out', val_ann=train).report
    assert 'Images in both files' in report
    # Equal names in two folders are not equal images.
    other = write(make_content(seed=1), 'other.json')
    report = describe(train, tmp_path / 'out', val_ann=other).report
    assert 'Images in both files' not in report
    del content['annotations'][0]['keypoints']
    result = describe(
        train, tmp_path / 'out', val_ann=write(content, 'b.json'))
    assert 'The metric needs them' in result.report and not result.ready
    content['categories'][0]['keypoints'] = NAMES[::-1]
    result = describe(
        train, tmp_path / 'out', val_ann=write(content, 'b.json'))
    assert 'Other names of keypoints' in result.report and not result.ready


@pytest.fixture
def run(tmp_path, capsys):
    """Call the program; answer with its exit code and output."""

    def run_(*arguments):
        tool = load_tool('describe_dataset', TOOLS / 'dataset_converters')
        code = 0
        try:
            tool.main([*arguments, '--out', str(tmp_path / 'out')])
        except SystemExit as error:
            code = error.code
        return code, *capsys.readouterr()

    return run_


@pytest.mark.parametrize('damage, code, files', [
    (first(num_keypoints=0), 0, 6),
    (first(area=0), 1, 2),
])
def test_program(write, tmp_path, run, damage, code, files):
    content = make_content()
    damage(content)
    result, stdout, stderr = run(write(content))
    assert result == code, stderr
    assert '# out' in stdout
    assert len(list((tmp_path / 'out').iterdir())) == files


@pytest.mark.parametrize('arguments, base, val', [
    ([], 'detrpose_hgnetv2-s', 3),
    (['--small'], 'grouppose-fast_tiny-res18', 3),
    (['--size', 'published', '--group-by', r'(.)\.png'], 'grouppose_res50', 3),
    (['--size', 'small', '--group-by', 'image', '--val-part', '0.5'
      ], 'grouppose-fast_tiny-res18', 15),
])
def test_program_chooses_model_and_split(write, tmp_path, run, arguments, base,
                                         val):
    code, stdout, stderr = run(write(make_content()), *arguments)
    assert code == 0, stderr
    config = (tmp_path / 'out/config.py').read_text()
    assert base in config.split('\n')[0]
    assert f'{val} to evaluate on' in stdout


def test_program_keeps_edited_files(write, tmp_path, run):
    path = write(make_content())
    assert run(path)[0] == 0
    edited = tmp_path / 'out' / 'metainfo.py'
    edited.write_text('edited')
    code, _, stderr = run(path)
    assert code == 2 and 'metainfo.py exists' in stderr
    assert edited.read_text() == 'edited'
    assert run(path, '--overwrite')[0] == 0
    assert edited.read_text() != 'edited'


@pytest.mark.parametrize('content, code, message', [
    (None, 2, 'ann.json: annotation file not found'),
    ([], 2, 'ann.json: not a COCO-format annotation file'),
    (dict(images=[], annotations=[dict(id=1)],
          categories=[]), 2, 'ann.json: no annotation has usable `keypoints`'),
])
def test_program_with_other_files(write, tmp_path, run, content, code,
                                  message):
    path = str(tmp_path / 'ann.json') if content is None else write(content)
    result, _, stderr = run(path)
    assert result == code
    assert stderr.count('\n') == 1 and message in stderr


@pytest.mark.skipif(
    not SAMPLES.is_dir(), reason='no samples in ../shared/data')
@pytest.mark.parametrize('path', [
    'samples/coco/test_coco.json', 'samples/ochuman/test_ochuman.json',
    'samples/aic/test_aic.json', 'samples/ap10k/test_ap10k.json',
    'coco_mini/annotations/person_keypoints_train2017.json',
    'coco_mini/annotations/person_keypoints_val2017.json'
])
def test_no_false_alarms(tmp_path, path):
    """Well-known data gives notes at most."""
    result = describe(SAMPLES / path, tmp_path / 'out')
    assert '## Warnings' not in result.report, result.report
    assert result.ready
