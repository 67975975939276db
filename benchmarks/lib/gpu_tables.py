"""Tables of what was measured on a GPU, for the report of ``gpu_check.py`` and
for docs/performance.md, from what its steps have written."""
from typing import Callable, List

from .latencies import latencies
from .results import Columns, markdown_table, milliseconds, spread

PARTS = ('data', 'forward', 'backward', 'optimizer', 'rest')


def percent(name: str) -> Callable[[dict], str]:
    """A column with a share."""
    return lambda row: f'{100 * row[name]:.1f}'


def number(name: str, digits: int = 3) -> Callable[[dict], str]:
    """A column with a number in a few digits."""
    return lambda row: f'{row[name]:.{digits}g}'


CHECKS: Columns = {
    'step': 'name',
    'outcome': 'outcome',
    'why, or its last line': 'note',
    'seconds': lambda row: f'{row["seconds"]:.0f}',
}
SAMPLING: Columns = {
    'layer': 'what',
    'pass': 'pass',
    'by': 'library',
    'precision': 'precision',
    'ms': milliseconds(digits=3),
    'difference to float32 on the CPU': number('error', 2),
}
PRECISION: Columns = {
    'model': 'model',
    'computed in': 'variant',
    'keypoints, median (px)': number('median', 2),
    'keypoints, 90 % within (px)': number('most', 2),
    'poses within 1 px (%)': percent('close'),
    'scores, median': number('scores', 2),
}
CURVES: Columns = {
    'model':
    'model',
    'on':
    'device',
    'in':
    'precision',
    'loss of each step':
    lambda row: ', '.join(f'{loss:.4g}' for loss in row['losses']),
    'largest difference to the CPU (%)':
    percent('difference'),
}
THROUGHPUT: Columns = {
    'model': 'model',
    'in': 'precision',
    'batch': 'batch_size',
    'data processes': 'workers',
    'steps': 'steps',
    'images/s': number('images_per_second'),
    **{
        f'{part} (ms per step)':
        lambda row, part=part: f'{1e3 * row["parts"][part]:.1f}'
        for part in PARTS
    },
    'peak memory (MiB)': lambda row: f'{row["memory_mib"]:.0f}',
}
RESUME: Columns = {
    'iterations': 'iterations',
    'killed after': 'killed',
    'gone on from': 'resumed',
    'iterations done twice': 'twice',
    'largest difference of their losses (%)': percent('difference'),
}
SPEED: Columns = {
    'method': 'label',
    'in': 'precision',
    'mode': 'mode',
    'deformable attention': 'library',
    'batch': 'batch_size',
    'ms per image': milliseconds(digits=2),
    'peak memory (MiB)': lambda row: f'{row["memory_mib"]:.0f}',
}
TRAINING: Columns = {
    'method':
    'method',
    'in':
    'precision',
    'batch':
    'batch_size',
    'forward, backward, optimizer (ms)':
    lambda row: ', '.join(
        spread(row['seconds'][part], 1e3) for part in PARTS[1:4]),
    'peak memory (MiB)':
    lambda row: f'{row["memory_mib"]:.0f}',
}

# By heading: columns, the steps that measure them, and where these keep them.
TABLES = {
    'Inference':
    (SPEED, ('speed', 'speed with deformops', 'compiled'), 'latency'),
    'Deformable attention': (SAMPLING, ('sampling', ), 'rows'),
    'Precision': (PRECISION, ('precision', ), 'rows'),
    'Loss curves': (CURVES, ('loss curves', ), 'rows'),
    'Training step, random images': (TRAINING, ('speed', ), 'training'),
    'Training on drawn people': (THROUGHPUT, ('training', ), 'rows'),
    'Resumed after SIGKILL': (RESUME, ('resume', ), 'rows'),
}


def rows_of(content: dict, heading: str) -> List[dict]:
    """What the steps of a table have measured so far."""
    _, steps, table = TABLES[heading]
    found = []
    for name in steps:
        measured = content['results'].get(name)
        if not measured:
            continue
        rows = measured.get(table, [])
        if table == 'latency' and rows:
            rows = latencies(measured)
        library = content['libraries'].get(name)
        found += [
            dict(row, library=library) if library else row for row in rows
        ]
    return found


def show_tables(content: dict, level: int = 2) -> str:
    """All tables that have rows, in Markdown, with headings of a level."""
    blocks = []
    for heading, (columns, *_) in TABLES.items():
        rows = rows_of(content, heading)
        if rows:
            blocks += [
                f'{"#" * level} {heading}',
                markdown_table(columns, rows).strip()
            ]
    return '\n\n'.join(blocks)


def describe(content: dict) -> str:
    """Sentences on where and when it was measured, and what came of the
    steps."""
    machine = content['machine']
    done = [row for row in content['checks'] if row['outcome'] == 'ok']
    seconds = sum(row['seconds'] for row in done)
    text = (f'Measured on {machine["date"]} by `bash tools/gpu_check.sh`: '
            f'{machine["GPU"]}; {machine["CPU"]}; {machine["versions"]}; '
            f'commit {machine["commit"]}.')
    if machine['GPU'] == 'none':
        text += ' A rehearsal without a GPU: these are no results.'
    return (f'{text} {len(done)} of {len(content["checks"])} steps were ok '
            f'({seconds:.0f} s).')
