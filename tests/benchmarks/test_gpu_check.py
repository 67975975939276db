"""The check of a GPU, rehearsed on the CPU: every step is run, with tiny
models, so that none fails for a typing error where time is short."""
import json
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

import pytest
import torch

from benchmarks import (gpu_check, gpu_tables, loss_curves, precision, resume,
                        sampling, throughput)
from benchmarks.lib import tools
from benchmarks.lib.gpu_tables import TABLES, rows_of
from benchmarks.lib.results import Results
from benchmarks.lib.turns import clock
from projects.grouppose.model.sampling import gpu

# What says why a row is empty where there is no GPU.
SKIPPED = ('needs a GPU', 'need a GPU')


class Finished:
    """A process that has ended."""

    def __init__(self, code):
        self.code = code

    def poll(self):
        return self.code


def run_here(command, log, threads=None, device=None, **variables):
    """Run a program in this process: importing everything again for each
    takes most of the time. Tests get a process of their own."""
    if command[0] == '-m':
        return tools.start_program(command, log, threads, device, **variables)
    threads, argv = torch.get_num_threads(), sys.argv
    sys.argv = command
    try:
        import_module(f'benchmarks.{Path(command[0]).stem}').main(command[1:])
    except Exception:
        log.write_text(traceback.format_exc())
        return Finished(1)
    finally:
        torch.set_num_threads(threads)
        sys.argv = argv
    log.touch()
    return Finished(0)


@pytest.fixture(scope='module')
def rehearsed(tmp_path_factory):
    """The folder with what a whole rehearsal has written."""
    out = tmp_path_factory.mktemp('gpu_check')
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(gpu_check, 'start_program', run_here)
        monkeypatch.setattr(gpu_check, 'TOGETHER', 1)
        monkeypatch.setattr('benchmarks.lib.memory.in_fresh_process',
                            lambda f, *args: f(*args))
        # As if there were nothing to win, compiling takes a minute.
        monkeypatch.setattr(torch, 'compile', lambda network: network)
        for module in ('mmengine.config.config', 'yapf.yapflib.yapf_api'):
            monkeypatch.setattr(
                f'{module}.FormatCode',
                lambda text, **kwargs: (text, True),
                raising=False)
        gpu_check.main(['--rehearse', '--out', str(out)])
    return out


def test_all_steps_are_run(rehearsed):
    content = json.loads((rehearsed / 'gpu_check.json').read_text())
    log = (rehearsed / 'gpu_check.log').read_text()
    assert [row['name'] for row in content['checks']
            ] == [step.name for step in gpu_check.plan(False)]
    assert {row['outcome'] for row in content['checks']} == {'ok'}, log
    notes = {row['name']: row['note'] for row in content['checks']}
    assert '1 passed' in notes['goldens'] and 'skipped' in notes['tests']
    assert {path.name
            for path in rehearsed.iterdir()
            } == {'gpu_check.md', 'gpu_check.json', 'gpu_check.log'}


def test_all_tables_have_numbers(rehearsed):
    """A row has numbers, or says that it needs a GPU."""
    content = json.loads((rehearsed / 'gpu_check.json').read_text())
    report = (rehearsed / 'gpu_check.md').read_text()
    assert 'these are no results' in report
    for heading in TABLES:
        rows = rows_of(content, heading)
        failed = [row['failed'] for row in rows if 'failed' in row]
        assert all(reason.endswith(SKIPPED) for reason in failed), failed
        assert len(rows) > len(failed), heading
        assert f'## {heading}\n' in report
    libraries = {row['library'] for row in rows_of(content, 'Inference')}
    assert libraries == {'mmcv', 'deformops'}
    twice, = rows_of(content, 'Resumed after SIGKILL')
    assert twice['twice'] >= 2 and twice['difference'] == 0


def make_check(tmp_path, seconds=60.0):
    steps = [
        gpu_check.Step(name, f'{name}.py', [], 100)
        for name in ('slow', 'broken', 'quick')
    ]
    args = gpu_check.argparse.Namespace(out=tmp_path, rehearse=True)
    results = gpu_check.prepare(args, steps)
    scratch = tmp_path / 'scratch'
    return gpu_check.Check(results, scratch, seconds), steps


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """One that writes a result and then takes forever, one that fails, and
    one that does nothing."""
    folder = tmp_path / 'programs'
    folder.mkdir()
    (folder / 'slow.py').write_text(
        'import pathlib, sys, time\n'
        'out = pathlib.Path(sys.argv[-1])\n'
        'print("begun")\n'
        '(out / "x.json").write_text(\'{"rows": [1]}\')\n'
        'time.sleep(1000)\n')
    (folder / 'broken.py').write_text('print("a | b")\nraise SystemExit(3)\n')
    (folder / 'quick.py').write_text('')
    monkeypatch.setattr(gpu_check, 'PROGRAMS', folder)


