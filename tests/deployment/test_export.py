"""ONNX files compute what the model does, for every size, and say how."""
import copy
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmcv.ops.multi_scale_deform_attn import \
    multi_scale_deformable_attn_pytorch

from projects.grouppose.codec import OKSKeypointCodec
from projects.grouppose.model.sampling.onnx import exportable_sampling
from projects.grouppose.model.tokens import sampled_masks
from tests.helpers.exported import write_onnx
from tests.helpers.tool_runs import TOOLS, load_tool, run_tool

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from projects.grouppose.deployment import onnx_file  # noqa: E402
from projects.grouppose.deployment import comparison, export  # noqa: E402
from projects.grouppose.deployment import half as half_precision  # noqa: E402
from projects.grouppose.inference import load_model  # noqa: E402
from projects.grouppose.inference import prepare_for_inference  # noqa: E402

# Those of our operators that TensorRT 10.15 documents as supported, in
# docs/operators.md of github.com/onnx/onnx-tensorrt.
TENSORRT = set('''
    Add And Cast Clip Concat Constant ConstantOfShape Conv Cos CumSum Div Equal
    Expand Flatten Floor Gather GatherElements Greater GreaterOrEqual Identity
    InstanceNormalization LayerNormalization Less Log MatMul MaxPool Min Mod
    Mul Not Or Range ReduceMax ReduceMean ReduceSum Relu Reshape Shape Sigmoid
    Sin Slice Softmax Split Sqrt Squeeze Sub TopK Transpose Unsqueeze Where
    '''.split())


@pytest.fixture(scope='module')
def exported(drawn_config, tmp_path_factory):
    """The model, its weights, and its ONNX file."""
    return write_onnx(drawn_config, tmp_path_factory.mktemp('exported'))


@pytest.fixture(scope='module')
def graph(exported):
    return onnx.load(str(exported[2]))


def drawn_batch(model, *sizes):
    """Drawn images of some widths and heights."""
    images = [
        comparison.mmcv.imresize(comparison.draw_image(i)[0], size)
        for i, size in enumerate(sizes)
    ]
    return comparison.make_batch(model, images)


@pytest.mark.parametrize(
    'sizes',
    [
        [(160, 120)],
        [(97, 203)],
        [(64, 96), (120, 40), (33, 50)],
        [(230, 14)],  # one row of tokens
    ])
def test_any_size_and_batch(exported, sizes):
    model, _, path = exported
    batch = drawn_batch(model, *sizes)
    run = comparison.load_graph(path.read_bytes())
    found = comparison.compare(model, run, [batch])
    assert len(found.pixels) == 10 * len(sizes)
    assert found.pixels.max() < 1e-2
    assert found.scores.max() < 1e-6


def test_poses_do_not_depend_on_the_padding_value(exported):
    """Which the masks must keep out, as in the model."""
    model, _, path = exported
    batch = drawn_batch(model, (64, 96), (120, 40))
    run = comparison.load_graph(path.read_bytes())
    keypoints, scores = run(batch)
    whole = batch._replace(valid_sizes=torch.tensor([[120, 96], [120, 96]]))
    assert np.abs(keypoints - run(whole)[0]).max() > 1
    assert (np.diff(scores) <= 0).all()


def test_openvino_reads_the_same_file(exported):
    pytest.importorskip('openvino')
    model, _, path = exported
    tool = load_tool('run_onnx', TOOLS / 'deployment')
    openvino = tool.OpenVino(str(path), 'cpu')
    batches = [
        drawn_batch(model, (160, 120)),
        drawn_batch(model, (64, 96), (120, 40))
    ]
    found = comparison.compare(model, lambda batch: openvino(batch.arrays()),
                               batches)
    assert found.pixels.max() < 0.05
    assert found.scores.max() < 1e-4


