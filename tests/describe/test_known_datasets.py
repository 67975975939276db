"""Descriptions of keypoints that exist already, and what is taken of them."""
import json
from pathlib import Path

import mmpose
import numpy as np
import pytest
from mmengine.config import Config

from projects.grouppose.data.metainfo import load_metainfo
from projects.grouppose.describe import describe
from projects.grouppose.describe.coco_file import KeypointFile
from projects.grouppose.describe.dataset_info import describe_keypoints
from projects.grouppose.describe.known_datasets import (find_known,
                                                        read_description)
from projects.grouppose.describe.sigmas import choose_sigmas, explain_default
from tests.helpers.tool_runs import TOOLS, load_tool

FOLDER = Path(mmpose.__file__).parent / '.mim/configs/_base_/datasets'
OF_MMPOSE = sorted(path.stem for path in FOLDER.glob('*.py'))


def make_content(num_keypoints, names=None):
    """A few objects whose keypoints are all labeled."""
    random = np.random.RandomState(0)
    images = [
        dict(id=i, file_name=f'{i}.png', width=100, height=100)
        for i in range(1, 5)
    ]
    annotations = []
    for image in images:
        points = np.full((num_keypoints, 3), 2)
        points[:, :2] = random.randint(10, 90, (num_keypoints, 2))
        annotations.append(
            dict(
                id=image['id'],
                image_id=image['id'],
                category_id=1,
                bbox=[10, 10, 80, 80],
                area=3000,
                keypoints=points.ravel().tolist()))
    category = dict(id=1, name='thing')
    if names:
        category['keypoints'] = names
    return dict(images=images, annotations=annotations, categories=[category])


def test_there_are_many():
    assert {'wflw', '300w', 'deepfashion2', 'coco', 'zebra'} <= {*OF_MMPOSE}


@pytest.mark.parametrize('name', OF_MMPOSE)
def test_descriptions_of_mmpose(tmp_path, name):
    """All of them load, and what is written is what they say."""
    stated = Config.fromfile(FOLDER / f'{name}.py').dataset_info
    count = len(stated.keypoint_info)
    file = KeypointFile(make_content(count), 'ann.json')
    info, _ = describe_keypoints(file, 'mine', given=read_description(name))
    path = tmp_path / 'metainfo.py'
    path.write_text(info.format())
    metainfo = load_metainfo(dict(from_file=str(path)))
    assert metainfo['dataset_name'] == 'mine'
    points = list(stated.keypoint_info.values())
    assert list(metainfo['keypoint_id2name'].values()) == [
        point['name'] for point in points
    ]
    partners = {point['name']: point['swap'] for point in points}
    for i, other in enumerate(metainfo['flip_indices']):
        names = points[i]['name'], points[other]['name']
        if name != 'deepfashion2' or 'vest_kpt13' not in names:
            assert partners[names[0]] == (names[1] if i != other else '')
    assert metainfo['keypoint_colors'].tolist() == [
        list(point['color']) for point in points
    ]
    links = list(stated.skeleton_info.values())
    index = metainfo['keypoint_name2id']
    assert [(*link, ) for link in metainfo['skeleton_links']
            ] == [tuple(index[end] for end in link['link']) for link in links]
    assert metainfo['skeleton_link_colors'].tolist() == [
        list(link['color']) for link in links
    ]
    sources = {point.source for point in info.keypoints}
    if stated.sigmas:
        assert sources == {name}
        np.testing.assert_allclose(
            metainfo['sigmas'], stated.sigmas, rtol=0.02)
    else:
        assert name not in sources and (metainfo['sigmas'] > 0).all()


def test_a_pair_that_one_side_states():
    """vest_kpt13 of DeepFashion2 has no partner, but is that of vest_kpt9."""
    given = read_description('deepfashion2')
    assert given.completed == ['vest_kpt13']
    index = given.metainfo['keypoint_name2id']
    flip = given.metainfo['flip_indices']
    assert flip[index['vest_kpt13']] == index['vest_kpt9']
    file = KeypointFile(make_content(294), 'ann.json')
    findings = describe_keypoints(file, 'mine', given=given)[1]
    assert 'partner in a mirror' in str(findings[0])


