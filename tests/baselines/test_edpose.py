"""ED-Pose: the numbers of MMPose's network, poses in the right place, and
what the programs do with it."""
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from benchmarks.lib.case import InferenceCase, Load, TrainingCase
from benchmarks.lib.method import find_method
from tests.helpers.models import make_batch
from tests.helpers.tool_runs import TOOLS, load_tool

FOLDER = Path('configs/body_2d_keypoint/edpose/coco').resolve()
CONFIG = FOLDER / 'edpose_res50_coco-800x1333.py'
FAST_CONFIG = FOLDER / 'edpose_res50_fast-attention_coco-800x1333.py'
# Widths are fixed in MMPose's code.
LEVELS = dict(num_levels=3, num_points=2)
SMALL = dict(
    backbone=dict(depth=18, base_channels=8, stem_channels=8, init_cfg=None),
    neck=dict(in_channels=[16, 32, 64], num_outs=3),
    head=dict(
        num_queries=12,
        encoder=dict(
            num_layers=1,
            layer_cfg=dict(
                self_attn_cfg=LEVELS, ffn_cfg=dict(feedforward_channels=64))),
        decoder=dict(
            num_layers=4,
            layer_cfg=dict(
                cross_attn_cfg=LEVELS, ffn_cfg=dict(feedforward_channels=64)),
            num_feature_levels=3,
            num_group=6)))


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Two images of different sizes, with a person on each."""
    root = tmp_path_factory.mktemp('edpose')
    images, annotations = [], []
    for i, (height, width) in enumerate(((48, 96), (96, 48)), 1):
        name = f'{i}.jpg'
        images.append(dict(id=i, file_name=name, width=width, height=height))
        points = np.random.RandomState(i).randint(4, 44, (17, 3))
        points[:, 2] = 2
        annotations.append(
            dict(
                id=i,
                image_id=i,
                category_id=1,
                bbox=[4, 4, 40, 40],
                area=900.0,
                iscrowd=0,
                num_keypoints=17,
                keypoints=points.ravel().tolist()))
        (root / 'images').mkdir(exist_ok=True)
        picture = np.random.RandomState(i).randint(0, 256, (height, width, 3))
        cv2.imwrite(str(root / 'images' / name), np.uint8(picture))
    (root / 'annotations').mkdir()
    (root / 'annotations/val.json').write_text(
        json.dumps(
            dict(
                images=images,
                annotations=annotations,
                categories=[dict(id=1, name='person')])))
    return root


@pytest.fixture(scope='module')
def configs(data):
    """Paths of small configs, without and with fast attention."""
    paths = []
    for base in (CONFIG, FAST_CONFIG):
        cfg = Config.fromfile(base)
        cfg.merge_from_dict(dict(model=SMALL))
        loader = cfg.test_dataloader
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset.pipeline[1].update(short_side=64, max_size=96)
        loader.dataset.dataset.update(
            data_root=f'{data}/',
            ann_file='annotations/val.json',
            data_prefix=dict(img='images/'))
        cfg.test_evaluator.ann_file = str(data / 'annotations/val.json')
        paths.append(data / base.name)
        cfg.dump(paths[-1])
    return paths


def build(path):
    """The model of a config, with weights that move boxes and poses."""
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(path).model)
    model.init_weights()
    with torch.no_grad():
        for name, parameter in model.head.named_parameters():
            if 'embed' in name or 'sampling_offsets' in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope='module')
def model(configs, first_scope):
    return build(configs[0])


@pytest.fixture(scope='module')
def checkpoint(model, data):
    path = data / 'weights.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


def prepared_batch(model):
    """Two images of different sizes, as the network gets them."""
    batch = make_batch([(64, 96), (80, 40)], [0, 0], 17)
    batch = model.data_preprocessor(batch)
    assert batch['inputs'].shape[-2:] == (80, 96)
    return batch


def pose_outputs(model, batch):
    with torch.no_grad():
        feats = model.extract_feat(batch['inputs'])
        return model.head(feats, batch['data_samples'])


def test_same_network_as_mmpose(model, configs):
    """With padding, and with either deformable attention."""
    config = Config.fromfile(configs[0]).model.head
    for name in ('type', 'data_decoder'):
        config.pop(name)
    config.out_head.num_queries = config.num_queries
    config.out_head.num_pred_layer = config.decoder.num_layers
    mmpose = MODELS.build(
        dict(
            config,
            type='EDPoseHead',
            num_feature_levels=3,
            num_keypoints=17,
            as_two_stage=True)).eval()
    mmpose.load_state_dict(model.head.state_dict())
    batch = prepared_batch(model)
    with torch.no_grad():
        feats = model.extract_feat(batch['inputs'])
        expected = mmpose(feats, batch['data_samples'])
    for ours, theirs in zip(pose_outputs(model, batch), expected):
        assert torch.equal(ours, theirs)

    fast = MODELS.build(Config.fromfile(configs[1]).model).eval()
    fast.load_state_dict(model.state_dict())
    for ours, theirs in zip(pose_outputs(fast, batch), expected):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_fast_attention_takes_boxes(configs):
    """Offsets are by the size of the box: a larger one sees other pixels."""
    attention = build(configs[1]).head.decoder.layers[0].cross_attn
    shapes = torch.tensor([[8, 12], [4, 6], [2, 3]])
    arguments = dict(
        query=torch.rand(2, 5, 256),
        value=torch.rand(2, int(shapes.prod(1).sum()), 256),
        spatial_shapes=shapes,
        level_start_index=torch.tensor([0, 96, 120]))
    boxes = torch.rand(2, 5, 3, 4)
    with torch.no_grad():
        result = attention(**arguments, reference_points=boxes)
        boxes[:, 0, :, 2:] *= 1.5
        other = attention(**arguments, reference_points=boxes)
    assert torch.equal(result[:, 1:], other[:, 1:])
    assert (result[:, 0] - other[:, 0]).abs().max() > 1e-3
    assert not attention.sampling_offsets._forward_hooks


def test_poses_in_pixels_of_the_original_image(model, monkeypatch):
    """Class 0 is nobody, whatever its score; x goes with the width."""
    logits = torch.full((2, 6, 2), -4.0)
    logits[0, 2] = torch.tensor([3.0, 1.0])
    logits[0, 4, 1] = 2.0
    keypoints = torch.rand(2, 6, 51)
    monkeypatch.setattr(model.head, 'forward', lambda *args:
                        (logits, None, keypoints))
    batch = make_batch([(64, 96), (80, 40)], [0, 0], 17)
    batch['data_samples'][0].set_metainfo(
        dict(input_scale=np.float32([960, 640]), input_center=(480, 320)))
    with torch.no_grad():
        samples = model.test_step(batch)
    instances = samples[0].pred_instances
    # Of 12 pairs of a query and a class, the 6 of people.
    assert len(instances) == 6
    assert instances.bbox_scores[:2] == pytest.approx(
        torch.tensor([2.0, 1.0]).sigmoid().tolist())
    assert (np.diff(instances.bbox_scores) <= 0).all()
    assert (instances.keypoint_scores == instances.bbox_scores[:, None]).all()
    expected = keypoints[0, [4, 2], :34].reshape(2, 17, 2) * torch.tensor(
        [960, 640])
    np.testing.assert_allclose(
        instances.keypoints[:2], expected, rtol=1e-4, atol=1e-3)
    # The second has been padded to twice its width and more.
    poses = samples[1].pred_instances.keypoints
    assert 40 >= poses[..., 0].max() > 30 and poses[..., 1].max() > 60


def test_score_threshold(model):
    batch = prepared_batch(model)
    with torch.no_grad():
        feats = model.extract_feat(batch['inputs'])
        everything = model.head.predict(feats, batch['data_samples'])
        threshold = float(everything[0].bbox_scores[2])
        some = model.head.predict(feats, batch['data_samples'],
                                  dict(score_thr=threshold))
    scores = everything[0].bbox_scores
    assert (0 < scores).all() and (scores < 1).all()
    assert len(some[0]) == 3 < len(everything[0])


def test_tensor_mode(model):
    """Without data samples nothing is padding."""
    batch = model.data_preprocessor(make_batch([(64, 96)] * 2, [0, 0], 17))
    expected = pose_outputs(model, batch)
    with torch.no_grad():
        outputs = model(batch['inputs'], None, mode='tensor')
    assert all(map(torch.equal, outputs, expected))


@pytest.mark.parametrize('option', ['flip_test', 'multiscale_test'])
def test_refused_options(model, option):
    with pytest.raises(NotImplementedError, match=option):
        model.head.predict([], [], {option: True})


def test_no_training(configs):
    trained = build(configs[0]).train()
    batch = prepared_batch(trained)
    for mode in ('loss', 'tensor'):
        with pytest.raises(NotImplementedError, match='no losses for ED-Pose'):
            trained(**batch, mode=mode)


def test_evaluation(configs, checkpoint, data, tmp_path, monkeypatch):
    """From a checkpoint to AP, images of two sizes in a batch."""
    monkeypatch.syspath_prepend(str(TOOLS))
    out = tmp_path / 'metrics.json'
    load_tool('test').main([
        str(configs[0]),
        str(checkpoint), '--work-dir',
        str(tmp_path), '--out',
        str(out)
    ])
    assert 0 <= json.loads(out.read_text())['coco/AP'] <= 1


def test_inference(configs, checkpoint, data, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    code = load_tool('infer').main([
        str(data / 'images'), '--config',
        str(configs[1]), '--checkpoint',
        str(checkpoint), '--out',
        str(tmp_path), '--device', 'cpu', '--score-thr', '0'
    ])
    assert code == 0
    poses = json.loads((tmp_path / 'predictions.json').read_text())
    assert {pose['image_id'] for pose in poses} == {1, 2}
    assert all(len(pose['keypoints']) == 51 for pose in poses)
    scores = [pose['score'] for pose in poses]
    assert 0 < min(scores) < max(scores) < 1


def test_benchmark(configs):
    """Parts of its own, and no training."""
    method = find_method(str(configs[0]), (96, 64))
    case = InferenceCase(method, Load(batch_size=2))
    seconds, costs = case.time_parts(), case.count_parts()
    parts = ('encoder', 'query selection', 'decoder', 'output heads')
    assert seconds.keys() == costs.keys() == {
        'pipeline', 'data preprocessor', 'backbone', 'neck', 'head',
        'postprocessing', *parts
    }
    assert min(costs[part][0] for part in parts) > 0
    assert costs['head'][0] == 0
    with pytest.raises(RuntimeError, match='evaluation only'):
        TrainingCase(method, Load())


def test_published_model():
    """Sizes of MMPose's own config, and the same images as Group Pose."""
    cfg = Config.fromfile(CONFIG)
    model = MODELS.build(cfg.model)
    assert sum(p.numel() for p in model.parameters()) == 48_081_944
    names = model.state_dict().keys()
    assert {'neck.convs.0.conv.bias', 'neck.extra_convs.0.conv.bias'} <= names
    head = SimpleNamespace(**cfg.model.head)
    assert (head.num_queries, head.decoder.num_group) == (900, 100)
    assert cfg.get('train_dataloader') is None
    fast = Config.fromfile(FAST_CONFIG)
    assert fast.model.head.pop('fast_attention')
    assert fast.model == cfg.model
    ours = Config.fromfile('configs/body_2d_keypoint/grouppose/coco/'
                           'grouppose_res50_8xb2-60e_coco-800x1333.py')
    assert cfg.test_evaluator == ours.test_evaluator
    dataset = ours.test_dataloader.dataset
    assert cfg.test_dataloader.dataset == dataset
    assert cfg.model.data_preprocessor == ours.model.data_preprocessor


def test_train_tool_refuses(monkeypatch, capsys):
    monkeypatch.syspath_prepend(TOOLS)
    tool = load_tool('train')
    with pytest.raises(SystemExit):
        tool.main([str(CONFIG)])
    error = capsys.readouterr().err
    assert f'{CONFIG} is for evaluation only' in error
