"""Images into which people of other images are put, by number."""
import cv2
import numpy as np
import pytest
from mmpose.registry import DATASETS, TRANSFORMS
from pycocotools import mask as mask_utils

from projects.grouppose.data import PoseCopyPaste, PoseMixUp, PoseMosaic
from projects.grouppose.synthetic import draw_dataset

LOAD = [dict(type='LoadPoseImage'), dict(type='PoseInstanceFilter')]


def make_results(size, color, *people):
    """An image (w, h) of one color with rectangles for people: x1, y1, x2,
    y2 of each, which has a mask unless a fifth value says no. Keypoints are
    the corner pixels and the center, all visible."""
    width, height = size
    img = np.full((height, width, 3), color, dtype=np.uint8)
    boxes = np.float32([person[:4] for person in people]).reshape(-1, 4)
    x1, y1, x2, y2 = boxes.T
    corners = np.stack([x1, y1, x2 - 1, y2 - 1], 1).reshape(-1, 2, 2)
    points = np.concatenate([corners, corners.mean(1, keepdims=True)], 1)
    anns = []
    for index, (left, top, right, bottom, *no_mask) in enumerate(people):
        mask = np.zeros((height, width), dtype=np.uint8, order='F')
        mask[top:bottom, left:right] = 1
        img[top:bottom, left:right] = color + 10 + index
        code = mask_utils.encode(mask)
        anns.append(dict(id=index, segmentation=[] if no_mask else code))
    return dict(
        img=img,
        img_path='a.jpg',
        img_shape=(height, width),
        ori_shape=(height, width),
        keypoints=points.astype(np.float32),
        keypoints_visible=np.full((len(people), 3), 2, np.float32),
        bbox=boxes,
        area=np.prod(boxes[:, 2:] - boxes[:, :2], 1),
        id=[*range(len(people))],
        raw_ann_info=anns)


class Images:
    """A data set that always gives the same image."""

    def __init__(self, results):
        self.results = results

    def __len__(self):
        return 1

    def get_data_info(self, index):
        return dict(self.results)


def apply(transform, results, other):
    """A transform of an image beside another one."""
    before = {
        key: np.array(results[key])
        for key in ('img', 'keypoints', 'bbox', 'area')
    }
    after = transform(dict(results, dataset=Images(other)))
    for key, value in before.items():  # others may hold the same arrays
        np.testing.assert_array_equal(results[key], value)
    return after


@pytest.fixture
def place(monkeypatch):
    """Choose where the second image, or a person, comes to lie."""

    def choose(*values):
        values = iter(values)
        monkeypatch.setattr(np.random, 'randint',
                            lambda *limits: next(values, 0))

    return choose


# ------------------------------------------------------------------- mix-up


def test_mix_up():
    results = make_results((80, 60), 100, (10, 10, 30, 50))
    other = make_results((40, 20), 180, (4, 2, 14, 12), (20, 5, 30, 15))
    mix = PoseMixUp([], ratio=(0.75, 0.75))
    mix._choose = lambda free: (0.75, 0, free[1])
    mixed = apply(mix, results, other)
    # It is enlarged to 80 x 40, and lies at the bottom.
    img = mixed['img']
    assert (img[:10] == 100).all() and (img[10:20, 10:30] == 110).all()
    assert img[-1, -1].tolist() == [120] * 3  # 0.75 * 100 + 0.25 * 180
    np.testing.assert_array_equal(
        mixed['bbox'], [[10, 10, 30, 50], [8, 24, 28, 44], [40, 30, 60, 50]])
    np.testing.assert_array_equal(mixed['keypoints'][1],
                                  [[8, 24], [26, 42], [17, 33]])
    np.testing.assert_array_equal(mixed['area'], [800, 400, 400])
    # Nothing is hidden, and masks of the other image fit no more.
    assert (mixed['keypoints_visible'] == 2).all()
    assert [bool(x['segmentation']) for x in mixed['raw_ann_info']] == \
        [True, False, False]
    assert mixed['img_shape'] == (60, 80) and 'input_scale' not in mixed