@pytest.mark.parametrize('name, sources', [
    ('wflw', {'default'}),
    ('freihand2d', {'coco_wholebody_hand'}),
    ('h36m', {'coco', 'default'}),
    ('coco_wholebody_face', {'coco_wholebody_face'}),
])
def test_missing_sigmas(name, sources):
    given = read_description(name)
    chosen = choose_sigmas(given.names, find_known(given.names), None, given)
    assert {source for _, source in chosen} == sources


def test_measured_sigmas_go_before_given_ones():
    given = read_description('coco')
    counts = np.arange(17)
    estimates = np.full(17, 0.5), counts
    chosen = choose_sigmas(given.names, find_known(given.names), estimates,
                           given)
    assert chosen[9] == (0.062, 'coco')
    assert chosen[10] == (0.5, 'measured on 10 pairs')


@pytest.mark.parametrize('name, mirrored', [('wflw', True),
                                            ('freihand2d', True),
                                            ('300wlp', False)])
def test_mirroring(name, mirrored):
    """300wlp states no pair of the 68 points of a face."""
    given = read_description(name)
    file = KeypointFile(make_content(len(given.names)), 'ann.json')
    info, findings = describe_keypoints(file, 'mine', given=given)
    assert (info.no_mirror == '') == mirrored
    assert any('Left and right' in str(f) for f in findings) != mirrored


