"""Label Studio's JSON and JSON-MIN exports."""
import copy

import numpy as np
import pytest

from projects.grouppose.describe.formats import read_labels
from projects.grouppose.describe.formats.label_studio import _upright
from tests.helpers.labeling_tools import (FIRST, POSES, SECOND, expected_poses,
                                          label_studio_region,
                                          label_studio_result,
                                          label_studio_tasks, read_poses,
                                          write_images, write_json,
                                          write_label_studio)


@pytest.fixture
def write(tmp_path):
    """Write tasks beside their images."""

    def write_(tasks):
        write_images(tmp_path)
        return write_json(tmp_path / 'export.json', tasks)

    return write_


@pytest.mark.parametrize('link', ['parent', 'relation'])
def test_objects_of_rectangles(tmp_path, link):
    """It tells no hidden keypoints."""
    converted = read_labels(write_label_studio(tmp_path, link))
    assert read_poses(converted, False) == expected_poses(False)
    content = converted.content
    assert [ann['bbox'] for ann in content['annotations']] == [[3, 2, 18, 12],
                                                               [33, 6, 18, 20],
                                                               [21, 8, 12, 14]]
    assert content['categories'][0]['name'] == 'plane'
    assert 'sorted by name' in converted.notes[1]


def test_relations_in_any_direction(write):
    tasks = label_studio_tasks('relation')
    for task in tasks:
        for region in task['annotations'][0]['result']:
            if region['type'] == 'relation':
                region.update(from_id=region['to_id'], to_id=region['from_id'])
    assert read_poses(read_labels(write(tasks)),
                      False) == expected_poses(False)


@pytest.mark.parametrize('link', ['parent', 'relation'])
def test_links_count_more_than_places(write, link):
    """Keypoints that lie outside of their rectangle, or in several."""
    tasks = label_studio_tasks(link)
    for task in tasks:
        for region in task['annotations'][0]['result']:
            if region['type'] == 'rectanglelabels':
                region['value'].update(x=0, y=0, width=50, height=50)
    assert read_poses(read_labels(write(tasks)),
                      False) == expected_poses(False)


def test_keypoints_inside_of_rectangles(write):
    """The only one that holds a keypoint is its object."""
    converted = read_labels(write(label_studio_tasks(link='')))
    assert read_poses(converted, False) == expected_poses(False)


def test_keypoints_alone(write):
    """Without rectangles, an image shows one object."""
    task, = [
        task for task in label_studio_tasks(link='')
        if 'local-files' in task['data']['image']
    ]
    result = task['annotations'][0]['result']
    task['annotations'][0]['result'] = [
        region for region in result if region['type'] == 'keypointlabels'
    ]
    content = read_labels(write([task])).content
    ann, = content['annotations']
    assert 'bbox' not in ann
    assert ann['keypoints'] == [30, 20, 2, 24.5, 10, 2]
    assert content['categories'][0]['keypoints'] == ['left_wing', 'tip']


def test_min(write):
    """JSON-MIN has neither ids nor relations."""
    tasks = []
    for i, name in enumerate(POSES):
        task = dict(
            id=i, image=name, annotator=1, annotation_id=i, lead_time=1.5)
        for region in label_studio_result(name, ''):
            kind = 'kp' if region['type'] == 'keypointlabels' else 'rect'
            task.setdefault(kind, []).append(
                dict(
                    region['value'],
                    original_width=region['original_width'],
                    original_height=region['original_height']))
        tasks.append(task)
    assert read_poses(read_labels(write(tasks)),
                      False) == expected_poses(False)


def test_which_annotation_counts(write):
    """Cancelled ones do not, the ground truth does, tasks without any are
    left out, and an empty one is an image without objects."""
    first, second = label_studio_tasks()
    sound = first['annotations'][0]
    empty = dict(sound, result=[])
    first['annotations'] = [
        dict(empty, was_cancelled=True), empty,
        dict(sound, ground_truth=True)
    ]
    undone = dict(
        copy.deepcopy(second), annotations=[dict(sound, was_cancelled=True)])
    second['annotations'][0]['result'] = []
    converted = read_labels(write([first, second, undone]))
    expected = expected_poses(False)
    assert read_poses(converted, False) == {FIRST: expected[FIRST], SECOND: []}
    notes = ' '.join(converted.notes)
    assert '1 tasks without an annotation are left out' in notes
    assert '1 tasks with several annotations' in notes


def test_predictions_of_unannotated_tasks(write):
    tasks = label_studio_tasks()
    for task in tasks:
        task['predictions'] = task.pop('annotations')
    converted = read_labels(write(tasks))
    assert read_poses(converted, False) == expected_poses(False)
    assert 'the predictions are taken' in ' '.join(converted.notes)


def test_other_fields_of_a_task(write):
    """The image is the text that looks like one."""
    tasks = label_studio_tasks()
    for task in tasks:
        task['data'] = dict(title='x', photo=task['data']['image'], note='y')
    assert read_poses(read_labels(write(tasks)),
                      False) == expected_poses(False)


@pytest.mark.parametrize('degrees, box', [
    (0, (10, 20, 30, 5)),
    (90, (5, 20, 5, 30)),
    (180, (-20, 15, 30, 5)),
    (-90, (10, -10, 5, 30)),
])
def test_turned_rectangles(degrees, box):
    np.testing.assert_allclose(_upright(10, 20, 30, 5, degrees), box)


def change(path, value):
    """A change of the first keypoint of the first task, which comes first."""

    def change_(tasks):
        result = tasks[0]['annotations'][0]['result']
        result.insert(0, result.pop(1))
        region = result[0]
        assert region['type'] == 'keypointlabels'
        *parents, last = path.split('.')
        for name in parents:
            region = region[name]
        region[last] = value

    return change_


def repeat(tasks):
    result = tasks[0]['annotations'][0]['result']
    result.append(dict(result[1], id='other'))


def orphan(tasks):
    tasks[0]['annotations'][0]['result'].append(
        label_studio_region(
            'keypointlabels', 'tip', dict(x=99, y=99), id='other'))


@pytest.mark.parametrize('damage, message', [
    (change('value.x', None), 'task 1: region k00: `value` needs'),
    (change('value.keypointlabels', []), 'task 1: region k00: `value` needs'),
    (change('original_width',
            0), 'task 1: `original_width` and `original_height`'),
    (change('image_rotation', 90), 'task 1: `image_rotation` is 90'),
    (repeat, "task 1: 'left_wing' occurs twice in one object.*rectangle"),
    (orphan, "task 1: 'tip' at 59.4, 39.6 lies in 0 boxes.*rectangle"),
])
def test_malformed(write, damage, message):
    tasks = label_studio_tasks()
    damage(tasks)
    with pytest.raises(ValueError, match=f'export.json: {message}'):
        read_labels(write(tasks))


def test_no_image(write):
    tasks = label_studio_tasks()
    tasks[0]['data'] = dict(number=1)
    with pytest.raises(ValueError, match='task 1: `data` names no image'):
        read_labels(write(tasks))