def test_mix_up_draws():
    mix = PoseMixUp([])
    ratios, left, top = zip(*[mix._choose((3, 0)) for _ in range(200)])
    assert 0.45 <= min(ratios) < 0.46 and 0.54 < max(ratios) < 0.55
    assert set(left) == {0, 1, 2, 3} and set(top) == {0}
    for ratio in ((0.6, 0.4), (0, 0.5), (0.5, )):
        with pytest.raises(ValueError, match='PoseMixUp: ratio must be'):
            PoseMixUp([], ratio=ratio)


# --------------------------------------------------------------- copy-paste


def test_a_pasted_person_hides_what_is_below(place):
    results = make_results((80, 60), 100, (0, 0, 20, 40), (50, 0, 80, 30))
    other = make_results((80, 60), 180, (40, 10, 60, 40))
    paste = PoseCopyPaste([], max_people=1, scale=(1, 1))
    place(0, 1, 0, 10)  # which image, one person, top 0, left 10
    pasted = apply(paste, results, other)
    img = pasted['img']
    # 20 x 30 pixels at (10, 0): they hide half of the width of the first.
    assert (img[:30, 10:30] == 190).all()
    assert (img[30:40, :20] == 110).all() and (img[:30, 50:] == 111).all()
    np.testing.assert_array_equal(
        pasted['bbox'], [[0, 0, 20, 40], [50, 0, 80, 30], [10, 0, 30, 30]])
    # 300 of its 800 pixels are hidden, and its center is.
    np.testing.assert_array_equal(pasted['area'], [500, 900, 600])
    np.testing.assert_array_equal(pasted['keypoints_visible'],
                                  [[2, 2, 1], [2, 2, 2], [2, 2, 2]])
    np.testing.assert_array_equal(pasted['keypoints'][2],
                                  [[10, 0], [29, 29], [19.5, 14.5]])
    assert [bool(x['segmentation']) for x in pasted['raw_ann_info']] == \
        [False, True, False]


def test_a_box_shrinks_with_the_mask(place):
    """Without a mask, the box stands in for it."""
    for no_mask, top in (((), 29), ((True, ), 30)):
        results = make_results((80, 60), 100, (10, 10, 30, 40, *no_mask))
        results['bbox'][0] += (-1.5, -1, 1, 0.5)  # as annotators draw them
        other = make_results((80, 60), 180, (0, 0, 80, 30))
        place(0, 1, 0, 0)
        pasted = apply(
            PoseCopyPaste([], max_people=1, scale=(1, 1)), results, other)
        assert pasted['bbox'][0].tolist() == [8.5, top, 31, 40.5]
        assert 0 < pasted['area'][0] < 600


def test_who_is_hidden_is_dropped(place):
    """By the share of the mask that is left."""
    results = make_results((80, 60), 100, (10, 0, 20, 40), (50, 0, 80, 30))
    other = make_results((80, 60), 180, (0, 0, 60, 37))
    for least, left in ((0.1, [1, 0]), (0.05, [0, 1, 0])):
        place(0, 1, 0, 0)
        paste = PoseCopyPaste([],
                              max_people=1,
                              scale=(1, 1),
                              min_visible=least)
        pasted = apply(paste, results, other)
        assert pasted['id'] == left
        assert len(pasted['keypoints']) == len(pasted['raw_ann_info']) == \
            len(left)


def test_who_is_pasted_later_hides_the_earlier(place):
    results = make_results((80, 60), 100)
    other = make_results((80, 60), 180, (0, 0, 20, 40), (40, 0, 80, 40))
    place(0, 2, 0, 0, 0, 10)
    np.random.seed(1)  # the first first
    pasted = apply(
        PoseCopyPaste([], max_people=2, scale=(1, 1)), results, other)
    order = pasted['id']
    assert sorted(order) == [0, 1]
    expected = {0: [400, 1600], 1: [1600 - 800, 800]}[order[0]]
    np.testing.assert_array_equal(pasted['area'], expected)


def test_size_of_pasted_people(place):
    """In shares of the image; nobody is larger than it."""
    results = make_results((40, 30), 100)
    other = make_results((80, 60), 180, (20, 10, 40, 40))
    for scale, box in ((1, (0, 0, 10, 15)), (0.4, (0, 0, 4, 6)), (9, (0, 0, 20,
                                                                      30))):
        place(0, 1, 0, 0)
        paste = PoseCopyPaste([], max_people=1, scale=(scale, scale))
        pasted = apply(paste, results, other)
        np.testing.assert_array_equal(pasted['bbox'], [box])
        assert pasted['area'][0] == np.prod(box[2:])


