"""A COCO-format keypoint file, read into arrays."""
import shlex
from collections import Counter, defaultdict
from functools import cached_property
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Set, Tuple, Union

import numpy as np

from ..data.annotations import (CATEGORY_ID, check_annotations,
                                explain_nothing, name_objects)
from ..data.instances import reason_in_file
from ..data.repairs import Repair, load_annotations
from .names import are_partners


class KeypointFile:
    """The people of a COCO-format keypoint file.

    People are the annotations with keypoints that training accepts and that
    are not crowd regions. P is their number, K that of the keypoints.

    Args:
        content (dict): Content of the file.
        path (str | Path): Its path, for messages.
        category (str, optional): Name of the category to keep, if the file
            has several. It gets the id 1 in ``content``. Defaults to None,
            which keeps all.
        repairs (Sequence[Repair]): What was changed in the content to bring
            it to COCO's form. Defaults to nothing.
        one_class (bool): Take all categories for the same thing. Defaults to
            False, which makes classes of several.

    Attributes:
        classes (dict[int, str]): Names of the categories that are told apart
            by id, empty if there is one only.
        noun (str): What to call the objects: 'people' or 'objects'.
        unusable (set[int]): Ids of the images without a file that training
            can use, as far as they were looked at.
        upright (bool): Whether images are annotated as EXIF turns them.

    Raises:
        ValueError: If no annotation has usable keypoints, or the categories
            do not share one set of keypoints; the message says what to do.
    """

    def __init__(self,
                 content: dict,
                 path: Union[str, Path],
                 category: Optional[str] = None,
                 repairs: Sequence[Repair] = (),
                 one_class: bool = False):
        self.path = str(path)
        self.content = content
        if category is not None:
            self.content = self._keep_category(category)
        self.repairs = list(repairs)
        self.noun = name_objects(self.content)
        self.unusable: Set[int] = set()
        self.upright = False
        self.images: Dict[int, dict] = {
            image.get('id'): image
            for image in self.content['images']
        }
        self.annotated = [
            ann for ann in self.content['annotations'] if 'keypoints' in ann
        ]
        # What training refuses: the id, and the reason.
        self.refused: List[Tuple] = []
        accepted = []
        for ann in self.annotated:
            problem = self._find_problem(ann)
            if problem:
                self.refused.append((ann.get('id'), problem))
            else:
                accepted.append(ann)
        self.num_keypoints = self._count_keypoints(accepted)
        self.people = []
        for ann in accepted:
            found = len(ann['keypoints']) // 3
            if found != self.num_keypoints:
                self.refused.append((ann['id'], f'`keypoints` has {found} '
                                     'keypoints, most annotations have '
                                     f'{self.num_keypoints}.'))
            elif not ann.get('iscrowd'):
                self.people.append(ann)
        self.used_categories = sorted({ann['category_id'] for ann in accepted})
        told_apart = len(self.used_categories) > 1 and not one_class
        self.classes = self._name_classes() if told_apart else {}
        self.names, self.skeleton = self._read_categories()
        self.flip_idx = self._read_flip_idx()

    @classmethod
    def read(cls,
             path: Union[str, Path],
             category: Optional[str] = None,
             folder: Optional[Union[str, Path]] = None,
             one_class: bool = False) -> 'KeypointFile':
        """Read a file; :func:`load_annotations` lists what is refused, and
        what the folder of the images is for."""
        content, repairs = load_annotations(
            str(path), None if folder is None else str(folder))
        return cls(content, path, category, repairs, one_class)

    def part(self, content: dict) -> 'KeypointFile':
        """A file of some of the images, of which the same is known."""
        one_class = not self.classes
        part = KeypointFile(content, self.path, one_class=one_class)
        part.unusable = self.unusable & set(part.images)
        part.upright = self.upright
        return part

    @cached_property
    def ids(self) -> np.ndarray:
        """np.ndarray: The id of each person, (P, )."""
        return np.array([ann['id'] for ann in self.people], dtype=int)

    @cached_property
    def image_ids(self) -> np.ndarray:
        """np.ndarray: The id of each person's image, (P, )."""
        return np.array([ann['image_id'] for ann in self.people], dtype=int)

    @cached_property
    def keypoints(self) -> np.ndarray:
        """np.ndarray: x, y and visibility, (P, K, 3)."""
        values = [ann['keypoints'] for ann in self.people]
        return np.array(values, dtype=float).reshape(-1, self.num_keypoints, 3)

    @cached_property
    def labeled(self) -> np.ndarray:
        """np.ndarray: Whether a keypoint is labeled, bool, (P, K)."""
        return self.keypoints[..., 2] > 0

    @cached_property
    def boxes(self) -> np.ndarray:
        """np.ndarray: x, y, width and height, (P, 4)."""
        boxes = [ann['bbox'] for ann in self.people]
        return np.array(boxes, dtype=float).reshape(-1, 4)

    @cached_property
    def areas(self) -> np.ndarray:
        """np.ndarray: Annotated areas, NaN where there is none, (P, )."""
        return np.array([ann.get('area', np.nan) for ann in self.people],
                        dtype=float)

    @property
    def lacks_area(self) -> np.ndarray:
        """np.ndarray: Who has no area that the metric can use, (P, )."""
        return ~(self.areas > 0)

    @cached_property
    def num_labeled(self) -> np.ndarray:
        """np.ndarray: Labeled keypoints by which training counts: as many as
        the file states, if there are any, (P, )."""
        counts = self.labeled.sum(1)
        return np.array([
            ann.get('num_keypoints', count) if count else 0
            for ann, count in zip(self.people, counts)
        ])

    @property
    def labeled_images(self) -> np.ndarray:
        """np.ndarray: Ids of the images that training uses, each as often as
        somebody is labeled in it."""
        usable = ~np.isin(self.image_ids, list(self.unusable))
        return self.image_ids[(self.num_labeled > 0) & usable]

    def count_trained(self) -> Counter:
        """Why nobody is trained on an annotation, '' for those that are.

        Returns:
            Counter: Numbers of people by reason.
        """
        reasons: Counter[str] = Counter()
        for ann, count, size in zip(self.people, self.num_labeled.tolist(),
                                    self.sizes.tolist()):
            reason = 'images without a usable file'
            if ann['image_id'] not in self.unusable:
                reason = reason_in_file(ann, count, size)
            reasons[reason.format(self.noun)] += 1
        return reasons

    @cached_property
    def scales(self) -> np.ndarray:
        """np.ndarray: Areas for OKS: those annotated, or 0.53 of the box as
        MMPose's metric takes with use_area=False, (P, )."""
        boxes = 0.53 * self.boxes[:, 2:].prod(1)
        return np.where(np.isnan(self.areas), boxes, self.areas)

    @cached_property
    def sizes(self) -> np.ndarray:
        """np.ndarray: Width and height of each person's image, NaN where
        they are not known, (P, 2)."""
        images = [self.images.get(ann['image_id'], {}) for ann in self.people]
        return np.array(
            [[image.get(name, np.nan) for name in ('width', 'height')]
             for image in images],
            dtype=float).reshape(-1, 2)

    def select(self, mask: np.ndarray) -> list:
        """Ids of the people for which a mask (P, ) is True."""
        return self.ids[mask].tolist()

    def _find_problem(self, ann: dict) -> str:
        """Why training refuses an annotation, '' if it does not."""
        image_id = ann.get('image_id')
        image = dict(
            id=image_id if isinstance(image_id, int) else 0,
            file_name='image',
            width=1,
            height=1)
        alone = dict(images=[image], annotations=[ann], categories=[])
        try:
            check_annotations(alone, '', class_agnostic=True)
        except ValueError as error:
            return str(error).split(': ', 2)[-1]
        return ''

    def _keep_category(self, name: str) -> dict:
        """The content of one category, with the id that training wants."""
        chosen = [
            entry for entry in self.content['categories']
            if entry.get('name') == name
        ]
        if len(chosen) != 1:
            raise ValueError(
                f'{self.path}: {len(chosen) or "no"} categories are named '
                f'{name!r}. There are: {self._category_names()}.')
        return dict(
            self.content,
            categories=[dict(chosen[0], id=CATEGORY_ID)],
            annotations=[
                dict(ann, category_id=CATEGORY_ID)
                for ann in self.content['annotations']
                if ann.get('category_id') == chosen[0].get('id')
            ])

    def _category_names(self, limit: int = 10) -> str:
        names = [str(c.get('name')) for c in self.content['categories']]
        return ', '.join(names[:limit]) + ', ...' * (len(names) > limit)

    def _count_keypoints(self, people: List[dict]) -> int:
        """The number of keypoints that most annotations have."""
        if not people:
            reason = (f'; annotation {self.refused[0][0]}: '
                      f'{self.refused[0][1]}' if self.refused else
                      f'. {explain_nothing(self.content)}')
            raise ValueError(
                f'{self.path}: no annotation has usable `keypoints`{reason}')
        counts: Dict[int, Counter[int]] = defaultdict(Counter)
        for ann in people:
            counts[ann['category_id']][len(ann['keypoints']) // 3] += 1
        usual = {i: count.most_common(1)[0][0] for i, count in counts.items()}
        if len({*usual.values()}) > 1:
            self._refuse_categories(usual)
        return sum(counts.values(), Counter()).most_common(1)[0][0]

    def _read_categories(self) -> Tuple[Optional[List[str]], list]:
        """Names (None without any) and skeleton of the used categories."""
        described = [
            entry for entry in self.content['categories'] if
            entry.get('id') in self.used_categories and entry.get('keypoints')
        ]
        if not described:
            return None, []
        first = described[0]
        if any(c['keypoints'] != first['keypoints'] for c in described):
            self._refuse_categories(
                {c['id']: self.num_keypoints
                 for c in described})
        names = [str(name) for name in first['keypoints']]
        return names, first.get('skeleton') or []

    def _refuse_categories(self, counts: Dict[int, int]) -> None:
        """Refuse categories with different keypoints.

        Args:
            counts (dict[int, int]): Their numbers of keypoints by id.
        """
        entries = {c.get('id'): c for c in self.content['categories']}
        listed, commands = [], []
        for category_id, count in sorted(counts.items()):
            entry = entries.get(category_id, {})
            name = str(entry.get('name', category_id))
            points = ', '.join(map(str, entry.get('keypoints') or []))
            listed.append(f'\n  {name}: {count} keypoints' +
                          (f' ({points})' if points else ''))
            commands.append(f'\n  --category {shlex.quote(name)} '
                            f'--out {shlex.quote(name.replace("/", "_"))}')
        raise ValueError(
            f'{self.path}: the categories have different keypoints, but a '
            f'model has the same for all its classes:{"".join(listed)}\n'
            'Train one model per category: run this command once for each, '
            f'with{"".join(commands)}')

    def _name_classes(self) -> Dict[int, str]:
        """A name for each category with keypoints."""
        names = {
            entry.get('id'): str(entry['name'])
            for entry in self.content['categories'] if entry.get('name')
        }
        classes: Dict[int, str] = {}
        for i in self.used_categories:
            name = names.get(i, f'category {i}')
            if name in classes.values():
                raise ValueError(
                    f'{self.path}: two categories have the `name` {name!r}. '
                    'Rename one of them to tell them apart, or take all for '
                    'the same thing by --one-class.')
            classes[i] = name
        return classes

    def _read_flip_idx(self) -> Optional[List[int]]:
        """The mirror partner of each keypoint, if the categories state it, as
        those of formats that know it do."""
        for entry in self.content['categories']:
            flip = entry.get('flip_idx')
            if entry.get('id') in self.used_categories and flip:
                if not are_partners(flip, self.num_keypoints):
                    raise ValueError(
                        f'{self.path}: `flip_idx` of the category '
                        f'{entry.get("name")!r} must name the mirror partner '
                        'of each keypoint, both ways. Correct or remove it.')
                return flip
        return None
