"""DETRPose as an ONNX file: batches of any size, half precision, integers."""
import json

import numpy as np
import pytest
from PIL import Image

from tests.helpers.exported import write_onnx
from tests.helpers.tool_runs import (TOOLS, load_tool, run_tool,
                                     write_drawn_config)

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from projects.grouppose.deployment import onnx_file  # noqa: E402
from projects.grouppose.deployment import comparison, export  # noqa: E402
from projects.grouppose.deployment.exported_head import \
    ExportedHead  # noqa: E402
from projects.grouppose.synthetic import draw_image  # noqa: E402


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    """Config of a small model and a few drawn images."""
    return write_drawn_config(tmp_path_factory.mktemp('drawn'), 'detrpose')


@pytest.fixture(scope='module')
def exported(config, tmp_path_factory):
    """The model, its weights, and its ONNX file."""
    return write_onnx(config, tmp_path_factory.mktemp('exported'))


def batches(model, *counts):
    """Batches of drawn images, of the size that the model takes."""
    images = [draw_image(i, 96)[0] for i in range(sum(counts))]
    found = []
    for count in counts:
        batch, images = images[:count], images[count:]
        found += comparison.resized_batches(model, batch, (128, 128), count)
    return found


def differences(model, content, *counts):
    return comparison.compare(model, comparison.load_graph(content),
                              batches(model, *counts))


def test_any_batch(exported):
    model, _, path = exported
    found = differences(model, path.read_bytes(), 1, 3)
    assert len(found.pixels) == 40
    assert found.pixels.max() < 0.05
    assert found.scores.max() < 1e-4


def test_size_and_operators(exported):
    graph = onnx.load(str(exported[2]))
    assert {node.domain for node in graph.graph.node} == {''}
    shapes = [[
        dim.dim_param or dim.dim_value
        for dim in value.type.tensor_type.shape.dim
    ] for value in graph.graph.input]
    assert shapes == [['batch', 3, 128, 128], ['batch', 2]]
    meta = {item.key: json.loads(item.value) for item in graph.metadata_props}
    assert meta['resize'] == dict(size=[128, 128])
    assert meta['mean'] == [0, 0, 0] and meta['std'] == [255, 255, 255]


def test_openvino_reads_the_same_file(exported):
    pytest.importorskip('openvino')
    model, _, path = exported
    tool = load_tool('run_onnx', TOOLS / 'deployment')
    openvino = tool.OpenVino(str(path), 'cpu')
    found = comparison.compare(model, lambda batch: openvino(batch.arrays()),
                               batches(model, 1, 3))
    assert found.pixels.max() < 0.05
    assert found.scores.max() < 1e-4


def test_half_precision(exported, tmp_path):
    model, _, whole = exported
    path = tmp_path / 'half.onnx'
    export(model, str(path), half=True)
    assert path.stat().st_size < 0.7 * whole.stat().st_size
    found = differences(model, path.read_bytes(), 4)
    assert 0 < np.median(found.pixels) < 0.5
    assert np.median(found.scores) < 1e-3


def test_integers_from_the_command_line(config, exported, tmp_path):
    """Convolutions are integers, on the ranges of the images given."""
    model, weights, whole = exported
    for i in range(4):
        Image.fromarray(draw_image(i, 96)[0]).save(tmp_path / f'{i}.png')
    path = tmp_path / 'int8.onnx'
    code, out, err = run_tool('deployment/export_onnx.py', config, weights,
                              path, '--int8', tmp_path)
    assert code == 0, err
    assert 'differs from PyTorch by' in out
    graph = onnx.load(str(path)).graph
    quantized = {
        node.output[0]
        for node in graph.node if node.op_type == 'DequantizeLinear'
    }
    convolutions = [node for node in graph.node if node.op_type == 'Conv']
    assert convolutions
    for node in convolutions:
        assert quantized.issuperset(node.input[:2]), node.name
    assert path.stat().st_size < whole.stat().st_size
    found = differences(model, path.read_bytes(), 4)
    assert np.median(found.pixels) < onnx_file.INT8_TOLERANCE.pixels
    with pytest.raises(ValueError, match='not both'):
        export(model, str(path), half=True, calibration=[])


def test_evaluation_of_the_file(config, exported, tmp_path):
    """tools/test.py finds the same of the file and of the checkpoint."""
    _, weights, path = exported
    metrics = []
    for source in (weights, path):
        out = tmp_path / f'{source.stem}.json'
        code, _, err = run_tool('test.py', config, source, '--out', out,
                                '--work-dir', tmp_path)
        assert code == 0, err
        metrics.append(json.loads(out.read_text()))
    first, second = metrics
    assert first.keys() == second.keys()
    for name in first:
        assert abs(first[name] - second[name]) < 1e-3, name


def test_files_that_are_no_graphs(tmp_path):
    path = tmp_path / 'text.onnx'
    path.write_text('no graph')
    codec = dict(type='OKSKeypointCodec', sigmas=[0.1])
    with pytest.raises(ValueError, match='text.onnx: ONNX Runtime cannot'):
        ExportedHead(str(path), codec)
    with pytest.raises(FileNotFoundError):
        ExportedHead(str(tmp_path / 'missing.onnx'), codec)
