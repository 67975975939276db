"""A split of images into training and evaluation that keeps together what
belongs together, such as the frames of a video."""
import re
from collections import Counter
from posixpath import dirname, splitext
from typing import Callable, Dict, Iterable, List, Optional, Set, Tuple

import numpy as np

from .coco_file import KeypointFile
from .findings import Finding, found

# What Roboflow appends to a name: clip_mp4-12_jpg.rf.1b2c3d.jpg
EXPORTED = re.compile(r'[._][a-z]{3,4}\.rf\.[0-9a-z]+$', re.IGNORECASE)
# Words that tell frames of a video from numbered photographs.
VIDEO_WORDS = re.compile(
    r'(?<![a-z])(frame|video|vid|clip|movie|cam|scene)s?(?![a-z])|'
    r'(?<![a-z])(mp4|avi|mov|mkv|webm)(?![a-z])', re.IGNORECASE)
LARGEST_SHARE = 1 / 3  # that whole videos may take for evaluation


def frame_of(file_name: str) -> Tuple[str, str]:
    """Take the name of an image for that of a frame.

    Args:
        file_name (str): Name, with folders.

    Returns:
        tuple[str]: The video, which is all that precedes the number at the
        end, and the number; both may be ''.
    """
    path = splitext(file_name.replace('\\', '/'))[0]
    path = EXPORTED.sub('', path)
    video = path.rstrip('0123456789')
    return video, path[len(video):]


def tell_frames(file_names: Iterable[str]) -> bool:
    """Whether names look like those of frames: at least half of the images
    share their video with others, and there are several videos, or one whose
    name says so."""
    videos: Counter[str] = Counter()
    total = 0
    for name in file_names:
        video, number = frame_of(name)
        total += 1
        if video and number:
            videos[video] += 1
    several = {video: count for video, count in videos.items() if count > 1}
    if 2 * sum(several.values()) < total:
        return False
    return len(several) > 1 or any(map(VIDEO_WORDS.search, several))


def check_videos(train: KeypointFile, other: KeypointFile) -> List[Finding]:
    """Check for videos of which there are frames on both sides.

    Args:
        train (KeypointFile): Annotations to train on.
        other (KeypointFile): Annotations to evaluate on.

    Returns:
        list[Finding]: What looks wrong.
    """
    names = [[str(image.get('file_name')) for image in file.images.values()]
             for file in (train, other)]
    if not tell_frames([*names[0], *names[1]]):
        return []
    videos = [{
        video
        for video, number in map(frame_of, each) if video and number
    } for each in names]
    return found(
        'warning',
        'Names of one video or series in both files, for training and for '
        'evaluation',
        sorted(videos[0] & videos[1]),
        'If neighboring frames are on both sides, the AP says nothing about '
        'new videos. Divide by video: give all images in one file, without '
        '--val-ann, and --group-by video',
        unit='name')


def split_content(file: KeypointFile,
                  part: float,
                  seed: int,
                  group_by: Optional[str] = None) -> Tuple[dict, dict, str]:
    """Split a file into training and evaluation.

    Images with and without labeled keypoints are split alike, but those
    whose file cannot be used are for training, which leaves them out.
    Annotations without keypoints are left out, as the metric cannot read
    them.

    Args:
        file (KeypointFile): The file.
        part (float): Share of the images for evaluation.
        seed (int): The same one gives the same split.
        group_by (str, optional): What stays together: 'image' (nothing but
            an image), 'folder', 'video' (all that the name has in front of
            its last number), or a regular expression, whose only group finds
            the name of it in ``file_name``. Defaults to videos where names
            look like those of frames, and images otherwise. A single video
            is cut in time, and so are several, unless they are asked for,
            where whole ones make no such part.

    Returns:
        tuple: Contents for training and for evaluation, and a sentence about
        the split.

    Raises:
        ValueError: If there are fewer than two images with labeled objects,
            or ``group_by`` makes no two groups of them.
    """
    labeled = set(file.labeled_images.tolist())
    if len(labeled) < 2:
        raise ValueError(
            f'{file.path}: {len(labeled)} image shows labeled {file.noun}, '
            'but a split needs at least 2. Give the images to evaluate on by '
            '--val-ann.')
    names = {i: str(file.images[i].get('file_name')) for i in file.images}
    kind, why = group_by, '--group-by'
    if kind is None:
        frames = tell_frames(names.values())
        kind = 'video' if frames else 'image'
        why = 'as file names look like those of frames'
    groups = _group(names, kind, file.path)
    for_val: Set[int] = set()
    if sum(not labeled.isdisjoint(group) for group in groups.values()) > 1:
        for_val = _choose(groups.values(), labeled, part,
                          np.random.RandomState(seed), file.unusable)
        chosen = [name for name in groups if for_val & set(groups[name])]
        how = f'by {kind} ({why}): {len(chosen)} of {len(groups)} are for ' \
            f'evaluation, {", ".join(chosen[:5])}' \
            f'{", ..." * (len(chosen) > 5)}'
    share = len(for_val & labeled) / len(labeled)
    fits = part / 2 <= share <= max(1.5 * part, LARGEST_SHARE)
    if kind == 'video' and not for_val or group_by is None and not fits:
        last: Set[int] = set()
        for group in groups.values():
            last |= _last(group, names, labeled, part) - file.unusable
        if last:
            for_val = last
            how = f'by time ({why}): of each video, the last part is for ' \
                'evaluation. Frames at the cut resemble each other, and AP ' \
                'on other videos may be lower'
    if kind == 'image':
        how = 'at random by image'
    elif group_by is None:
        how += '. Add --group-by video for whole videos only, or ' \
            '--group-by image for a random split'
    if not for_val:
        raise ValueError(
            f'{file.path}: --group-by {group_by} puts all images with '
            f'labeled {file.noun} into one group, but a split needs two. '
            'Group by something else, or give the images to evaluate on by '
            '--val-ann.')
    train = _select(file, set(file.images) - for_val)
    val = _select(file, for_val)
    return train, val, (f'Split: {len(train["images"])} images to train on, '
                        f'{len(val["images"])} to evaluate on, {how}.')


