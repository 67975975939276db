"""Objects whose layout stands out among the others of a file: limbs that are
much too long, left and right that contradict each other within the object."""
from typing import List, Sequence, Tuple

import numpy as np

from .coco_file import KeypointFile
from .findings import Finding
from .metainfo_file import DatasetInfo

TOO_LONG = 10  # times its usual length is too long for a limb
MEDIAN_STEPS = 3  # medians of limbs and of objects settle in as many
MANY_OBJECTS = 30  # with both pairs, from which their layout is learned
MOST_PAIRS = 16  # whose layout is compared, those farthest apart
# Logarithm of how many times more usual the layout must be with left and
# right of one pair exchanged. On the sports photographs of Leeds Sports Pose,
# 5 brings three times as many alarms, mostly crossed arms and legs.
SURE = 6.
# A pair of which more objects than these look swapped is not warned of.
OFTEN, FEW = 0.005, 3


def check_limbs(file: KeypointFile, info: DatasetInfo) -> List[Finding]:
    """Check for limbs that are ten times too long for their object.

    The length of limb l in object p is taken as typical[l] * size[p]. Both
    factors are medians of what the other one leaves over, repeatedly
    (Tukey's median polish of the logarithms), so that single wrong keypoints
    and wrong boxes have no influence. A limb is too long if it has more than
    ten times this length, and also more than the longest limb of the object
    should have: some limbs, as that between the eyes, are short only as seen
    from most sides. Lengths below a pixel count as one.

    Without a skeleton, the distances of all keypoints from the middle of
    their object (median of x and of y) stand in for limbs.

    Args:
        file (KeypointFile): The file.
        info (DatasetInfo): Description of its keypoints.

    Returns:
        list[Finding]: One or none; the longest limbs come first.
    """
    lengths, known, ends = _measure_limbs(file, info)
    if not known.any():
        return []
    logs = np.log(np.maximum(lengths, 1))
    sizes = np.zeros((len(logs), 1))
    for _ in range(MEDIAN_STEPS):
        typical = _median(logs - sizes, known, 0)
        sizes = _median(logs - typical, known, 1)
    longest = np.where(known.any(0), typical[0], -np.inf).max()
    excess = np.where(known & (logs > sizes + longest), logs - sizes - typical,
                      0)
    worst = excess.argmax(1)
    excess = excess.max(1)
    chosen = _rank(excess, np.log(TOO_LONG))
    reasons = []
    for i in chosen:
        names = ' - '.join(info.keypoints[end].name for end in ends[worst[i]])
        reasons.append(f'{names}: {np.exp(min(excess[i], 20)):.0f} times as '
                       'long as usual')
    what = 'Limbs' if info.links else 'Distances from the middle of the object'
    return _report(
        file, chosen, reasons, [ends[worst[i]] for i in chosen], 'warning',
        f'{what} more than {TOO_LONG} times as long as usual',
        'One of the keypoints is likely misplaced; those that are not in the '
        'image must have visibility 0')


def _measure_limbs(
    file: KeypointFile, info: DatasetInfo
) -> Tuple[np.ndarray, np.ndarray, Sequence[Tuple[int, ...]]]:
    """Length of each limb and whether it is labeled, (P, L), and the indices
    of its keypoints."""
    points, labeled = file.keypoints[..., :2], file.labeled
    if info.links:
        first, second = np.array(info.links).T
        lengths = np.linalg.norm(points[:, first] - points[:, second], axis=-1)
        return lengths, labeled[:, first] & labeled[:, second], info.links
    middle = _median(points, labeled[..., None], 1)
    lengths = np.linalg.norm(points - middle, axis=-1)
    return lengths, labeled, [(i, ) for i in range(file.num_keypoints)]