def test_limits(tmp_path, programs):
    """What a step has written before its time was up is kept."""
    check, steps = make_check(tmp_path)
    steps[0] = steps[0]._replace(limit=5)
    check.run(steps)
    content = json.loads((tmp_path / 'gpu_check.json').read_text())
    outcomes = [(row['outcome'], row['note']) for row in content['checks']]
    assert outcomes == [('timed out', 'after 5 s; begun'), ('failed', 'a / b'),
                        ('ok', '')]
    assert content['results'] == dict(slow=dict(rows=[1]))
    assert '==== slow\nbegun' in (tmp_path / 'gpu_check.log').read_text()


def test_no_time_left(tmp_path, programs):
    check, steps = make_check(tmp_path, seconds=0)
    check.run(steps[1:])
    report = (tmp_path / 'gpu_check.md').read_text()
    assert '| broken | skipped | no time was left | 0 |' in report
    assert 'gpu_check.json' in {path.name for path in tmp_path.iterdir()}


def test_report_grows(tmp_path, programs):
    """A step that is still running is in the report, with what it has."""
    check, steps = make_check(tmp_path)
    seen = []

    def collect(step, folder):
        type(check).collect(check, step, folder)
        content = json.loads((tmp_path / 'gpu_check.json').read_text())
        if content['results']:
            seen.append(content['checks'])
            raise KeyboardInterrupt

    check.collect = collect
    with pytest.raises(KeyboardInterrupt):
        check.run(steps[:1])
    assert seen == [[
        dict(name='slow', outcome='running', note='', seconds=0.0)
    ]]
    # It did not wait for the program's end.
    assert check.stopped.is_set()


def test_gpu_is_needed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit):
        gpu_check.main(['--out', str(tmp_path)])
    assert 'no GPU is visible; --rehearse' in capsys.readouterr().err


def test_script(shell, tmp_path):
    answer = shell('gpu_check.sh')
    assert answer.returncode == 2
    assert 'usage: bash tools/gpu_check.sh OUT' in answer.stderr
    answer = shell('gpu_check.sh', 'out', '--steps', 'speed with deformops')
    assert answer.stdout.splitlines()[:-1] == [
        '-W', 'ignore', 'benchmarks/gpu_check.py', '--out',
        str(tmp_path / 'out'), '--steps', 'speed with deformops'
    ]
    assert (tmp_path / 'out').is_dir()


def test_plan_on_a_gpu():
    """Limits, and what is asked for by name, which a rehearsal cannot tell."""
    for step in gpu_check.plan(False):
        assert 0 < step.limit <= 150
        if step.program == 'pytest':
            assert '--device' in step.arguments or '-m' in step.arguments
        else:
            assert (gpu_check.PROGRAMS / step.program).is_file()
            assert step.arguments[-2:] == ['--device', 'cuda']
    files = gpu_check.gpu_tests()
    assert 'tests/model/test_gpu_sampling.py' in files and len(files) >= 3
    for name in (*gpu_check.MODELS, *gpu_check.OTHERS):
        assert precision.find_method(name).read()


def test_random_numbers_are_those_of_the_cpu():
    with loss_curves.DrawOnCPU():
        drawn = torch.rand(3, device='meta')
    assert drawn.device.type == 'meta'
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with loss_curves.DrawOnCPU():
        assert torch.equal(torch.rand(3, device='cpu'), expected)


def test_differences():
    assert loss_curves.largest_difference([1, 3], [1, 2]) == 0.5
    assert loss_curves.largest_difference([1, float('nan')],
                                          [1, 2]) == float('inf')


def test_half_precision_is_restored():
    before = torch.backends.cudnn.allow_tf32
    with precision.tf32(not before):
        assert torch.backends.cudnn.allow_tf32 != before
        assert torch.backends.cuda.matmul.allow_tf32 != before
    assert torch.backends.cudnn.allow_tf32 == before


