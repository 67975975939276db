"""The parts that make Group Pose learn faster, in an ONNX file."""
import pytest

from tests.helpers.exported import write_onnx
from tests.helpers.tool_runs import ROOT

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from projects.grouppose.deployment import comparison  # noqa: E402
from projects.grouppose.synthetic import draw_image  # noqa: E402

CONFIG = (
    ROOT / 'configs/body_2d_keypoint/grouppose/drawn/'
    'grouppose-fast_tiny-res18_1xb8-3e_drawn-128.py')


def test_same_poses(tmp_path, unformatted_configs):
    """Distinct queries, frames of poses and a predicted OKS, any batch."""
    model, _, path = write_onnx(CONFIG, tmp_path)
    assert model.head.query_selection.distinct
    run = comparison.load_graph(path.read_bytes())
    for count in (1, 3):
        images = [draw_image(i, 96, calm=True)[0] for i in range(count)]
        batches = comparison.resized_batches(model, images, (128, 128), count)
        found = comparison.compare(model, run, batches)
        assert len(found.pixels) == 10 * count
        assert found.pixels.max() < 0.05
        assert found.scores.max() < 1e-4
