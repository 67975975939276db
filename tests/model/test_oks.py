"""The project's OKS is that of xtcocotools."""
import numpy as np
import pytest
import torch
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

from projects.grouppose.oks import object_keypoint_similarity

SIGMAS = np.array([0.03, 0.05, 0.08, 0.1])


def xtcocotools_oks(gt, visible, area, pred) -> np.ndarray:
    """OKS of every prediction and person, (predictions, people)."""
    people, count = len(gt), len(SIGMAS)
    coco = COCO()
    annotations = []
    for i in range(people):
        keypoints = np.concatenate([gt[i], visible[i][:, None]], -1)
        annotations.append(
            dict(
                id=i + 1,
                image_id=1,
                category_id=1,
                iscrowd=0,
                keypoints=keypoints.flatten().tolist(),
                num_keypoints=int(visible[i].sum()),
                bbox=[0, 0, 1, 1],
                area=float(area[i])))
    coco.dataset = dict(
        images=[dict(id=1)],
        annotations=annotations,
        categories=[dict(id=1, keypoints=[str(k) for k in range(count)])])
    coco.createIndex()
    results = [
        dict(
            image_id=1,
            category_id=1,
            score=1 - 0.01 * i,
            keypoints=np.concatenate([pose, np.ones((count, 1))],
                                     -1).flatten().tolist())
        for i, pose in enumerate(pred)
    ]
    evaluation = COCOeval(coco, coco.loadRes(results), 'keypoints', SIGMAS)
    evaluation.evaluate()
    return evaluation.ious[1, 1]


def test_agrees_with_xtcocotools():
    random = np.random.RandomState(0)
    gt = random.uniform(0, 100, (3, 4, 2))
    pred = gt[[0, 0, 1, 2, 2]] + random.normal(0, 5, (5, 4, 2))
    visible = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1]])
    area = np.array([900., 2500., 400.])
    expected = xtcocotools_oks(gt, visible, area, pred)
    assert (expected > 0.01).sum() >= 5  # the comparison is about something

    oks = object_keypoint_similarity(
        torch.from_numpy(pred)[:, None], torch.from_numpy(gt),
        torch.from_numpy(visible), torch.from_numpy(area),
        torch.from_numpy(SIGMAS))
    np.testing.assert_allclose(oks, expected, atol=2e-6)


def test_exact_pose_scores_one():
    pose = torch.rand(4, 2)
    oks = object_keypoint_similarity(pose, pose, torch.ones(4),
                                     torch.tensor(0.2), torch.tensor(SIGMAS))
    assert oks.item() == pytest.approx(1, abs=1e-6)


def test_nobody_labeled_and_no_area_are_finite():
    pred = torch.rand(2, 4, 2, requires_grad=True)
    oks = object_keypoint_similarity(pred, torch.rand(2, 4, 2),
                                     torch.tensor([[0.] * 4, [1.] * 4]),
                                     torch.zeros(2), torch.tensor(SIGMAS))
    oks.sum().backward()
    assert oks.tolist() == [0, 0]
    assert torch.isfinite(pred.grad).all()
