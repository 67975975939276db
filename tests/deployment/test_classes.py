"""A model of several classes as an ONNX file, of both families."""
import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from projects.grouppose.inference import coco_results, predict, read_image
from projects.grouppose.synthetic import draw_image
from tests.helpers.exported import write_onnx
from tests.helpers.tool_runs import TOOLS, load_tool

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from projects.grouppose.deployment import comparison  # noqa: E402
from projects.grouppose.deployment.exported_head import \
    exported_model  # noqa: E402
from projects.grouppose.deployment.metadata import network_size  # noqa: E402

CLASSES = {4: 'cat', 7: 'dog', 30: 'cow'}
CONFIGS = Path(__file__).parents[2] / 'configs/body_2d_keypoint'
CONFIG = """
_base_ = {base!r}
metainfo = dict(
    from_file='configs/_base_/datasets/coco.py', classes={classes})
model = dict(head=dict(num_classes=3, data_decoder=dict(metainfo=metainfo)))
test_dataloader = dict(dataset=dict(metainfo=metainfo))
"""


@pytest.fixture(scope='module', params=['grouppose', 'detrpose'])
def exported(request, tmp_path_factory):
    """The model, its weights, and its ONNX file."""
    folder = tmp_path_factory.mktemp('exported')
    base, = CONFIGS.glob(f'{request.param}/drawn/{request.param}_*.py')
    path = folder / 'config.py'
    path.write_text(CONFIG.format(base=str(base), classes=CLASSES))
    return write_onnx(path, folder)


def test_labels_are_those_of_pytorch(exported):
    model, _, path = exported
    batches = comparison.drawn_batches(
        model, network_size(model), batch_size=2)
    run = comparison.load_graph(path.read_bytes())
    for batch in batches:
        for expected, *outputs in zip(
                comparison.predict_batch(model, batch), *run(batch)):
            found = comparison.as_instances(*outputs)
            assert len(found) == 30  # of 10 instances
            assert set(found.labels) == {0, 1, 2}
            np.testing.assert_allclose(
                found.bbox_scores, expected.bbox_scores, atol=1e-4)
            # Ranks are the same where scores are not close to each other.
            apart = np.diff(expected.bbox_scores, prepend=2, append=-1) < -2e-4
            sure = apart[:-1] & apart[1:]
            assert sure.sum() >= 8
            np.testing.assert_array_equal(found.labels[sure],
                                          expected.labels[sure])
            shifted = comparison.as_instances(*outputs)
            shifted.labels = (found.labels + 1) % 3
            distance = comparison.distance(expected, shifted)
            assert distance.scores.max() > 1e-3


def test_outputs_and_metadata(exported):
    graph = onnx.load(str(exported[2]))
    assert [value.name for value in graph.graph.output
            ] == ['keypoints', 'scores', 'labels']
    kinds = [value.type.tensor_type.elem_type for value in graph.graph.output]
    assert kinds == [
        onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    ]
    meta = {item.key: json.loads(item.value) for item in graph.metadata_props}
    assert meta['categories'] == [
        dict(id=i, name=name) for i, name in CLASSES.items()
    ]


@pytest.mark.parametrize('backend', ['onnxruntime', 'openvino'])
def test_program_without_pytorch(exported, backend, tmp_path):
    """Its results have the ids of the annotations, and names."""
    pytest.importorskip(backend)
    tool = load_tool('run_onnx', TOOLS / 'deployment')
    image = tmp_path / 'a.png'
    Image.fromarray(draw_image(0, 120)[0][..., ::-1]).save(image)
    assert tool.main([
        str(exported[2]),
        str(image), '--out',
        str(tmp_path / 'out'), '--score-thr', '0', '--backend', backend
    ]) == 0
    found = json.loads((tmp_path / 'out/predictions.json').read_text())
    model = exported[0]
    sample, = predict(model, [read_image(str(image))])
    expected = coco_results(
        sample.pred_instances,
        model.dataset_meta,
        image_id=1,
        file_name=str(image))
    assert len(found) == len(expected)
    assert {entry['category_id'] for entry in found} == set(CLASSES)
    for entry in found:
        assert entry['category_name'] == CLASSES[entry['category_id']]
    for category in CLASSES:
        scores = [[
            entry['score'] for entry in entries
            if entry['category_id'] == category
        ] for entries in (found, expected)]
        np.testing.assert_allclose(*scores, atol=2e-4)
    drawn = read_image(str(tmp_path / 'out/visualizations/a.png'))
    assert (drawn != read_image(str(image))).any()


def test_file_in_the_place_of_the_model(exported):
    """For tools/test.py."""
    from mmpose.registry import MODELS
    model, _, path = exported
    config = exported_model(model.cfg.model, str(path))
    other = MODELS.build(Config(dict(model=config)).model)
    batch, = comparison.drawn_batches(
        model, network_size(model), batch_size=1)[:1]
    expected, = comparison.predict_batch(model, batch)
    found, = comparison.predict_batch(other, batch)
    distance = comparison.distance(expected, found)
    assert distance.pixels.max() < 0.05 and distance.scores.max() < 1e-4
