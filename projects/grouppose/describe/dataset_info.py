"""From a keypoint file or a given description to names, mirrored pairs,
skeleton and sigmas."""
from dataclasses import replace
from typing import List, Optional, Tuple

from .coco_file import KeypointFile
from .findings import Finding, found
from .known_datasets import GivenInfo, KnownDataset, find_known
from .metainfo_file import DatasetInfo, Keypoint, format_comment
from .names import (canonical_names, find_sides, find_unknown, is_on_axis,
                    pair_sides)
from .sigmas import choose_sigmas

COLORS = dict(left=[0, 255, 0], right=[255, 128, 0])
MIDDLE = [51, 153, 255]


def describe_keypoints(
        file: KeypointFile,
        name: str,
        estimates=None,
        given: Optional[GivenInfo] = None
) -> Tuple[DatasetInfo, List[Finding]]:
    """Describe the keypoints of a file.

    Args:
        file (KeypointFile): The file.
        name (str): Name of the data set.
        estimates (tuple, optional): Measured sigmas, from
            :func:`estimate_sigmas`.
        given (GivenInfo, optional): A description that takes the place of
            what the file says.

    Returns:
        tuple: The description, and what looks wrong about names, pairs and
        skeleton.

    Raises:
        ValueError: If the given description has another number of keypoints.
    """
    if given is not None:
        findings = _check_given(file, given)
        info, more = describe_given(given, name, estimates)
        return replace(info, classes=file.classes), findings + more
    names, findings = _find_names(file)
    known = find_known(names)
    partners, alone = pair_sides(names)
    _add_known_pairs(names, partners, known)
    if file.flip_idx is not None:  # what is stated counts more than names
        partners = {i: j for i, j in enumerate(file.flip_idx) if i != j}
        no_mirror = ''
    else:
        no_mirror = _find_doubt(names, partners, alone, known)
        findings += _check_pairs(names, partners, alone, no_mirror)
    links, more = _find_links(file, names, known)
    findings += more

    joints = canonical_names(names)
    sides = [side for side, _ in find_sides(names)]
    keypoints = []
    for i, (sigma,
            source) in enumerate(choose_sigmas(names, known, estimates)):
        keypoints.append(
            Keypoint(
                name=names[i],
                side=sides[i],
                swap=names[partners[i]] if i in partners else '',
                body=_find_body(joints[i], known),
                sigma=sigma,
                source=source,
                color=COLORS.get(sides[i], MIDDLE)))
    link_colors = [
        keypoints[a].color if sides[a] == sides[b] else MIDDLE
        for a, b in links
    ]
    return DatasetInfo(name, keypoints, links, link_colors, no_mirror,
                       file.classes), findings


def describe_given(given: GivenInfo,
                   name: str,
                   estimates=None) -> Tuple[DatasetInfo, List[Finding]]:
    """Take over a description, with sigmas where it has none.

    Args:
        given (GivenInfo): The description.
        name (str): Name of the data set.
        estimates (tuple, optional): Measured sigmas, from
            :func:`estimate_sigmas`.

    Returns:
        tuple: The description, and what looks wrong about its pairs. Images
        are not mirrored if it has no pairs though there may be some.
    """
    names, metainfo = given.names, given.metainfo
    known = find_known(names)
    partners = {i: j for i, j in enumerate(metainfo['flip_indices']) if i != j}
    findings = found(
        'note',
        f'{given.source} names the partner in a mirror of one keypoint of a '
        'pair only',
        given.completed,
        'It is taken to hold both ways',
        unit='keypoint')
    no_mirror = ''
    if not partners:
        alone = pair_sides(names)[1]
        no_mirror = _find_doubt(names, partners, alone, known)
        findings += _check_pairs(names, partners, alone, no_mirror)
    sides = find_sides(names)
    keypoints = []
    for i, (sigma, source) in enumerate(
            choose_sigmas(names, known, estimates, given)):
        body = [
            half for half in ('upper', 'lower')
            if i in metainfo[f'{half}_body_ids']
        ]
        keypoints.append(
            Keypoint(
                name=names[i],
                side=sides[i][0],
                swap=names[partners[i]] if i in partners else '',
                body=''.join(body),
                sigma=sigma,
                source=source,
                color=metainfo['keypoint_colors'][i].tolist()))
    return DatasetInfo(name, keypoints, metainfo['skeleton_links'],
                       metainfo['skeleton_link_colors'].tolist(),
                       no_mirror), findings