def test_operators_and_names(graph):
    assert {node.domain for node in graph.graph.node} == {''}
    assert [(item.domain, item.version)
            for item in graph.opset_import] == [('', 17)]
    assert {node.op_type for node in graph.graph.node} <= TENSORRT
    used = {tensor.data_type
            for tensor in graph.graph.initializer} | {
                attribute.i
                for node in graph.graph.node if node.op_type == 'Cast'
                for attribute in node.attribute
            }
    assert onnx.TensorProto.DOUBLE not in used
    shapes = {
        value.name: [
            dim.dim_param or dim.dim_value
            for dim in value.type.tensor_type.shape.dim
        ]
        for value in graph.graph.input
    }
    assert shapes == dict(
        images=['batch', 3, 'height', 'width'], valid_sizes=['batch', 2])
    assert [value.name
            for value in graph.graph.output] == ['keypoints', 'scores']


def test_metadata(exported, graph):
    meta = {item.key: json.loads(item.value) for item in graph.metadata_props}
    model = exported[0]
    assert meta['plugin'].startswith('grouppose-mmpose ')
    np.testing.assert_allclose(meta['mean'], (123.675, 116.28, 103.53))
    np.testing.assert_allclose(meta['std'], (58.395, 57.12, 57.375))
    assert meta['channel_order'] == 'rgb'
    resize = model.cfg.test_dataloader.dataset.pipeline[1]
    assert meta['resize'] == dict(
        short_side=resize.short_side, max_size=resize.max_size)
    assert meta['pad_divisor'] == 1
    assert meta['keypoint_names'][:2] == ['nose', 'left_eye']
    np.testing.assert_allclose(meta['sigmas'], model.head.codec.sigmas)
    assert [15, 13] in meta['skeleton']
    assert len(meta['link_colors']) == len(meta['skeleton'])
    assert len(meta['keypoint_colors']) == 17


def test_half_precision(exported, graph):
    model = exported[0]
    half = half_precision.to_half(graph, half_precision.precise_parts(model))
    onnx.checker.check_model(half, full_check=True)
    content = half.SerializeToString()
    assert len(content) < 0.65 * graph.ByteSize()
    weights = {item.name: item for item in half.graph.initializer}
    for node in half.graph.node:
        kinds = {
            weights[name].data_type
            for name in node.input if name in weights
        } - {onnx.TensorProto.INT64}
        if node.op_type == 'LayerNormalization' or any(
                part in node.name
                for part in ('sampling_offsets', 'class_embed')):
            assert kinds <= {onnx.TensorProto.FLOAT}, node.name
        elif node.op_type == 'Conv':
            assert kinds == {onnx.TensorProto.FLOAT16}, node.name
    found = comparison.compare(model, comparison.load_graph(content),
                               comparison.drawn_batches(model))
    assert 1e-4 < np.median(found.pixels) < 0.1
    assert found.scores.max() < 1e-3


def test_fixed_size_from_the_command_line(exported, drawn_config, tmp_path):
    path = tmp_path / 'fixed.onnx'
    code, out, err = run_tool('deployment/export_onnx.py', drawn_config,
                              exported[1], path, '--fixed-size', 96, 64,
                              '--batch', 2, '--fp16')
    assert code == 0, err
    assert 'differs from PyTorch by ' in out
    found = onnx.load(str(path))
    shapes = [[dim.dim_value for dim in value.type.tensor_type.shape.dim]
              for value in found.graph.input]
    assert shapes == [[2, 3, 64, 96], [2, 2]]
    meta = {item.key: item.value for item in found.metadata_props}
    assert json.loads(meta['resize']) == dict(frame=[96, 64])


def test_a_wrong_graph_is_not_written(exported, graph, tmp_path, monkeypatch):
    damaged = onnx.ModelProto()
    damaged.CopyFrom(graph)
    last, = (
        node for node in damaged.graph.node if node.output == ['keypoints'])
    last.op_type = 'Sub'
    monkeypatch.setattr(onnx_file, 'trace', lambda *arguments: damaged)
    with pytest.raises(ValueError, match='is off by .*Nothing was written'):
        export(exported[0], str(tmp_path / 'wrong.onnx'))
    monkeypatch.setattr(exported[0].head.codec, 'max_per_img', 4)
    with pytest.raises(ValueError, match='another number of people'):
        export(exported[0], str(tmp_path / 'wrong.onnx'))
    assert not list(tmp_path.iterdir())


def test_prepared_models_are_refused(exported, tmp_path):
    model = prepare_for_inference(copy.deepcopy(exported[0]))
    with pytest.raises(ValueError, match='prepare=False'):
        export(model, str(tmp_path / 'new.onnx'))
    assert not any(tmp_path.iterdir())


