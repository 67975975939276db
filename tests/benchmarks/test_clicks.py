"""Clicks are counted as somebody would click."""
import json

import numpy as np
import pytest
import torch
from mmpose.apis import init_model

from benchmarks import clicks
from projects.grouppose.synthetic import annotation_file


@pytest.fixture
def people():
    """Two people of three keypoints; one is not labeled."""
    places = np.array(
        [[[10, 10], [20, 10], [30, 10]], [[50, 50], [60, 50], [0, 0]]], float)
    labeled = np.array([[True] * 3, [True, True, False]])
    return clicks.People(places, labeled, np.array([400., 400]),
                         np.array([0.1, 0.1, 0.05]))


def start_off(people, offsets, proposed=(True, True)):
    poses = people.places.copy()
    poses[..., 0] += np.array(offsets)
    return clicks.Start(poses, np.array(proposed))


def test_the_worst_is_clicked_first(people):
    """In units of sigma: 6 pixels of the last are more than 9 of others."""
    seen = []

    def follow(poses, fixed):
        seen.append(fixed.copy())
        return poses

    start = start_off(people, [[9, 4, 6], [3, 4, 99]])
    curves = clicks.click(people, start, follow)
    assert seen[0].tolist() == [[False, False, True], [False, True, False]]
    assert seen[1].tolist() == [[True, False, True], [True, True, False]]
    assert seen[2].tolist() == [[True, True, True]]  # the other is done
    assert curves.shape == (2, 5)
    exact = np.exp(-np.square([9, 4, 6]) / (800 * np.square([.2, .2, .1])))
    np.testing.assert_allclose(
        curves[0, :3],
        [exact.mean(), (exact[:2].sum() + 1) / 3, (exact[1] + 2) / 3])
    assert curves[0, 3] == curves[0, 4] == curves[1, 2] == 1
    by_hand = clicks.click(people, start, None)
    np.testing.assert_array_equal(curves, by_hand)


def test_refinement_begins_at_the_start(people):
    """With all that was clicked, but not with what followed."""
    start = start_off(people, [[9, 4, 6], [3, 4, 99]])
    seen = []

    def follow(poses, fixed):
        seen.append(poses.copy())
        return poses + 7 * ~fixed[..., None]

    clicks.click(people, start, follow)
    clicked = start.poses[0].copy()
    clicked[2] = people.places[0, 2]
    np.testing.assert_array_equal(seen[0][0], clicked)
    clicked[0] = people.places[0, 0]
    np.testing.assert_array_equal(seen[1][0], clicked)


def test_a_start_by_a_click_counts(people):
    offsets = [[9, 4, 6], [3, 4, 99]]
    early = clicks.click(people, start_off(people, offsets), None)
    late = clicks.click(people, start_off(people, offsets, (True, False)),
                        None)
    np.testing.assert_array_equal(late[0], early[0])
    assert late[1, 0] == 0
    np.testing.assert_array_equal(late[1, 1:], early[1, :-1])


def test_what_follows_saves_clicks(people):
    """With the truth as model, one click is enough."""
    start = start_off(people, [[9, 4, 6], [9, 9, 0]])
    truth = people.places
    curves = clicks.click(people, start,
                          lambda poses, fixed: truth[:len(poses)])
    assert clicks.count_clicks(curves, 0.95).tolist() == [1, 1]
    by_hand = clicks.click(people, start, None)
    assert clicks.count_clicks(by_hand, 0.999).tolist() == [3, 2]
    assert clicks.count_clicks(by_hand, 0.0).tolist() == [0, 0]


def test_program(drawn_config, tmp_path, capsys):
    """From weights to a table and a picture; two seeds."""
    files = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = init_model(str(drawn_config), device='cpu')
        files.append(str(tmp_path / f'{seed}.pth'))
        torch.save(dict(state_dict=model.state_dict()), files[-1])
    data = drawn_config.parent / 'data'
    model = [str(drawn_config), *files]
    common = [
        '--images',
        str(data / 'val'), '--annotations',
        str(annotation_file(data, 'val')), '--out',
        str(tmp_path / 'out')
    ]
    clicks.main(['--plain', *model, '--trained', *model, '--score-thr', '0'] +
                common)
    rows = json.loads((tmp_path / 'out/clicks.json').read_text())['rows']
    assert [row['way']
            for row in rows] == ['by hand', 'refined', 'refined, trained']
    for row in rows:
        assert len(row['noc_90']) == 2
        assert row['noc_85'][0] <= row['noc_90'][0] <= row['noc_95'][0] <= 18
        assert all(shares[-1] == 1 for shares in row['share_90'])
    assert rows[1]['noc_90'] == rows[2]['noc_90']
    assert 'NoC@90' in (tmp_path / 'out/clicks.md').read_text()
    assert (tmp_path / 'out/clicks.png').exists()
    with pytest.raises(SystemExit):
        clicks.main(['--plain', *model, '--trained', *model[:2], *common])
    assert 'same number' in capsys.readouterr().err