def _check_given(file: KeypointFile, given: GivenInfo) -> List[Finding]:
    """Compare a given description with what a file says."""
    names = given.names
    if len(names) != file.num_keypoints:
        raise ValueError(
            f'--metainfo {given.source}: it describes {len(names)} keypoints, '
            f'but the annotations of {file.path} have {file.num_keypoints}. '
            'Give the description of these keypoints, or none.')
    own = canonical_names(file.names or [])
    theirs = canonical_names(names)
    moved = [
        mine for mine, joint, other in zip(file.names or [], own, theirs)
        if joint != other and joint in theirs
    ]
    return found(
        'warning',
        f'Keypoints that {given.source} has at another place',
        moved, 'The description counts, and names the first keypoint of the '
        'annotations first. Check that it is meant for this file',
        unit='keypoint',
        total=len(names))


def _find_names(file: KeypointFile) -> Tuple[List[str], List[Finding]]:
    """One name for each keypoint, even if the file has others."""
    count = file.num_keypoints
    generic = [f'keypoint_{i}' for i in range(count)]
    if file.names is None:
        return generic, [
            Finding(
                'warning', 'Categories without `keypoints`',
                'The keypoints are called keypoint_0 and so on, without left '
                'and right. Put their names into `categories` and run again')
        ]
    findings = []
    names = (file.names + generic[len(file.names):])[:count]
    if len(file.names) != count:
        findings.append(
            Finding(
                'warning',
                f'{len(file.names)} names in `categories`, {count} keypoints '
                'in the annotations',
                f'The first {min(count, len(file.names))} names are taken. '
                'Check them in metainfo.py, or correct `categories` and run '
                'again'))
    seen, repeated = set(), []
    for i, name in enumerate(names):
        if name in seen:
            repeated.append(name)
            names[i] = f'{name}_{i}'
        seen.add(names[i])
    findings += found(
        'warning',
        'Names that occur twice in `categories`',
        repeated,
        'The later ones got their number appended. Correct them and run '
        'again',
        unit='name')
    return names, findings


def _add_known_pairs(names: List[str], partners: dict,
                     known: List[KnownDataset]) -> None:
    """Pair joints that a known data set mirrors, but whose names do not say
    it, as the points of faces.

    Other data sets number other points: all joints of the known one must be
    there.
    """
    joints = canonical_names(names)
    index = {joint: i for i, joint in enumerate(joints)}
    for dataset in known:
        if not dataset.joints.keys() <= index.keys():
            continue
        in_dataset = list(dataset.joints)
        for joint, number in dataset.joints.items():
            i = index[joint]
            other = index[in_dataset[dataset.metainfo['flip_indices'][number]]]
            if other != i and i not in partners and other not in partners:
                partners.update({i: other, other: i})


def _find_doubt(names: List[str], partners: dict, alone: List[int],
                known: List[KnownDataset]) -> str:
    """Why mirroring may confuse keypoints, '' if all pairs are known.

    Pairs are known if no keypoint that names a side lacks its partner, no row
    of keypoints is told apart by numbers only, and there is a pair at all,
    unless there is but one keypoint or all are on the axis of a body.
    """
    alone = [i for i in alone if i not in partners]
    if alone:
        return f'no single partner of {_shorten(names, alone)}'
    middle = {
        joint
        for dataset in known
        for joint, i in dataset.joints.items()
        if dataset.metainfo['flip_indices'][i] == i
        and dataset.joints.keys() <= {*canonical_names(names)}
    }
    joints = canonical_names(names)
    rest = [
        i for i, joint in enumerate(joints)
        if i not in partners and joint not in middle
    ]
    numbered = find_unknown(names, rest)
    if numbered:
        return 'only a number in the names tells apart ' + _shorten(
            names, numbered)
    if not partners and len(names) > 1 and not all(
            is_on_axis(names[i]) for i in rest):
        return 'no left and right among the names'
    return ''


