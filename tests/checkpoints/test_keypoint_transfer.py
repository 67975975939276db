"""Weights of other keypoints: what goes where, and that nothing changes."""
import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from projects.grouppose.checkpoints import keypoint_transfer
from projects.grouppose.checkpoints.safe_unpickler import load_weights
from projects.grouppose.data.metainfo import load_metainfo
from tests.helpers.detrpose import small_detrpose
from tests.helpers.models import build_small_model, small_config
from tests.helpers.tool_runs import TOOLS, load_tool

CONTENT = 'head.query_selection.content.weight'
EMBEDDING = 'head.decoder.keypoint_embedding.weight'
COCO, CROWDPOSE = [
    list(
        load_metainfo(dict(from_file=f'configs/_base_/datasets/{name}.py'))
        ['keypoint_id2name'].values()) for name in ('coco', 'crowdpose')
]
FIVE = ['Tip', 'Left-Wrist', 'rightWrist', 'ankle_L', 'r_ankle']
METAINFO = """
dataset_info = dict(
    dataset_name='five',
    keypoint_info={{i: dict(name=name, id=i)
                   for i, name in enumerate({names})}},
    skeleton_info={{}},
    joint_weights=[1.0] * {count},
    sigmas=[0.079] * {count})
"""


def test_what_depends_on_the_number_of_keypoints():
    shapes = [{
        name: value.shape
        for name, value in build_small_model(k).state_dict().items()
    } for k in (5, 6)]
    assert shapes[0].keys() == shapes[1].keys()
    assert {name
            for name in shapes[0] if shapes[0][name] != shapes[1][name]} == {
                EMBEDDING, 'head.query_selection.pose_embed.layers.3.weight',
                'head.query_selection.pose_embed.layers.3.bias'
            }


def test_coco_to_crowdpose():
    matches = keypoint_transfer.match_keypoints(COCO, CROWDPOSE)
    assert matches == [*range(5, 17), None, None]
    table = keypoint_transfer.format_matches(COCO, CROWDPOSE, matches)
    assert 'left_shoulder   <- left_shoulder\n' in table
    assert 'neck            <- new: mean of all\n' in table
    assert 'not used: nose, left_eye, right_eye, left_ear, right_ear' in table


def test_spelling_and_aliases():
    assert keypoint_transfer.match_keypoints(COCO,
                                             FIVE) == [None, 9, 10, 15, 16]
    assert keypoint_transfer.match_keypoints(
        COCO, FIVE, dict(Tip='nose',
                         ankle_L='left_knee')) == [0, 9, 10, 13, 16]


@pytest.mark.parametrize('alias, message', [
    (dict(tip='nose'), 'tip is no target keypoint'),
    (dict(Tip='beak'), 'beak is no source keypoint'),
])
def test_wrong_alias(alias, message):
    with pytest.raises(ValueError, match=message):
        keypoint_transfer.match_keypoints(COCO, FIVE, alias)


def first_poses(model, images):
    """What the query selection predicts."""
    feats = model.extract_feat(images)
    model.head.train()
    return model.head(feats)['enc']


@pytest.mark.parametrize('target', [CROWDPOSE, FIVE])
def test_first_poses_of_known_joints_stay(target):
    """The encoder selects the same instances and places the joints there."""
    source = build_small_model(len(COCO)).eval()
    model = build_small_model(len(target)).eval()
    matches = keypoint_transfer.match_keypoints(COCO, target)
    model.load_state_dict(
        keypoint_transfer.change_keypoints(source.state_dict(), matches))

    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        poses, moved = [first_poses(m, images) for m in (source, model)]
    known = [k for k, i in enumerate(matches) if i is not None]
    old = poses['keypoints'][:, :, [matches[k] for k in known]]
    new = moved['keypoints'][:, :, known]
    assert old.std() > 0.01  # they are not all at the same place
    # The same rows, but a product of another width rounds differently.
    torch.testing.assert_close(new, old, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        moved['logits'], poses['logits'], rtol=0, atol=0)
    outputs = [
        m.head.query_selection.pose_embed.layers[-1].weight.unflatten(
            0, (-1, 2)) for m in (source, model)
    ]
    assert outputs[1][known].equal(outputs[0][[matches[k] for k in known]])
    embeddings = [m.state_dict()[EMBEDDING] for m in (source, model)]
    assert embeddings[1][known].equal(
        embeddings[0][[matches[k] for k in known]])
    for k in set(range(len(target))) - set(known):
        torch.testing.assert_close(embeddings[1][k], embeddings[0].mean(0))


DRAWN = 'configs/body_2d_keypoint/{0}pose/drawn/{0}pose_tiny-{1}_drawn-128.py'


