"""The description of keypoints in MMPose's format: names, mirrored pairs,
skeleton and sigmas."""
from dataclasses import dataclass
from typing import List, Tuple

from .coco_file import KeypointFile
from .findings import Finding, found
from .names import canonical_names, find_sides, pair_sides
from .sigmas import KnownDataset, choose_sigmas, find_known

COLORS = dict(left=[0, 255, 0], right=[255, 128, 0])
MIDDLE = [51, 153, 255]


@dataclass
class Keypoint:
    """One keypoint.

    Args:
        name (str): Its name, unique in the data set.
        side (str): 'left', 'right' or ''.
        swap (str): Name of its partner in a mirrored image (left and right),
            '' if none.
        body (str): Half of the body: 'upper', 'lower' or '' if not known.
        sigma (float): OKS sigma.
        source (str): Where the sigma comes from.
    """
    name: str
    side: str
    swap: str
    body: str
    sigma: float
    source: str

    @property
    def color(self) -> List[int]:
        """list[int]: RGB by side."""
        return COLORS.get(self.side, MIDDLE)


@dataclass
class DatasetInfo:
    """Description of the keypoints of a data set.

    Args:
        name (str): Name of the data set.
        keypoints (list[Keypoint]): The K keypoints.
        links (list[tuple[int]]): Skeleton, pairs of indices.
    """
    name: str
    keypoints: List[Keypoint]
    links: List[Tuple[int, int]]

    def format(self) -> str:
        """Format as Python text, for the file of ``metainfo.from_file``."""
        lines = [
            'dataset_info = dict(',
            f'    dataset_name={_literal(self.name)},',
            '    keypoint_info={',
        ]
        for i, point in enumerate(self.keypoints):
            lines += [
                f'        {i}:',
                '        dict(',
                f'            name={_literal(point.name)},',
                f'            id={i},',
                f'            color={point.color},',
                f'            type={point.body!r},',
                f'            swap={_literal(point.swap)}),',
            ]
        lines += ['    },', '    skeleton_info={' + '},' * (not self.links)]
        for i, link in enumerate(self.links):
            ends = [self.keypoints[end] for end in link]
            names = ', '.join(_literal(end.name) for end in ends)
            color = ends[0].color if ends[0].side == ends[1].side else MIDDLE
            lines += [
                f'        {i}:',
                '        dict(',
                f'            link=({names}),',
                f'            id={i},',
                f'            color={color}),',
            ]
        if self.links:
            lines.append('    },')
        lines += [
            f'    joint_weights=[1.0] * {len(self.keypoints)},',
            '    sigmas=[',
        ]
        lines += [
            f'        {point.sigma},  # {_comment(point.name)}: {point.source}'
            for point in self.keypoints
        ]
        return '\n'.join(lines + ['    ])', ''])


def _literal(text: str) -> str:
    """A text as Python, in which MMEngine finds nothing to replace.

    What is written here will be executed, and names come from a file.
    """
    return repr(text).replace('{{', '{\\x7b')


def _comment(text: str) -> str:
    """A text that ends no comment, mostly as it is."""
    is_plain = text.isprintable() and '{{' not in text
    return text if is_plain else _literal(text)


def describe_keypoints(file: KeypointFile,
                       name: str,
                       estimates=None) -> Tuple[DatasetInfo, List[Finding]]:
    """Describe the keypoints of a file.

    Args:
        file (KeypointFile): The file.
        name (str): Name of the data set.
        estimates (tuple, optional): Measured sigmas, from
            :func:`estimate_sigmas`.

    Returns:
        tuple: The description, and what looks wrong about names, pairs and
        skeleton.
    """
    names, findings = _find_names(file)
    known = find_known(names)
    partners, alone = pair_sides(names)
    _add_known_pairs(names, partners, known)
    if file.flip_idx is None:
        findings += _check_pairs(names, partners, alone)
    else:  # what is stated counts more than names
        partners = {i: j for i, j in enumerate(file.flip_idx) if i != j}
    links, more = _find_links(file, names, known)
    findings += more

    joints = canonical_names(names)
    sides = find_sides(names)
    keypoints = []
    for i, (sigma,
            source) in enumerate(choose_sigmas(names, known, estimates)):
        keypoints.append(
            Keypoint(
                name=names[i],
                side=sides[i][0],
                swap=names[partners[i]] if i in partners else '',
                body=_find_body(joints[i], known),
                sigma=sigma,
                source=source))
    return DatasetInfo(name, keypoints, links), findings


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
    """Pair joints that known data sets mirror, but whose names do not say
    it, as the points of faces."""
    joints = canonical_names(names)
    index = {joint: i for i, joint in enumerate(joints)}
    for dataset in known:
        in_dataset = list(dataset.joints)
        for joint, i in index.items():
            if i in partners or joint not in dataset.joints:
                continue
            other = dataset.metainfo['flip_indices'][dataset.joints[joint]]
            other = index.get(in_dataset[other], i)
            if other != i and other not in partners:
                partners.update({i: other, other: i})


def _check_pairs(names: List[str], partners: dict,
                 alone: List[int]) -> List[Finding]:
    """What mirroring an image would get wrong by the names."""
    findings = found(
        'warning',
        'Keypoints that name a side, but have no single partner on the other',
        [names[i] for i in alone if i not in partners],
        'Mirrored images would teach them on both sides. Rename them in '
        '`categories`, set `swap` in metainfo.py, or take PoseRandomFlip out '
        'of the pipeline',
        unit='keypoint')
    if not partners and not alone and len(names) > 2:
        findings.append(
            Finding(
                'warning', 'No left and right keypoints among the names',
                'Mirrored images keep all names. If some keypoints are left '
                'and right of each other, name them so (left_x, right_x) and '
                'run again'))
    return findings


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
