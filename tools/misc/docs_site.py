"""What the documentation site needs beyond mkdocs.yml.

Pages are written so that they read well in the repository, too: links may
point to any file of it, and docstrings use Sphinx's roles as MMPose's do.
"""
import os.path as osp
import re
from pathlib import Path

import griffe
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / 'projects/grouppose'
# In this order, the others behind them.
FIRST_ROOMS = [
    'model', 'data', 'codec', 'oks', 'evaluation', 'engine', 'checkpoints',
    'inference', 'deployment', 'describe', 'synthetic'
]
FIRST_MODULES = [
    'head', 'tokens', 'encoder', 'deformable_attention', 'query_selection',
    'queries', 'decoder', 'decoder_layer', 'targets', 'matcher', 'costs',
    'criterion', 'losses'
]
LINK = re.compile(r'\[([^\]]+)\]\((?![a-z]+:|#)([^)\s#]+)(#[^)\s]+)?\)')
ROLE = re.compile(r':(?:\w+:)?\w+:`~?([^`]+)`')
HYPERLINK = re.compile(r'`([^`<]+?)\s+<([^>`]+)>`_')
SHIM = 'https://unpkg.com/iframe-worker/shim'
WORKER = 'assets/worker_from_file.js'
FETCHED = re.compile(r'<(?:script|img|iframe|link rel="stylesheet")[^>]* '
                     r'(?:src|href)="((?:https?:)?//[^"]+)"')


def pages_elsewhere() -> dict:
    """Pages of the site that lie outside of docs/, by their path in the site.

    Returns:
        dict[str, str]: Their paths in the repository.
    """
    pages = {
        'changelog.md': 'CHANGELOG.md',
        'contributing.md': 'CONTRIBUTING.md'
    }
    for path in sorted(
            ROOT.glob('configs/*/*/*/README.md'),
            key=lambda path: ('grouppose' not in path.parts, path)):
        method, dataset = path.parts[-3:-1]
        pages[f'configs/{method}-{dataset}.md'] = str(path.relative_to(ROOT))
    return pages


def rooms() -> list:
    """The folders and modules of the package, in the order of reading."""
    names = sorted(
        path.stem for path in PACKAGE.iterdir()
        if path.name[0] not in '_.' and (
            path.suffix == '.py' or (path / '__init__.py').exists()))
    return sorted(names, key=(FIRST_ROOMS + names).index)


def api_page(room: str) -> str:
    """A page with the docstrings of a room, module by module."""
    name = f'projects.grouppose.{room}'
    if not (PACKAGE / room).is_dir():
        return f'# {room}\n\n::: {name}\n'
    modules = sorted('.'.join(path.relative_to(PACKAGE / room).parts)[:-3]
                     for path in (PACKAGE / room).rglob('*.py')
                     if path.stem != '__init__')
    # What the room's __init__ takes from its modules is not shown twice.
    blocks = [f'# {room}', f'::: {name}\n    options: {{members: false}}']
    for module in sorted(modules, key=(FIRST_MODULES + modules).index):
        blocks += [f'## {module}', f'::: {name}.{module}']
    return '\n\n'.join(blocks) + '\n'


def on_config(config):
    """List the pages of configs and of the API (MkDocs calls this)."""
    evaluate = next(entry['Evaluate'] for entry in config.nav
                    if 'Evaluate' in entry)
    evaluate += [uri for uri in pages_elsewhere() if uri[:8] == 'configs/']
    config.nav.insert(-1, {'API': [f'api/{room}.md' for room in rooms()]})
    return config


def on_files(files, config):
    """Add pages for the API, and those that lie elsewhere (MkDocs calls
    this)."""
    for room in rooms():
        files.append(
            File.generated(config, f'api/{room}.md', content=api_page(room)))
    for uri, path in pages_elsewhere().items():
        files.append(
            File.generated(config, uri, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Let links lead to the page of a file, or name a file that has none
    (MkDocs calls this)."""
    elsewhere = pages_elsewhere()
    uris = {path: uri for uri, path in elsewhere.items()}
    own = page.file.src_uri
    folder = osp.dirname(elsewhere.get(own, f'docs/{own}'))

    def follow(match):
        text, target, anchor = match.groups()
        path = osp.normpath(osp.join(folder, target))
        uri = uris.get(path)
        if path.startswith('docs/'):
            uri = path[len('docs/'):]
        if uri is not None:
            link = osp.relpath(uri, osp.dirname(own) or '.')
            return f'[{text}]({link}{anchor or ""})'
        if not (ROOT / path).exists():
            return match[0]  # which MkDocs reports
        name = target if osp.dirname(path) == folder else path
        return text if path in text else f'{text} (`{name}`)'

    return LINK.sub(follow, markdown)


def on_post_page(output, page, config):
    """Take a script of our own in place of the one that the theme fetches,
    and refuse whatever else would be fetched (MkDocs calls this)."""
    output = output.replace(
        SHIM, osp.relpath(WORKER,
                          osp.dirname(page.file.dest_uri) or '.'))
    fetched = FETCHED.search(output)
    if fetched:
        raise PluginError(f'{page.file.src_uri} would fetch {fetched[1]}')
    return output


def on_post_template(output, template_name, config):
    """The same for the page of errors (MkDocs calls this)."""
    return output.replace(SHIM, '/' + WORKER)


class PlainDocstrings(griffe.Extension):
    """Turns the Sphinx markup in docstrings into Markdown."""

    def on_instance(self, *, obj, **kwargs):
        """Rewrite the docstring of an object (griffe calls this)."""
        if obj.docstring is None:
            return
        text = re.sub(r':obj:`([^`]+)`', r'\1', obj.docstring.value)
        text = ROLE.sub(r'`\1`', text)
        text = HYPERLINK.sub(r'[\1](\2)', text)
        obj.docstring.value = re.sub(r'::$', ':', text, flags=re.MULTILINE)