@pytest.mark.parametrize('config, changed', [
    (DRAWN.format('detr', 'hgnetv2_1xb8-6e'), [CONTENT]),
    (DRAWN.format('group', 'res18_1xb8-6e'), []),
])
def test_number_of_queries(config, changed):
    """Weights that depend on it keep the first ranks."""
    model = Config.fromfile(config).model
    states = []
    for count in (10, 6, 12):
        model.head.num_queries = count
        states.append(MODELS.build(model).state_dict())
    assert [
        name for name in states[0]
        if states[0][name].shape != states[1][name].shape
    ] == changed
    for other in states[1:]:
        fitted = keypoint_transfer.change_queries(
            states[0], other[CONTENT].shape[0] if changed else 6)
        assert {
            name: value.shape
            for name, value in fitted.items()
        } == {
            name: value.shape
            for name, value in other.items()
        }
        for name in changed:
            kept = min(10, len(fitted[name]))
            assert fitted[name][:kept].equal(states[0][name][:kept])
            torch.testing.assert_close(
                fitted[name][kept:],
                states[0][name].mean(0).expand_as(fitted[name][kept:]))


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Call the program; answer with its exit code or message and stdout."""
    monkeypatch.syspath_prepend(str(TOOLS / 'model_converters'))
    weights = build_small_model(17).state_dict()
    torch.save(
        dict(state_dict=weights, meta=dict(hooks=[torch.nn.Linear(1, 1)])),
        tmp_path / 'coco.pth')
    torch.save(dict(state_dict=dict(a=torch.ones(1))), tmp_path / 'other.pth')
    (tmp_path / 'five.py').write_text(METAINFO.format(names=FIVE, count=5))

    def run_(*arguments, src='coco.pth'):
        tool = load_tool('change_keypoints', TOOLS / 'model_converters')
        code = 0
        try:
            tool.main([
                str(tmp_path / src),
                str(tmp_path / 'five.pth'), '--to-metainfo',
                str(tmp_path / 'five.py'), *arguments
            ])
        except SystemExit as error:
            code = error.code
        return code, capsys.readouterr().out

    return run_


def test_program(run, tmp_path):
    code, out = run('--alias', 'Tip=nose', '--num-queries', '20')
    assert code == 0
    assert 'Tip         <- nose\n' in out
    assert 'ankle_L     <- left_ankle\n' in out
    assert '5 keypoints, 5 of them known' in out
    model = build_small_model(5)
    model.load_state_dict(
        load_weights(str(tmp_path / 'five.pth'), 'state_dict'))


def test_program_with_classes(run, tmp_path):
    """People become each of the classes, for a model that has three."""
    path = tmp_path / 'five.py'
    path.write_text(path.read_text().replace(
        "    dataset_name='five',", "    dataset_name='five',\n"
        "    classes={4: 'cat', 2: 'dog', 9: 'cow'},"))
    code, out = run()
    assert code == 0
    assert '  classes: dog, cat, cow\n' in out
    config = small_config(num_classes=3)
    config.head.data_decoder.metainfo = dict(from_file=str(path))
    model = MODELS.build(config)
    model.load_state_dict(
        load_weights(str(tmp_path / 'five.pth'), 'state_dict'))
    old = load_weights(str(tmp_path / 'coco.pth'), 'state_dict')
    for name in ('decoder.class_embeds.0.weight',
                 'decoder.class_embeds.2.bias',
                 'query_selection.class_embed.weight'):
        row = old[f'head.{name}'][1]
        assert model.state_dict()[f'head.{name}'].equal(
            torch.stack([row, row, row]))


def test_keypoints_of_detrpose():
    """Also in what judges poses: five channels of each keypoint."""
    weights = MODELS.build(small_detrpose(5)).state_dict()
    changed = keypoint_transfer.change_keypoints(weights, [4, 0, None])
    MODELS.build(small_detrpose(3)).load_state_dict(changed)
    name = 'head.decoder.quality.1.reg_conf.layers.0.weight'
    rows = weights[name].unflatten(1, (5, 5))
    torch.testing.assert_close(
        changed[name].unflatten(1, (3, 5)),
        torch.stack(
            [rows[:, 4], rows[:, 0], rows.mean(1)], 1))


@pytest.mark.parametrize('num_labels', [2, 81])
def test_classes_of_detrpose(num_labels):
    """Embeddings of labels stay as many where there are enough."""
    name = 'head.training_queries.denoising.label_embedding.weight'
    config = small_detrpose()
    config.head.training_queries.denoising.num_labels = num_labels
    weights = MODELS.build(config).state_dict()
    config.head.num_classes = 3
    model = MODELS.build(config)
    changed = keypoint_transfer.change_classes(weights, [],
                                               ['cat', 'dog', 'cow'])
    model.load_state_dict(changed)
    rows = weights[name]
    assert changed[name][:3].equal(rows[[1, 1, 1]])
    assert changed[name][3:].equal(rows[3:])
    # From classes to others by name; a new one is the mean of all.
    for key in ('head.query_selection.class_embed.weight', name):
        changed[key] = torch.randn_like(changed[key])
    again = keypoint_transfer.change_classes(changed, ['cat', 'dog', 'cow'],
                                             ['cow', 'hen'])
    for key in ('head.query_selection.class_embed.weight', name):
        assert again[key][0].equal(changed[key][2])
        torch.testing.assert_close(again[key][1], changed[key][:3].mean(0))
    assert len(again[name]) == max(2, num_labels if num_labels > 3 else 0)
    assert keypoint_transfer.change_classes(weights, [], []) is weights


@pytest.mark.parametrize('arguments, src, message', [
    ([], 'none.pth', 'none.pth'),
    ([], 'other.pth', 'other.pth: no weights of keypoints'),
    (['--from-metainfo', 'crowdpose.py'
      ], 'coco.pth', 'it is for 17 keypoints, crowdpose.py has 14'),
    (['--num-queries', '0'], 'coco.pth', '--num-queries 0: less than 1'),
    (['--alias', 'Tip'], 'coco.pth', '--alias Tip: expected NEW=OLD'),
    (['--from-metainfo', 'none.py'], 'coco.pth', 'none.py: metainfo file'),
])
def test_program_with_wrong_input(run, tmp_path, arguments, src, message):
    code, _ = run(*arguments, src=src)
    assert code.startswith('change_keypoints.py: ') and message in code
    assert '\n' not in code and not (tmp_path / 'five.pth').exists()
