"""Names of keypoints: which stand for the same joint, and which are a pair of
left and right."""
import re
from collections import defaultdict
from typing import Dict, List, Tuple

SIDES = dict(left='left', l='left', right='right', r='right')
ABBREVIATIONS = dict(f='front', b='back')


def find_sides(names: List[str]) -> List[Tuple[str, str]]:
    """Find the side of each keypoint from its name.

    Case and separators do not matter, and the side may stand anywhere:
    ``left_eye``, ``Left-Eye``, ``LeftEye``, ``l_eye``, ``eyeL``. A side that
    is not set apart (``lefteye``, ``reye``) counts only if the other side is
    named in the same way.

    Args:
        names (list[str]): Names of all keypoints.

    Returns:
        list[tuple[str]]: Per name the side ('left', 'right' or '') and the
        name of the joint without its side.
    """
    found = [_side_among(_words(name)) for name in names]
    plain = {joint for side, joint in found if not side}
    return [(side, joint) if side else _glued_side(joint, plain)
            for side, joint in found]


def canonical_names(names: List[str]) -> List[str]:
    """Bring names into one spelling, to compare those of two data sets."""
    return [side + joint for side, joint in find_sides(names)]


def pair_sides(names: List[str]) -> Tuple[Dict[int, int], List[int]]:
    """Find the pairs of left and right, which mirroring an image swaps.

    Args:
        names (list[str]): Names of all keypoints.

    Returns:
        tuple: The partner of each paired keypoint, both ways, by index; and
        the keypoints that name a side but have no partner.
    """
    joints: Dict[str, Dict[str, List[int]]] = defaultdict(
        lambda: dict(left=[], right=[]))
    for index, (side, joint) in enumerate(find_sides(names)):
        if side:
            joints[joint][side].append(index)
    partners, alone = {}, []
    for both in joints.values():
        left, right = both['left'], both['right']
        if len(left) == len(right) == 1:
            partners.update({left[0]: right[0], right[0]: left[0]})
        else:
            alone += left + right
    return partners, sorted(alone)


def _words(name: str) -> List[str]:
    """Split a name at separators and where camel case changes."""
    name = re.sub(r'(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])', ' ',
                  name)
    return [word.lower() for word in re.split(r'[\W_]+', name) if word]


def _side_among(words: List[str]) -> Tuple[str, str]:
    """The side that is a word of its own, and the other words."""
    places = [i for i, word in enumerate(words) if word in SIDES]
    side = ''
    if len(places) == 1 and len(words) > 1:
        side = SIDES[words.pop(places[0])]
    return side, ''.join(ABBREVIATIONS.get(word, word) for word in words)


def _glued_side(name: str, others: set) -> Tuple[str, str]:
    """The side that a name starts or ends with, as another one does."""
    for left, right in (('left', 'right'), ('l', 'r')):
        for word, opposite in ((left, right), (right, left)):
            joint = name[len(word):]
            if name.startswith(word) and joint and opposite + joint in others:
                return SIDES[word], joint
            joint = name[:-len(word)]
            if name.endswith(word) and joint and joint + opposite in others:
                return SIDES[word], joint
    return '', name