def _shorten(names: List[str], chosen: List[int]) -> str:
    """Some of the names as they are, fit for a comment of a config."""
    shown = ', '.join(format_comment(names[i]) for i in chosen[:3])
    return shown + (f' and {len(chosen) - 3} more' if len(chosen) > 3 else '')


def _check_pairs(names: List[str], partners: dict, alone: List[int],
                 no_mirror: str) -> List[Finding]:
    """What mirroring an image would get wrong by the names."""
    remedy = ('The config does not mirror images. Rename keypoints in '
              '`categories` (left_x, right_x) and run again, or set `swap` '
              'in metainfo.py and turn mirroring on in config.py')
    findings = found(
        'warning',
        'Keypoints that name a side, but have no single partner on the other',
        [names[i] for i in alone if i not in partners],
        remedy,
        unit='keypoint')
    if findings or not no_mirror:
        return findings
    what = 'No left and right keypoints among the names'
    if no_mirror.startswith('only'):
        what = f'Left and right are not known: {no_mirror}'
    return [Finding('warning' if len(names) > 2 else 'note', what, remedy)]


def _find_links(
        file: KeypointFile, names: List[str],
        known: List[KnownDataset]) -> Tuple[List[Tuple], List[Finding]]:
    """The skeleton of the file, or that of the closest known data set."""
    links = [tuple(link) for link in file.skeleton]
    ends = [end for link in links for end in link]
    whole = all(isinstance(end, int)
                for end in ends) and all(len(link) == 2 for link in links)
    first = 0 if whole and 0 in ends else 1
    # The names may be more than the keypoints.
    limit = max(len(names), len(file.names or [])) + first
    if whole and ends and min(ends) >= 0 and max(ends) < limit:
        findings = found(
            'note',
            '`skeleton` with the keypoint 0',
            links[:1] if first == 0 else [],
            'COCO counts from 1; this file is taken to count from 0',
            unit='link')
        links = [(a - first, b - first) for a, b in links]
        return [link for link in links if max(link) < len(names)], findings

    links, source = _known_links(names, known)
    remedy = 'None is drawn'
    if links:
        remedy = f'That of {source} is taken where it has the same joints'
    if not ends:
        return links, [
            Finding('note', 'No `skeleton` in `categories`',
                    f'{remedy}. It matters for pictures only')
        ]
    return links, [
        Finding(
            'warning', '`skeleton` links keypoints that do not exist',
            f'It may be that of another data set. {remedy}. It matters for '
            'pictures only; correct it in metainfo.py')
    ]


def _known_links(names: List[str],
                 known: List[KnownDataset]) -> Tuple[List[Tuple], str]:
    """Links between joints that the closest known data set has, too."""
    if not known:
        return [], ''
    index = {joint: i for i, joint in enumerate(canonical_names(names))}
    in_dataset = list(known[0].joints)
    links = [[index.get(in_dataset[end]) for end in link]
             for link in known[0].metainfo['skeleton_links']]
    return [tuple(link) for link in links if None not in link], known[0].name


def _find_body(joint: str, known: List[KnownDataset]) -> str:
    """Half of the body by the closest data set that knows the joint."""
    for dataset in known:
        if joint in dataset.joints:
            i = dataset.joints[joint]
            lower = i in dataset.metainfo['lower_body_ids']
            upper = i in dataset.metainfo['upper_body_ids']
            return 'lower' if lower else 'upper' if upper else ''
    return ''
