"""The program that measures what makes inference on a CPU faster."""
import argparse
import json

import pytest
import torch

from tests.helpers.tool_runs import TOOLS, load_tool, run_tool


@pytest.fixture
def tool():
    return load_tool('benchmark_cpu', TOOLS / 'analysis_tools')


def test_measures_every_step(tmp_path, tool, drawn_config):
    code, stdout, stderr = run_tool('analysis_tools/benchmark_cpu.py', '--out',
                                    tmp_path / 'new', '--config', drawn_config,
                                    '--size', 96, 64, '--repeats', 2)
    assert code == 0, stderr
    assert '| + batch norms folded |' in stdout
    tables = {
        stem: json.loads((tmp_path / f'new/{stem}.json').read_text())['rows']
        for stem in tool.TABLES
    }
    for row in sum(tables.values(), []):
        assert len(row['seconds']) == 2
    cases = [(row['what'], row['case']) for row in tables['attention']]
    assert cases == [(what, name) for what in tool.PASSES
                     for name in tool.SAMPLINGS]
    assert all(row['memory_mib'] > 0 for row in tables['attention'])
    names = [row['case'] for row in tables['model']]
    assert names == ["mmcv's path", *tool.STEPS]
    for row in tables['model']:
        assert row['pixels'] < 0.05 and row['logits'] < 1e-4
    assert len(tables['products']) == 8


def test_refuses_to_compare_what_differs(tool, monkeypatch, tmp_path):
    ours = tool.SAMPLINGS['bags']
    monkeypatch.setitem(tool.SAMPLINGS, 'bags',
                        lambda *arguments: 1.01 * ours(*arguments))
    args = argparse.Namespace(size=(96, 64), repeats=1)
    with pytest.raises(AssertionError, match='not close'):
        tool.benchmark_attention(args, None)


def test_mmcvs_path_is_the_first_row_only(tool, drawn_config):
    """The project's choice is put back."""
    chosen = tool.deformable_attention.sample_maps
    calls = []

    def record(*arguments):
        calls.append(arguments)
        return tool.sample_like_mmcv(*arguments)

    model = tool.build_model(str(drawn_config))
    tool.run_model(model, record, torch.randn(1, 3, 64, 64))
    assert calls
    assert tool.deformable_attention.sample_maps is chosen