def test_keypoints_outside_become_unlabeled(place):
    """Hidden ones may lie beside the mask."""
    results = make_results((40, 40), 100)
    other = make_results((40, 40), 180, (10, 10, 20, 20))
    other['keypoints'][0, :2] = (5, 15), (25, 15)
    other['bbox'][0] = (8, 8, 22, 22)
    place(0, 1, 30, 30)
    pasted = apply(
        PoseCopyPaste([], max_people=1, scale=(1, 1)), results, other)
    np.testing.assert_array_equal(pasted['keypoints'][0, :2],
                                  [[25, 35], [45, 35]])
    np.testing.assert_array_equal(pasted['keypoints_visible'], [[2, 0, 2]])
    np.testing.assert_array_equal(pasted['bbox'], [[28, 28, 40, 40]])


def test_people_without_a_mask(place):
    results = make_results((80, 60), 100)
    other = make_results((80, 60), 180, (20, 10, 60, 50, True))
    place(0, 1, 0, 0)
    assert not len(apply(PoseCopyPaste([]), results, other)['keypoints'])

    place(0, 1, 0, 0)
    paste = PoseCopyPaste([], scale=(1, 1), box_edge=0.25)
    pasted = apply(paste, results, other)
    row = pasted['img'][20, :40, 0].astype(int)
    assert (row[10:30] == 190).all() and row[0] < 110
    assert (np.diff(row[:10]) > 0).all() and (np.diff(row[30:]) < 0).all()
    assert pasted['area'][0] == 1600
    np.testing.assert_array_equal(pasted['bbox'], [[0, 0, 40, 40]])


def test_all_forms_of_masks(place):
    """Polygons, and both run-length encodings."""
    results = make_results((40, 30), 100)
    other = make_results((40, 30), 180, (10, 5, 20, 25))
    code = other['raw_ann_info'][0]['segmentation']
    mask = mask_utils.decode(code)
    edges = np.flatnonzero(np.diff(mask.T.ravel(), prepend=0))
    counts = np.diff([0, *edges, mask.size]).tolist()
    forms = (code, dict(size=[30, 40],
                        counts=counts), [[10, 5, 20, 5, 20, 25, 10, 25]
                                         ], [[10, 5, 20, 5, 20, 15, 10, 15],
                                             [10, 15, 20, 15, 20, 25, 10, 25]])
    images = []
    for form in forms:
        other['raw_ann_info'] = [dict(id=7, segmentation=form)]
        place(0, 1, 0, 0)
        pasted = apply(PoseCopyPaste([], scale=(1, 1)), results, other)
        images.append(pasted['img'])
    assert all((img == images[0]).all() for img in images)
    assert (images[0] == 190).any(2).sum() == 200


@pytest.mark.parametrize('form', [
    7, [[1, 2]], ['a'],
    dict(size=[30, 40]),
    dict(size=[3, 4], counts=[2, 10]),
    dict(size=[30, 40], counts=7)
])
def test_unusable_masks_are_refused(form):
    results = make_results((40, 30), 100)
    other = make_results((40, 30), 180, (10, 5, 20, 25))
    other['raw_ann_info'] = [dict(id=7, segmentation=form)]
    with pytest.raises(
            ValueError,
            match='a.jpg: annotation 7: `segmentation` holds neither.* of an '
            'image of 40 x 30 pixels'):
        apply(PoseCopyPaste([]), results, other)


def test_copy_paste_refuses_moved_images():
    other = make_results((40, 30), 180, (10, 5, 20, 25))
    for change in (dict(flip=True), dict(input_scale=np.float32([40, 30]))):
        for moved, fixed in ((dict(other,
                                   **change), other), (other,
                                                       dict(other, **change))):
            with pytest.raises(ValueError, match='a.jpg: PoseCopyPaste foll'):
                apply(PoseCopyPaste([]), moved, fixed)