def _median(values: np.ndarray, known: np.ndarray, axis: int) -> np.ndarray:
    """Upper median of the known values, infinite where there are none. The
    axis remains, with length 1.

    An object with two limbs is as large as the longer one says, so that it
    has no limb that is too long.
    """
    known = np.broadcast_to(known, values.shape)
    order = np.sort(np.where(known, values, np.inf), axis)
    index = np.minimum(
        known.sum(axis, keepdims=True) // 2, values.shape[axis] - 1)
    return np.take_along_axis(order, index, axis)


def check_swaps(file: KeypointFile, info: DatasetInfo) -> List[Finding]:
    """Check for pairs of left and right that contradict the others of their
    object.

    For two pairs, the product of their vectors from right to left is positive
    where both have left on the same side, however the object is turned and
    from where it is seen, and negative where limbs between them cross. In
    units of the object's size, its mean m and variance v over the file tell
    how well the two pairs agree: if they are normally distributed, a product
    u is exp(2 m u / v) times as likely as -u, and -u is what it was if one
    of the pairs were exchanged. As arms and legs cross at times, no product
    counts more than the odds of its sign in this file. The sum of these
    logarithms over the other pairs is the evidence that left and right of a
    pair are right; where it is below -6, they look swapped.

    What is learned from fewer than 30 objects is not used. Objects of which
    all pairs are exchanged cannot be told from those seen from behind. A pair
    that looks swapped in more than 0.5% of the objects is a note, as arms and
    legs cross more often than they are confused.

    Args:
        file (KeypointFile): The file.
        info (DatasetInfo): Description of its keypoints.

    Returns:
        list[Finding]: At most a warning and a note; the surest come first.
    """
    if len(info.pairs) < 2:
        return []
    evidence, pairs = _weigh_sides(file, info)
    worst = evidence.argmin(1)
    doubt = -evidence.min(1)
    # What happens often is a habit of the objects, or of who labeled them.
    counts = np.bincount(worst[doubt > SURE], minlength=len(pairs))
    limits = np.maximum(FEW, OFTEN * (evidence != 0).sum(0))
    often = (counts > limits)[worst]
    chosen = _rank(np.where(often, 0, doubt), SURE)
    findings = _report_swaps(
        file, info, chosen, [pairs[worst[i]] for i in chosen], 'warning',
        'Left and right of a pair that look swapped',
        'Within the object, this pair contradicts the others. Crossed limbs '
        'and twisted bodies may look so, too: look at the pictures')
    chosen = _rank(np.where(often, doubt, 0), SURE)
    return findings + _report_swaps(
        file, info, chosen, [pairs[worst[i]] for i in chosen], 'note',
        'Left and right of pairs that often lie the other way round than the '
        'others', 'Right if such limbs cross, wrong if they were confused: '
        'look at the pictures')


def _report_swaps(file: KeypointFile, info: DatasetInfo, chosen: List[int],
                  suspects: List[Tuple[int, int]], level: str, what: str,
                  remedy: str) -> List[Finding]:
    """A finding about pairs, or nothing without any."""
    reasons = [
        f'{info.keypoints[left].name} and {info.keypoints[right].name} lie '
        'the other way round than the other pairs' for left, right in suspects
    ]
    return _report(file, chosen, reasons, suspects, level, what, remedy)


def _weigh_sides(
        file: KeypointFile,
        info: DatasetInfo) -> Tuple[np.ndarray, List[Tuple[int, int]]]:
    """Evidence that left and right of a pair are not swapped, (P, N), and the
    N pairs."""
    left, right = np.array(info.pairs).T
    points, labeled = file.keypoints[..., :2], file.labeled
    known = labeled[:, left] & labeled[:, right]
    across = points[:, left] - points[:, right]
    across = np.where(known[..., None], across, 0)
    across /= _extents(points, labeled)[:, None, None]
    apart = (across**2).sum((0, 2)) / np.maximum(known.sum(0), 1)
    chosen = np.sort(np.argsort(-apart, kind='stable')[:MOST_PAIRS])
    across, known = across[:, chosen], known[:, chosen]

    evidence = np.zeros(known.shape)
    for i in range(len(chosen)):
        both = known[:, i:i + 1] & known
        both[:, i] = False
        count = both.sum(0)
        product = np.where(both, (across[:, i:i + 1] * across).sum(-1), 0)
        mean = product.sum(0) / np.maximum(count, 1)
        variance = (product**2).sum(0) / np.maximum(count, 1) - mean**2
        opposed = ((product < 0).sum(0) + 1) / (count + 2)
        most = np.log((1 - opposed) / opposed)
        most[(most < 0) | (mean <= 0) | (count < MANY_OBJECTS)] = 0
        ratios = 2 * mean * product / np.maximum(variance, 1e-9)
        evidence[:, i] = np.clip(ratios, -most, most).sum(1)
    return evidence, [info.pairs[i] for i in chosen]


def _extents(points: np.ndarray, labeled: np.ndarray) -> np.ndarray:
    """Root mean square distance of the labeled keypoints from their mean, at
    least a pixel, (P, )."""
    weights = labeled / np.maximum(labeled.sum(1, keepdims=True), 1)
    middle = (weights[..., None] * points).sum(1, keepdims=True)
    squares = ((points - middle)**2).sum(-1)
    return np.sqrt(np.maximum((weights * squares).sum(1), 1))


def _rank(values: np.ndarray, least: float) -> List[int]:
    """Where values are above a limit, the largest first."""
    order = np.argsort(-values, kind='stable')
    return order[values[order] > least].tolist()


def _report(file: KeypointFile, chosen: List[int], reasons: List[str],
            marked: Sequence[Tuple[int, ...]], level: str, what: str,
            remedy: str) -> List[Finding]:
    """A finding about objects, or nothing without any."""
    if not chosen:
        return []
    return [
        Finding(
            level,
            what,
            remedy,
            drawn=True,
            examples=file.ids[chosen].tolist(),
            total=len(file.people),
            reasons=reasons,
            marked=list(marked))
    ]