def test_sampling_compares_the_libraries(tmp_path, monkeypatch):
    """As on a GPU, where both are there: rows by precision, and errors."""
    calls = []

    def of(takes_half):

        def sample(value, shapes, starts, locations, weights, step):
            calls.append((value.dtype, locations.dtype, step))
            assert starts.tolist()[:2] == [0, int(shapes[0].prod())]
            result = sampling.sum_bags(value.float(), shapes, locations,
                                       weights.float())
            return 1.5 * result.to(value.dtype)

        return gpu.Sampling(sample, takes_half)

    monkeypatch.setattr(
        sampling, 'load', lambda library, device: {
            'mmcv': of(False),
            'deformops': of(True)
        }.get(library) or gpu.Sampling(
            lambda value, shapes, _, *rest: sampling.sum_bags(
                value, shapes, *rest[:2]), False))
    sampling.main([
        '--size', '64', '64', '--real-time-size', '64', '--instances', '1',
        '--keypoints', '1', '--repeats', '1', '--warmup', '0', '--calls', '1',
        '--device', 'cpu', '--out',
        str(tmp_path)
    ])
    rows = json.loads((tmp_path / 'sampling.json').read_text())['rows']
    assert not [row for row in rows if 'failed' in row]
    first = [(row['library'], row['precision']) for row in rows[:5]]
    assert first == [('sum_bags', 'fp32'), ('deformops', 'fp32'),
                     ('deformops', 'fp16'), ('deformops', 'bf16'),
                     ('mmcv', 'fp32')]
    assert [round(row['error'], 1) for row in rows[:5]] == [0, .5, .5, .5, .5]
    assert len(rows) == 3 * 2 * 5
    assert all(call[1:] == (torch.float32, 64) for call in calls)


def test_throughput_counts_after_warmup():
    hook = throughput.Throughput(seconds=0.05, warmup=1)
    hook.stack = throughput.ExitStack()
    hook.last = clock() - 100  # before the first step
    with pytest.raises(throughput.EnoughError):
        for i in range(100):
            time.sleep(0.01)
            hook.before_train_iter(None, i)
            for part in ('forward', 'backward', 'optimizer'):
                with hook.watch.part(part):
                    time.sleep(0.002)
            hook.after_train_iter(None, i)
    row = hook.result(batch_size=8)
    assert 0 < row['steps'] < 5
    assert row['images_per_second'] < 8 / 0.015
    assert row['parts']['data'] >= 0.009
    assert 0 <= row['parts']['rest'] < 0.05
    assert list(row['parts']) == list(throughput.PARTS)


def test_resuming_that_goes_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, 'kill_after_checkpoint', lambda *_: None)
    monkeypatch.setattr(resume, 'train', lambda *_: Done())
    monkeypatch.setattr(resume, 'read_losses', lambda _: [{
        1: 1.0
    }, {
        4: 1.0,
        6: 1.0
    }])
    (tmp_path / 'last_checkpoint').write_text('epoch_1.pth')
    args = resume.argparse.Namespace(
        device='cpu', images=4, batch_size=2, epochs=3)
    with pytest.raises(
            RuntimeError, match='iterations 4 to 6 after resuming, '
            'not 3 to 6'):
        resume.resume(args, tmp_path)


class Done(Finished):

    def __init__(self):
        super().__init__(0)

    def wait(self):
        return 0


def test_page(tmp_path, rehearsed):
    """The tables replace those of an earlier run, and nothing else."""
    content = json.loads((rehearsed / 'gpu_check.json').read_text())
    page = f'a\n{gpu_tables.BEGIN}\nstale\n{gpu_tables.END}\nb\n'
    with pytest.raises(ValueError, match='rehearsal'):
        gpu_tables.fill_page(page, content)
    content['rehearsal'] = False
    content['machine'].update(GPU='H999', date='today')
    text = gpu_tables.fill_page(page, content)
    assert text.startswith(f'a\n{gpu_tables.BEGIN}\n\nMeasured on today')
    assert text.endswith(f'{gpu_tables.END}\nb\n') and 'stale' not in text
    assert 'H999' in text and '### Inference\n' in text
    assert gpu_tables.fill_page(text, content) == text
    with pytest.raises(ValueError, match='the page lacks <!-- gpu tables'):
        gpu_tables.fill_page('a', content)


def test_page_has_a_place():
    page = (gpu_tables.ROOT / 'docs/performance.md').read_text()
    assert page.index(gpu_tables.BEGIN) < page.index(gpu_tables.END)


def test_results_have_no_table(tmp_path):
    """A report of nothing is one."""
    results = Results(
        tmp_path / 'x',
        'T',
        'text', [gpu_check.Section('checks', gpu_check.show_tables)],
        results={},
        libraries={})
    results.write()
    assert (tmp_path / 'x.md').read_text().startswith('# T')
