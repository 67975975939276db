"""The program that compares runtimes."""
import json

import pytest
from PIL import Image

from projects.grouppose.synthetic import draw_image
from tests.helpers.exported import write_weights
from tests.helpers.tool_runs import TOOLS, load_tool

for name in ('onnx', 'onnxruntime', 'openvino'):
    pytest.importorskip(name)


def test_every_runtime_finds_the_same(drawn_config, tmp_path, capsys):
    paths = []
    for i, size in enumerate([100, 180]):
        paths.append(str(tmp_path / f'{i}.png'))
        image, _ = draw_image(i, size)
        Image.fromarray(image[..., ::-1]).save(paths[-1])
    tool = load_tool('benchmark_runtimes', TOOLS / 'deployment')
    out = tmp_path / 'out'
    tool.main([
        str(drawn_config),
        str(write_weights(drawn_config, tmp_path)), *paths, '--out',
        str(out), '--repeats', '2', '--threads', '1'
    ])
    assert '| OpenVINO, fp16 |' in capsys.readouterr().out
    rows = json.loads((out / 'runtimes.json').read_text())['rows']
    assert [row['runtime'] for row in rows] == [
        'PyTorch', 'PyTorch, prepared', 'ONNX Runtime', 'OpenVINO',
        'ONNX Runtime, fp16', 'OpenVINO, fp16'
    ]
    for row in rows:
        half = 'fp16' in row['runtime']
        assert len(row['seconds']) == 2
        assert len(row['pixels']) == len(row['scores']) == 20
        assert max(row['pixels']) < (1 if half else 0.05)
        assert max(row['scores']) < (1e-3 if half else 1e-4)
    assert Image.open(out / 'runtimes.png').width > 100