def _group(names: Dict[int, str], kind: str, path: str) -> Dict[str, List]:
    """Ids of the images of each group, by the name of the group."""
    find: Callable[[str], str]
    if kind == 'image':
        return {str(i): [i] for i in sorted(names)}
    if kind == 'folder':

        def find(name):
            return dirname(name.replace('\\', '/'))
    elif kind == 'video':

        def find(name):
            video, number = frame_of(name)
            return video if number else name
    else:
        try:
            pattern = re.compile(kind)
        except re.error as error:
            raise ValueError(f'--group-by {kind}: no regular expression '
                             f'({error}).') from error
        if pattern.groups != 1:
            raise ValueError(
                f'--group-by {kind}: must be image, folder, video, or a '
                'regular expression with one group (in parentheses), not '
                f'{pattern.groups}.')

        def find(name):
            match = pattern.search(name)
            if match is None or match[1] is None:
                raise ValueError(
                    f'{path}: `file_name` {name!r} has no group of '
                    f'--group-by {kind}. The expression must match all '
                    'names.')
            return match[1]

    groups: Dict[str, List] = {}
    for i in sorted(names):
        groups.setdefault(find(names[i]), []).append(i)
    return groups


def _choose(groups: Iterable[List], labeled: Set[int], part: float,
            random: np.random.RandomState, unusable: Set[int]) -> Set[int]:
    """Ids of whole groups that make about a part of the images, with and
    without labels each."""
    usable = [set(group) - unusable for group in groups]
    shown = [group for group in usable if group & labeled]
    empty = [group for group in usable if group and not group & labeled]
    chosen: List[Set[int]] = []
    for kind in (shown, empty):
        sizes = [len(group & labeled) or len(group) for group in kind]
        target = part * sum(sizes)
        picked: List[int] = []
        total = 0
        for i in random.permutation(len(kind)).tolist():
            if abs(total + sizes[i] - target) < abs(total - target):
                picked.append(i)
                total += sizes[i]
        smallest = sizes.index(min(sizes)) if sizes else -1
        if kind is shown and not picked:
            picked = [smallest]
        elif kind is shown and len(picked) == len(kind):
            picked.remove(smallest)
        chosen += [kind[i] for i in picked]
    return set().union(*chosen)


def _last(group: List, names: Dict[int, str], labeled: Set[int],
          part: float) -> Set[int]:
    """Ids of the last part of the frames of a video, by their numbers."""

    def time(image_id):
        digits = frame_of(names[image_id])[1].lstrip('0')
        return len(digits), digits, image_id

    ordered = sorted(group, key=time)
    shown = [i for i in ordered if i in labeled]
    count = min(max(round(part * len(shown)), 1), len(shown) - 1)
    if count < 1:
        return set()
    return set(ordered[ordered.index(shown[-count]):])


def _select(file: KeypointFile, chosen: Set[int]) -> dict:
    """The content of some images."""
    return dict(
        file.content,
        images=[
            image for image in file.content['images'] if image['id'] in chosen
        ],
        annotations=[
            ann for ann in file.annotated if ann['image_id'] in chosen
        ])