@pytest.fixture
def write(tmp_path):

    def write_(content, name='ann.json'):
        path = tmp_path / name
        path.write_text(
            content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write_


def test_program(write, tmp_path, capsys):
    """The names of MMPose's file replace those of the annotations."""
    names = [f'point {i}' for i in range(98)]
    load_tool('describe_dataset', TOOLS / 'dataset_converters').main([
        write(make_content(98, names)), '--metainfo', 'wflw', '--out',
        str(tmp_path / 'out')
    ])
    report = capsys.readouterr().out
    assert '| kpt-0 | kpt-32 | 100% | 0.079 | default |' in report
    assert '98 of 98 keypoints have the default sigma 0.079' in report
    metainfo = load_metainfo(dict(from_file=str(tmp_path / 'out/metainfo.py')))
    assert metainfo['dataset_name'] == 'out'
    config = Config.fromfile(tmp_path / 'out/config.py')
    assert 'pipeline' not in config.train_dataloader.dataset or all(
        step.get('prob') != 0
        for step in config.train_dataloader.dataset.pipeline)


def test_a_file_of_the_user(write, tmp_path):
    """The written metainfo.py can be edited and given to the next run."""
    path = write(make_content(3, ['tip', 'left_wing', 'right_wing']))
    describe(path, tmp_path / 'one').write(tmp_path / 'one')
    text = (tmp_path / 'one/metainfo.py').read_text()
    own = write(
        text.replace("'tip'", "'top'").replace('0.079', '0.011'), 'own.py')
    result = describe(path, tmp_path / 'two', metainfo=own)
    assert f'| top |  | 100% | 0.011 | {own} |' in result.report
    assert "name='top'" in result.files['metainfo.py']
    assert 'default sigma' not in result.report


@pytest.mark.parametrize('order', [False, True])
def test_names_at_other_places(write, tmp_path, order):
    names = read_description('coco').names
    path = write(make_content(17, names if order else names[::-1]))
    report = describe(path, tmp_path / 'out', metainfo='coco').report
    assert ('Keypoints that coco has at another place: 16 of 17' in report) \
        != order


@pytest.mark.parametrize('text, message', [
    ('x = 1', 'must define the dict `dataset_info`'),
    ('dataset_info = dict(keypoint_info={1: dict(name="a")})',
     'must describe the keypoints 0, 1, 2'),
    ('dataset_info = dict(keypoint_info={0: dict(name="a"),'
     '1: dict(name="a")})', '`name` of its own'),
    ('dataset_info = dict(keypoint_info={0: dict(name="a", swap="b")})',
     'names the keypoint .b.'),
    ('dataset_info = dict(keypoint_info={0: dict(name="a")}, sigmas=[1, 2])',
     'one number for each of the 1 keypoints, got 2'),
    ('dataset_info = (', r'own\.py'),
])
def test_files_that_are_no_description(write, text, message):
    path = write(text, 'own.py')
    with pytest.raises(ValueError, match=message) as error:
        read_description(path)
    assert str(error.value).startswith(path)


@pytest.mark.parametrize(
    'name', ['wflw', 'wflw.py', 'configs/_base_/datasets/wflw.py'])
def test_names_stand_for_files_of_mmpose_only(tmp_path, monkeypatch, name):
    """Nothing in the current folder is executed in their place."""
    folder = tmp_path / 'configs/_base_/datasets'
    folder.mkdir(parents=True)
    (tmp_path / 'wflw').write_text('raise SystemExit')
    monkeypatch.chdir(tmp_path)
    assert len(read_description(name).names) == 98


@pytest.mark.parametrize('name, message', [
    ('wflv', 'Similar names: wflw'),
    ('somewhere/wflw.py', 'neither a Python file nor'),
    ('../datasets/wflw', 'neither a Python file nor'),
    ('qqqqqqqq', 'There are: 300vw, 300w, '),
])
def test_unknown_names(name, message):
    with pytest.raises(FileNotFoundError, match=message):
        read_description(name)


def test_another_number_of_keypoints(write, tmp_path):
    with pytest.raises(
            ValueError,
            match=r'--metainfo wflw: it describes 98 keypoints, but the '
            r'annotations of .*ann\.json have 17'):
        describe(write(make_content(17)), tmp_path / 'out', metainfo='wflw')


@pytest.mark.parametrize('names, expected', [
    (['eye', 'Ear', 'ankle'], [(0.025, 'coco'), (0.035, 'coco'),
                               (0.089, 'coco')]),
    (['big_toe', 'nose'], [(0.08, 'coco_wholebody'),
                           (0.026, 'coco_wholebody')]),
    (['front_paw', 'hip'], [(0.062, 'ap10k'), (0.107, 'ap10k')]),
    (['thumb1', 'Thumb_2'], [(0.022, 'coco_wholebody_hand'),
                             (0.035, 'coco_wholebody_hand')]),
    (['left_thumb1', 'left_eye'], [(0.022, 'coco_wholebody'),
                                   (0.025, 'coco_wholebody')]),
    (['wrist', 'thumb4'], [(0.029, 'coco_wholebody_hand'),
                           (0.047, 'coco_wholebody_hand')]),
    (['wrist', 'elbow', 'shoulder'], [(0.062, 'coco'), (0.072, 'coco'),
                                      (0.079, 'coco')]),
    (['face_1', 'face_2', 'nose'], [(0.079, 'default'), (0.079, 'default'),
                                    (0.026, 'coco')]),
    ([f'face-{i}' for i in range(68)], [(0.079, 'default')] * 68),
    (['tip', 'kpt1', '1'], [(0.079, 'default')] * 3),
])
def test_known_joints(names, expected):
    """Also without a side, but not by a number alone."""
    assert choose_sigmas(names, find_known(names)) == expected


def test_sides_differ_in_their_sigma():
    """A joint without a side gets the mean."""
    whole, = [d for d in find_known(['big_toe']) if d.name == 'coco_wholebody']
    sigma = [whole.find_sigma(j, set()) for j in ('leftbigtoe', 'rightbigtoe')]
    assert sigma == pytest.approx([0.068, 0.092], abs=0.001)
    assert whole.find_sigma('bigtoe', set()) == pytest.approx(np.mean(sigma))


def test_points_of_a_face_in_a_whole_body():
    """All joints of the data set are there, so that numbers are its own."""
    names = read_description('coco_wholebody').names
    chosen = choose_sigmas(names, find_known(names))
    assert {source for _, source in chosen} == {'coco_wholebody'}


def test_what_default_sigmas_do_to_ap():
    """exp(-0.1^2 / (2 (2 sigma)^2)) by hand: 0.8185, 0.4488, 0.9511."""
    text = explain_default(['coco', 'default', 'default'])
    assert text.startswith('2 of 3 keypoints have the default sigma 0.079')
    assert 'an error of 10% of the object' in text
    assert 'an OKS of 0.82. Half the sigma, 0.04, makes it 0.45, and twice ' \
        'the sigma, 0.16, 0.95.' in text
    assert 'passes 7, 0 or 10' in text
    assert explain_default(['coco']) == ''


def test_categories_stay_apart(tmp_path):
    """A description says nothing about classes, which the file has."""
    content = make_content(17)
    content['categories'] = [dict(id=1, name='cat'), dict(id=2, name='dog')]
    for ann in content['annotations'][::2]:
        ann['category_id'] = 2
    file = KeypointFile(content, 'ann.json')
    info, _ = describe_keypoints(file, 'mine', given=read_description('coco'))
    assert info.classes == {1: 'cat', 2: 'dog'}
