"""Descriptions of keypoints that exist already: those of MMPose, and a user's
own in the same format."""
import difflib
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Dict, List, Optional, Set

import mmpose
import numpy as np

from ..config_file import read_config
from ..data.metainfo import load_metainfo
from .names import canonical_names

# MMPose's descriptions of data sets with measured or adopted sigmas; where
# two share as many joints with a file, the first one counts.
KNOWN_DATASETS = ('coco', 'coco_wholebody', 'crowdpose', 'ap10k',
                  'coco_wholebody_hand')
DATASETS_DIR = 'configs/_base_/datasets'  # in MMPose
# Joints of a finger are numbered from its root everywhere. The points of a
# longer row, as a face has, are not numbered alike by two data sets.
LONGEST_FINGER = 5


@dataclass
class GivenInfo:
    """A description of K keypoints.

    Args:
        source (str): Its name in MMPose, or its path.
        metainfo (dict): As MMPose parses it. Sigmas are NaN if there are
            none.
        completed (list[str]): Keypoints whose missing ``swap`` was taken from
            that of their partner.
    """
    source: str
    metainfo: dict
    completed: List[str] = field(default_factory=list)

    @property
    def names(self) -> List[str]:
        """list[str]: Names of the K keypoints."""
        return list(self.metainfo['keypoint_id2name'].values())


@dataclass
class KnownDataset:
    """A data set that MMPose describes.

    Args:
        name (str): Name of its file in MMPose.
        joints (dict[str, int]): Index of each joint by canonical name.
        metainfo (dict): The file as MMPose parses it.
    """
    name: str
    joints: Dict[str, int]
    metainfo: dict

    @classmethod
    @lru_cache(maxsize=None)
    def load(cls, name: str) -> 'KnownDataset':
        """Read MMPose's description of a data set."""
        given = read_description(name)
        joints = {
            joint: i
            for i, joint in enumerate(canonical_names(given.names))
        }
        return cls(name, joints, given.metainfo)

    @cached_property
    def numbered(self) -> Set[str]:
        """set[str]: Joints that only a number tells from many others."""
        stems = {joint: re.sub(r'\d', '', joint) for joint in self.joints}
        rows = Counter(stem for joint, stem in stems.items() if stem != joint)
        return {
            joint
            for joint, stem in stems.items() if rows[stem] > LONGEST_FINGER
        }

    def find_sigma(self, joint: str, others: Set[str]) -> Optional[float]:
        """The sigma of a joint.

        A joint without a side is the same as those of both sides, of whose
        sigmas it gets the mean.

        Args:
            joint (str): Its canonical name.
            others (set[str]): Those of all joints of the file. A number says
                which point of a long row is meant only if all joints of this
                data set are there.

        Returns:
            float, optional: The sigma, None if there is no such joint.
        """
        same = [
            name for name in (joint, f'left{joint}', f'right{joint}')
            if name in self.joints
        ]
        if joint in same:
            same = [joint]
        if not same or (self.numbered.intersection(same)
                        and not self.joints.keys() <= others):
            return None
        return float(
            np.mean([self.metainfo['sigmas'][self.joints[n]] for n in same]))


def find_known(names: List[str]) -> List[KnownDataset]:
    """Known data sets that share joints with a file, the closest first: that
    which has most of the joints, with or without their side, then that which
    has most of them as the file names them."""
    joints = set(canonical_names(names))
    shared = {}
    for name in KNOWN_DATASETS:
        dataset = KnownDataset.load(name)
        found = [
            joint for joint in joints
            if dataset.find_sigma(joint, joints) is not None
        ]
        if found:
            shared[name] = len(found), len(dataset.joints.keys() & found)
    closest = sorted(shared, key=lambda name: shared[name], reverse=True)
    return [KnownDataset.load(name) for name in closest]


def read_description(source: str) -> GivenInfo:
    """Read a description of keypoints.

    It is a Python file, which MMEngine executes. So a name stands for one of
    MMPose's own files and for nothing else, and a file is read only if its
    path is given.

    Args:
        source (str): Path of a file that ends in .py, or the name of one of
            MMPose's ``configs/_base_/datasets``, such as ``wflw``.

    Returns:
        GivenInfo: The description. Sigmas may be missing; a ``swap`` that is
        stated for one of two partners counts for both.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a description of keypoints; the message says
            what to correct.
    """
    path = Path(source)
    if path.suffix != '.py' or not path.is_file():
        path = find_description(source)
    info = read_config(str(path)).get('dataset_info')
    if not isinstance(info, dict):
        raise ValueError(f'{path}: no description of keypoints. It must '
                         "define the dict `dataset_info`, as MMPose's "
                         f'{DATASETS_DIR} do.')
    info = dict(info)
    points = info.get('keypoint_info') or {}
    points = {i: dict(point) for i, point in points.items()}
    names = {point.get('name') for point in points.values()} - {None}
    if not points or [*points] != [*range(len(names))]:
        raise ValueError(
            f'{path}: `keypoint_info` must describe the keypoints '
            '0, 1, 2 and so on, in this order, each with a '
            '`name` of its own.')
    completed = _complete_swaps(points)
    info['keypoint_info'] = points
    info.setdefault('dataset_name', path.stem)
    info.setdefault('skeleton_info', {})
    info.setdefault('joint_weights', [1.0] * len(points))
    if len(info.get('sigmas') or ()) == 0:
        info['sigmas'] = [np.nan] * len(points)
    try:
        metainfo = load_metainfo(info)
    except ValueError as error:
        text = str(error).replace('the given metainfo', str(path), 1)
        raise ValueError(text) from error
    return GivenInfo(source, metainfo, completed)


def find_description(name: str) -> Path:
    """Find one of MMPose's descriptions.

    Args:
        name (str): Name of the file; its folder in MMPose may precede it, and
            ``.py`` may follow.

    Returns:
        Path: Its path.

    Raises:
        FileNotFoundError: If MMPose has none of this name; the message has
            names that are like it.
    """
    folder = Path(mmpose.__file__).parent / '.mim' / DATASETS_DIR
    stem = name.removeprefix(f'{DATASETS_DIR}/').removesuffix('.py')
    known = sorted(path.stem for path in folder.glob('*.py'))
    if stem in known:
        return folder / f'{stem}.py'
    similar = difflib.get_close_matches(stem, known, n=3)
    raise FileNotFoundError(
        f"{name}: neither a Python file nor the name of one of MMPose's "
        'descriptions of keypoints. ' +
        (f'Similar names: {", ".join(similar)}'
         if similar else f'There are: {", ".join(known)}'))


def _complete_swaps(points: Dict[int, dict]) -> List[str]:
    """Enter the partners that only the other keypoint of a pair states, in
    place; answer with the names of these keypoints."""
    by_name = {point['name']: point for point in points.values()}
    completed = []
    for name, point in by_name.items():
        partner = by_name.get(point.get('swap'))
        if partner is not None and not partner.get('swap'):
            partner['swap'] = name
            completed.append(partner['name'])
    return completed
