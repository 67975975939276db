"""Answers about the Python environment it runs in, for tools/install.sh.

Every answer is found without importing a heavy package, so each takes a
fraction of a second.
"""
import argparse
import hashlib
import importlib.util
import shutil
import site
import sys
from importlib import metadata
from pathlib import Path

MODULES = ('torch', 'torchvision', 'numpy', 'cv2', 'scipy', 'mmengine', 'mmcv',
           'mmdet', 'mmpose', 'xtcocotools', 'pycocotools')


def missing():
    """Lists what keeps this environment from running MMPose 1.x.

    Returns:
        list[str]: One entry for each module that is absent or unusable.
    """
    absent = [name for name in MODULES if not importlib.util.find_spec(name)]
    if 'mmcv' not in absent and not _has_operators():
        absent.append('mmcv (its compiled operators)')
    if 'mmpose' not in absent:
        try:
            version = metadata.version('mmpose')
        except metadata.PackageNotFoundError:
            version = '1'  # run from a source tree: nothing says otherwise
        if int(version.split('.')[0]) < 1:
            absent.append(f'mmpose 1.x (this one is {version})')
    return absent


def _has_operators():
    folders = importlib.util.find_spec('mmcv').submodule_search_locations
    return any(list(Path(folder).glob('_ext.*')) for folder in folders or ())


def stack():
    """Names the stack: modern has the forks of OpenMMLab's packages."""
    try:
        metadata.version('onedl-mmengine')
    except metadata.PackageNotFoundError:
        return 'classic'
    return 'modern'


def fingerprint(files):
    """Digests what is installed, where, and the files that asked for it."""
    digest = hashlib.sha256(f'{sys.prefix} {sys.version}'.encode())
    installed = {(dist.metadata['Name'], dist.version)
                 for dist in metadata.distributions()}
    for name, version in sorted(installed, key=str):
        digest.update(f'{name}=={version}\n'.encode())
    for file in files:
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()


def unmet(files):
    """Lists the requirements of files that the environment does not meet."""
    from packaging.requirements import Requirement
    lines = [
        line.partition(' #')[0].strip() for file in files
        for line in Path(file).read_text(encoding='utf-8').splitlines()
    ]
    requirements = [
        Requirement(line) for line in lines
        if line and not line.startswith(('#', '-'))  # an option of pip
    ]
    requirements = [
        item for item in requirements
        if item.marker is None or item.marker.evaluate()
    ]

    def met(requirement):
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            return False
        return requirement.specifier.contains(version, prereleases=True)

    return [str(item) for item in requirements if not met(item)]


def drop_incomplete():
    """Forgets packages whose installation was cut short.

    pip takes a package for installed once its metadata is there, even when
    the process died before the rest was. Removing such metadata makes pip
    install the package again.

    Returns:
        list[str]: The packages dropped.
    """
    dropped = []
    for folder in site.getsitepackages():
        for info in Path(folder).glob('*.dist-info'):
            dist = metadata.Distribution.at(info)
            files = dist.files or []
            if not (info / 'INSTALLER').exists() or not all(
                    file.locate().exists()
                    for file in files if file.suffix != '.pyc'):
                shutil.rmtree(info)
                dropped.append(info.stem)
        # What pip set aside while it replaced a package.
        for leftover in Path(folder).glob('~*'):
            shutil.rmtree(leftover, ignore_errors=True)
    return dropped


def site_folders():
    """Lists the folders that this environment takes its packages from."""
    folders = site.getsitepackages()
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    return folders


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest='command', required=True)
    commands.add_parser('missing', help=missing.__doc__.splitlines()[0])
    commands.add_parser(
        'drop-incomplete', help=drop_incomplete.__doc__.splitlines()[0])
    commands.add_parser('site-folders', help=site_folders.__doc__)
    commands.add_parser('stack', help=stack.__doc__)
    sub = commands.add_parser('fingerprint', help=fingerprint.__doc__)
    sub.add_argument('files', nargs='*')
    sub = commands.add_parser('unmet', help=unmet.__doc__)
    sub.add_argument('files', nargs='+')
    args = parser.parse_args()

    if args.command == 'missing':
        print(*missing(), sep=', ')
    elif args.command == 'drop-incomplete':
        print(*drop_incomplete(), sep='\n')
    elif args.command == 'site-folders':
        print(site_folders())
    elif args.command == 'stack':
        print(stack())
    elif args.command == 'fingerprint':
        print(fingerprint(args.files))
    else:
        print(*unmet(args.files), sep=', ')


if __name__ == '__main__':
    main()