@pytest.mark.parametrize('field, value',
                         [('max_people', 0), ('scale', (1, 0.5)),
                          ('min_visible', 1.5), ('box_edge', 0),
                          ('box_edge', 0.6)])
def test_copy_paste_refuses(field, value):
    with pytest.raises(ValueError, match=f'PoseCopyPaste: {field} must'):
        PoseCopyPaste([], **{field: value})


# --------------------------------------------------------------------- both


@pytest.mark.parametrize('kind', [PoseMixUp, PoseCopyPaste, PoseMosaic])
def test_without_a_data_set(kind):
    assert TRANSFORMS.get(kind.__name__) is kind
    with pytest.raises(
            ValueError, match=f'a.jpg: {kind.__name__} needs the data set'):
        kind([])(make_results((40, 30), 1))


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    """A drawn data set of crowds, with masks."""
    out = tmp_path_factory.mktemp('drawn')
    draw_dataset(out, 6, 1, long_side=128, num_workers=1, people=(2, 4))
    return out


def test_drawn_people_are_pasted_into_mosaics(drawn):
    """All together, from annotation files on; what was drawn once has the
    colors of its own image."""
    paste = [*LOAD, dict(type='PoseCopyPaste', pre_transform=LOAD)]
    pipeline = [
        *paste,
        dict(type='PoseMosaic', short_side=64, pre_transform=paste),
        dict(type='PoseMixUp', pre_transform=LOAD)
    ]
    dataset = DATASETS.build(
        dict(
            type='PoseImageDataset',
            pipeline=pipeline,
            metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
            dataset=dict(
                type='CocoDataset',
                data_root=str(drawn),
                data_mode='bottomup',
                ann_file='annotations/person_keypoints_train.json',
                data_prefix=dict(img='train/'))))
    counts = []
    for index in range(len(dataset)):
        results = dataset[index]
        height, width = results['img_shape']
        assert results['img'].shape == (height, width, 3)
        boxes = results['bbox']
        assert (boxes >= 0).all() and (boxes <= 2 * [width, height]).all()
        sizes = boxes[:, 2:] - boxes[:, :2]
        assert (sizes > 0).all()
        assert (0 < results['area']).all()
        assert (results['area'] <= 1.05 * sizes.prod(1) + 1).all()
        counts.append(len(results['keypoints']))
        assert len({
            len(results[key])
            for key in ('keypoints', 'keypoints_visible', 'bbox', 'area', 'id')
        }) == 1
    assert min(counts) > 10


def test_masks_are_where_people_are(drawn):
    """A person that is pasted into a black image shows its own pixels, and
    keypoints that were visible lie on them."""
    dataset = DATASETS.build(
        dict(
            type='PoseImageDataset',
            pipeline=LOAD,
            metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
            dataset=dict(
                type='CocoDataset',
                data_root=str(drawn),
                data_mode='bottomup',
                ann_file='annotations/person_keypoints_train.json',
                data_prefix=dict(img='train/'))))
    paste = PoseCopyPaste(LOAD, max_people=1, scale=(1, 1))
    on_person = seen = 0
    for _ in range(10):
        black = make_results((256, 256), 0)
        black['keypoints'] = np.zeros((0, 17, 2), np.float32)
        black['keypoints_visible'] = np.zeros((0, 17), np.float32)
        results = paste(dict(black, dataset=dataset))
        (pose, ), (ann, ) = results['keypoints'], results['raw_ann_info']
        shown = results['img'].max(2) > 0
        visible = np.array(ann['keypoints'])[2::3] == 2
        x, y = pose[visible].round().astype(int).T
        on_person += cv2.dilate(shown.astype(np.uint8), np.ones(
            (5, 5)))[y, x].sum()
        seen += visible.sum()
        x1, y1, x2, y2 = results['bbox'][0].round().astype(int)
        outside = shown.copy()
        outside[max(y1 - 2, 0):y2 + 2, max(x1 - 2, 0):x2 + 2] = False
        assert not outside.any()
        inner = cv2.erode(shown.astype(np.uint8), np.ones((3, 3)))
        assert inner.sum() < results['area'][0] < shown.sum() + 50
    assert seen > 30 and on_person > 0.97 * seen
