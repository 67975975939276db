"""The file that describes keypoints in MMPose's format."""
from dataclasses import dataclass, field
from typing import Dict, List, Tuple


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
        color (list[int]): RGB.
    """
    name: str
    side: str
    swap: str
    body: str
    sigma: float
    source: str
    color: List[int]


@dataclass
class DatasetInfo:
    """Description of the keypoints of a data set.

    Args:
        name (str): Name of the data set.
        keypoints (list[Keypoint]): The K keypoints.
        links (list[tuple[int]]): Skeleton, pairs of indices.
        link_colors (list[list[int]]): RGB of each link.
        no_mirror (str): Why images must not be mirrored, a noun phrase, or
            '' if all pairs of left and right are known. Defaults to ''.
        classes (dict[int, str]): Categories that are told apart, names by
            id. Defaults to none.
    """
    name: str
    keypoints: List[Keypoint]
    links: List[Tuple[int, int]]
    link_colors: List[List[int]]
    no_mirror: str = ''
    classes: Dict[int, str] = field(default_factory=dict)

    @property
    def pairs(self) -> List[Tuple[int, int]]:
        """list[tuple[int]]: Left and right of each pair whose names say which
        is which, by index."""
        names = [point.name for point in self.keypoints]
        return [(i, names.index(point.swap))
                for i, point in enumerate(self.keypoints)
                if point.side == 'left' and point.swap]

    def format(self) -> str:
        """Format as Python text, for the file of ``metainfo.from_file``."""
        lines = [
            'dataset_info = dict(',
            f'    dataset_name={format_literal(self.name)},',
        ]
        if self.classes:
            lines += ['    classes={']
            lines += [
                f'        {i}: {format_literal(name)},'
                for i, name in self.classes.items()
            ]
            lines += ['    },']
        lines += ['    keypoint_info={']
        for i, point in enumerate(self.keypoints):
            lines += [
                f'        {i}:',
                '        dict(',
                f'            name={format_literal(point.name)},',
                f'            id={i},',
                f'            color={point.color},',
                f'            type={point.body!r},',
                f'            swap={format_literal(point.swap)}),',
            ]
        lines += ['    },', '    skeleton_info={' + '},' * (not self.links)]
        for i, (link, color) in enumerate(zip(self.links, self.link_colors)):
            names = ', '.join(
                format_literal(self.keypoints[end].name) for end in link)
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
            f'        {point.sigma},  # {format_comment(point.name)}: '
            f'{format_comment(point.source)}' for point in self.keypoints
        ]
        return '\n'.join(lines + ['    ])', ''])


def format_literal(text: str) -> str:
    """A text as Python, in which MMEngine finds nothing to replace.

    What is written here will be executed, and names come from a file.
    """
    return repr(text).replace('{{', '{\\x7b')


def format_comment(text: str) -> str:
    """A text that ends no comment, mostly as it is."""
    is_plain = text.isprintable() and '{{' not in text
    return text if is_plain else format_literal(text)