def test_what_cannot_be_described_is_refused(exported, tmp_path):
    config = exported[0].cfg.filename
    model = load_model(config, str(exported[1]), 'cpu', prepare=False)
    pipeline = model.cfg.test_dataloader.dataset.pipeline
    pipeline.insert(1, dict(type='PoseRandomFlip'))
    with pytest.raises(
            ValueError, match='test pipeline is LoadPoseImage, Pos'):
        export(model, str(tmp_path / 'a.onnx'))
    del pipeline[1]
    model.data_preprocessor.pad_value = 1
    with pytest.raises(ValueError, match='pad_value'):
        export(model, str(tmp_path / 'a.onnx'))
    model.head = torch.nn.Identity()
    with pytest.raises(ValueError, match='no GroupPoseHead'):
        export(model, str(tmp_path / 'a.onnx'))


@pytest.mark.parametrize('weights, out, message', [
    ('missing.pth', 'a.onnx', 'missing.pth'),
    ('text.pth', 'a.onnx', 'text.pth'),
    ('text.pth', 'nowhere/a.onnx', 'there is no folder'),
])
def test_errors_in_a_line(drawn_config, tmp_path, weights, out, message,
                          capsys):
    (tmp_path / 'text.pth').write_text('no checkpoint')
    tool = load_tool('export_onnx', TOOLS / 'deployment')
    with pytest.raises(SystemExit) as caught:
        tool.main([
            str(drawn_config),
            str(tmp_path / weights),
            str(tmp_path / out),
        ])
    assert caught.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert ': error: ' in last and message in last


@pytest.mark.parametrize('num_levels', [1, 3])
def test_sampling_equals_the_reference(num_levels):
    shapes = torch.tensor([[7, 5], [4, 3], [1, 2]])[:num_levels]
    value = torch.randn(2, shapes.prod(1).sum(), 4, 8)
    locations = 1.6 * torch.rand(2, 9, 4, num_levels, 3, 2) - 0.3
    weights = torch.rand(2, 9, 4, num_levels, 3)
    torch.testing.assert_close(
        exportable_sampling(value, shapes, locations, weights),
        multi_scale_deformable_attn_pytorch(value, shapes, locations, weights))


def test_masks_are_nearest_samples():
    for height, width in np.random.randint(1, 400, (40, 2)).tolist():
        sizes = torch.stack([
            torch.randint(1, height + 1, (3, )),
            torch.randint(1, width + 1, (3, ))
        ], 1)
        feats = [
            torch.empty(3, 1, -(-height // stride), -(-width // stride))
            for stride in (1, 7, 8, 16, 64)
        ]
        masks = torch.ones(3, 1, height, width)
        for mask, (h, w) in zip(masks, sizes.tolist()):
            mask[:, :h, :w] = 0
        for x, mask in zip(feats, sampled_masks(feats, (height, width),
                                                sizes)):
            expected = F.interpolate(masks, size=x.shape[-2:])[:, 0]
            assert torch.equal(mask, expected.bool())


@pytest.mark.parametrize('person_label', [0, 1])
def test_selection_follows_the_official_rule(person_label):
    codec = OKSKeypointCodec(
        sigmas=[0.1], person_label=person_label, max_per_img=7)
    logits = torch.randn(4, 9, 2)
    # The pose of an instance tells its index.
    keypoints = torch.arange(9.).view(1, 9, 1, 1).expand(4, 9, 1, 2)
    logits[0, :, person_label] -= 20  # no person among the best
    sizes = torch.ones(4, 2).long()
    for image, poses, scores, labels in zip(
            logits, *codec.choose(logits, keypoints, sizes)):
        assert not labels.any()
        instances = poses[:, 0, 0]
        best, pairs = image.sigmoid().flatten().topk(7)
        people = pairs % 2 == person_label
        expected = list(zip(best[people], pairs[people] // 2))
        if not expected:
            best, first = image[:, person_label].sigmoid().max(0)
            expected = [(best, first)]
        kept = scores >= 0
        assert list(zip(scores[kept], instances[kept])) == expected
        assert (scores[~kept] == -1).all()
