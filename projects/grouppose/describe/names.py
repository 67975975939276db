"""Names of keypoints: which stand for the same joint, and which are a pair of
left and right."""
import re
from collections import Counter, defaultdict
from typing import Any, Dict, List, Tuple

SIDES = dict(left='left', l='left', right='right', r='right')
OPPOSITE = dict(left='right', right='left')
ABBREVIATIONS = dict(f='front', b='back')
# FL, BR, HL, RF: front, back, hind, middle, top, upper, ... and a side.
COMPOUND = re.compile('[fbhmtu][lr]|[lr][fbhmtu]')
# Names that start or end with l or r before one of these name a side.
PARTS = frozenset(
    'eye eyebrow brow ear cheek shoulder elbow wrist hand palm thumb finger '
    'hip knee ankle foot heel toe bigtoe smalltoe paw hoof arm forearm leg '
    'thigh shin wing fin antenna horn wheel'.split())
WORDS = ('rear', )  # what only looks like that
# What lies on the axis of a body: a row of such points has no sides.
AXIS = frozenset(
    'nose nosetip nosebridge head tophead headtop forehead chin neck throat '
    'tail tailbase tailtip roottail tailroot rootoftail endoftail spine back '
    'backbone trunk vertebra body torso chest belly abdomen thorax pelvis '
    'center centre root withers'.split())


def find_sides(names: List[str]) -> List[Tuple[str, str]]:
    """Find the side of each keypoint from its name.

    Case and separators do not matter, and the side may stand anywhere:
    ``left_eye``, ``Left-Eye``, ``LeftEye``, ``l_eye``, ``eyeL``,
    ``forelegL1``, ``FL_paw``. A side that is not set apart (``lefteye``,
    ``reye``, ``fl1``) counts if another name differs from this one by the
    other side in its place, and by nothing else.

    Args:
        names (list[str]): Names of all keypoints.

    Returns:
        list[tuple[str]]: Per name the side ('left', 'right' or '') and the
        name of the joint without its side.
    """
    found = [_side_among(_words(name)) for name in names]
    sides = {side + joint for side, joint in found if side}
    lonely = [
        i for i, (side, joint) in enumerate(found)
        if not side or OPPOSITE[side] + joint not in sides
    ]
    for i, match in _match_places([names[i] for i in lonely]).items():
        found[lonely[i]] = match
    return [_sided_part(side, joint) for side, joint in found]


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


def are_partners(flip_idx: Any, count: int) -> bool:
    """Whether a value names the mirror partner of each of so many keypoints by
    its index, both ways; one in the middle is its own."""
    numbers = list(range(count))
    return isinstance(flip_idx, list) and all(
        isinstance(i, int)
        for i in flip_idx) and sorted(flip_idx) == numbers and [
            flip_idx[i] for i in flip_idx
        ] == numbers


def find_unknown(names: List[str], alone: List[int]) -> List[int]:
    """Keypoints without a side that may have a mirror image all the same.

    Args:
        names (list[str]): Names of all keypoints.
        alone (list[int]): Those that have no partner, nor name a side.

    Returns:
        list[int]: Of these, the ones that only a number tells from two or
        more others (``Face_1``, ``Face_2``, ...), unless they are on the axis
        of a body (``tail1``, ``spine_2``).
    """
    stems = {i: _stem(names[i]) for i in alone}
    rows = Counter(stem for i, stem in stems.items() if stem != _key(names[i]))
    return [
        i for i, stem in stems.items()
        if rows[stem] > 2 and stem != _key(names[i]) and stem not in AXIS
    ]


def is_on_axis(name: str) -> bool:
    """Whether a keypoint is known to lie on the axis of a body."""
    return _stem(name) in AXIS


def _stem(name: str) -> str:
    """A name without its separators and numbers, in lower case."""
    return re.sub(r'\d', '', _key(name))


def _key(name: str) -> str:
    return re.sub(r'[\W_]+', '', name).lower()


def _words(name: str) -> List[str]:
    """Split a name at separators, where camel case changes, and between
    letters and digits."""
    name = re.sub(
        r'(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])'
        r'|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[a-z])', ' ', name)
    return [word.lower() for word in re.split(r'[\W_]+', name) if word]


def _side_among(words: List[str]) -> Tuple[str, str]:
    """The side that is a word of its own, and the other words."""
    if len(words) > 1 or (words and COMPOUND.fullmatch(words[0])):
        words = [
            part for word in words
            for part in (word if COMPOUND.fullmatch(word) else [word])
        ]
    places = [i for i, word in enumerate(words) if word in SIDES]
    rest = ''.join(words[:places[0]] + words[places[0] + 1:]) if places else ''
    side = ''
    # A letter and a number (L1) may be anything.
    if len(places) == 1 and re.search(r'[^\W\d]', rest):
        side = SIDES[words.pop(places[0])]
    return side, ''.join(ABBREVIATIONS.get(word, word) for word in words)


def _match_places(names: List[str]) -> Dict[int, Tuple[str, str]]:
    """Pair names that differ by left and right in one place, or in all.

    Returns:
        dict: Side and joint by index. A name with several such partners has
        none.
    """
    spaces: Dict[str, Dict[str, List[int]]] = defaultdict(
        lambda: dict(left=[], right=[]))
    for i, name in enumerate(names):
        for side, rest in _places(_key(name)):
            spaces[rest][side].append(i)
    options: Dict[int, Dict[int, Tuple[str, str]]] = defaultdict(dict)
    for rest, both in spaces.items():
        for i in both['left']:
            for j in both['right']:
                options[i].setdefault(j, ('left', rest))
                options[j].setdefault(i, ('right', rest))
    return {
        i: match
        for i, others in options.items() if len(others) == 1
        for j, match in others.items() if len(options[j]) == 1
    }


def _places(key: str) -> List[Tuple[str, str]]:
    """Each way to take one left or right, or all of them, out of a name: the
    side, and what is left with the place marked."""
    marks = list(re.finditer('left|right|l|r', key))
    whole = [mark for mark in marks if len(mark.group()) > 1]
    found = [(SIDES[mark.group()], f'{key[:mark.start()]}*{key[mark.end():]}')
             for mark in marks]
    if len(whole) > 1:
        # Both of left_eye_left_corner change places in a mirror.
        first = SIDES[whole[0].group()]
        text = re.sub(
            'left|right', lambda mark: '*'
            if SIDES[mark.group()] == first else '/', key)
        found = [(first, text)]
    return found


def _sided_part(side: str, joint: str) -> Tuple[str, str]:
    """The side that a name starts or ends with, if the rest is a part of a
    body that has two of it, though the other one is not named."""
    if side:
        return side, joint.replace('*', '')
    stem = _stem(joint)
    for word in ('left', 'right', 'l', 'r'):
        for rest, own in ((stem[len(word):], stem.startswith(word)),
                          (stem[:-len(word)], stem.endswith(word))):
            if own and rest in PARTS and stem not in WORDS:
                joint = joint[len(word):] if stem.startswith(
                    word) and stem[len(word):] in PARTS else \
                    re.sub(f'{word}(\\d*)$', r'\1', joint)
                return SIDES[word], joint
    return '', joint
